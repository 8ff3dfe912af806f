//! `core.invites`.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::sessions::session_columns;
use super::statement;
use crate::invite::Invite;
use crate::participant::Member;
use crate::session::Session;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[CREATE, FIND, EXPIRE, COUNT];

const CREATE: &str = "
INSERT INTO core.invites (session_id, token_hash, created_by, expires_at)
SELECT session_id, $2, $3, expires_at
FROM core.sessions
WHERE session_id = $1
RETURNING invite_id";

const FIND: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", i.invite_id, COALESCE((
         SELECT max(p.last_seen_at)
         FROM core.session_participants AS p
         WHERE p.session_id = s.session_id
           AND p.is_active
       ), s.updated_at) AS seen_at
     FROM core.invites AS i
     JOIN core.sessions AS s ON s.session_id = i.session_id
     WHERE i.token_hash = $1
       AND s.removed_at IS NULL"
);

const COUNT: &str = "
UPDATE core.invites
SET accepted_count = accepted_count + 1
WHERE invite_id = $1";

/// Of those who find out at once one is the first.
const EXPIRE: &str = "
UPDATE core.invites
SET expiry_told_at = now()
WHERE invite_id = $1
  AND expiry_told_at IS NULL";

impl FromRow<'_, PgRow> for Invite {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("invite_id")?,
            session: Session::from_row(row)?,
            seen_at: row.try_get::<jiff_sqlx::Timestamp, _>("seen_at")?.into(),
        })
    }
}

/// Keeps an invite. It lasts as long as its session; its row goes some time after the session's end by now.
pub async fn create(
    connection: &mut PgConnection,
    by: &Member,
    token_hash: [u8; 32],
) -> Result<Uuid, sqlx::Error> {
    statement::query_scalar(CREATE)
        .bind(by.session.id)
        .bind(token_hash.to_vec())
        .bind(by.participant.id)
        .fetch_one(connection)
        .await
}

/// Where a link leads to.
pub async fn find(
    connection: &mut PgConnection,
    token_hash: [u8; 32],
) -> Result<Option<Invite>, sqlx::Error> {
    let find = statement::query_as(FIND).bind(token_hash.to_vec());
    find.fetch_optional(connection).await
}

/// Notes that it is told that an invite has expired. Whether nobody was faster.
pub async fn expire(connection: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let expire = statement::query(EXPIRE).bind(id);
    Ok(expire.execute(connection).await?.rows_affected() > 0)
}

/// Somebody came by it.
pub async fn count(connection: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    statement::query(COUNT).bind(id).execute(connection).await?;
    Ok(())
}
