//! `core.session_groups` and their decks.

use sqlx::PgConnection;
use uuid::Uuid;

/// Held until the end of the transaction: of two parties that sit down at once the second sees the first.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";

/// The newest group at a table that has done something within the last quarter of an hour. It is read from
/// its sessions, since a group that is told of something is not active by that.
const ACTIVE: &str = "
SELECT
  g.session_group_id,
  d.deck_context_id,
  CAST(EXTRACT(epoch FROM now() - max(s.last_activity_at)) / 60 AS double precision)
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

const DECK: &str = "
SELECT deck_context_id
FROM core.deck_sessions
WHERE session_group_id = $1";

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
        sqlx::query(LOCK).bind(name).persistent(false).execute(&mut *connection).await?;
        let active: Option<(Uuid, Option<Uuid>, f64)> = sqlx::query_as(ACTIVE)
            .bind(place.app)
            .bind(table_token)
            .bind(place.context)
            .persistent(false)
            .fetch_optional(&mut *connection)
            .await?;
        if let Some((id, deck, idle)) = active {
            return Ok(Group { id, deck, idle_minutes: Some(idle) });
        }
    }
    let id = Uuid::new_v4();
    let (deck,): (Uuid,) = sqlx::query_as(CREATE)
        .bind(id)
        .bind(place.app)
        .bind(place.table_token)
        .bind(place.context)
        .persistent(false)
        .fetch_one(connection)
        .await?;
    Ok(Group { id, deck: Some(deck), idle_minutes: None })
}

/// The deck of a group.
pub async fn deck(connection: &mut PgConnection, group: Uuid) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar(DECK).bind(group).persistent(false).fetch_optional(connection).await
}
