//! SQL that a program of this workspace puts together, on a connection of its own. No user's text may
//! come here.

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, PgConnection};

/// Runs it, also several statements.
pub async fn execute(connection: &mut PgConnection, sql: &str) -> Result<()> {
    let run = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await;
    run.with_context(|| format!("failed to run: {sql}"))?;
    Ok(())
}

/// How many rows a query has, each of which is made.
pub async fn count(connection: &mut PgConnection, query: &str) -> Result<i64> {
    let counted = format!("SELECT count(rows) FROM ({query}) AS rows");
    let count = sqlx::query_scalar(AssertSqlSafe(counted)).fetch_one(connection).await;
    count.with_context(|| format!("failed to run: {query}"))
}
