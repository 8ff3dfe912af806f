//! The names that Table-Talk's document uses, each where it uses it.

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, Executor as _};
use tests::sessions::on_each_version;

/// Tables with their columns, and what each is cast to: the type that the statements take it for.
const NAMES: [(&str, &str); 4] = [
    (
        "sessions",
        "session_id::uuid, table_token::text, session_group_id::uuid, context::text, mode::text, dual_status::text, \
         pairing_code_hash::bytea, pairing_expires_at::timestamptz, last_activity_at::timestamptz, \
         expires_at::timestamptz, created_at::timestamptz",
    ),
    (
        "session_participants",
        "participant_id::uuid, session_id::uuid, last_seen_at::timestamptz, disconnected_at::timestamptz",
    ),
    ("analytics_events", "event_type::text, event_data::jsonb, timestamp::timestamptz"),
    ("deck_sessions", "deck_context_id::uuid, session_group_id::uuid"),
];

/// Proves: G34.
#[tokio::test]
async fn tables_and_columns_have_the_names_that_table_talk_writes() -> Result<()> {
    on_each_version(async |sessions| {
        let roles = &sessions.roles;
        for (role, schema) in [(&roles.cleanup, "table_talk"), (&roles.api, "core")] {
            let mut connection = sessions.connect(role, schema).await?;
            for (table, columns) in NAMES {
                let sql = format!("SELECT {columns} FROM {table} LIMIT 0");
                let read = connection.execute(AssertSqlSafe(sql)).await;
                read.with_context(|| format!("{schema}.{table}"))?;
            }
        }
        Ok(())
    })
    .await
}
