//! The codes of `core.sessions`: how one is found, used once, and made void.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::sessions::session_columns;
use super::statement;
use crate::code::KeptCode;
use crate::session::Session;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] =
    &[FIND, USE, EXPIRE, IS_LIVE, ISSUE, REVOKE, COUNT_MISUSE, WAITING_AT, IS_CROWDED];

/// One that waits goes before one that is over: the same six digits come again.
const FIND: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", s.pairing_key_id, s.pairing_salt, s.pairing_code_hash
     FROM core.sessions AS s
     WHERE s.pairing_code_lookup = ANY($1)
     ORDER BY s.dual_status = 'waiting' AND s.pairing_code_hash IS NOT NULL DESC, s.pairing_expires_at DESC
     LIMIT 1"
);

/// One winner: whoever comes second finds no row.
const USE: &str = concat!(
    "UPDATE core.sessions AS s
     SET dual_status = 'paired',
         pairing_code_hash = NULL,
         pairing_salt = NULL,
         pairing_code_lookup = NULL,
         last_activity_at = now()
     WHERE s.session_id = $1
       AND s.dual_status = 'waiting'
       AND s.pairing_code_hash = $2
       AND s.pairing_expires_at > now()
       AND s.expires_at > now()
       AND s.ended_at IS NULL
     RETURNING ",
    session_columns!()
);

/// What cleanup would do to it, by whoever comes first. The lookup stays, so that an expired code is told
/// from a wrong one.
const EXPIRE: &str = concat!(
    "UPDATE core.sessions AS s
     SET dual_status = 'ended', expires_at = now(), pairing_code_hash = NULL, end_announced_at = now()
     WHERE s.session_id = $1
       AND s.dual_status = 'waiting'
       AND s.pairing_code_hash IS NOT NULL
       AND s.pairing_expires_at <= now()
       AND s.ended_at IS NULL
     RETURNING ",
    session_columns!()
);

const IS_LIVE: &str = "
SELECT EXISTS (
  SELECT
  FROM core.sessions
  WHERE pairing_code_lookup = ANY($1)
    AND dual_status = 'waiting'
    AND pairing_code_hash IS NOT NULL
)";

const ISSUE: &str = concat!(
    "UPDATE core.sessions AS s
     SET pairing_code_hash = $2,
         pairing_salt = $3,
         pairing_key_id = $4,
         pairing_code_lookup = $5,
         pairing_expires_at = LEAST(now() + interval '10 minutes', s.expires_at),
         pairing_attempts = 0,
         last_activity_at = now()
     WHERE s.session_id = $1
     RETURNING ",
    session_columns!()
);

/// Void for good: nobody can tell it from a code that never was.
const REVOKE: &str = "
UPDATE core.sessions
SET pairing_code_hash = NULL, pairing_salt = NULL, pairing_key_id = NULL, pairing_code_lookup = NULL
WHERE session_id = $1";

/// A code that somebody knew and used at the wrong table is burned by the tenth time.
const COUNT_MISUSE: &str = "
UPDATE core.sessions
SET pairing_attempts = pairing_attempts + 1
WHERE session_id = $1
RETURNING pairing_attempts >= 10";

const WAITING_AT: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM core.sessions AS s
     WHERE s.table_token = $1
       AND s.dual_status = 'waiting'
       AND s.pairing_code_hash IS NOT NULL
     ORDER BY s.session_id
     FOR UPDATE"
);

/// Wrong tries of everybody within a minute, and codes that wait, each counted as far as it matters.
const IS_CROWDED: &str = "
SELECT
  (
    SELECT count(*)
    FROM (
      SELECT
      FROM core.analytics_events
      WHERE event_type = 'join_code_failed'
        AND \"timestamp\" > now() - interval '1 minute'
        AND event_data ->> 'reason' <> 'rate_limited'
      LIMIT CAST($1 AS bigint) + 1
    ) AS wrong
  ) > $1
  OR (
    SELECT count(*)
    FROM (
      SELECT
      FROM core.sessions
      WHERE dual_status = 'waiting'
        AND pairing_expires_at > now()
        AND pairing_code_hash IS NOT NULL
      LIMIT CAST($2 AS bigint) + 1
    ) AS live
  ) > $2";

/// A code that was found, whether it waits or not.
pub struct FoundCode {
    /// Its session.
    pub session: Session,
    /// The key that made it.
    pub key_id: Option<String>,
    /// Its salt.
    pub salt: Option<Vec<u8>>,
    /// What proves it; gone when it is over.
    pub hash: Option<Vec<u8>>,
}

impl FromRow<'_, PgRow> for FoundCode {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            session: Session::from_row(row)?,
            key_id: row.try_get("pairing_key_id")?,
            salt: row.try_get("pairing_salt")?,
            hash: row.try_get("pairing_code_hash")?,
        })
    }
}

/// Finds a code by what is kept of it under each key.
pub async fn find(
    connection: &mut PgConnection,
    lookups: &[Vec<u8>],
) -> Result<Option<FoundCode>, sqlx::Error> {
    statement::query_as(FIND).bind(lookups).fetch_optional(connection).await
}

/// Uses a code; nothing where somebody was faster.
pub async fn use_up(
    connection: &mut PgConnection,
    session: Uuid,
    hash: &[u8],
) -> Result<Option<Session>, sqlx::Error> {
    let used = statement::query_as(USE).bind(session).bind(hash);
    used.fetch_optional(connection).await
}

/// Ends a session that has waited too long; nothing where somebody was faster.
pub async fn expire(
    connection: &mut PgConnection,
    session: Uuid,
) -> Result<Option<Session>, sqlx::Error> {
    statement::query_as(EXPIRE).bind(session).fetch_optional(connection).await
}

/// Whether another session waits with this code, under whichever key.
pub async fn is_live(
    connection: &mut PgConnection,
    lookups: &[Vec<u8>],
) -> Result<bool, sqlx::Error> {
    statement::query_scalar(IS_LIVE).bind(lookups).fetch_one(connection).await
}

/// Gives a session a new code in place of its old one; nothing where somebody took that code a moment ago,
/// which leaves nothing to do in the transaction.
pub async fn issue(
    connection: &mut PgConnection,
    session: Uuid,
    code: &KeptCode,
) -> Result<Option<Session>, sqlx::Error> {
    let issued = statement::query_as(ISSUE)
        .bind(session)
        .bind(&code.hash)
        .bind(code.salt.as_slice())
        .bind(&code.key_id)
        .bind(&code.lookup)
        .fetch_one(connection)
        .await;
    match issued {
        Ok(issued) => Ok(Some(issued)),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a code void.
pub async fn revoke(connection: &mut PgConnection, session: Uuid) -> Result<(), sqlx::Error> {
    statement::query(REVOKE).bind(session).execute(connection).await?;
    Ok(())
}

/// Counts that a code was used where it does not belong; whether it was once too often.
pub async fn count_misuse(
    connection: &mut PgConnection,
    session: Uuid,
) -> Result<bool, sqlx::Error> {
    statement::query_scalar(COUNT_MISUSE).bind(session).fetch_one(connection).await
}

/// The sessions that wait at a table, locked until the end of the transaction.
pub async fn waiting_at(
    connection: &mut PgConnection,
    table_token: &str,
) -> Result<Vec<Session>, sqlx::Error> {
    statement::query_as(WAITING_AT).bind(table_token).fetch_all(connection).await
}

/// Whether more wrong codes were tried in the last minute, or more wait, than these.
pub async fn is_crowded(
    connection: &mut PgConnection,
    wrong: i64,
    live: i64,
) -> Result<bool, sqlx::Error> {
    let is_crowded = statement::query_scalar(IS_CROWDED).bind(wrong).bind(live);
    is_crowded.fetch_one(connection).await
}
