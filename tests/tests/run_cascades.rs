//! What a delete takes along by `ON DELETE CASCADE`.

use anyhow::Result;
use serde_json::json;
use tests::Database;
use tests::job::{policy, run_on};

const CHILDREN_FIRST: &str = "
- name: children
  table: {schema: public, name: lines}
  where: [{column: at, operator: OlderThan, age: 1h}]
  action: {archive: {into: {schema: public, name: old_lines}}}
- name: parents
  table: {schema: public, name: orders}
  where: [{column: at, operator: OlderThan, age: 1h}]
  action: {archive: {into: {schema: public, name: old_orders}}}
";

/// Ten overdue orders; the lines of the even ones are young, and the tenth, which has no code, has
/// no line.
async fn orders() -> Result<Database> {
    let database = Database::create().await?;
    database
        .execute(
            "CREATE TABLE orders (id int PRIMARY KEY, code text UNIQUE, at timestamptz);
             CREATE TABLE lines (id int PRIMARY KEY, code text REFERENCES orders (code) ON DELETE CASCADE, at timestamptz);
             CREATE INDEX ON lines (code);
             INSERT INTO orders SELECT n, NULLIF(n, 10), now() - interval '1 day' FROM generate_series(1, 10) AS n;
             INSERT INTO lines SELECT n, n, now() - (n % 2) * interval '1 day' FROM generate_series(1, 9) AS n;
             CREATE TABLE old_orders (LIKE orders, pgsweep_run_id text, pgsweep_rule text, pgsweep_archived_at timestamptz);
             CREATE TABLE old_lines (LIKE lines, pgsweep_run_id text, pgsweep_rule text, pgsweep_archived_at timestamptz)",
        )
        .await?;
    Ok(database)
}

/// An earlier rule archives lines, and these are not old enough for it.
#[tokio::test]
async fn an_archive_leaves_a_row_alone_that_would_take_rows_along_which_nobody_archived()
-> Result<()> {
    let database = orders().await?;
    let ended = run_on(&database, &policy(CHILDREN_FIRST)).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let ids = async |table: &str| {
        let sql = format!("SELECT COALESCE(array_agg(id ORDER BY id), '{{}}') FROM {table}");
        database.scalar::<Vec<i32>>(&sql).await
    };
    assert_eq!(ids("old_lines").await?, [1, 3, 5, 7, 9]);
    assert_eq!(ids("lines").await?, [2, 4, 6, 8], "a cascade took none of them");
    assert_eq!(ids("old_orders").await?, [1, 3, 5, 7, 9, 10]);
    assert_eq!(ids("orders").await?, [2, 4, 6, 8]);
    let parents = &ended.report["rules"][1];
    assert_eq!((&parents["affected"], &parents["remaining"]), (&json!(6), &json!(0)));
    assert_eq!(parents["warnings"], json!(["CountDependsOnEarlierRule"]));
    Ok(())
}
