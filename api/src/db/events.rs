//! `core.session_events`, `core.analytics_events` and `core.session_audit_log`: told in the transaction of
//! what happened, or not at all.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::statement;
use crate::event::{Actor, Event};

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[TELL, HEAD];

const TELL: &str = include_str!("events.sql");

const HEAD: &str = "
SELECT epoch, last_seq
FROM core.session_groups
WHERE session_group_id = $1";

/// Tells of what a request did. Whoever changed a session has its row by now; the group's comes here.
pub async fn tell(
    connection: &mut PgConnection,
    events: &[Event],
    actor: &Actor,
) -> Result<(), sqlx::Error> {
    let told: Vec<Value> = events.iter().map(Event::told).collect();
    statement::query(TELL)
        .bind(Value::Array(told))
        .bind(actor.id.as_deref())
        .bind(actor.kind)
        .bind(&actor.network)
        .execute(connection)
        .await?;
    Ok(())
}

/// Epoch and number of a group's newest event: where a reader goes on.
pub async fn head(connection: &mut PgConnection, group: Uuid) -> Result<(i64, i64), sqlx::Error> {
    statement::query_as(HEAD).bind(group).fetch_one(connection).await
}
