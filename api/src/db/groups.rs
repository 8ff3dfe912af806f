//! `core.session_groups` and their decks.

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::statement;
use crate::group;
use crate::query::Page;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[LOCK, ACTIVE, CREATE, FIND, LIST];

/// Held until the end of the transaction: of two parties that sit down at once the second sees the first.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";

/// The newest group at a table that has done something within the last quarter of an hour. It is read from
/// its sessions, since a group that is told of something is not active by that.
const ACTIVE: &str = "
SELECT
  g.session_group_id,
  d.deck_context_id,
  CAST(EXTRACT(epoch FROM GREATEST(now() - max(s.last_activity_at), interval '0')) / 60 AS double precision)
FROM core.sessions AS s
JOIN core.session_groups AS g ON g.session_group_id = s.session_group_id
LEFT JOIN core.deck_sessions AS d ON d.session_group_id = g.session_group_id
WHERE s.app = $1
  AND s.table_token = $2
  AND s.context IS NOT DISTINCT FROM $3
  AND s.ended_at IS NULL
  AND s.expires_at > now()
  AND s.last_activity_at > now() - interval '15 minutes'
GROUP BY g.session_group_id, d.deck_context_id
ORDER BY g.created_at DESC
LIMIT 1";

const CREATE: &str = "
WITH made AS (
  INSERT INTO core.session_groups (session_group_id, app, table_token, context)
  VALUES ($1, $2, $3, $4)
)
INSERT INTO core.deck_sessions (session_group_id)
VALUES ($1)
RETURNING deck_context_id";

/// A group with its sessions that are live; each group is looked at once.
macro_rules! groups {
    ($condition:literal) => {
        concat!(
            "SELECT
               g.session_group_id, g.app, g.table_token, g.context, g.created_at, d.deck_context_id,
               live.sessions, live.participants, live.last_activity_at
             FROM core.session_groups AS g
             LEFT JOIN core.deck_sessions AS d ON d.session_group_id = g.session_group_id
             CROSS JOIN LATERAL (
               SELECT
                 count(*) AS sessions,
                 COALESCE(sum(s.participant_count), 0) AS participants,
                 max(s.last_activity_at) AS last_activity_at
               FROM core.sessions AS s
               WHERE s.session_group_id = g.session_group_id
                 AND s.ended_at IS NULL
                 AND s.expires_at > now()
             ) AS live
             WHERE ",
            $condition
        )
    };
}

const FIND: &str = groups!("g.session_group_id = $1");

/// From the sessions that are live, since a table has had many groups.
const LIST: &str = groups!(
    "g.session_group_id IN (
       SELECT session_group_id
       FROM core.sessions
       WHERE table_token = $1
         AND app = $2
         AND ended_at IS NULL
         AND expires_at > now()
     )
     AND (CAST($3 AS timestamptz) IS NULL OR (g.created_at, g.session_group_id) < ($3, CAST($4 AS uuid)))
     ORDER BY g.created_at DESC, g.session_group_id DESC
     LIMIT $5"
);

impl FromRow<'_, PgRow> for group::Group {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let created_at: jiff_sqlx::Timestamp = row.try_get("created_at")?;
        let last_activity_at: Option<jiff_sqlx::Timestamp> = row.try_get("last_activity_at")?;
        Ok(Self {
            id: row.try_get("session_group_id")?,
            app: row.try_get("app")?,
            table_token: row.try_get("table_token")?,
            context: row.try_get("context")?,
            deck: row.try_get("deck_context_id")?,
            created_at: created_at.into(),
            sessions: row.try_get("sessions")?,
            participants: row.try_get("participants")?,
            last_activity_at: last_activity_at.map(Timestamp::from),
        })
    }
}

/// Where a party sits: at a table of an app, with what it plays.
pub struct Place<'a> {
    /// The app.
    pub app: &'a str,
    /// The table; without one a party is alone.
    pub table_token: Option<&'a str>,
    /// What is played.
    pub context: Option<&'a str>,
}

/// A group and its deck.
pub struct Group {
    /// The group.
    pub id: Uuid,
    /// What its cards are shuffled by.
    pub deck: Option<Uuid>,
    /// Minutes since it last did something; nothing where it was made just now.
    pub idle_minutes: Option<f64>,
}

/// The group of a party that sits down: the one that is there, or a new one.
pub async fn choose(
    connection: &mut PgConnection,
    place: &Place<'_>,
) -> Result<Group, sqlx::Error> {
    if let Some(table_token) = place.table_token {
        // A unit separator stands in none of the three.
        let name = [place.app, table_token, place.context.unwrap_or_default()].join("\u{1f}");
        statement::query(LOCK).bind(name).execute(&mut *connection).await?;
        let active: Option<(Uuid, Option<Uuid>, f64)> = statement::query_as(ACTIVE)
            .bind(place.app)
            .bind(table_token)
            .bind(place.context)
            .fetch_optional(&mut *connection)
            .await?;
        if let Some((id, deck, idle)) = active {
            return Ok(Group { id, deck, idle_minutes: Some(idle) });
        }
    }
    let id = Uuid::new_v4();
    let (deck,): (Uuid,) = statement::query_as(CREATE)
        .bind(id)
        .bind(place.app)
        .bind(place.table_token)
        .bind(place.context)
        .fetch_one(connection)
        .await?;
    Ok(Group { id, deck: Some(deck), idle_minutes: None })
}

/// A group as it is now.
pub async fn find(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<group::Group>, sqlx::Error> {
    statement::query_as(FIND).bind(id).fetch_optional(connection).await
}

/// The groups at a table whose sessions are live, newest first.
pub async fn list(
    connection: &mut PgConnection,
    app: &str,
    table_token: &str,
    page: &Page,
) -> Result<Vec<group::Group>, sqlx::Error> {
    statement::query_as(LIST)
        .bind(table_token)
        .bind(app)
        .bind(page.after.map(|(at, _)| jiff_sqlx::Timestamp::from(at)))
        .bind(page.after.map(|(_, id)| id))
        .bind(page.read())
        .fetch_all(connection)
        .await
}
