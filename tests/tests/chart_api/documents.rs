//! The queries that `docs/session-api-operations.md` gives to dashboards.

use anyhow::{Context, Result, ensure};
use sqlx::AssertSqlSafe;
use tests::sessions::on_each_version;

const PAGE: &str = include_str!("../../../docs/session-api-operations.md");

/// The queries of the section for dashboards.
fn queries() -> Result<Vec<&'static str>> {
    let (_, section) = PAGE.split_once("\n## Watching it\n").context("the section is there")?;
    let (section, _) = section.split_once("\n## ").context("and ends")?;
    Ok(section.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect())
}

/// As they stand, by a login that may read figures and nothing else; and each finds the event or the
/// session that it is about.
///
/// Proves: G9.
#[tokio::test]
async fn every_query_for_dashboards_runs_as_it_is_printed() -> Result<()> {
    let queries = queries()?;
    assert_eq!(queries.len(), 5);
    on_each_version(async |sessions| {
        let rows = "
            INSERT INTO core.sessions (app, table_token) VALUES ('table_talk', 'table_042');
            INSERT INTO core.analytics_events (app, event_type, event_data) VALUES
              ('table_talk', 'join_code_used', '{}'),
              ('table_talk', 'join_code_failed', '{}'),
              ('table_talk', 'cleanup_job_completed', '{}'),
              ('table_talk', 'dual_phone_paired', json_build_object('created_at', (now() - interval '9 s')::text))";
        sessions.database.execute(rows).await?;
        let mut readonly = sessions.connect(&sessions.roles.readonly, "pg_catalog").await?;
        for query in &queries {
            let query = query.trim_end().trim_end_matches(';');
            let rows = format!("SELECT q::text FROM ({query}) AS q");
            let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(rows))
                .fetch_all(&mut readonly)
                .await
                .with_context(|| format!("failed to run: {query}"))?;
            ensure!(rows.len() == 1 && rows != ["()"], "{query} found {rows:?}");
        }
        Ok(())
    })
    .await
}
