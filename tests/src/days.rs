//! A table with a partition a day, and what a test asks of it.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::Database;
use crate::job::{policy, with};
use crate::wait;

/// Partitions that are a whole day old and more, of 21.
pub const DUE: i64 = 9;
/// Rows in each.
pub const ROWS: i64 = 10;

/// What is older than ten days goes, by whole partitions.
pub const DROP_OLD: &str = "
- name: drop-old
  table: {schema: public, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 10d}]
  action: {dropPartitions: {}}
";

/// The same, with the detached tables kept for a while.
#[must_use]
pub fn keeping(grace: &str) -> Value {
    with(policy(DROP_OLD), "/rules/0/action", json!({"dropPartitions": {"graceAge": grace}}))
}

/// A database with a table `codes`: `codes_<n>` holds the day that began `n` days before noon of
/// our day, which is twelve hours away, with ten rows all over it. So 12 to 20 are due, half of the
/// rows of 11 are too, and no test depends on the time of day.
pub async fn codes() -> Result<Database> {
    let database = Database::create().await?;
    database
        .execute(
            "CREATE TABLE codes (id bigint, expires_at timestamptz, note text, PRIMARY KEY (id, expires_at))
               PARTITION BY RANGE (expires_at);
             CREATE FUNCTION day(n int) RETURNS timestamptz STABLE LANGUAGE sql AS
               $$SELECT now() + interval '12 hours' - n * interval '24 hours'$$;
             DO $$BEGIN
               FOR n IN 0..20 LOOP
                 EXECUTE format('CREATE TABLE codes_%s PARTITION OF codes FOR VALUES FROM (%L) TO (%L)', n, day(n), day(n - 1));
               END LOOP;
             END$$;
             INSERT INTO codes
               SELECT n * 100 + k, day(n) + k * interval '2 hours 24 minutes', 'canary-in-a-row'
               FROM generate_series(0, 20) AS n, generate_series(0, 9) AS k;
             ANALYZE codes",
        )
        .await?;
    Ok(database)
}

/// Rows of the table.
pub async fn count(database: &Database) -> Result<i64> {
    database.scalar("SELECT count(*) FROM codes").await
}

/// Partitions of the table.
pub async fn partitions(database: &Database) -> Result<i64> {
    let sql = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'codes'::regclass AND NOT inhdetachpending";
    database.scalar(sql).await
}

/// Tables that are a partition of `codes` or were one.
pub async fn tables(database: &Database) -> Result<i64> {
    database
        .scalar("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'codes%'")
        .await
}

/// How many partitions the ledger has in a state, and how many rows it has counted for them.
pub async fn noted(database: &Database, state: &str) -> Result<(i64, i64)> {
    let sql = |what: &str| {
        format!(
            "SELECT coalesce({what}, 0)::bigint FROM pgsweep.partitions WHERE state = '{state}'"
        )
    };
    Ok((
        database.scalar(&sql("count(*)")).await?,
        database.scalar(&sql("sum(counted_rows)")).await?,
    ))
}

/// Rows that the ledger says were removed, over all runs.
pub async fn removed(database: &Database) -> Result<i64> {
    database.scalar("SELECT sum(affected)::bigint FROM pgsweep.run_rules").await
}

/// Waits until every detached table was kept for a second.
pub async fn a_second_has_passed(database: &Database) -> Result<()> {
    let sql = "SELECT bool_and(detached_at < clock_timestamp() - interval '1 second') FROM pgsweep.partitions";
    wait::until("a second of the database", Duration::from_secs(20), async || {
        Ok(database.scalar::<bool>(sql).await?.then_some(()))
    })
    .await
}

/// Waits until pgsweep waits for a lock on `table`.
pub async fn waits_for(database: &Database, table: &str) -> Result<()> {
    let sql = format!(
        "SELECT EXISTS (
           SELECT FROM pg_locks
           JOIN pg_database AS d ON d.oid = database AND d.datname = current_database()
           WHERE relation = '{table}'::regclass AND NOT granted
         )"
    );
    wait::until("pgsweep to wait for a lock", Duration::from_secs(20), async || {
        Ok(database.scalar::<bool>(&sql).await?.then_some(()))
    })
    .await
}
