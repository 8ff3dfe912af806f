//! The tables of After Hours that are no sessions.

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::statement;
use crate::after_hours::{Match, Message};
use crate::query::Page;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] =
    &[DECLINE, SEE_DEVICE, HAS_DECLINED, HAS_MATCH, MAKE_MATCH, FIND_MATCH, SAVE, WRITE, MESSAGES];

const DECLINE: &str = "
INSERT INTO after_hours.after_hours_declines (session_id, user_id, declined_user_id)
VALUES ($1, $2, $3)
RETURNING id";

const SEE_DEVICE: &str = "
INSERT INTO after_hours.device_fingerprints (session_id, fingerprint_hash)
VALUES ($1, $2)
RETURNING id";

/// Whichever of the two it was.
const HAS_DECLINED: &str = "
SELECT EXISTS (
  SELECT
  FROM after_hours.after_hours_declines
  WHERE session_id = $1
    AND (user_id, declined_user_id) IN (($2, $3), ($3, $2))
)";

const HAS_MATCH: &str = "
SELECT EXISTS (
  SELECT
  FROM after_hours.after_hours_matches
  WHERE session_id = $1
    AND (user_a, user_b) IN (($2, $3), ($3, $2))
)";

/// The columns of a [`Match`].
macro_rules! match_columns {
    () => {
        "id, session_id, user_a, user_b, created_at, expires_at, converted_to_match_id"
    };
}

const MAKE_MATCH: &str = concat!(
    "INSERT INTO after_hours.after_hours_matches (session_id, user_a, user_b, expires_at)
     SELECT session_id, $2, $3, expires_at
     FROM core.sessions
     WHERE session_id = $1
     RETURNING ",
    match_columns!()
);

const FIND_MATCH: &str = concat!(
    "SELECT ",
    match_columns!(),
    " FROM after_hours.after_hours_matches
     WHERE id = $1
       AND session_id IS NOT NULL"
);

const SAVE: &str = concat!(
    "UPDATE after_hours.after_hours_matches
     SET converted_to_match_id = $2
     WHERE id = $1
     RETURNING ",
    match_columns!()
);

/// Whoever writes has locked the session, so that messages are in the order of their times.
const WRITE: &str = "
INSERT INTO after_hours.after_hours_messages (match_id, sender_id, body, sent_at)
VALUES ($1, $2, $3, clock_timestamp())
RETURNING id, sender_id, body, sent_at";

const MESSAGES: &str = "
SELECT id, sender_id, body, sent_at
FROM after_hours.after_hours_messages
WHERE match_id = $1
  AND (CAST($2 AS timestamptz) IS NULL OR (sent_at, id) > ($2, CAST($3 AS uuid)))
ORDER BY sent_at, id
LIMIT $4";

impl FromRow<'_, PgRow> for Match {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let time = |column| row.try_get::<jiff_sqlx::Timestamp, _>(column).map(Timestamp::from);
        Ok(Self {
            id: row.try_get("id")?,
            session: row.try_get("session_id")?,
            users: [row.try_get("user_a")?, row.try_get("user_b")?],
            created_at: time("created_at")?,
            expires_at: time("expires_at")?,
            saved_as: row.try_get("converted_to_match_id")?,
        })
    }
}

impl FromRow<'_, PgRow> for Message {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            sender: row.try_get("sender_id")?,
            body: row.try_get("body")?,
            sent_at: row.try_get::<jiff_sqlx::Timestamp, _>("sent_at")?.into(),
        })
    }
}

/// Notes that one does not want to meet the other.
pub async fn decline(
    connection: &mut PgConnection,
    session: Uuid,
    user: &str,
    declined: &str,
) -> Result<Uuid, sqlx::Error> {
    let decline = statement::query_scalar(DECLINE).bind(session).bind(user).bind(declined);
    decline.fetch_one(connection).await
}

/// Notes a device.
pub async fn see_device(
    connection: &mut PgConnection,
    session: Uuid,
    hash: &[u8],
) -> Result<Uuid, sqlx::Error> {
    let see = statement::query_scalar(SEE_DEVICE).bind(session).bind(hash);
    see.fetch_one(connection).await
}

/// Whether one of two has declined the other in this session.
pub async fn has_declined(
    connection: &mut PgConnection,
    session: Uuid,
    [one, other]: &[String; 2],
) -> Result<bool, sqlx::Error> {
    let has = statement::query_scalar(HAS_DECLINED).bind(session).bind(one).bind(other);
    has.fetch_one(connection).await
}

/// Whether two match already.
pub async fn has_match(
    connection: &mut PgConnection,
    session: Uuid,
    [one, other]: &[String; 2],
) -> Result<bool, sqlx::Error> {
    let has = statement::query_scalar(HAS_MATCH).bind(session).bind(one).bind(other);
    has.fetch_one(connection).await
}

/// Makes a match that lasts as long as its session does now.
pub async fn make_match(
    connection: &mut PgConnection,
    session: Uuid,
    [one, other]: &[String; 2],
) -> Result<Match, sqlx::Error> {
    let make = statement::query_as(MAKE_MATCH).bind(session).bind(one).bind(other);
    make.fetch_one(connection).await
}

/// A match.
pub async fn find_match(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<Match>, sqlx::Error> {
    statement::query_as(FIND_MATCH).bind(id).fetch_optional(connection).await
}

/// Saves a match under another id.
pub async fn save(
    connection: &mut PgConnection,
    id: Uuid,
    saved_as: Uuid,
) -> Result<Match, sqlx::Error> {
    let save = statement::query_as(SAVE).bind(id).bind(saved_as);
    save.fetch_one(connection).await
}

/// Writes a message.
pub async fn write(
    connection: &mut PgConnection,
    in_match: Uuid,
    sender: &str,
    body: &str,
) -> Result<Message, sqlx::Error> {
    let write = statement::query_as(WRITE).bind(in_match).bind(sender).bind(body);
    write.fetch_one(connection).await
}

/// What was written, oldest first.
pub async fn messages(
    connection: &mut PgConnection,
    in_match: Uuid,
    page: &Page,
) -> Result<Vec<Message>, sqlx::Error> {
    statement::query_as(MESSAGES)
        .bind(in_match)
        .bind(page.after.map(|(at, _)| jiff_sqlx::Timestamp::from(at)))
        .bind(page.after.map(|(_, id)| id))
        .bind(page.read())
        .fetch_all(connection)
        .await
}
