//! The ledger: what runs did is counted exactly, whatever became of them.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tests::Database;
use tests::job::{self, DELETE_OLD, Ended, Run, policy, run_on, with};
use tests::wait;

const SOON: Duration = Duration::from_secs(20);

/// Rows that are all due, and a witness: the number of each that goes, in the transaction that
/// takes it.
async fn witnessed(rows: u32) -> Result<Database> {
    let database = Database::create().await?;
    let sql = format!(
        "CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz);
         CREATE INDEX ON codes (expires_at);
         INSERT INTO codes SELECT n, now() - interval '1 day' - n * interval '1 second' FROM generate_series(1, {rows}) AS n;
         ANALYZE codes;
         CREATE TABLE gone (id bigint, transaction bigint);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN INSERT INTO public.gone VALUES (OLD.id, txid_current()); RETURN NULL; END$$;
         CREATE TRIGGER note AFTER DELETE ON codes FOR EACH ROW EXECUTE FUNCTION note()"
    );
    database.execute(&sql).await?;
    Ok(database)
}

/// Small batches with pauses, so that there is a middle of the run to act in.
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

async fn batches(database: &Database) -> Result<i64> {
    database.scalar("SELECT count(DISTINCT transaction) FROM gone").await
}

async fn recorded(database: &Database, run_id: &str) -> Result<i64> {
    let sql = format!(
        "SELECT CAST(sum(affected) AS bigint) FROM pgsweep.run_rules WHERE run_id = '{run_id}'"
    );
    database.scalar(&sql).await
}

async fn lease_is_free(database: &Database) -> Result<bool> {
    database.scalar("SELECT bool_and(holder IS NULL) FROM pgsweep.leases").await
}

async fn run_as(database: &Database, policy: &Value, uid: &str) -> Result<Ended> {
    job::run(policy, &database.url(), &["--job-uid", uid]).await
}

/// Proves: E9.
#[tokio::test]
async fn what_was_done_is_counted_exactly_over_kills_and_attempts_of_one_job() -> Result<()> {
    let database = witnessed(4000).await?;
    for kill in 1..=4 {
        let run = Run::start(&slowly(2000), &database.url(), &["--job-uid", "job-1"])?;
        until_gone(&database, kill * 500).await?;
        run.kill().await?;
        // What the server was doing as the client went may end a little later.
        wait::until("the ledger to agree with the witness", SOON, async || {
            Ok((recorded(&database, "job-1").await? == gone(&database).await?).then_some(()))
        })
        .await?;
    }
    let ended = run_as(&database, &policy(DELETE_OLD), "job-1").await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.report["result"], "Succeeded");
    assert_eq!(ended.report["attempts"], 5);
    assert_eq!(ended.report["epoch"], 5);
    assert_eq!(ended.rule("matched"), &json!(4000), "what the first attempt met");
    assert_eq!(ended.rule("affected"), &json!(4000));
    assert_eq!(ended.rule("batches"), &json!(batches(&database).await?));
    assert_eq!(ended.report["totals"], json!({"runs": 1, "failures": 0, "rowsAffected": 4000}));
    let runs: i64 = database.scalar("SELECT count(*) FROM pgsweep.runs").await?;
    assert_eq!(runs, 1, "one Job is one run");
    Ok(())
}

#[tokio::test]
async fn another_run_waits_five_seconds_for_the_lease_and_is_skipped() -> Result<()> {
    let database = witnessed(3000).await?;
    let first = Run::start(&slowly(100), &database.url(), &["--job-uid", "job-1"])?;
    until_gone(&database, 50).await?;
    let begun = std::time::Instant::now();
    let second = run_as(&database, &policy(DELETE_OLD), "job-2").await?;
    assert_eq!(second.code, Some(0), "{}", second.output);
    assert_eq!(second.report["result"], "Skipped");
    assert_eq!(second.report["stopReason"], "LockHeld");
    assert_eq!(second.rule("affected"), &json!(0));
    assert!(second.termination.contains("LockHeld"), "{}", second.termination);
    let waited = begun.elapsed();
    assert!((4..10).contains(&waited.as_secs()), "waited {waited:?}");
    let runs: i64 = database.scalar("SELECT count(*) FROM pgsweep.runs").await?;
    assert_eq!(runs, 1, "what was skipped is no run");
    first.terminate().await?;
    assert_eq!(first.end().await?.code, Some(143));
    Ok(())
}

#[tokio::test]
async fn under_replace_a_run_waits_for_the_one_that_was_asked_to_end() -> Result<()> {
    let database = witnessed(3000).await?;
    let replace = with(policy(DELETE_OLD), "/concurrencyPolicy", json!("Replace"));
    let first = Run::start(&slowly(100), &database.url(), &["--job-uid", "job-1"])?;
    until_gone(&database, 50).await?;
    let second = Run::start(&replace, &database.url(), &["--job-uid", "job-2"])?;
    first.terminate().await?;
    let first = first.end().await?;
    let second = second.end().await?;
    assert_eq!((first.code, second.code), (Some(143), Some(0)), "{}", second.output);
    let both = first.rule("affected").as_i64().context("a count")?
        + second.rule("affected").as_i64().context("a count")?;
    assert_eq!(both, 3000);
    assert_eq!(second.report["earlier"][0]["runId"], "job-1");
    assert_eq!(second.report["earlier"][0]["stopReason"], "Cancelled");
    Ok(())
}

#[tokio::test]
async fn the_lease_is_free_at_once_after_success_failure_and_sigterm() -> Result<()> {
    let database = witnessed(2000).await?;
    let run = Run::start(&slowly(500), &database.url(), &[])?;
    until_gone(&database, 50).await?;
    assert!(!lease_is_free(&database).await?);
    run.terminate().await?;
    assert_eq!(run.end().await?.code, Some(143));
    assert!(lease_is_free(&database).await?, "after SIGTERM");

    let wrong = policy(&DELETE_OLD.replace("name: codes", "name: nothing"));
    assert_eq!(run_on(&database, &wrong).await?.code, Some(2));
    assert!(lease_is_free(&database).await?, "after a failure");

    let guarded = with(policy(DELETE_OLD), "/limits", json!({"maxPercentOfTable": 50}));
    assert_eq!(run_on(&database, &guarded).await?.code, Some(3));
    assert!(lease_is_free(&database).await?, "after a guard");

    let ended = run_on(&database, &policy(DELETE_OLD)).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(lease_is_free(&database).await?, "after success");
    assert_eq!(ended.report["totals"], json!({"runs": 4, "failures": 2, "rowsAffected": 2000}));
    Ok(())
}

#[tokio::test]
async fn a_job_that_was_asked_to_end_goes_on_as_the_same_run() -> Result<()> {
    let database = witnessed(3000).await?;
    let run = Run::start(&slowly(1000), &database.url(), &["--job-uid", "job-1"])?;
    until_gone(&database, 200).await?;
    run.terminate().await?;
    let first = run.end().await?;
    assert_eq!(first.code, Some(143), "{}", first.output);
    assert_eq!(first.report["totals"]["runs"], 1);
    let second = run_as(&database, &policy(DELETE_OLD), "job-1").await?;
    assert_eq!(second.report["attempts"], 2);
    assert_eq!(second.rule("affected"), &json!(3000));
    assert_eq!(second.report["startTime"], first.report["startTime"], "one start, one cutoff");
    assert_eq!(second.report["totals"], json!({"runs": 1, "failures": 0, "rowsAffected": 3000}));
    Ok(())
}

#[tokio::test]
async fn a_run_that_was_cut_off_for_good_is_closed_and_counted_by_the_next() -> Result<()> {
    let database = witnessed(2000).await?;
    let run = Run::start(&slowly(500), &database.url(), &["--job-uid", "job-1"])?;
    until_gone(&database, 200).await?;
    run.kill().await?;
    database.execute("UPDATE pgsweep.leases SET expires_at = now()").await?;
    let ended = run_as(&database, &policy(DELETE_OLD), "job-2").await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let before = &ended.report["earlier"][0];
    assert_eq!((&before["runId"], &before["result"]), (&json!("job-1"), &json!("Failed")));
    assert_eq!(before["affected"], json!(recorded(&database, "job-1").await?));
    assert_eq!(ended.report["totals"], json!({"runs": 2, "failures": 1, "rowsAffected": 2000}));
    Ok(())
}

#[tokio::test]
async fn totals_and_the_last_five_runs_are_in_every_report() -> Result<()> {
    let database = witnessed(700).await?;
    let capped = with(policy(DELETE_OLD), "/rules/0/limits", json!({"maxRows": 100}));
    for run in 1..=7_i64 {
        let ended = run_as(&database, &capped, &format!("job-{run}")).await?;
        assert_eq!(
            ended.report["totals"],
            json!({"runs": run, "failures": 0, "rowsAffected": run * 100}),
            "{}",
            ended.output
        );
        let earlier = ended.report["earlier"].as_array().context("a list")?;
        let ids: Vec<_> = earlier.iter().map(|run| run["runId"].clone()).collect();
        let expected: Vec<_> =
            (1..run).rev().take(5).map(|run| json!(format!("job-{run}"))).collect();
        assert_eq!(ids, expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_run_begins_where_the_one_before_it_ended_and_still_leaves_nothing_behind() -> Result<()>
{
    let database = witnessed(1000).await?;
    let capped = with(policy(DELETE_OLD), "/rules/0/limits", json!({"maxRows": 400}));
    run_as(&database, &capped, "job-1").await?;
    let place: Vec<String> =
        database.scalar("SELECT place FROM pgsweep.run_rules WHERE run_id = 'job-1'").await?;
    assert_eq!((place[0].as_str(), place[2].as_str()), ("Keyset", "601"), "the oldest go first");
    // Older than that place: only a second pass from the start can meet it.
    database.execute("INSERT INTO codes VALUES (5000, now() - interval '9 days')").await?;
    run_as(&database, &capped, "job-2").await?;
    let first: i64 = database
        .scalar("SELECT max(id) FROM gone WHERE transaction > (SELECT max(transaction) FROM gone WHERE id > 600 AND id < 5000)")
        .await?;
    assert_eq!(first, 600, "it went on, not from the start");
    let ended = run_as(&database, &policy(DELETE_OLD), "job-3").await?;
    assert_eq!(ended.report["stopReason"], "Drained", "{}", ended.output);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM codes").await?, 0);
    let left: i64 = database
        .scalar(
            "SELECT count(*) FROM pgsweep.run_rules WHERE run_id = 'job-3' AND place IS NOT NULL",
        )
        .await?;
    assert_eq!(left, 0, "where nothing is left there is no place either");
    Ok(())
}

#[tokio::test]
async fn the_lease_outlasts_the_counts_before_the_first_row() -> Result<()> {
    let database = witnessed(300).await?;
    let capped = with(policy(DELETE_OLD), "/rules/0/limits", json!({"maxRows": 100}));
    run_on(&database, &capped).await?;
    let mut app = database.pool().begin().await?;
    sqlx::query("LOCK TABLE codes IN ACCESS EXCLUSIVE MODE").execute(&mut *app).await?;
    let run = Run::start(&policy(DELETE_OLD), &database.url(), &["--job-uid", "job-2"])?;
    let lasts = "SELECT count(*) FROM pgsweep.leases
                 WHERE holder = 'job-2' AND expires_at > now() + interval '90 seconds'";
    wait::until("the lease", SOON, async || {
        Ok((database.scalar::<i64>(lasts).await? == 1).then_some(()))
    })
    .await?;
    run.kill().await?;
    app.commit().await?;
    let begun = std::time::Instant::now();
    let ended = run_as(&database, &policy(DELETE_OLD), "job-2").await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(200)), "{}", ended.output);
    assert!(begun.elapsed() < Duration::from_secs(4), "a pod of the same Job need not wait");
    Ok(())
}

#[tokio::test]
async fn a_run_id_is_not_taken_for_other_rules() -> Result<()> {
    let database = witnessed(300).await?;
    let capped = with(policy(DELETE_OLD), "/rules/0/limits", json!({"maxRows": 100}));
    run_as(&database, &capped, "job-1").await?;
    let ended = run_as(&database, &policy(DELETE_OLD), "job-1").await?;
    assert_eq!((ended.code, gone(&database).await?), (Some(2), 100), "{}", ended.output);
    assert!(lease_is_free(&database).await?);
    Ok(())
}

#[tokio::test]
async fn a_dry_run_makes_no_ledger() -> Result<()> {
    let database = witnessed(10).await?;
    let ended = job::run(&policy(DELETE_OLD), &database.url(), &["--dry-run"]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!((&ended.report["epoch"], &ended.report["totals"]), (&json!(0), &Value::Null));
    let schemas: i64 =
        database.scalar("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgsweep'").await?;
    assert_eq!(schemas, 0);
    Ok(())
}

#[tokio::test]
async fn a_policy_on_hold_is_skipped_until_it_is_released_or_has_new_rules() -> Result<()> {
    let database = witnessed(300).await?;
    let capped = with(policy(DELETE_OLD), "/rules/0/limits", json!({"maxRows": 100}));
    run_on(&database, &capped).await?;
    let put_on_hold = "UPDATE pgsweep.leases
                SET held_since = now(), held_reason = 'rows were given back',
                    held_rules_hash = (SELECT rules_hash FROM pgsweep.runs ORDER BY started_at DESC LIMIT 1)";
    database.execute(put_on_hold).await?;
    let held = run_on(&database, &capped).await?;
    assert_eq!((held.code, gone(&database).await?), (Some(0), 100), "{}", held.output);
    assert_eq!(
        (&held.report["result"], &held.report["stopReason"]),
        (&json!("Skipped"), &json!("Held"))
    );
    let message = held.report["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("rows were given back") && message.contains("pgsweep release"),
        "{message}"
    );

    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), capped.to_string())?;
    let release = ["release", "-f", &file.path().to_string_lossy()];
    let released = job::pgsweep(&database.url(), &release).await?;
    assert_eq!(released.stdout, "tests/test is released\n", "{}", released.stderr);
    assert_eq!(run_on(&database, &capped).await?.rule("affected"), &json!(100));
    assert_eq!(
        job::pgsweep(&database.url(), &release).await?.stdout,
        "tests/test was not on hold\n"
    );

    database.execute(put_on_hold).await?;
    let other = run_on(&database, &policy(DELETE_OLD)).await?;
    assert_eq!(
        other.rule("affected"),
        &json!(100),
        "other rules were not on hold: {}",
        other.output
    );
    Ok(())
}

/// The server would call a lock and a statement that wait equally long a slow statement.
#[tokio::test]
async fn a_run_that_finds_its_row_of_the_ledger_locked_is_skipped() -> Result<()> {
    let database = witnessed(10).await?;
    let policy = with(policy(DELETE_OLD), "/execution", json!({"batchTimeout": "100ms"}));
    let first = run_on(&database, &policy).await?;
    assert_eq!(first.code, Some(0), "{}", first.output);
    let mut other = sqlx::PgConnection::connect(&database.url()).await?;
    let mut lock = other.begin().await?;
    sqlx::query("SELECT FROM pgsweep.leases FOR UPDATE").execute(&mut *lock).await?;
    let ended = run_on(&database, &policy).await?;
    lock.rollback().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(
        (&ended.report["result"], &ended.report["stopReason"]),
        (&json!("Skipped"), &json!("LockHeld"))
    );
    Ok(())
}
