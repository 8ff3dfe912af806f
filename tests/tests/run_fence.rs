//! The fence: at most one run of a policy commits at a time, whatever is frozen, cut off or killed.

use std::time::Duration;

use anyhow::{Context, Result};
use local_postgres::{LocalPostgres, Options};
use serde_json::{Value, json};
use tests::Database;
use tests::job::{self, DELETE_OLD, Launch, Run, policy, run_on, with};
use tests::settings::Settings;
use tests::wait;

const SOON: Duration = Duration::from_secs(20);

/// Rows that are all due, and what takes them: the numbers of the rows and of the transactions.
const WITNESSED: &str = "
CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz);
CREATE INDEX ON codes (expires_at);
INSERT INTO codes SELECT n, now() - interval '1 day' - n * interval '1 second' FROM generate_series(1, 3000) AS n;
ANALYZE codes;
CREATE TABLE gone (id bigint, transaction bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.gone VALUES (OLD.id, txid_current()); RETURN NULL; END$$;
CREATE TRIGGER note AFTER DELETE ON codes FOR EACH ROW EXECUTE FUNCTION note();
";

/// Makes every batch last, so that there is an inside of it to act in.
fn slow_batches(seconds: &str) -> String {
    format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END$$;
         CREATE TRIGGER slow BEFORE DELETE ON codes FOR EACH STATEMENT EXECUTE FUNCTION slow()"
    )
}

async fn witnessed() -> Result<Database> {
    let database = Database::create().await?;
    database.execute(WITNESSED).await?;
    Ok(database)
}

fn slowly(rows_per_second: u32) -> Value {
    with(
        policy(DELETE_OLD),
        "/execution",
        json!({"batchSize": 50, "targetBatchDuration": "1ms", "maxRowsPerSecond": rows_per_second}),
    )
}

async fn gone(database: &Database) -> Result<i64> {
    database.scalar("SELECT count(*) FROM gone").await
}

async fn until_gone(database: &Database, least: i64) -> Result<()> {
    wait::until("rows to go", SOON, async || Ok((gone(database).await? >= least).then_some(())))
        .await
}

async fn until_inside_a_batch(database: &Database) -> Result<()> {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'pgsweep' AND wait_event = 'PgSleep'";
    wait::until("a batch", SOON, async || {
        Ok((database.scalar::<i64>(sql).await? == 1).then_some(()))
    })
    .await
}

async fn recorded(database: &Database, run_id: &str) -> Result<i64> {
    let sql = format!(
        "SELECT CAST(sum(affected) AS bigint) FROM pgsweep.run_rules WHERE run_id = '{run_id}'"
    );
    database.scalar(&sql).await
}

/// Another run can begin although this one is alive: as when it has been silent for too long.
async fn let_the_lease_end(database: &Database) -> Result<()> {
    database.execute("UPDATE pgsweep.leases SET expires_at = now()").await
}

fn as_job(uid: &str) -> [&str; 2] {
    ["--job-uid", uid]
}

/// Proves: R5.
#[tokio::test]
async fn a_run_that_is_frozen_inside_a_batch_commits_nothing_once_its_successor_has_begun()
-> Result<()> {
    let database = witnessed().await?;
    database.execute(&slow_batches("0.3")).await?;
    let policy = with(policy(DELETE_OLD), "/execution", json!({"batchSize": 1000}));
    let first = Run::start(&policy, &database.url(), &as_job("job-1"))?;
    until_gone(&database, 1000).await?;
    until_inside_a_batch(&database).await?;
    first.freeze().await?;
    let before = gone(&database).await?;
    let_the_lease_end(&database).await?;
    let second = job::run(&policy, &database.url(), &as_job("job-2")).await?;
    assert_eq!(second.code, Some(0), "{}", second.output);
    assert_eq!(second.rule("affected"), &json!(3000 - before), "{}", second.output);
    database
        .execute("INSERT INTO codes SELECT n, now() - interval '1 day' FROM generate_series(5001, 5500) AS n")
        .await?;
    first.thaw().await?;
    let first = first.end().await?;
    assert_eq!(gone(&database).await?, 3000, "{}", first.output);
    assert_eq!(first.code, Some(0), "{}", first.output);
    assert_eq!(first.report["stopReason"], "LockHeld");
    assert_eq!(recorded(&database, "job-1").await?, before);
    Ok(())
}

/// Proves: R5.
#[tokio::test]
async fn a_run_that_is_frozen_between_two_batches_commits_nothing_once_its_successor_has_begun()
-> Result<()> {
    let database = witnessed().await?;
    let first = Run::start(&slowly(100), &database.url(), &as_job("job-1"))?;
    until_gone(&database, 100).await?;
    first.freeze().await?;
    let_the_lease_end(&database).await?;
    let capped = with(policy(DELETE_OLD), "/rules/0/limits", json!({"maxRows": 500}));
    let second = job::run(&capped, &database.url(), &as_job("job-2")).await?;
    assert_eq!(second.rule("affected"), &json!(500), "{}", second.output);
    let before = gone(&database).await?;
    first.thaw().await?;
    let first = first.end().await?;
    assert_eq!(first.report["stopReason"], "LockHeld", "{}", first.output);
    assert_eq!(gone(&database).await?, before, "there was more to take, and it was not taken");
    Ok(())
}

#[tokio::test]
async fn a_batch_holds_the_epoch_row_until_it_ends() -> Result<()> {
    let database = witnessed().await?;
    database.execute(&slow_batches("0.5")).await?;
    let run = Run::start(&policy(DELETE_OLD), &database.url(), &as_job("job-1"))?;
    until_inside_a_batch(&database).await?;
    let raise = database.execute("SELECT FROM pgsweep.policies FOR NO KEY UPDATE NOWAIT").await;
    let refused = format!("{:#}", raise.err().context("nobody held the row")?);
    assert!(refused.contains("could not obtain lock"), "{refused}");
    run.kill().await?;
    Ok(())
}

#[tokio::test]
async fn a_run_does_not_begin_while_a_batch_of_another_is_under_way() -> Result<()> {
    let database = witnessed().await?;
    let capped = with(policy(DELETE_OLD), "/rules/0/limits", json!({"maxRows": 100}));
    run_on(&database, &capped).await?;
    let mut batch = database.pool().begin().await?;
    sqlx::query("SELECT FROM pgsweep.policies FOR SHARE").execute(&mut *batch).await?;
    let run = Run::start(&capped, &database.url(), &[])?;
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'pgsweep' AND wait_event_type = 'Lock'";
    wait::until("the run to wait", SOON, async || {
        Ok((database.scalar::<i64>(waits).await? == 1).then_some(()))
    })
    .await?;
    assert_eq!(gone(&database).await?, 100);
    batch.commit().await?;
    let ended = run.end().await?;
    assert_eq!((ended.code, gone(&database).await?), (Some(0), 200), "{}", ended.output);
    Ok(())
}

#[tokio::test]
async fn a_run_stops_when_another_has_taken_over_its_policy() -> Result<()> {
    let database = witnessed().await?;
    let run = Run::start(&slowly(200), &database.url(), &as_job("job-1"))?;
    until_gone(&database, 100).await?;
    database.execute("UPDATE pgsweep.policies SET epoch = epoch + 1").await?;
    let before = gone(&database).await?;
    let ended = tokio::time::timeout(Duration::from_secs(5), run.end()).await??;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.report["stopReason"], "LockHeld");
    assert_eq!(ended.rule("stopReason"), &json!("LockHeld"), "its rule did not fail");
    assert_eq!(ended.report["result"], "PartiallySucceeded");
    // What it had committed before the epoch rose.
    assert!(gone(&database).await? <= before + 50);
    assert_eq!(ended.rule("affected"), &json!(gone(&database).await?));
    Ok(())
}

/// Proves: L10.
#[tokio::test]
async fn five_runs_at_once_do_the_work_of_one() -> Result<()> {
    let database = witnessed().await?;
    let replace = with(slowly(6000), "/concurrencyPolicy", json!("Replace"));
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(Run::start(&replace, &database.url(), &[])?);
    }
    let (mut affected, mut epochs) = (0, Vec::new());
    for run in runs {
        let ended = run.end().await?;
        assert_eq!(ended.code, Some(0), "{}", ended.output);
        affected += ended.rule("affected").as_i64().context("a count")?;
        epochs.push(ended.report["epoch"].as_i64().context("an epoch")?);
    }
    epochs.sort_unstable();
    assert_eq!((affected, epochs), (3000, vec![1, 2, 3, 4, 5]));
    let overlapping: i64 = database
        .scalar(
            "SELECT count(*) FROM pgsweep.runs AS a JOIN pgsweep.runs AS b
             ON a.epoch < b.epoch AND a.ended_at > b.started_at",
        )
        .await?;
    assert_eq!(overlapping, 0, "each began after the one before it had ended");
    Ok(())
}

#[tokio::test]
async fn a_connection_that_is_cut_again_and_again_costs_no_row_and_no_count() -> Result<()> {
    let database = witnessed().await?;
    let run = Run::start(&slowly(2000), &database.url(), &as_job("job-1"))?;
    for cut in 1..=5 {
        until_gone(&database, cut * 400).await?;
        database
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgsweep' AND datname = current_database()")
            .await?;
    }
    let ended = run.end().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.rule("affected"), &json!(3000));
    assert_eq!(ended.report["attempts"], 1);
    let batches: i64 = database.scalar("SELECT count(DISTINCT transaction) FROM gone").await?;
    assert_eq!(ended.rule("batches"), &json!(batches));
    Ok(())
}

#[tokio::test]
async fn a_server_that_crashes_in_mid_run_is_waited_for() -> Result<()> {
    let (server, database) = own_server(&[]).await?;
    let run = Run::start(&slowly(1000), &database.url(), &as_job("job-1"))?;
    until_gone(&database, 300).await?;
    let process: i32 = database.scalar("SELECT pg_backend_pid()").await?;
    // The server ends all its sessions then, and recovers.
    std::process::Command::new("kill").args(["-KILL", &process.to_string()]).status()?;
    let ended = run.end().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains("connecting again"), "it never noticed: {}", ended.output);
    assert_eq!((ended.rule("affected"), gone(&database).await?), (&json!(3000), 3000));
    drop(database);
    server.stop()
}

#[tokio::test]
async fn a_server_that_stays_away_ends_the_run_with_10_and_the_next_attempt_goes_on() -> Result<()>
{
    let database = witnessed().await?;
    let (url, role) = job::cleaner(&database).await?;
    database
        .execute(&format!(
            "GRANT SELECT, UPDATE, DELETE ON codes TO {role}; GRANT INSERT ON gone TO {role}"
        ))
        .await?;
    let run = Launch::run(&slowly(500), &url).job_uid("job-1");
    let run = run.env(job::CONNECT_TIMEOUT, job::SOON).start()?;
    until_gone(&database, 200).await?;
    database.execute(&format!("ALTER ROLE {role} CONNECTION LIMIT 0")).await?;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE application_name = 'pgsweep' AND datname = current_database()";
    database.execute(cut).await?;
    let first = run.end().await?;
    database.execute(&format!("ALTER ROLE {role} CONNECTION LIMIT -1")).await?;
    assert_eq!(first.code, Some(10), "{}", first.output);
    let second = job::run(&policy(DELETE_OLD), &database.url(), &as_job("job-1")).await?;
    assert_eq!(
        (second.code, second.rule("affected")),
        (Some(0), &json!(3000)),
        "{}",
        second.output
    );
    assert_eq!(second.report["totals"], json!({"runs": 1, "failures": 0, "rowsAffected": 3000}));
    Ok(())
}

/// Proves: E9.
#[tokio::test]
async fn sigterm_while_a_batch_is_stuck_ends_within_five_seconds_and_frees_the_lease() -> Result<()>
{
    let database = witnessed().await?;
    database.execute(&slow_batches("30")).await?;
    let policy = with(policy(DELETE_OLD), "/execution", json!({"batchTimeout": "1m"}));
    let run = Run::start(&policy, &database.url(), &as_job("job-1"))?;
    until_inside_a_batch(&database).await?;
    run.terminate().await?;
    let ended = tokio::time::timeout(Duration::from_secs(5), run.end()).await??;
    assert_eq!(ended.code, Some(143), "{}", ended.output);
    assert_eq!(ended.report["stopReason"], "Cancelled");
    let free: bool = database.scalar("SELECT holder IS NULL FROM pgsweep.leases").await?;
    assert!(free, "{}", ended.output);
    let result: String = database.scalar("SELECT result FROM pgsweep.runs").await?;
    assert_eq!(result, "PartiallySucceeded", "it is closed: {}", ended.output);
    assert_eq!(gone(&database).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_table_that_is_altered_or_exchanged_in_mid_run_ends_its_rule() -> Result<()> {
    for change in [
        "ALTER TABLE codes ADD note text",
        "ALTER TABLE codes RENAME TO codes_old; CREATE TABLE codes (LIKE codes_old INCLUDING ALL);
         INSERT INTO codes SELECT n, now() - interval '1 day' FROM generate_series(1, 3000) AS n",
        "CREATE TABLE child (code bigint REFERENCES codes ON DELETE CASCADE)",
    ] {
        let database = witnessed().await?;
        let run = Run::start(&slowly(500), &database.url(), &[])?;
        until_gone(&database, 100).await?;
        database.execute(change).await?;
        let after = gone(&database).await?;
        let ended = run.end().await?;
        assert_eq!(ended.code, Some(11), "{change}: {}", ended.output);
        assert_eq!(ended.rule("stopReason"), "Error");
        let message = ended.rule("message").as_str().unwrap_or_default();
        assert!(message.starts_with("SchemaChanged: public.codes"), "{message}");
        assert_eq!(gone(&database).await?, after, "{change}: a batch was committed after it");
        assert_eq!(ended.rule("affected"), &json!(after));
        let next = run_on(&database, &policy(DELETE_OLD)).await?;
        assert_eq!(next.report["stopReason"], "Drained", "{change}: {}", next.output);
    }
    Ok(())
}

#[tokio::test]
async fn the_time_budget_is_of_all_attempts_together() -> Result<()> {
    let database = witnessed().await?;
    let brief = with(slowly(200), "/execution/maxDuration", json!("2s"));
    let first = Run::start(&brief, &database.url(), &as_job("job-1"))?;
    until_gone(&database, 100).await?;
    first.kill().await?;
    database
        .execute("UPDATE pgsweep.runs SET started_at = started_at - interval '1 minute'")
        .await?;
    let before = gone(&database).await?;
    let second = job::run(&brief, &database.url(), &as_job("job-1")).await?;
    assert_eq!(second.report["stopReason"], "TimeBudget", "{}", second.output);
    assert_eq!(gone(&database).await?, before, "there was no time left");
    assert!(second.report["durationSeconds"].as_f64().context("a number")? > 60.0);
    Ok(())
}

/// What is sent for one batch, and in which order: a round trip more is a slower engine.
#[tokio::test]
async fn a_batch_is_six_statements_the_fence_first_and_the_record_last() -> Result<()> {
    let (server, database) =
        own_server(&[("log_statement", "all"), ("log_line_prefix", "%a|")]).await?;
    let policy = with(policy(DELETE_OLD), "/execution", json!({"batchSize": 3000}));
    let ended = run_on(&database, &policy).await?;
    assert_eq!(ended.rule("batches"), &json!(1), "{}", ended.output);
    let log = std::fs::read_to_string(server.log().context("a server of its own has a log")?)?;
    let statements: Vec<&str> = log
        .lines()
        .filter_map(|line| line.strip_prefix("pgsweep|LOG:  "))
        .filter_map(|line| line.split_once(": ").map(|(_, statement)| statement.trim()))
        .collect();
    let fence = statements
        .iter()
        .position(|statement| statement.starts_with("WITH batch AS"))
        .context("a batch in the log")?;
    let heads: Vec<String> = statements[fence - 3..fence + 3]
        .iter()
        .map(|statement| statement.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        heads,
        [
            "BEGIN ISOLATION",
            "SELECT set_config('search_path',",
            "SELECT pg_backend_pid()",
            "WITH batch",
            "-- The",
            "COMMIT",
        ],
        "{statements:#?}"
    );
    drop(database);
    server.stop()
}

async fn own_server(settings: &[(&str, &str)]) -> Result<(LocalPostgres, Database)> {
    let mut options = Options::new(&Settings::get()?.cache);
    options.settings =
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let server = tokio::task::spawn_blocking(move || LocalPostgres::start(&options)).await??;
    let database = Database::create_on(server.address()).await?;
    database.execute(WITNESSED).await?;
    Ok((server, database))
}
