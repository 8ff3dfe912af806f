//! `core.get_session_billing_data`: what was used, as the objects that are shown.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::statement;
use crate::billing::Period;
use crate::query::Page;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[SESSIONS, GROUPED];

/// A later begin of the period leaves out what was seen.
const SESSIONS: &str = "
SELECT used.ended_at, used.session_id, to_jsonb(used)
FROM core.get_session_billing_data(GREATEST($1, CAST($5 AS timestamptz)), $2, $3, $4) AS used
WHERE $5 IS NULL
  OR (used.ended_at, used.session_id) > ($5, CAST($6 AS uuid))
ORDER BY used.ended_at, used.session_id
LIMIT $7";

/// Sessions of nobody have the key of an empty text, so that it can be gone on after.
const GROUPED: &str = "
SELECT jsonb_build_object(
  CAST($5 AS text), key,
  'sessions', count(*),
  'participants', sum(participants),
  'session_minutes', sum(session_minutes),
  'participant_minutes', sum(participant_minutes),
  'peak_participants', max(peak_participants)
)
FROM (
  SELECT
    used.*,
    CASE $5
      WHEN 'user_id' THEN COALESCE(used.user_id, '')
      WHEN 'app' THEN used.app
      ELSE to_char(used.ended_at, 'YYYY-MM-DD')
    END AS key
  FROM core.get_session_billing_data($1, $2, $3, $4) AS used
) AS keyed
WHERE CAST($6 AS text) IS NULL
  OR key COLLATE \"C\" > $6
GROUP BY key
ORDER BY key COLLATE \"C\"
LIMIT $7";

/// Which sessions are counted.
pub struct Filter<'a> {
    /// Those that ended in it.
    pub period: Period,
    /// Those of one user.
    pub user: Option<&'a str>,
    /// Those of one app.
    pub app: Option<&'a str>,
}

/// A session that was used.
pub struct Used {
    /// When it ended.
    pub ended_at: Timestamp,
    /// Which it was.
    pub session: Uuid,
    /// All of it.
    pub shown: Value,
}

/// The sessions, in the order of their ends.
pub async fn sessions(
    connection: &mut PgConnection,
    filter: &Filter<'_>,
    page: &Page,
) -> Result<Vec<Used>, sqlx::Error> {
    let rows: Vec<(jiff_sqlx::Timestamp, Uuid, Value)> = statement::query_as(SESSIONS)
        .bind(jiff_sqlx::Timestamp::from(filter.period.from))
        .bind(jiff_sqlx::Timestamp::from(filter.period.to))
        .bind(filter.user)
        .bind(filter.app)
        .bind(page.after.map(|(at, _)| jiff_sqlx::Timestamp::from(at)))
        .bind(page.after.map(|(_, id)| id))
        .bind(page.read())
        .fetch_all(connection)
        .await?;
    let used = rows.into_iter();
    Ok(used
        .map(|(ended_at, session, shown)| Used { ended_at: ended_at.into(), session, shown })
        .collect())
}

/// What they come to, by `user_id`, `app` or `day`, in the order of that.
pub async fn grouped(
    connection: &mut PgConnection,
    filter: &Filter<'_>,
    group_by: &str,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Value>, sqlx::Error> {
    statement::query_scalar(GROUPED)
        .bind(jiff_sqlx::Timestamp::from(filter.period.from))
        .bind(jiff_sqlx::Timestamp::from(filter.period.to))
        .bind(filter.user)
        .bind(filter.app)
        .bind(group_by)
        .bind(after)
        .bind(limit)
        .fetch_all(connection)
        .await
}
