//! `core.session_audit_log`, read.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::statement;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[LIST];

const LIST: &str = "
SELECT jsonb_build_object(
  'id', id,
  'created_at', created_at,
  'type', event_type,
  'session_id', session_id,
  'app', app,
  'actor_kind', actor_kind,
  'actor_id', actor_id,
  'network', CAST(ip_prefix AS text),
  'data', event_data
)
FROM core.session_audit_log
WHERE (CAST($1 AS uuid) IS NULL OR session_id = $1)
  AND (CAST($2 AS text) IS NULL OR event_type = $2)
  AND (CAST($3 AS text) IS NULL OR app = $3)
  AND (CAST($4 AS bigint) IS NULL OR id < $4)
ORDER BY id DESC
LIMIT $5";

/// Which lines are wanted.
pub struct Filter<'a> {
    /// Those of one session, also of one whose row is gone.
    pub session: Option<Uuid>,
    /// Those of one type.
    pub event_type: Option<&'a str>,
    /// Those of one app.
    pub app: Option<&'a str>,
    /// Those before a line.
    pub before: Option<i64>,
}

/// Lines, the newest first.
pub async fn list(
    connection: &mut PgConnection,
    filter: &Filter<'_>,
    limit: i64,
) -> Result<Vec<Value>, sqlx::Error> {
    statement::query_scalar(LIST)
        .bind(filter.session)
        .bind(filter.event_type)
        .bind(filter.app)
        .bind(filter.before)
        .bind(limit)
        .fetch_all(connection)
        .await
}
