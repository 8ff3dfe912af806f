//! `PUT /api/v1/sessions/{id}/participants/me/heartbeat`: somebody is still there. That is no activity: a
//! session of open tabs in which nobody does anything expires all the same.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::client::{Client, Peer};
use crate::db::{events, participants};
use crate::event::{Event, EventType};
use crate::participant::{Access, Member};
use crate::problem::Problem;
use crate::session::SessionId;
use crate::state::App;

/// When the next one is due, in seconds.
const INTERVAL: HeaderValue = HeaderValue::from_static("30");

/// `PUT /api/v1/sessions/{id}/participants/me/heartbeat`
pub async fn heartbeat(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut work = app.database.begin().await?;
    let member = Member::find(&mut work, &headers, id, Access::Read).await?;
    member.session.live(work.now, StatusCode::GONE)?;
    if member.participant.is_disconnected {
        came_back(&mut work, &member, Client::find(peer, &headers, app.proxies)).await?;
    } else {
        participants::see(work.connection(), member.participant.id).await?;
    }
    work.commit().await?;
    let interval = (HeaderName::from_static("heartbeat-interval"), INTERVAL);
    Ok((StatusCode::NO_CONTENT, [interval]).into_response())
}

/// Cleanup had marked them as gone.
async fn came_back(
    work: &mut crate::db::Work,
    member: &Member,
    client: Client,
) -> Result<(), Problem> {
    let is_first = participants::reconnect(work.connection(), member.participant.id).await?;
    if is_first {
        let data = json!({"participant_id": member.participant.id.to_string()});
        let event = Event::of(&member.session, EventType::ParticipantReconnected, data);
        events::tell(work.connection(), &[event], &member.actor(client)).await?;
    }
    Ok(())
}
