//! `core.session_participants`. A token leads to its participant and from there to the session, and to no
//! other.

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::sessions::session_columns;
use super::statement;
use crate::participant::{Member, Participant};
use crate::session::Session;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[
    JOIN,
    FIND,
    FIND_AND_LOCK,
    LIST,
    LEAVE,
    TELLS,
    DISCONNECT,
    SEE,
    RECONNECT,
    SET_READY,
    FIND_USER,
    IS_TAKEN,
    COUNT_READY,
];

/// The columns of a [`Participant`], of the table that is called `p`.
macro_rules! participant_columns {
    () => {
        "p.participant_id, p.display_name, p.role, p.ready, p.joined_at, p.last_seen_at, p.disconnected_at, p.left_at,
         p.user_id AS participant_user_id"
    };
}

/// Those who left count too: whoever comes and goes without end leaves rows without end.
const JOIN: &str = concat!(
    "INSERT INTO core.session_participants AS p (session_id, display_name, role, token_hash, user_id)
     SELECT CAST($1 AS uuid), CAST($2 AS text), CAST($3 AS text), CAST($4 AS bytea), CAST($5 AS text)
     WHERE (SELECT count(*) FROM core.session_participants WHERE session_id = $1) < 512
     RETURNING ",
    participant_columns!()
);

const FIND: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", ",
    participant_columns!(),
    " FROM core.session_participants AS p
     JOIN core.sessions AS s ON s.session_id = p.session_id
     WHERE p.token_hash = $1"
);

/// Rows are locked in the order of FROM: the session first, as by a cleanup that deletes both.
const FIND_AND_LOCK: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", ",
    participant_columns!(),
    " FROM core.sessions AS s
     JOIN core.session_participants AS p ON p.session_id = s.session_id
     WHERE p.token_hash = $1
     FOR UPDATE"
);

/// Those who are there, and beside each of them the group; a row without one where nobody is.
const LIST: &str = concat!(
    "SELECT ",
    participant_columns!(),
    ", d.deck_context_id, g.epoch, g.last_seq
     FROM core.session_groups AS g
     LEFT JOIN core.deck_sessions AS d ON d.session_group_id = g.session_group_id
     LEFT JOIN core.session_participants AS p ON p.session_id = $1 AND p.left_at IS NULL
     WHERE g.session_group_id = $2
     ORDER BY p.joined_at, p.participant_id"
);

const LEAVE: &str = "
UPDATE core.session_participants
SET left_at = now()
WHERE participant_id = $1";

/// What is marked in this transaction is told of in it, and by no trigger.
const TELLS: &str = "SELECT set_config('session_api.tells', 'on', TRUE)";

/// Those who are there: one of them, or all.
const DISCONNECT: &str = "
UPDATE core.session_participants
SET disconnected_at = now()
WHERE session_id = $1
  AND (CAST($2 AS uuid) IS NULL OR participant_id = $2)
  AND is_active
RETURNING participant_id";

const SEE: &str = "
UPDATE core.session_participants
SET last_seen_at = GREATEST(last_seen_at, now())
WHERE participant_id = $1";

/// Of two heartbeats at once one finds them gone.
const RECONNECT: &str = "
UPDATE core.session_participants
SET last_seen_at = GREATEST(last_seen_at, now()), disconnected_at = NULL
WHERE participant_id = $1
  AND disconnected_at IS NOT NULL";

const SET_READY: &str = "
UPDATE core.session_participants
SET ready = $2
WHERE participant_id = $1";

/// Who has no name of the app is called by their id.
const FIND_USER: &str = "
SELECT EXISTS (
  SELECT
  FROM core.session_participants
  WHERE session_id = $1
    AND COALESCE(user_id, CAST(participant_id AS text)) = $2
    AND left_at IS NULL
)";

/// Somebody of that name is there, or left and had another token.
const IS_TAKEN: &str = "
SELECT COALESCE(bool_or(left_at IS NULL) OR NOT bool_or(COALESCE(token_hash = $3, FALSE)), FALSE)
FROM core.session_participants
WHERE session_id = $1
  AND COALESCE(user_id, CAST(participant_id AS text)) = $2";

const COUNT_READY: &str = "
SELECT count(*) FILTER (WHERE ready), count(*)
FROM core.session_participants
WHERE session_id = $1
  AND left_at IS NULL";

impl FromRow<'_, PgRow> for Participant {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let time = |column| row.try_get::<jiff_sqlx::Timestamp, _>(column).map(Timestamp::from);
        let is_set = |column| {
            let moment = row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column)?;
            Ok::<_, sqlx::Error>(moment.is_some())
        };
        Ok(Self {
            id: row.try_get("participant_id")?,
            display_name: row.try_get("display_name")?,
            user_id: row.try_get("participant_user_id")?,
            role: row.try_get("role")?,
            ready: row.try_get("ready")?,
            joined_at: time("joined_at")?,
            last_seen_at: time("last_seen_at")?,
            is_disconnected: is_set("disconnected_at")?,
            has_left: is_set("left_at")?,
        })
    }
}

impl FromRow<'_, PgRow> for Member {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { session: Session::from_row(row)?, participant: Participant::from_row(row)? })
    }
}

/// Who joins.
pub struct Newcomer<'a> {
    /// `host` or `guest`.
    pub role: &'a str,
    /// For people.
    pub display_name: Option<&'a str>,
    /// By the name that the app has for them.
    pub user_id: Option<&'a str>,
    /// What is kept of the token.
    pub token_hash: [u8; 32],
}

/// Adds a participant, as long as the session has not seen too many.
pub async fn join(
    connection: &mut PgConnection,
    session: Uuid,
    newcomer: &Newcomer<'_>,
) -> Result<Option<Participant>, sqlx::Error> {
    statement::query_as(JOIN)
        .bind(session)
        .bind(newcomer.display_name)
        .bind(newcomer.role)
        .bind(newcomer.token_hash.as_slice())
        .bind(newcomer.user_id)
        .fetch_optional(connection)
        .await
}

/// Whose token it is, and of which session.
pub async fn find(
    connection: &mut PgConnection,
    token_hash: [u8; 32],
) -> Result<Option<Member>, sqlx::Error> {
    let find = statement::query_as(FIND).bind(token_hash.to_vec());
    find.fetch_optional(connection).await
}

/// The same, with both locked until the end of the transaction.
pub async fn find_and_lock(
    connection: &mut PgConnection,
    token_hash: [u8; 32],
) -> Result<Option<Member>, sqlx::Error> {
    let find = statement::query_as(FIND_AND_LOCK).bind(token_hash.to_vec());
    find.fetch_optional(connection).await
}

/// What a session has around it.
pub struct Present {
    /// Who has not left, in the order in which they came.
    pub participants: Vec<Participant>,
    /// What cards are drawn for, where there are cards.
    pub deck: Option<Uuid>,
    /// Of the last event of the group: epoch and number.
    pub head: (i64, i64),
}

/// Those who are there, with what is of their group.
pub async fn list(
    connection: &mut PgConnection,
    session: Uuid,
    group: Uuid,
) -> Result<Present, sqlx::Error> {
    let rows = statement::query(LIST).bind(session).bind(group).fetch_all(connection).await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let is_somebody = |row: &&PgRow| {
        row.try_get::<Option<Uuid>, _>("participant_id").is_ok_and(|id| id.is_some())
    };
    let participants = rows.iter().filter(is_somebody).map(Participant::from_row);
    Ok(Present {
        participants: participants.collect::<Result<_, _>>()?,
        deck: first.try_get("deck_context_id")?,
        head: (first.try_get("epoch")?, first.try_get("last_seq")?),
    })
}

/// Somebody leaves.
pub async fn leave(connection: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    statement::query(LEAVE).bind(id).execute(connection).await?;
    Ok(())
}

/// Marks those who are there as gone, or one of them. Who was, which is to be told of.
pub async fn disconnect(
    connection: &mut PgConnection,
    session: Uuid,
    participant: Option<Uuid>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    statement::query(TELLS).execute(&mut *connection).await?;
    let disconnect = statement::query_scalar(DISCONNECT).bind(session).bind(participant);
    disconnect.fetch_all(connection).await
}

/// Somebody is there.
pub async fn see(connection: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    statement::query(SEE).bind(id).execute(connection).await?;
    Ok(())
}

/// Somebody is there again whom cleanup has marked as gone. Whether they still were.
pub async fn reconnect(connection: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let reconnect = statement::query(RECONNECT).bind(id);
    Ok(reconnect.execute(connection).await?.rows_affected() > 0)
}

/// Somebody is ready, or not any more.
pub async fn set_ready(
    connection: &mut PgConnection,
    id: Uuid,
    ready: bool,
) -> Result<(), sqlx::Error> {
    statement::query(SET_READY).bind(id).bind(ready).execute(connection).await?;
    Ok(())
}

/// Whether somebody of that name is in the session.
pub async fn find_user(
    connection: &mut PgConnection,
    session: Uuid,
    user_id: &str,
) -> Result<bool, sqlx::Error> {
    let find = statement::query_scalar(FIND_USER).bind(session).bind(user_id);
    find.fetch_one(connection).await
}

/// Whether in the session a name is that of another one than of whoever had the token.
pub async fn is_taken(
    connection: &mut PgConnection,
    session: Uuid,
    user_id: &str,
    former: Option<[u8; 32]>,
) -> Result<bool, sqlx::Error> {
    let former = former.map(|hash| hash.to_vec());
    let is_taken = statement::query_scalar(IS_TAKEN).bind(session).bind(user_id).bind(former);
    is_taken.fetch_one(connection).await
}

/// How many are ready, of how many.
pub async fn count_ready(
    connection: &mut PgConnection,
    session: Uuid,
) -> Result<(i64, i64), sqlx::Error> {
    statement::query_as(COUNT_READY).bind(session).fetch_one(connection).await
}
