//! `PUT /api/v1/sessions/{id}/participants/me/heartbeat`: somebody is still there. That is no activity: a
//! session of open tabs in which nobody does anything expires all the same.
//!
//! Most of them need no statement: they are remembered, and written down by `presence`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use uuid::Uuid;

use crate::client::{Client, Peer};
use crate::db::{Work, events, participants};
use crate::event::{Actor, Event, EventType};
use crate::participant::{Access, Member};
use crate::problem::Problem;
use crate::session::SessionId;
use crate::state::App;
use crate::token::Token;

/// `PUT /api/v1/sessions/{id}/participants/me/heartbeat`
pub async fn heartbeat(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let token = Token::from_headers(&headers)?;
    let is_known = app.presence.beat(&token.hash(), id, Instant::now());
    if !is_known {
        ask(&app, &token, id, Client::find(peer, &headers, app.proxies)).await?;
    }
    app.metrics.heard(is_known);
    let interval = HeaderValue::from(app.heartbeat.as_secs());
    let interval = (HeaderName::from_static("heartbeat-interval"), interval);
    Ok((StatusCode::NO_CONTENT, [interval]).into_response())
}

/// Asks the database whether they may be there.
async fn ask(app: &App, token: &Token, id: Uuid, client: Client) -> Result<(), Problem> {
    let mut work = app.database.begin().await?;
    let asked = Instant::now();
    let member = Member::find_by(&mut work, token, id, Access::Read).await?;
    let Member { session, participant } = &member;
    session.live(work.now, StatusCode::GONE)?;
    if participant.is_disconnected {
        // Its next heartbeat is asked for again: then they are there.
        came_back(&mut work, &member, &member.actor(client)).await?;
        return Ok(work.commit().await?);
    }
    let left = session.expires_at.duration_since(work.now);
    let left = Duration::try_from(left).unwrap_or_default();
    let is_remembered = app.presence.learn(token.hash(), (session.id, participant.id), left, asked);
    if !is_remembered {
        participants::see(work.connection(), participant.id).await?;
    }
    Ok(work.commit().await?)
}

/// Cleanup had marked them as gone.
pub async fn came_back(work: &mut Work, member: &Member, actor: &Actor) -> Result<(), sqlx::Error> {
    let Member { session, participant } = member;
    let is_first = participants::reconnect(work.connection(), participant.id).await?;
    if is_first {
        let data = json!({"participant_id": participant.id.to_string()});
        let event = Event::of(session, EventType::ParticipantReconnected, data);
        events::tell(work.connection(), &[event], actor).await?;
    }
    Ok(())
}
