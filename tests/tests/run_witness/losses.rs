//! Rows that a rule wants to keep a copy or a word of go only with it.

use anyhow::Result;
use serde_json::json;
use tests::Database;
use tests::job::{self, Run, policy, run_on, with};
use tests::proxy::{Proxy, When};

const TABLES: &str = "
    CREATE TABLE codes (id bigint PRIMARY KEY, due timestamptz);
    INSERT INTO codes SELECT n, now() - interval '1 day' FROM generate_series(1, 5) AS n;
    CREATE TABLE kept (LIKE codes);
    ALTER TABLE kept ADD pgsweep_run_id text, ADD pgsweep_rule text, ADD pgsweep_archived_at timestamptz;
    CREATE TABLE events (id bigint, note text);
    CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$";

/// A trigger that keeps the row of code 3 out without a word.
fn swallow(table: &str) -> String {
    format!(
        "CREATE TRIGGER swallow BEFORE INSERT ON {table} FOR EACH ROW WHEN (NEW.id = 3) EXECUTE FUNCTION swallow()"
    )
}

fn rule(rest: &str) -> serde_json::Value {
    policy(&format!(
        "[{{name: sweep, table: {{schema: public, name: codes}}, where: [{{column: due, operator: OlderThan, age: 1h}}], {rest}}}]"
    ))
}

async fn count(database: &Database, table: &str) -> Result<i64> {
    database.scalar(&format!("SELECT count(*) FROM {table}")).await
}

#[tokio::test]
async fn a_row_whose_event_is_swallowed_does_not_go() -> Result<()> {
    let database = Database::create().await?;
    database.execute(TABLES).await?;
    database.execute(&swallow("events")).await?;
    let told = rule(
        "emit: [{into: {schema: public, name: events}, values: [{column: id, fromColumn: id}]}], action: {delete: {}}",
    );
    let ended = run_on(&database, &told).await?;
    assert_ne!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(count(&database, "codes").await?, 5 - count(&database, "events").await?);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM codes WHERE id = 3").await?, 1);
    Ok(())
}

/// The trigger comes when the run has found nothing wrong and is about to begin.
#[tokio::test]
async fn a_row_whose_copy_is_swallowed_does_not_go() -> Result<()> {
    let database = Database::create().await?;
    database.execute(TABLES).await?;
    let archive = rule("action: {archive: {into: {schema: public, name: kept}}}");
    let proxy = Proxy::start(&database.address())?;
    let mut stop = proxy.stop_at_statement("pg_backend_pid()", When::Before);
    let run = Run::start(&archive, &proxy.address().to_string(), &[])?;
    stop.reached().await?;
    database.execute(&swallow("kept")).await?;
    stop.release();
    let ended = run.end().await?;
    assert_ne!(ended.code, Some(0), "{}", ended.output);
    assert_eq!((count(&database, "codes").await?, count(&database, "kept").await?), (5, 0));
    database.execute("DROP TRIGGER swallow ON kept").await?;
    let ended = job::run_on(&database, &archive).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(5)), "{}", ended.output);
    assert_eq!((count(&database, "codes").await?, count(&database, "kept").await?), (0, 5));
    Ok(())
}

/// Rows of two partitions lie at the same places of their files.
///
/// Proves: R1.
#[tokio::test]
async fn a_batch_takes_no_row_of_another_partition_that_lies_at_the_same_place() -> Result<()> {
    let database = Database::create().await?;
    database
        .execute(
            "CREATE TABLE codes (id bigint, due timestamptz, PRIMARY KEY (id)) PARTITION BY RANGE (id);
             CREATE TABLE codes_low PARTITION OF codes FOR VALUES FROM (0) TO (100);
             CREATE TABLE codes_high PARTITION OF codes FOR VALUES FROM (100) TO (200);
             INSERT INTO codes SELECT n, now() - interval '2 days' FROM generate_series(1, 10) AS n;
             INSERT INTO codes SELECT n, now() - interval '1 day' FROM generate_series(101, 110) AS n",
        )
        .await?;
    let capped = with(rule("action: {delete: {}}"), "/rules/0/limits", json!({"maxRows": 4}));
    let ended = run_on(&database, &capped).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(4)), "{}", ended.output);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM codes_low").await?, 6);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM codes_high").await?, 10);
    Ok(())
}
