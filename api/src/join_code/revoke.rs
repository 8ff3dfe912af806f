//! `DELETE /api/v1/sessions/{id}/join-code`: the host makes the code void.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::client::{Client, Peer};
use crate::db::{events, join_codes, sessions};
use crate::event::{Event, EventType};
use crate::join_code::waiting_host;
use crate::participant::{Access, Member};
use crate::problem::Problem;
use crate::session::SessionId;
use crate::state::App;

/// `DELETE /api/v1/sessions/{id}/join-code`
pub async fn revoke(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let mut work = app.database.begin().await?;
    let member = Member::find(&mut work, &headers, id, Access::Change).await?;
    waiting_host(&member, work.now)?;
    join_codes::revoke(work.connection(), id).await?;
    sessions::touch(work.connection(), id).await?;
    let data = json!({"session_id": id.to_string()});
    let event = Event::of(&member.session, EventType::JoinCodeRevoked, data);
    let actor = member.actor(Client::find(peer, &headers, app.proxies));
    events::tell(work.connection(), &[event], &actor).await?;
    work.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
