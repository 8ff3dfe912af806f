//! A run that is frozen between its look at the epoch and its commit, while another begins and ends.

use anyhow::Result;
use serde_json::{Value, json};
use tests::job::{Ended, Launch, Run, with};
use tests::proxy::{Proxy, When};
use tests::shop;
use tests::shop::interrupt::{self, Site};
use tests::{Database, database};

fn start(policy: &Value, url: &str, uid: &str) -> Result<Run> {
    Launch::run(policy, url).job_uid(uid).start()
}

/// What the witness has of each transaction.
async fn witnessed(database: &Database) -> Result<Value> {
    database
        .scalar("SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY place, id), '[]') FROM witness.changes AS c")
        .await
}

/// Freezes the run of `job-1` where it is about to commit, lets `uid` run to its end, and thaws.
async fn overtaken_by(uid: &str, site: &Site) -> Result<(Database, Ended, Ended)> {
    let database = site.shop().await?;
    let proxy = Proxy::start(&site.address(&database))?;
    let mut stop = proxy.stop_at_commit_of(r#"DELETE FROM "shop"."sessions""#, When::Before);
    let first = start(&shop::policy(), &proxy.address().to_string(), "job-1")?;
    stop.reached().await?;
    let inside: i64 = database
        .scalar("SELECT count(*) FROM pg_locks WHERE relation = 'shop.sessions'::regclass AND mode = 'RowExclusiveLock'")
        .await?;
    assert_eq!(inside, 1, "the message is none that commits a batch of sessions");
    first.freeze().await?;
    if uid != "job-1" {
        // As when it has been silent for too long.
        database.execute("UPDATE pgsweep.leases SET expires_at = now()").await?;
    }
    let url = site.address(&database).to_string();
    let second = start(&shop::policy(), &url, uid)?.end().await?;
    assert_eq!(second.code, Some(0), "{}", second.output);
    let before = witnessed(&database).await?;
    first.thaw().await?;
    stop.release();
    let first = first.end().await?;
    interrupt::server_is_done(&database).await?;
    assert_eq!(witnessed(&database).await?, before, "it committed: {}", first.output);
    shop::check_laws(&database).await?;
    Ok((database, first, second))
}

/// Proves: R5.
#[tokio::test]
async fn a_run_that_is_frozen_before_its_commit_commits_nothing_after_its_successor() -> Result<()>
{
    for site in Site::both(database::shared_server().await?).await? {
        let (database, first, second) = overtaken_by("job-2", &site).await?;
        assert_eq!(
            (first.code, &first.report["stopReason"]),
            (Some(0), &json!("LockHeld")),
            "{}",
            first.output
        );
        let runs: i64 = database.scalar("SELECT count(*) FROM pgsweep.runs").await?;
        assert_eq!(runs, 2);
        assert_eq!(second.report["totals"], json!({"runs": 2, "failures": 1, "rowsAffected": 20}));
    }
    Ok(())
}

/// Proves: R5.
#[tokio::test]
async fn an_attempt_that_is_frozen_before_its_commit_commits_nothing_after_the_next_attempt()
-> Result<()> {
    for site in Site::both(database::shared_server().await?).await? {
        let (database, first, second) = overtaken_by("job-1", &site).await?;
        assert_eq!(
            (first.code, &first.report["stopReason"]),
            (Some(0), &json!("LockHeld")),
            "{}",
            first.output
        );
        assert_eq!(second.report["attempts"], 2);
        assert_eq!(second.report["totals"], json!({"runs": 1, "failures": 0, "rowsAffected": 20}));
        assert_eq!(shop::attempts(&database).await?, 2, "the thawed one is no attempt more");
    }
    Ok(())
}

#[tokio::test]
async fn of_five_runs_at_once_behind_a_pooler_one_works_and_four_are_skipped() -> Result<()> {
    let server = database::shared_server().await?;
    let Some(site) = Site::behind_pooler(server).await? else { return Ok(()) };
    let database = site.shop().await?;
    let url = site.address(&database).to_string();
    // It takes longer than the others wait.
    let slowly = with(shop::policy(), "/execution/maxRowsPerSecond", json!(1));
    let mut runs = Vec::new();
    for uid in 1..=5 {
        runs.push(start(&slowly, &url, &format!("job-{uid}"))?);
    }
    let mut ended = Vec::new();
    for run in runs {
        ended.push(run.end().await?);
    }
    let is = |result: &'static str| {
        ended.iter().filter(move |it| it.report["result"] == result && it.code == Some(0))
    };
    assert_eq!((is("Succeeded").count(), is("Skipped").count()), (1, 4));
    assert!(is("Skipped").all(|it| it.report["stopReason"] == "LockHeld"));
    let affected: i64 = ended
        .iter()
        .flat_map(|it| it.report["rules"].as_array().into_iter().flatten())
        .filter_map(|rule| rule["affected"].as_i64())
        .sum();
    assert_eq!(affected, shop::AFFECTED.iter().sum::<i64>());
    shop::check_laws(&database).await?;
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM pgsweep.runs").await?, 1);
    Ok(())
}
