//! Every statement of the server, against the schema that `migrate` makes.

use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, Executor as _};
use tests::sessions::{on_each_version, session_api};

/// E11 of the house: also that the API's role may run each of them.
#[tokio::test]
async fn each_statement_fits_the_schema_and_the_privileges_of_the_role() -> Result<()> {
    let said = session_api("", &["statements"]).await?;
    ensure!(said.code == Some(0), "{}", said.stderr);
    let statements: Vec<_> = said.stdout.split("\n;\n").filter(|sql| !sql.is_empty()).collect();
    assert!(statements.len() > 70, "{}", statements.len());
    on_each_version(async |sessions| {
        let mut connection = sessions.connect(&sessions.roles.api, "pg_catalog").await?;
        for sql in &statements {
            let prepare = format!("PREPARE one AS\n{sql}");
            connection.execute(AssertSqlSafe(prepare)).await.with_context(|| (*sql).to_owned())?;
            let count = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'one'";
            let count: i32 = sqlx::query_scalar(count).fetch_one(&mut connection).await?;
            let nothing = vec!["NULL"; usize::try_from(count)?].join(", ");
            let arguments = if count == 0 { String::new() } else { format!("({nothing})") };
            // What is explained is not run, but who asks has to have the right to.
            let explain = format!("EXPLAIN EXECUTE one{arguments}");
            connection.execute(AssertSqlSafe(explain)).await.with_context(|| (*sql).to_owned())?;
            connection.execute("DEALLOCATE one").await?;
        }
        Ok(())
    })
    .await
}
