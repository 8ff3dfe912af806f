//! A run beside live traffic: what is renewed, locked, refused or cut off.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tests::Database;
use tests::job::{DELETE_OLD, Run, policy, run_on, with};
use tests::wait;

async fn overdue_codes(rows: u32) -> Result<Database> {
    let database = Database::create().await?;
    let sql = format!(
        "CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz);
         CREATE INDEX ON codes (expires_at);
         INSERT INTO codes SELECT n, now() - interval '1 day' - n * interval '1 second' FROM generate_series(1, {rows}) AS n;
         ANALYZE codes"
    );
    database.execute(&sql).await?;
    Ok(database)
}

/// Small batches with pauses, so that there is a middle of the run to act in.
fn slowly(rows_per_second: u32) -> Value {
    let policy = policy(DELETE_OLD);
    with(
        policy,
        "/execution",
        json!({"batchSize": 50, "targetBatchDuration": "1ms", "maxRowsPerSecond": rows_per_second}),
    )
}

async fn count(database: &Database) -> Result<i64> {
    database.scalar("SELECT count(*) FROM codes").await
}

async fn some_are_gone(database: &Database, of: i64) -> Result<()> {
    wait::until("the first rows to go", Duration::from_secs(20), async || {
        Ok((count(database).await? < of).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_row_that_is_renewed_while_the_run_goes_on_stays() -> Result<()> {
    let database = overdue_codes(6000).await?;
    let run = Run::start(&slowly(4000), &database.url(), &[])?;
    some_are_gone(&database, 6000).await?;
    // The app renews from the young end while the run comes from the old one, until they meet.
    let mut renewed: Vec<i64> = Vec::new();
    let mut app = database.pool().acquire().await?;
    for id in 1..=3000_i64 {
        let touched =
            sqlx::query("UPDATE codes SET expires_at = now() + interval '1 day' WHERE id = $1")
                .bind(id)
                .execute(&mut *app)
                .await?;
        if touched.rows_affected() == 1 {
            renewed.push(id);
        }
    }
    let ended = run.end().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(renewed.len() > 100, "the app was too slow to renew anything: {}", renewed.len());
    let alive: Vec<i64> = database.scalar("SELECT array_agg(id ORDER BY id) FROM codes").await?;
    assert_eq!(alive, renewed, "what was renewed is all that is left");
    Ok(())
}

#[tokio::test]
async fn a_row_that_the_app_holds_is_left_alone_and_counted() -> Result<()> {
    let database = overdue_codes(100).await?;
    let mut app = database.pool().begin().await?;
    sqlx::query("UPDATE codes SET expires_at = now() + interval '1 day' WHERE id IN (7, 8)")
        .execute(&mut *app)
        .await?;
    let ended = run_on(&database, &policy(DELETE_OLD)).await?;
    app.commit().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.report["result"], "PartiallySucceeded");
    assert_eq!(ended.rule("affected"), &json!(98));
    assert_eq!(ended.rule("skippedLocked"), &json!(2));
    assert_eq!(count(&database).await?, 2, "the app's rows are there, renewed");
    assert_eq!(run_on(&database, &policy(DELETE_OLD)).await?.rule("affected"), &json!(0));
    Ok(())
}

#[tokio::test]
async fn a_row_that_the_app_lets_go_unchanged_goes_in_the_second_pass() -> Result<()> {
    let database = overdue_codes(3000).await?;
    let mut app = database.pool().begin().await?;
    sqlx::query("SELECT FROM codes WHERE id = 3000 FOR UPDATE").execute(&mut *app).await?;
    let run = Run::start(&slowly(3000), &database.url(), &[])?;
    some_are_gone(&database, 3000).await?;
    app.rollback().await?;
    let ended = run.end().await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(3000)), "{}", ended.output);
    assert_eq!(ended.report["stopReason"], "Drained");
    Ok(())
}

/// Proves: A10.
#[tokio::test]
async fn sigterm_in_mid_run_leaves_whole_batches_and_a_true_report() -> Result<()> {
    let database = overdue_codes(5000).await?;
    database
        .execute(
            "CREATE TABLE gone (transaction bigint);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
               $$BEGIN INSERT INTO public.gone VALUES (txid_current()); RETURN NULL; END$$;
             CREATE TRIGGER note AFTER DELETE ON codes FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .await?;
    let run = Run::start(&slowly(500), &database.url(), &[])?;
    some_are_gone(&database, 5000).await?;
    run.terminate().await?;
    let ended = tokio::time::timeout(Duration::from_secs(5), run.end()).await??;
    assert_eq!(ended.code, Some(143), "{}", ended.output);
    assert_eq!(ended.report["stopReason"], "Cancelled");
    let gone: i64 = database.scalar("SELECT count(*) FROM gone").await?;
    assert_eq!(ended.rule("affected"), &json!(gone));
    assert_eq!(count(&database).await?, 5000 - gone);
    assert!(gone < 5000, "the run had ended before it was asked to");
    let batches: i64 = database.scalar("SELECT count(DISTINCT transaction) FROM gone").await?;
    assert_eq!(ended.rule("batches"), &json!(batches));
    let rest = run_on(&database, &policy(DELETE_OLD)).await?;
    assert_eq!(rest.rule("affected"), &json!(5000 - gone));
    Ok(())
}

#[tokio::test]
async fn a_time_budget_ends_the_run_after_a_batch() -> Result<()> {
    let database = overdue_codes(5000).await?;
    let policy = with(slowly(500), "/execution/maxDuration", json!("1s"));
    let ended = run_on(&database, &policy).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.report["result"], "PartiallySucceeded");
    assert_eq!(ended.report["stopReason"], "TimeBudget");
    assert_eq!(ended.rule("remaining"), &json!(count(&database).await?));
    Ok(())
}

#[tokio::test]
async fn a_locked_table_ends_its_rule_and_not_the_run() -> Result<()> {
    let database = overdue_codes(100).await?;
    database
        .execute("CREATE TABLE other AS TABLE codes; ALTER TABLE other ADD PRIMARY KEY (id)")
        .await?;
    let rules = format!(
        "{DELETE_OLD}{}",
        DELETE_OLD.replace("delete-old", "delete-other").replace("name: codes", "name: other")
    );
    let policy = with(policy(&rules), "/execution", json!({"lockTimeout": "20ms"}));
    let mut app = sqlx::PgConnection::connect(&database.url()).await?;
    let mut lock = app.begin().await?;
    // As a CREATE INDEX does: reading goes on, writing waits.
    sqlx::query("LOCK TABLE codes IN SHARE MODE").execute(&mut *lock).await?;
    let ended = run_on(&database, &policy).await?;
    lock.rollback().await?;
    assert_eq!(ended.code, Some(11), "{}", ended.output);
    assert_eq!(ended.rule("stopReason"), "LockTimeout");
    assert_eq!(ended.rule("sqlState"), "55P03");
    assert_eq!((ended.rule("affected"), count(&database).await?), (&json!(0), 100));
    assert_eq!(ended.report["rules"][1]["affected"], 100);
    Ok(())
}

#[tokio::test]
async fn a_foreign_key_that_refuses_ends_its_rule_and_no_row_content_leaks() -> Result<()> {
    let database = overdue_codes(100).await?;
    database
        .execute(
            "CREATE TABLE child (code_id bigint REFERENCES codes, note text);
             INSERT INTO child VALUES (5, 'canary-in-a-row');
             CREATE TABLE other AS TABLE codes; ALTER TABLE other ADD PRIMARY KEY (id)",
        )
        .await?;
    let rules = format!(
        "{DELETE_OLD}{}",
        DELETE_OLD.replace("delete-old", "delete-other").replace("name: codes", "name: other")
    );
    let both = policy(&rules);
    let stop = with(both.clone(), "/execution", json!({"onRuleError": "Stop"}));
    let ended = run_on(&database, &stop).await?;
    assert_eq!(ended.report["rules"][1]["affected"], 0, "Stop: {}", ended.output);
    assert_eq!((ended.rule("affected"), ended.rule("failed")), (&json!(99), &json!(1)));
    assert_eq!(count(&database).await?, 1, "the row that is pointed at");
    let ended = run_on(&database, &both).await?;
    assert_eq!(ended.code, Some(11), "{}", ended.output);
    assert_eq!(ended.rule("sqlState"), "23503");
    assert_eq!(ended.rule("failed"), 1);
    assert_eq!(ended.report["rules"][1]["affected"], 100);
    let message = ended.rule("message").as_str().unwrap_or_default();
    assert!(message.contains("table \"child\"") && message.contains("constraint"), "{message}");
    assert!(
        !ended.output.contains("(code_id)=") && !ended.output.contains("canary"),
        "{}",
        ended.output
    );
    Ok(())
}
