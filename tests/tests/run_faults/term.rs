//! SIGTERM at any moment: the process ends within five seconds, and says how the run ended.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::job::{CLOSES, DELETE_OLD, Ended, Launch, Run, codes, policy, with};
use tests::proxy::{Proxy, When};
use tests::{Database, wait};

const SOON: Duration = Duration::from_secs(20);

fn patient() -> Value {
    let execution = json!({"batchTimeout": "1m", "lockTimeout": "1m", "statementTimeout": "1m"});
    with(policy(DELETE_OLD), "/execution", execution)
}

/// A run that tries for long to connect.
fn patiently(url: &str) -> Result<Run> {
    Launch::of(&["run", "--output", "json", "--connect-timeout", "1m"])
        .env("PGSWEEP_POLICY", &patient().to_string())
        .env("DATABASE_URL", url)
        .start()
}

/// Waits until a run has committed so many batches.
pub async fn until_batches(database: &Database, least: i64) -> Result<()> {
    let sql = "SELECT coalesce(max(rules.batches), 0)
               FROM pgsweep.run_rules AS rules JOIN pgsweep.runs AS runs USING (policy, run_id)
               WHERE runs.ended_at IS NULL";
    wait::until("batches", SOON, async || {
        Ok((database.scalar::<i64>(sql).await? >= least).then_some(()))
    })
    .await
}

/// Waits until the server lets a run wait for this kind of event.
async fn until_it_waits(database: &Database, event: &str) -> Result<()> {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'pgsweep'
           AND '{event}' IN (wait_event, wait_event_type)"
    );
    wait::until("the run to wait", SOON, async || {
        Ok((database.scalar::<i64>(&sql).await? > 0).then_some(()))
    })
    .await
}

/// Asks the run to end; what it leaves, and that this was in time.
async fn terminated(moment: &str, run: Run) -> Result<Ended> {
    let asked = Instant::now();
    run.terminate().await?;
    let ended = tokio::time::timeout(Duration::from_secs(10), run.end()).await;
    let ended = ended.with_context(|| format!("{moment}: it did not end"))??;
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(5), "{moment}: it took {took:?}");
    assert_eq!(ended.code, Some(143), "{moment}: {}", ended.output);
    assert_eq!(ended.report["stopReason"], "Cancelled", "{moment}: {}", ended.output);
    assert!(ended.termination.contains("Cancelled"), "{moment}: {}", ended.termination);
    Ok(ended)
}

async fn count(database: &Database) -> Result<i64> {
    database.scalar("SELECT count(*) FROM codes").await
}

/// Proves: E9, A10.
#[tokio::test]
async fn sigterm_before_the_first_row_ends_in_time_with_a_report_and_no_change() -> Result<()> {
    let database = codes(300).await?;
    let proxy = Proxy::start(&database.address())?;
    let url = proxy.address().to_string();
    proxy.freeze();
    let run = patiently(&url)?;
    wait::until("a connection", SOON, async || Ok((proxy.connections() > 0).then_some(()))).await?;
    terminated("connecting to a server that says nothing", run).await?;
    proxy.thaw();

    proxy.unplug();
    let run = patiently(&url)?;
    wait::until("an attempt", SOON, async || {
        Ok(run.written()?.contains("trying again").then_some(()))
    })
    .await?;
    terminated("connecting to a server that is not there", run).await?;
    proxy.plug_in();

    let mut other = database.pool().begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(x'0070677377656570'::bigint)")
        .execute(&mut *other)
        .await?;
    let run = Run::start(&patient(), &url, &[])?;
    until_it_waits(&database, "advisory").await?;
    terminated("waiting for another that makes the ledger", run).await?;
    other.rollback().await?;

    let mut app = database.pool().begin().await?;
    sqlx::query("LOCK TABLE codes IN ACCESS EXCLUSIVE MODE").execute(&mut *app).await?;
    let run = Run::start(&patient(), &url, &[])?;
    until_it_waits(&database, "Lock").await?;
    terminated("measuring", run).await?;
    app.rollback().await?;
    let free: bool = database.scalar("SELECT holder IS NULL FROM pgsweep.leases").await?;
    assert!(free, "measuring: the lease is not free");

    database
        .execute(
            "UPDATE pgsweep.leases SET holder = 'another', expires_at = now() + interval '1 hour'",
        )
        .await?;
    let replace = with(patient(), "/concurrencyPolicy", json!("Replace"));
    let run = Run::start(&replace, &url, &["--job-uid", "job-2"])?;
    let said = "FROM pgsweep.leases";
    let before = proxy.statements().iter().filter(|it| it.contains(said)).count();
    wait::until("a look at the lease", SOON, async || {
        let looks = proxy.statements().iter().filter(|it| it.contains(said)).count();
        Ok((looks > before + 1).then_some(()))
    })
    .await?;
    terminated("waiting for the lease", run).await?;
    let holder: String = database.scalar("SELECT holder FROM pgsweep.leases").await?;
    assert_eq!((holder.as_str(), count(&database).await?), ("another", 300));
    Ok(())
}

/// Proves: E9, A10.
#[tokio::test]
async fn sigterm_in_a_batch_that_is_stuck_ends_in_time_and_changes_nothing_more() -> Result<()> {
    let database = codes(300).await?;
    let mut app = database.pool().begin().await?;
    sqlx::query("LOCK TABLE codes IN SHARE MODE").execute(&mut *app).await?;
    let run = Run::start(&patient(), &database.url(), &[])?;
    until_it_waits(&database, "Lock").await?;
    let ended = terminated("waiting for a lock", run).await?;
    app.rollback().await?;
    assert_eq!((ended.rule("affected"), count(&database).await?), (&json!(0), 300));

    database
        .execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
               $$BEGIN PERFORM pg_sleep(30); RETURN NULL; END$$;
             CREATE TRIGGER slow BEFORE DELETE ON codes FOR EACH STATEMENT EXECUTE FUNCTION slow()",
        )
        .await?;
    let run = Run::start(&patient(), &database.url(), &[])?;
    until_it_waits(&database, "PgSleep").await?;
    let ended = terminated("in a slow trigger", run).await?;
    assert_eq!((ended.rule("affected"), count(&database).await?), (&json!(0), 300));
    let free: bool = database.scalar("SELECT holder IS NULL FROM pgsweep.leases").await?;
    assert!(free, "the lease is not free");
    Ok(())
}

/// Proves: E9, A10.
#[tokio::test]
async fn sigterm_between_batches_and_with_a_network_that_is_gone_ends_in_time() -> Result<()> {
    let database = codes(3000).await?;
    let slow = with(
        patient(),
        "/execution",
        json!({"batchSize": 10, "targetBatchDuration": "1ms", "maxRowsPerSecond": 20}),
    );
    let run = Run::start(&slow, &database.url(), &["--job-uid", "job-1"])?;
    until_batches(&database, 2).await?;
    let ended = terminated("between two batches", run).await?;
    assert_eq!(ended.rule("affected"), &json!(3000 - count(&database).await?));

    let proxy = Proxy::start(&database.address())?;
    let run = Run::start(&slow, &proxy.address().to_string(), &["--job-uid", "job-1"])?;
    until_batches(&database, 4).await?;
    proxy.freeze();
    terminated("with a network that passes nothing on", run).await?;
    proxy.thaw();

    let proxy = Proxy::start(&database.address())?;
    let run = Run::start(&slow, &proxy.address().to_string(), &["--job-uid", "job-1"])?;
    until_batches(&database, 5).await?;
    proxy.unplug();
    terminated("with a server that is gone", run).await?;
    Ok(())
}

/// A run at its end has nothing left to stop: it says how it ended, or that the ledger did not hear.
#[tokio::test]
async fn sigterm_while_the_run_is_closed_ends_in_time_with_a_report() -> Result<()> {
    let database = codes(300).await?;
    let proxy = Proxy::start(&database.address())?;
    let url = proxy.address().to_string();
    for when in When::ALL {
        proxy.reset().await?;
        database.execute("DROP SCHEMA IF EXISTS pgsweep CASCADE").await?;
        let mut stop = proxy.stop_at_commit_of(CLOSES, when);
        let run = Run::start(&policy(DELETE_OLD), &url, &["--job-uid", "job-1"])?;
        tokio::time::timeout(SOON, stop.reached()).await??;
        let asked = Instant::now();
        run.terminate().await?;
        let ended = tokio::time::timeout(Duration::from_secs(10), run.end()).await??;
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(5), "{when:?}: it took {took:?}: {}", ended.output);
        assert!(matches!(ended.code, Some(0 | 10 | 143)), "{when:?}: {}", ended.output);
        assert!(ended.report["stopReason"].is_string(), "{when:?}: {}", ended.output);
        assert!(!ended.termination.is_empty(), "{when:?}");
        drop(stop);
        let again =
            tests::job::run(&policy(DELETE_OLD), &database.url(), &["--job-uid", "job-1"]).await?;
        assert_eq!(again.report["totals"]["runs"], 1, "{when:?}");
    }
    Ok(())
}
