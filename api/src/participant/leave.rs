//! `DELETE /api/v1/sessions/{id}/participants/me`: somebody leaves. Their token is worth nothing after that.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::client::{Client, Peer};
use crate::db::{events, participants, sessions};
use crate::event::{Event, EventType};
use crate::participant::{Access, Member};
use crate::problem::Problem;
use crate::session::{SessionId, Standing};
use crate::state::App;

/// `DELETE /api/v1/sessions/{id}/participants/me`
pub async fn leave(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let mut work = app.database.begin().await?;
    let member = Member::find(&mut work, &headers, id, Access::Change).await?;
    if member.session.standing(work.now) == Standing::Live {
        sessions::touch(work.connection(), id).await?;
    }
    participants::leave(work.connection(), member.participant.id).await?;
    let data = json!({"participant_id": member.participant.id.to_string(), "reason": "left"});
    let event = Event::of(&member.session, EventType::ParticipantLeft, data);
    let actor = member.actor(Client::find(peer, &headers, app.proxies));
    events::tell(work.connection(), &[event], &actor).await?;
    work.commit().await?;
    app.presence.forget(member.participant.id);
    Ok(StatusCode::NO_CONTENT)
}
