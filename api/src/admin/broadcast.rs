//! `POST /api/v1/admin/sessions/{id}/broadcast`: somebody who runs the service says something to all who share
//! events with a session.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::Operator;
use crate::answer;
use crate::body::Fields;
use crate::client::{Client, Peer};
use crate::db::events;
use crate::event::{Actor, Event, EventType};
use crate::problem::Problem;
use crate::session::SessionId;
use crate::state::App;

/// `POST /api/v1/admin/sessions/{id}/broadcast`
pub async fn broadcast(
    State(app): State<Arc<App>>,
    Operator(admin): Operator,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let message = fields.text("message", 500);
    let message = fields.required("message", message);
    fields.done()?;
    let mut work = app.database.begin().await?;
    let session = super::session(&mut work, id).await?;
    session.live(work.now, StatusCode::CONFLICT)?;
    let event = Event::of(&session, EventType::Broadcast, json!({"message": message}));
    let actor = Actor::admin(admin, Client::find(peer, &headers, app.proxies));
    events::tell(work.connection(), &[event], &actor).await?;
    let (epoch, seq) = events::head(work.connection(), session.group).await?;
    let body = json!({"id": format!("{epoch}:{seq}")});
    let answer = answer::json(StatusCode::ACCEPTED, body, work.now);
    work.commit().await?;
    Ok(answer)
}
