//! Figures, as the objects that are shown. Hours and days are in UTC, which every transaction of ours is set to.

use serde_json::Value;
use sqlx::PgConnection;

use super::statement;
use crate::billing::Period;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] =
    &[JOIN_CODES, TABLES, CLEANUP_RUNS, ACTIVE_SESSIONS, PAIRING, SESSIONS, FORECAST, HEALTH];

/// As requirement 000 counts it, where a try that a limit refused is a failed one.
const JOIN_CODES: &str = "
SELECT jsonb_build_object(
  'successful', count(*) FILTER (WHERE event_type = 'join_code_used'),
  'failed', count(*) FILTER (WHERE event_type = 'join_code_failed'),
  'success_rate_pct', round(
    100.0 * count(*) FILTER (WHERE event_type = 'join_code_used') / NULLIF(count(*), 0),
    2
  )
)
FROM core.analytics_events
WHERE event_type IN ('join_code_used', 'join_code_failed')
  AND \"timestamp\" > now() - interval '24 hours'
  AND (CAST($1 AS text) IS NULL OR app = $1)";

const TABLES: &str = "
SELECT to_jsonb(counted)
FROM (
  SELECT
    table_token,
    count(DISTINCT session_group_id) AS concurrent_groups,
    count(session_id) AS total_sessions
  FROM core.sessions
  WHERE created_at >= date_trunc('day', now())
    AND (CAST($1 AS text) IS NULL OR app = $1)
  GROUP BY table_token
  ORDER BY concurrent_groups DESC, total_sessions DESC, table_token
  LIMIT $2
) AS counted";

const CLEANUP_RUNS: &str = "
SELECT event_data || jsonb_build_object('app', app, 'timestamp', \"timestamp\")
FROM core.analytics_events
WHERE event_type = 'cleanup_job_completed'
  AND (CAST($1 AS text) IS NULL OR app = $1)
ORDER BY \"timestamp\" DESC
LIMIT $2";

const ACTIVE_SESSIONS: &str = "
SELECT to_jsonb(active)
FROM (
  SELECT
    app, table_token, session_group_id, context, mode, dual_status, sessions, participants, last_active,
    round(minutes_inactive, 2) AS minutes_inactive
  FROM core.active_sessions
  WHERE CAST($1 AS text) IS NULL OR app = $1
  ORDER BY last_active DESC
  LIMIT $2
) AS active";

const PAIRING: &str = "
SELECT to_jsonb(hours)
FROM (
  SELECT
    date_trunc('hour', \"timestamp\") AS hour,
    count(*) FILTER (WHERE event_type = 'dual_phone_paired') AS pairings,
    round(
      avg(CAST(event_data ->> 'pairing_seconds' AS numeric)) FILTER (WHERE event_type = 'dual_phone_paired'),
      2
    ) AS avg_pairing_time_seconds,
    count(*) FILTER (WHERE event_type = 'join_code_expired') AS expired_codes
  FROM core.analytics_events
  WHERE event_type IN ('dual_phone_paired', 'join_code_expired')
    AND \"timestamp\" > now() - interval '24 hours'
    AND (CAST($1 AS text) IS NULL OR app = $1)
  GROUP BY 1
  ORDER BY 1 DESC
) AS hours";

const SESSIONS: &str = "
SELECT to_jsonb(figures)
FROM core.get_session_analytics($1, $2, $3) AS figures";

const FORECAST: &str = include_str!("forecast.sql");

const HEALTH: &str = "
SELECT jsonb_build_object(
  'replicas', COALESCE((
    SELECT jsonb_agg(jsonb_build_object('id', replica_id, 'started_at', started_at, 'seen_at', seen_at, 'sockets', sockets) ORDER BY started_at)
    FROM core.api_replicas
    WHERE seen_at > now() - interval '15 seconds'
  ), '[]'),
  'last_cleanup_at', (
    SELECT max(\"timestamp\")
    FROM core.analytics_events
    WHERE event_type = 'cleanup_job_completed'
  ),
  'overdue_sessions', (
    SELECT count(*)
    FROM (
      SELECT
      FROM core.sessions
      WHERE expires_at < now() - interval '1 day'
      LIMIT 1000
    ) AS overdue
  )
)";

/// Codes of the last day that were right, and that were not.
pub async fn join_codes(
    connection: &mut PgConnection,
    app: Option<&str>,
) -> Result<Value, sqlx::Error> {
    statement::query_scalar(JOIN_CODES).bind(app).fetch_one(connection).await
}

/// The busiest tables of today.
pub async fn tables(
    connection: &mut PgConnection,
    app: Option<&str>,
    limit: i64,
) -> Result<Vec<Value>, sqlx::Error> {
    let rows = statement::query_scalar(TABLES).bind(app).bind(limit);
    rows.fetch_all(connection).await
}

/// The newest runs of cleanup.
pub async fn cleanup_runs(
    connection: &mut PgConnection,
    app: Option<&str>,
    limit: i64,
) -> Result<Vec<Value>, sqlx::Error> {
    let rows = statement::query_scalar(CLEANUP_RUNS).bind(app).bind(limit);
    rows.fetch_all(connection).await
}

/// Who plays now.
pub async fn active_sessions(
    connection: &mut PgConnection,
    app: Option<&str>,
    limit: i64,
) -> Result<Vec<Value>, sqlx::Error> {
    let rows = statement::query_scalar(ACTIVE_SESSIONS).bind(app).bind(limit);
    rows.fetch_all(connection).await
}

/// Pairings of the last day, by the hour.
pub async fn pairing(
    connection: &mut PgConnection,
    app: Option<&str>,
) -> Result<Vec<Value>, sqlx::Error> {
    statement::query_scalar(PAIRING).bind(app).fetch_all(connection).await
}

/// Figures of sessions that ended in a period.
pub async fn sessions(
    connection: &mut PgConnection,
    period: &Period,
    app: Option<&str>,
) -> Result<Value, sqlx::Error> {
    statement::query_scalar(SESSIONS)
        .bind(jiff_sqlx::Timestamp::from(period.from))
        .bind(jiff_sqlx::Timestamp::from(period.to))
        .bind(app)
        .fetch_one(connection)
        .await
}

/// Sessions that the next hours will bring.
pub async fn forecast(
    connection: &mut PgConnection,
    app: Option<&str>,
) -> Result<Vec<Value>, sqlx::Error> {
    statement::query_scalar(FORECAST).bind(app).fetch_all(connection).await
}

/// Who is there of the replicas, and whether cleanup comes.
pub async fn health(connection: &mut PgConnection) -> Result<Value, sqlx::Error> {
    statement::query_scalar(HEALTH).fetch_one(connection).await
}
