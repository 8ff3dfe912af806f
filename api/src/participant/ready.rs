//! `PUT /api/v1/sessions/{id}/participants/me/ready`: somebody is ready, or not any more, and the others are
//! told.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::answer;
use crate::body::Fields;
use crate::client::{Client, Peer};
use crate::db::{events, participants, sessions};
use crate::event::{Event, EventType};
use crate::participant::{Access, Member};
use crate::problem::Problem;
use crate::session::SessionId;
use crate::state::App;

/// `PUT /api/v1/sessions/{id}/participants/me/ready`
pub async fn ready(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let ready = fields.truth("ready");
    let ready = fields.required("ready", ready);
    fields.done()?;
    let mut work = app.database.begin().await?;
    let member = Member::find(&mut work, &headers, id, Access::Change).await?;
    member.session.live(work.now, StatusCode::CONFLICT)?;
    sessions::touch(work.connection(), id).await?;
    participants::set_ready(work.connection(), member.participant.id, ready).await?;
    let (ready_count, total) = participants::count_ready(work.connection(), id).await?;
    let body = json!({
        "participant_id": member.participant.id.to_string(),
        "ready": ready,
        "ready_count": ready_count,
        "total": total,
    });
    let event = Event::of(&member.session, EventType::ReadyStatusUpdate, body.clone());
    let actor = member.actor(Client::find(peer, &headers, app.proxies));
    events::tell(work.connection(), &[event], &actor).await?;
    let answer = answer::json(StatusCode::OK, body, work.now);
    work.commit().await?;
    Ok(answer)
}
