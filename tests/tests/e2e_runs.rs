//! What the installed operator says of runs that end in every way there is, and of what they leave.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests::chart;
use tests::runs::{Runs, add, codes, policy, reason_of, slow};

async fn scene(rows: u32, test: impl AsyncFnOnce(&Runs<'_>) -> Result<()>) -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    chart::installed(&cluster).await?;
    let database = codes(rows).await?;
    let url = database.address().host(&cluster.host_address().to_string()).to_string();
    cluster
        .with_namespace("runs", async |namespace| {
            let runs = Runs { namespace, database: &database };
            runs.secret(&url).await?;
            test(&runs).await
        })
        .await
}

#[tokio::test]
async fn a_run_is_told_while_it_goes_on_and_one_beside_it_changes_nothing() -> Result<()> {
    scene(400, async |runs| {
        runs.scheduled(&slow(10)).await?;
        runs.reason("LastRunSucceeded", "NeverRun").await?;
        runs.reason("Running", "Idle").await?;
        runs.by_hand("long").await?;
        let message = runs.reason("Running", "JobActive").await?;
        ensure!(message.contains("Job long"), "{message}");
        runs.under_way().await?;
        // The first one holds the lease: this one leaves its place to it.
        let status = runs.run("short").await?;
        ensure!(status["lastRun"]["result"] == "Skipped", "{status}");
        ensure!(status["lastRun"]["stopReason"] == "LockHeld", "{status}");
        ensure!(reason_of(&status, "LastRunSucceeded") == "NeverRun", "{status}");
        ensure!(status["lastSuccessTime"].is_null(), "{status}");
        ensure!(status["consecutiveFailures"] == 0, "{status}");
        runs.told_once("RunSkipped", "Job short").await?;

        let status = runs.counted("long").await?;
        ensure!(status["lastRun"]["rowsAffected"] == 400, "{status}");
        ensure!(status["lastRun"]["trigger"] == "Manual", "{status}");
        ensure!(reason_of(&status, "LastRunSucceeded") == "Succeeded", "{status}");
        ensure!(reason_of(&status, "BacklogDrained") == "Drained", "{status}");
        ensure!(status["totals"]["rowsAffected"] == 400, "{status}");
        runs.told_once("RunSucceeded", "Job long").await?;
        let status = runs.run("idle").await?;
        ensure!(reason_of(&status, "LastRunSucceeded") == "NothingToDo", "{status}");
        ensure!(status["lastSuccessfulRun"]["jobName"] == "idle", "{status}");
        ensure!(status["lastSuccessfulRun"]["rules"].is_null(), "{status}");
        runs.reason("Running", "Idle").await.map(drop)
    })
    .await
}

#[tokio::test]
async fn three_failures_in_a_row_are_too_many_and_a_success_clears_them() -> Result<()> {
    scene(10, async |runs| {
        runs.scheduled(&policy()).await?;
        runs.database.execute("ALTER TABLE codes RENAME TO gone").await?;
        for job in ["one", "two", "three"] {
            let status = runs.run(job).await?;
            ensure!(reason_of(&status, "LastRunSucceeded") == "SchemaMismatch", "{status}");
            runs.told_once("RunFailed", &format!("Job {job}:")).await?;
        }
        let message = runs.reason("ScheduleHealthy", "TooManyFailures").await?;
        ensure!(message.starts_with("3 runs in a row have failed"), "{message}");
        runs.database.execute("ALTER TABLE gone RENAME TO codes").await?;
        let status = runs.run("four").await?;
        ensure!(status["consecutiveFailures"] == 0, "{status}");
        ensure!(reason_of(&status, "ScheduleHealthy") == "OnTime", "{status}");
        ensure!(reason_of(&status, "LastRunSucceeded") == "Succeeded", "{status}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_backlog_that_grows_is_told_until_it_is_drained() -> Result<()> {
    scene(100, async |runs| {
        let mut policy = policy();
        policy["spec"]["rules"][0]["limits"] = json!({"maxRows": 10});
        runs.scheduled(&policy).await?;
        for (round, left) in [(1, 90), (2, 100), (3, 110), (4, 120)] {
            let status = runs.run(&format!("round-{round}")).await?;
            ensure!(status["lastRun"]["rowsRemaining"] == left, "{status}");
            let expected = if round == 4 { "FallingBehind" } else { "RowLimitReached" };
            ensure!(reason_of(&status, "BacklogDrained") == expected, "{status}");
            ensure!(reason_of(&status, "LastRunSucceeded") == "Succeeded", "{status}");
            runs.told_once("RunPartiallySucceeded", &format!("Job round-{round}:")).await?;
            add(runs.database, 1000 * round, 20).await?;
        }
        runs.told_once("FallingBehind", "90, 100, 110, 120").await?;
        runs.database.execute("DELETE FROM codes WHERE id > 4004").await?;
        runs.database.execute("DELETE FROM codes WHERE id < 4000").await?;
        let status = runs.run("drains").await?;
        ensure!(reason_of(&status, "BacklogDrained") == "Drained", "{status}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn rows_that_are_left_say_what_kept_the_run_from_them() -> Result<()> {
    scene(500, async |runs| {
        let mut brief = slow(50);
        brief["spec"]["execution"]["maxDuration"] = json!("2s");
        runs.scheduled(&brief).await?;
        let status = runs.run("brief").await?;
        ensure!(reason_of(&status, "BacklogDrained") == "TimeBudgetReached", "{status}");
        ensure!(status["lastRun"]["stopReason"] == "TimeBudget", "{status}");

        runs.scheduled(&policy()).await?;
        let mut app = runs.database.pool().begin().await?;
        sqlx::query("SELECT FROM codes WHERE id = 500 FOR UPDATE").execute(&mut *app).await?;
        let status = runs.run("blocked").await?;
        ensure!(reason_of(&status, "BacklogDrained") == "RowsLeft", "{status}");
        ensure!(status["lastRun"]["rowsRemaining"] == 1, "{status}");
        app.rollback().await?;
        let status = runs.run("free").await?;
        ensure!(reason_of(&status, "BacklogDrained") == "Drained", "{status}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn guards_and_refused_rows_have_a_reason_and_an_event_of_their_own() -> Result<()> {
    scene(2000, async |runs| {
        let mut guarded = policy();
        guarded["spec"]["limits"] = json!({"maxPercentOfTable": 20});
        runs.scheduled(&guarded).await?;
        let status = runs.run("guarded").await?;
        ensure!(reason_of(&status, "LastRunSucceeded") == "SafetyAbort", "{status}");
        ensure!(status["lastRun"]["result"] == "Aborted", "{status}");
        ensure!(reason_of(&status, "BacklogDrained").is_empty(), "{status}");
        runs.told_once("RunAborted", "Job guarded:").await?;

        let mut dry = policy();
        dry["spec"]["mode"] = json!("DryRun");
        runs.scheduled(&dry).await?;
        let status = runs.run("dry").await?;
        ensure!(status["lastRun"]["mode"] == "DryRun", "{status}");
        ensure!(reason_of(&status, "BacklogDrained").is_empty(), "a dry run drains nothing");
        runs.told_once("DryRunCompleted", "would delete 2,000 rows").await?;

        runs.scheduled(&policy()).await?;
        runs.database
            .execute(
                "CREATE TABLE uses (code bigint REFERENCES codes);
                 INSERT INTO uses VALUES (7)",
            )
            .await?;
        let status = runs.run("refused").await?;
        ensure!(reason_of(&status, "LastRunSucceeded") == "RulesFailed", "{status}");
        ensure!(status["lastRun"]["rowsAffected"] == 1999, "{status}");
        runs.told_once("RunPartiallySucceeded", "Job refused:").await
    })
    .await
}

#[tokio::test]
async fn a_token_makes_a_run_while_suspended_and_no_slot_is_missed_meanwhile() -> Result<()> {
    scene(10, async |runs| {
        let mut policy = policy();
        policy["spec"]["schedule"] = json!("* * * * *");
        policy["spec"]["startingDeadlineSeconds"] = json!(10);
        runs.scheduled(&policy).await?;
        let expects = |sweep: &Value| !sweep["status"]["slotsExpectedAfter"].is_null();
        runs.until("slots to be expected", |sweep| expects(sweep).then_some(())).await?;
        policy["spec"]["suspend"] = json!(true);
        policy["spec"]["runNow"] = json!("please");
        runs.apply(&policy).await?;
        runs.until("no slot to be expected", |sweep| (!expects(sweep)).then_some(())).await?;
        let token = |sweep: &Value| {
            let history = sweep["status"]["history"].as_array().into_iter().flatten();
            history.filter(|run| run["trigger"] == "RunNow").count()
        };
        runs.until("the token's run", |sweep| (token(sweep) == 1).then_some(())).await?;
        policy["spec"]["suspend"] = json!(false);
        runs.apply(&policy).await?;
        let status = runs
            .until("the next scheduled run", |sweep| {
                let status = &sweep["status"];
                let mut history = status["history"].as_array().into_iter().flatten();
                let came = history.any(|run| run["trigger"] == "Schedule");
                (came && expects(sweep)).then(|| status.clone())
            })
            .await?;
        ensure!(status["missedRuns"] == 0, "{status}");
        ensure!(reason_of(&status, "ScheduleHealthy") == "OnTime", "{status}");
        Ok(())
    })
    .await
}
