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
