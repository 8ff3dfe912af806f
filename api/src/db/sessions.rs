//! `core.sessions`. What holds of a session whoever writes it is held by triggers (ADR 17).

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::statement;
use crate::body::Replacement;
use crate::code::KeptCode;
use crate::session::Session;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[CREATE, LOCK, CHANGE, END, RECOVER, REMOVE, TOUCH];

/// The columns of a [`Session`], of the table that is called `s`.
macro_rules! session_columns {
    () => {
        "s.session_id, s.app, s.mode, s.session_group_id, s.table_token, s.context, s.title, s.dual_status,
         s.created_at, s.last_activity_at, s.expires_at, s.ended_at, s.end_reason, s.removed_at,
         s.participant_count, s.pairing_expires_at, s.user_id, CAST(s.xmin AS text) AS version"
    };
}
pub(super) use session_columns;

/// A code that another session waits with leaves nothing: then another one is drawn.
const CREATE: &str = concat!(
    "INSERT INTO core.sessions AS s (
       session_id, app, mode, session_group_id, table_token, context, title, dual_status, expires_at,
       pairing_code_hash, pairing_salt, pairing_key_id, pairing_code_lookup, pairing_expires_at,
       user_id, host_user_id
     )
     VALUES (
       $1, $2, $3, $4, $5, $6, $7,
       CASE $3 WHEN 'dual' THEN 'waiting' END,
       now() + make_interval(secs => $8),
       $9, $10, $11, $12,
       CASE $3 WHEN 'dual' THEN now() + LEAST(interval '10 minutes', make_interval(secs => $8)) END,
       CASE $2 WHEN 'after_hours' THEN $13 END,
       CASE $2 WHEN 'after_hours' THEN NULL ELSE $13 END
     )
     ON CONFLICT (pairing_code_lookup) WHERE dual_status = 'waiting' AND pairing_code_hash IS NOT NULL
     DO NOTHING
     RETURNING ",
    session_columns!()
);

const CHANGE: &str = concat!(
    "UPDATE core.sessions AS s
     SET title = CASE WHEN $2 THEN $3 ELSE s.title END,
         expires_at = s.expires_at + make_interval(secs => $4),
         last_activity_at = now()
     WHERE s.session_id = $1
     RETURNING ",
    session_columns!()
);

/// It ends for good: no code leads to it any more, nothing asks for it by the time that it had left, and its end is told
/// in the same transaction.
const END: &str = concat!(
    "UPDATE core.sessions AS s
     SET ended_at = now(),
         expires_at = LEAST(s.expires_at, now()),
         end_reason = 'ended',
         end_announced_at = now(),
         dual_status = CASE s.mode WHEN 'dual' THEN 'ended' END,
         pairing_code_hash = NULL,
         pairing_salt = NULL,
         pairing_key_id = NULL,
         pairing_code_lookup = NULL
     WHERE s.session_id = $1
     RETURNING ",
    session_columns!()
);

/// What ended it is undone by a trigger. Its code stays void: a host who still waits asks for a new one.
const RECOVER: &str = concat!(
    "UPDATE core.sessions AS s
     SET ended_at = NULL,
         is_active = TRUE,
         end_reason = NULL,
         end_announced_at = NULL,
         expires_at = LEAST(now() + interval '1 hour', s.created_at + interval '24 hours'),
         last_activity_at = now(),
         dual_status = CASE
           WHEN s.mode <> 'dual' THEN NULL
           WHEN (SELECT count(*) FROM core.session_participants AS p WHERE p.session_id = s.session_id) > 1 THEN 'paired'
           ELSE 'waiting'
         END,
         pairing_code_hash = NULL,
         pairing_code_lookup = NULL,
         pairing_expires_at = CASE s.mode WHEN 'dual' THEN now() + interval '10 minutes' END
     WHERE s.session_id = $1
     RETURNING ",
    session_columns!()
);

const REMOVE: &str = "
UPDATE core.sessions
SET removed_at = now()
WHERE session_id = $1";

const TOUCH: &str = "
UPDATE core.sessions
SET last_activity_at = now()
WHERE session_id = $1";

const LOCK: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM core.sessions AS s
     WHERE s.session_id = $1
     FOR UPDATE"
);

impl FromRow<'_, PgRow> for Session {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let time = |column| row.try_get::<jiff_sqlx::Timestamp, _>(column).map(Timestamp::from);
        let moment = |column| {
            let moment = row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column)?;
            Ok::<_, sqlx::Error>(moment.map(Timestamp::from))
        };
        Ok(Self {
            id: row.try_get("session_id")?,
            app: row.try_get("app")?,
            mode: row.try_get("mode")?,
            group: row.try_get("session_group_id")?,
            table_token: row.try_get("table_token")?,
            context: row.try_get("context")?,
            title: row.try_get("title")?,
            dual_status: row.try_get("dual_status")?,
            created_at: time("created_at")?,
            last_activity_at: time("last_activity_at")?,
            expires_at: time("expires_at")?,
            ended_at: moment("ended_at")?,
            end_reason: row.try_get("end_reason")?,
            is_removed: moment("removed_at")?.is_some(),
            participants: row.try_get("participant_count")?,
            code_expires_at: moment("pairing_expires_at")?,
            user_id: row.try_get("user_id")?,
            version: row.try_get("version")?,
        })
    }
}

/// A session that is to be.
pub struct Draft<'a> {
    /// Its id, which its code is bound to.
    pub id: Uuid,
    /// One of the three apps.
    pub app: &'a str,
    /// `single` or `dual`.
    pub mode: &'a str,
    /// Its group.
    pub group: Uuid,
    /// The table.
    pub table_token: Option<&'a str>,
    /// What is played.
    pub context: Option<&'a str>,
    /// For people.
    pub title: Option<&'a str>,
    /// Its host, by the name that the app has for them. After Hours addresses them by it.
    pub user_id: Option<&'a str>,
    /// How long it lives, in seconds.
    pub life: i32,
}

/// Makes a session, with its code where it has one; nothing where that code is taken.
pub async fn create(
    connection: &mut PgConnection,
    draft: &Draft<'_>,
    code: Option<&KeptCode>,
) -> Result<Option<Session>, sqlx::Error> {
    statement::query_as(CREATE)
        .bind(draft.id)
        .bind(draft.app)
        .bind(draft.mode)
        .bind(draft.group)
        .bind(draft.table_token)
        .bind(draft.context)
        .bind(draft.title)
        .bind(f64::from(draft.life))
        .bind(code.map(|code| code.hash.as_slice()))
        .bind(code.map(|code| code.salt.as_slice()))
        .bind(code.map(|code| code.key_id.as_str()))
        .bind(code.map(|code| code.lookup.as_slice()))
        .bind(draft.user_id)
        .fetch_optional(connection)
        .await
}

/// A session, locked until the end of the transaction.
pub async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Session>, sqlx::Error> {
    statement::query_as(LOCK).bind(id).fetch_optional(connection).await
}

/// What of a session can be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// A new title, or none from now on.
    pub title: Replacement,
    /// More time, in seconds.
    pub extend: i32,
}

/// Changes a session.
pub async fn change(
    connection: &mut PgConnection,
    id: Uuid,
    change: &Change,
) -> Result<Session, sqlx::Error> {
    let (is_changed, title) = match &change.title {
        Replacement::Unchanged => (false, None),
        Replacement::Nothing => (true, None),
        Replacement::Text(title) => (true, Some(title)),
    };
    statement::query_as(CHANGE)
        .bind(id)
        .bind(is_changed)
        .bind(title)
        .bind(f64::from(change.extend))
        .fetch_one(connection)
        .await
}

/// Ends a session.
pub async fn end(connection: &mut PgConnection, id: Uuid) -> Result<Session, sqlx::Error> {
    statement::query_as(END).bind(id).fetch_one(connection).await
}

/// Brings a session back.
pub async fn recover(connection: &mut PgConnection, id: Uuid) -> Result<Session, sqlx::Error> {
    statement::query_as(RECOVER).bind(id).fetch_one(connection).await
}

/// Marks a session as deleted: nobody sees it any more, and a policy removes the row.
pub async fn remove(connection: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    statement::query(REMOVE).bind(id).execute(connection).await?;
    Ok(())
}

/// Says that somebody did something in it.
pub async fn touch(connection: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    statement::query(TOUCH).bind(id).execute(connection).await?;
    Ok(())
}
