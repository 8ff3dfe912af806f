//! `POST /api/v1/sessions/{id}/invites`: a participant gets a link for others. It may be used more than once.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::answer;
use crate::client::{Client, Peer};
use crate::db::rate_limits::Limit;
use crate::db::{events, invites, sessions};
use crate::event::{Event, EventType};
use crate::limit;
use crate::participant::{Access, Member};
use crate::problem::{Code, Problem};
use crate::session::SessionId;
use crate::state::App;
use crate::token::{self, Token};

/// Of one session.
const LIMIT: Limit = Limit { name: "create-invite", tries: 10, seconds: 60.0 };

/// `POST /api/v1/sessions/{id}/invites`
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut work = app.database.begin().await?;
    let member = Member::find(&mut work, &headers, id, Access::Change).await?;
    member.session.live(work.now, StatusCode::CONFLICT)?;
    if member.session.mode == "dual" {
        return Err(Problem::new(Code::DirectRefused));
    }
    let tried = limit::take(&app, &mut work, LIMIT, &id.to_string()).await?;
    let token = Token::draw(token::INVITE)?;
    let invite = invites::create(work.connection(), &member, token.hash()).await?;
    sessions::touch(work.connection(), id).await?;
    let data = json!({
        "invite_id": invite.to_string(),
        "participant_id": member.participant.id.to_string(),
    });
    let event = Event::of(&member.session, EventType::InviteCreated, data);
    let actor = member.actor(Client::find(peer, &headers, app.proxies));
    events::tell(work.connection(), &[event], &actor).await?;
    let body = json!({"invite": {
        "id": invite.to_string(),
        "token": token.shown(),
        "expires_at": member.session.expires_at.to_string(),
    }});
    let answer = answer::json(StatusCode::CREATED, body, work.now);
    work.commit().await?;
    Ok(limit::with_left(answer, LIMIT, &tried))
}
