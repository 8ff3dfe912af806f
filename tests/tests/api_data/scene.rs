//! Rows to try things on, and what is asked of a database again and again.

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tests::Database;

/// Runs SQL on a connection, also several statements.
pub async fn execute(connection: &mut PgConnection, sql: &str) -> Result<()> {
    let run = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await;
    run.with_context(|| format!("failed to run: {sql}"))?;
    Ok(())
}

/// The SQLSTATE by which SQL is refused; empty where it is not.
pub async fn refusal(connection: &mut PgConnection, sql: &str) -> Result<String> {
    match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await {
        Ok(_) => Ok(String::new()),
        Err(sqlx::Error::Database(error)) => Ok(error.code().unwrap_or_default().into_owned()),
        Err(error) => Err(error).with_context(|| format!("failed to run: {sql}")),
    }
}

/// Runs what `migrate --print` prints as `psql` does: its steps, which are one transaction, and then a statement after
/// the other. Where a lock is not free, again.
pub async fn run_script(database: &Database, script: &str) -> Result<()> {
    const TRIES: u32 = 120;
    let (steps, rest) =
        script.split_once("\nCOMMIT;\n").context("the steps are one transaction")?;
    let mut connection = database.pool().acquire().await?;
    for tries in 1.. {
        let state = refusal(&mut connection, &format!("{steps}\nCOMMIT")).await?;
        if state.is_empty() {
            break;
        }
        ensure!(state == "55P03" && tries < TRIES, "refused with {state}");
        execute(&mut connection, "ROLLBACK").await?;
    }
    for statement in rest.lines().filter(|line| !line.is_empty() && !line.starts_with("--")) {
        execute(&mut connection, statement).await?;
    }
    Ok(())
}

/// The rows of a query, each as one text.
pub async fn rows(connection: &mut PgConnection, sql: &str) -> Result<Vec<String>> {
    let all = format!("WITH rows AS ({sql}) SELECT rows::text FROM rows");
    let rows = sqlx::query(AssertSqlSafe(all)).fetch_all(connection).await;
    let rows = rows.with_context(|| format!("failed to run: {sql}"))?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The same on a database, as its superuser.
pub async fn rows_of(database: &Database, sql: &str) -> Result<Vec<String>> {
    rows(&mut *database.pool().acquire().await?, sql).await
}

/// One session, by the number that its title bears, with what differs from the default: columns and
/// their values.
pub async fn session(
    database: &Database,
    app: &str,
    title: &str,
    values: &[(&str, &str)],
) -> Result<()> {
    let columns: String = values.iter().map(|(column, _)| format!(", {column}")).collect();
    let given: String = values.iter().map(|(_, value)| format!(", {value}")).collect();
    let sql = format!(
        "INSERT INTO core.sessions (app, title{columns}) VALUES ('{app}', '{title}'{given})"
    );
    database.execute(&sql).await
}

/// One participant of the session of that title.
pub async fn participant(
    database: &Database,
    title: &str,
    name: &str,
    values: &[(&str, &str)],
) -> Result<()> {
    let columns: String = values.iter().map(|(column, _)| format!(", {column}")).collect();
    let given: String = values.iter().map(|(_, value)| format!(", {value}")).collect();
    let sql = format!(
        "INSERT INTO core.session_participants (session_id, display_name{columns})
         SELECT session_id, '{name}'{given} FROM core.sessions WHERE title = '{title}'"
    );
    database.execute(&sql).await
}
