//! `POST /api/v1/admin/sessions/{id}/disconnect`: somebody who runs the service marks participants as gone, one or
//! all of them. Whoever is still there comes back with the next heartbeat.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use uuid::Uuid;

use super::Operator;
use crate::answer;
use crate::body::Fields;
use crate::client::{Client, Peer};
use crate::db::{events, participants};
use crate::event::{Actor, Event, EventType};
use crate::presence::round;
use crate::problem::{Code, Problem};
use crate::session::SessionId;
use crate::state::App;

/// `POST /api/v1/admin/sessions/{id}/disconnect`
pub async fn disconnect(
    State(app): State<Arc<App>>,
    Operator(admin): Operator,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let participant = fields.id("participant_id");
    fields.done()?;
    let mut work = app.database.begin().await?;
    let session = super::session(&mut work, id).await?;
    session.live(work.now, StatusCode::CONFLICT)?;
    round::write_in(&app, &mut work, id).await?;
    let gone = participants::disconnect(work.connection(), id, participant).await?;
    if gone.is_empty() && participant.is_some() {
        return Err(Problem::new(Code::ParticipantNotFound));
    }
    let told = |id: &Uuid| {
        let data = json!({"participant_id": id.to_string(), "reason": "admin"});
        Event::of(&session, EventType::ParticipantDisconnected, data)
    };
    let told: Vec<_> = gone.iter().map(told).collect();
    let actor = Actor::admin(admin, Client::find(peer, &headers, app.proxies));
    events::tell(work.connection(), &told, &actor).await?;
    let gone: Vec<_> = gone.iter().map(Uuid::to_string).collect();
    let answer = answer::json(StatusCode::ACCEPTED, json!({"disconnected": gone}), work.now);
    work.commit().await?;
    app.presence.forget_session(id);
    Ok(answer)
}
