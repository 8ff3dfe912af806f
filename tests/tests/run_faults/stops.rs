//! Every reason for which a run can stop, with its exit code and result.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::Database;
use tests::job::{DELETE_OLD, Ended, Run, codes, policy, run_on, with};

/// The reason, the code, the result.
fn stopped(ended: &Ended) -> (&str, Option<i32>, &str) {
    let field = |name: &str| ended.report[name].as_str().unwrap_or_default();
    (field("stopReason"), ended.code, field("result"))
}

fn old() -> Value {
    policy(DELETE_OLD)
}

fn limited(limits: Value) -> Value {
    with(old(), "/limits", limits)
}

fn executed(execution: Value) -> Value {
    with(old(), "/execution", execution)
}

/// Runs beside a transaction of the app's that holds something.
async fn beside(database: &Database, app: &'static str, policy: &Value) -> Result<Ended> {
    let mut transaction = database.pool().begin().await?;
    sqlx::raw_sql(app).execute(&mut *transaction).await?;
    let ended = run_on(database, policy).await?;
    transaction.rollback().await?;
    Ok(ended)
}

/// `ReplicaLag` needs a replica: see `replica`.
#[tokio::test]
async fn each_stop_reason_comes_with_its_exit_code_and_result() -> Result<()> {
    let database = codes(3000).await?;
    let more = "DELETE FROM codes; INSERT INTO codes SELECT n, now() - n * interval '1 minute' FROM generate_series(1, 3000) AS n";

    let ended = run_on(&database, &limited(json!({"maxPercentOfTable": 1}))).await?;
    assert_eq!(stopped(&ended), ("BlastRadius", Some(3), "Aborted"), "{}", ended.output);

    let ended =
        run_on(&database, &limited(json!({"maxPercentOfTable": 100, "maxRowsPerRun": 10}))).await?;
    assert_eq!(stopped(&ended), ("RowLimit", Some(0), "PartiallySucceeded"), "{}", ended.output);

    let slow = json!({"maxDuration": "1s", "maxRowsPerSecond": 20, "batchSize": 10});
    let ended = run_on(&database, &executed(slow)).await?;
    assert_eq!(stopped(&ended), ("TimeBudget", Some(0), "PartiallySucceeded"), "{}", ended.output);

    let hasty = executed(json!({"lockTimeout": "10ms"}));
    let ended = beside(&database, "LOCK TABLE codes IN SHARE MODE", &hasty).await?;
    assert_eq!(stopped(&ended), ("LockTimeout", Some(11), "Failed"), "{}", ended.output);

    let ended = beside(&database, "SELECT FROM codes WHERE id = 1000 FOR UPDATE", &old()).await?;
    assert_eq!(stopped(&ended), ("Blocked", Some(0), "PartiallySucceeded"), "{}", ended.output);

    let ended = run_on(&database, &old()).await?;
    assert_eq!(stopped(&ended), ("Drained", Some(0), "Succeeded"), "{}", ended.output);

    database.execute(more).await?;
    let slow = executed(json!({"maxRowsPerSecond": 20, "batchSize": 10}));
    let run = Run::start(&slow, &database.url(), &[])?;
    super::term::until_batches(&database, 1).await?;
    run.terminate().await?;
    let ended = run.end().await?;
    assert_eq!(stopped(&ended), ("Cancelled", Some(143), "PartiallySucceeded"), "{}", ended.output);

    database
        .execute(
            "UPDATE pgsweep.leases SET holder = 'another', expires_at = now() + interval '1 hour'",
        )
        .await?;
    let ended = run_on(&database, &old()).await?;
    assert_eq!(stopped(&ended), ("LockHeld", Some(0), "Skipped"), "{}", ended.output);

    database
        .execute(
            "UPDATE pgsweep.leases
             SET holder = NULL, held_since = now(),
                 held_rules_hash = (SELECT rules_hash FROM pgsweep.runs ORDER BY started_at DESC LIMIT 1)",
        )
        .await?;
    let same = Run::start(&slow, &database.url(), &[])?.end().await?;
    assert_eq!(stopped(&same), ("Held", Some(0), "Skipped"), "{}", same.output);
    database.execute("UPDATE pgsweep.leases SET held_since = NULL").await?;

    database
        .execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$;
             CREATE TRIGGER refuse BEFORE DELETE ON codes FOR EACH ROW WHEN (OLD.id = 500) EXECUTE FUNCTION refuse()",
        )
        .await?;
    let ended = run_on(&database, &old()).await?;
    assert_eq!(stopped(&ended), ("Error", Some(11), "PartiallySucceeded"), "{}", ended.output);
    let left: i64 = database.scalar("SELECT count(*) FROM codes WHERE id > 60").await?;
    assert_eq!(left, 1, "{}", ended.output);
    let ended = run_on(&database, &old()).await?;
    assert_eq!(stopped(&ended), ("Error", Some(11), "Failed"), "{}", ended.output);
    let reason = ended.report["rules"][0]["stopReason"].as_str().context("a rule has a reason")?;
    assert_eq!(reason, "Error");
    Ok(())
}
