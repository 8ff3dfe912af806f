//! Figures, as the objects that are shown. Hours and days are in UTC, which every transaction of ours is set to.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::statement;
use crate::analytics::tables::Table;
use crate::billing::Period;
use crate::query::Page;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] =
    &[JOIN_CODES, TABLES, CLEANUP_RUNS, ACTIVE_SESSIONS, PAIRING, SESSIONS, FORECAST, HEALTH];

/// As requirement 000 counts it, where a try that a limit refused is a failed one. Wrong codes whose app nobody
/// knows are Table-Talk's, as in its view.
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
  AND (CAST($1 AS text) IS NULL OR app = $1 OR (app IS NULL AND $1 = 'table_talk'))";

/// With what cleanup has taken of today.
const TABLES: &str = "
SELECT table_token, concurrent_groups, total_sessions
FROM (
  SELECT
    table_token,
    count(DISTINCT session_group_id) AS concurrent_groups,
    count(session_id) AS total_sessions
  FROM (
    SELECT table_token, session_group_id, session_id
    FROM core.sessions
    WHERE created_at >= date_trunc('day', now())
      AND (CAST($1 AS text) IS NULL OR app = $1)
    UNION ALL
    SELECT session_row ->> 'table_token', CAST(session_row ->> 'session_group_id' AS uuid), session_id
    FROM core.session_archive
    WHERE app = ANY (CASE WHEN $1 IS NULL THEN '{table_talk,tarot,after_hours}' ELSE ARRAY[$1] END)
      AND ended_at >= date_trunc('day', now())
      AND created_at >= date_trunc('day', now())
  ) AS today
  GROUP BY table_token
) AS counted
WHERE CAST($3 AS bigint) IS NULL
  OR concurrent_groups < $3
  OR (concurrent_groups = $3 AND total_sessions < CAST($4 AS bigint))
  OR (
    concurrent_groups = $3 AND total_sessions = $4
    AND (table_token COLLATE \"C\" > CAST($5 AS text) OR (table_token IS NULL AND $5 IS NOT NULL))
  )
ORDER BY concurrent_groups DESC, total_sessions DESC, table_token COLLATE \"C\"
LIMIT $2";

const CLEANUP_RUNS: &str = "
SELECT \"timestamp\", id, event_data || jsonb_build_object('app', app, 'timestamp', \"timestamp\")
FROM core.analytics_events
WHERE event_type = 'cleanup_job_completed'
  AND (CAST($1 AS text) IS NULL OR app = $1)
  AND (CAST($3 AS timestamptz) IS NULL OR (\"timestamp\", id) < ($3, CAST($4 AS bigint)))
ORDER BY \"timestamp\" DESC, id DESC
LIMIT $2";

const ACTIVE_SESSIONS: &str = "
SELECT last_active, first_session_id, jsonb_build_object(
  'app', app,
  'table_token', table_token,
  'session_group_id', session_group_id,
  'context', context,
  'mode', mode,
  'dual_status', dual_status,
  'sessions', sessions,
  'participants', participants,
  'last_active', last_active,
  'minutes_inactive', round(minutes_inactive, 2)
)
FROM core.active_sessions
WHERE (CAST($1 AS text) IS NULL OR app = $1)
  AND (CAST($3 AS timestamptz) IS NULL OR (last_active, first_session_id) < ($3, CAST($4 AS uuid)))
ORDER BY last_active DESC, first_session_id DESC
LIMIT $2";

/// An hour after the other: all rows at once would have to be sorted.
const PAIRING: &str = "
SELECT jsonb_build_object(
  'hour', hour,
  'pairings', pairings,
  'avg_pairing_time_seconds', avg_pairing_time_seconds,
  'expired_codes', expired_codes
)
FROM generate_series(
  date_trunc('hour', now()), date_trunc('hour', now() - interval '24 hours'), -interval '1 hour'
) AS hour
CROSS JOIN LATERAL (
  SELECT
    count(*) FILTER (WHERE event_type = 'dual_phone_paired') AS pairings,
    round(
      avg(CAST(event_data ->> 'pairing_seconds' AS numeric)) FILTER (WHERE event_type = 'dual_phone_paired'),
      2
    ) AS avg_pairing_time_seconds,
    count(*) FILTER (WHERE event_type = 'join_code_expired') AS expired_codes
  FROM core.analytics_events
  WHERE event_type IN ('dual_phone_paired', 'join_code_expired')
    AND \"timestamp\" > now() - interval '24 hours'
    AND \"timestamp\" >= hour
    AND \"timestamp\" < hour + interval '1 hour'
    AND (CAST($1 AS text) IS NULL OR app = $1)
) AS counted
WHERE pairings > 0
  OR expired_codes > 0
ORDER BY hour DESC";

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
        AND ended_at IS NULL
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

/// A row of a list, and where it stands in it.
pub struct Row<P> {
    /// Its place.
    pub place: P,
    /// All of it.
    pub shown: Value,
}

/// The busiest tables of today.
pub async fn tables(
    connection: &mut PgConnection,
    app: Option<&str>,
    page: &Page<Table>,
) -> Result<Vec<Table>, sqlx::Error> {
    let after = page.after.as_ref();
    let rows: Vec<(Option<String>, i64, i64)> = statement::query_as(TABLES)
        .bind(app)
        .bind(page.read())
        .bind(after.map(|table| table.groups))
        .bind(after.map(|table| table.sessions))
        .bind(after.and_then(|table| table.token.as_deref()))
        .fetch_all(connection)
        .await?;
    let tables = rows.into_iter();
    Ok(tables.map(|(token, groups, sessions)| Table { token, groups, sessions }).collect())
}

/// The newest runs of cleanup.
pub async fn cleanup_runs(
    connection: &mut PgConnection,
    app: Option<&str>,
    page: &Page<(Timestamp, i64)>,
) -> Result<Vec<Row<(Timestamp, i64)>>, sqlx::Error> {
    let rows: Vec<(jiff_sqlx::Timestamp, i64, Value)> = statement::query_as(CLEANUP_RUNS)
        .bind(app)
        .bind(page.read())
        .bind(page.after.map(|(at, _)| jiff_sqlx::Timestamp::from(at)))
        .bind(page.after.map(|(_, id)| id))
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|(at, id, shown)| Row { place: (at.into(), id), shown }).collect())
}

/// Who plays now.
pub async fn active_sessions(
    connection: &mut PgConnection,
    app: Option<&str>,
    page: &Page,
) -> Result<Vec<Row<(Timestamp, Uuid)>>, sqlx::Error> {
    let rows: Vec<(jiff_sqlx::Timestamp, Uuid, Value)> = statement::query_as(ACTIVE_SESSIONS)
        .bind(app)
        .bind(page.read())
        .bind(page.after.map(|(at, _)| jiff_sqlx::Timestamp::from(at)))
        .bind(page.after.map(|(_, id)| id))
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|(at, id, shown)| Row { place: (at.into(), id), shown }).collect())
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
