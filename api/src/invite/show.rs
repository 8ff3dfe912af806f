//! `GET /api/v1/invites/{token}`: what somebody is invited to, before they come in.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::answer;
use crate::client::{Client, Peer};
use crate::db::invites;
use crate::invite::InviteToken;
use crate::problem::{Code, Problem};
use crate::state::App;

/// `GET /api/v1/invites/{token}`
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    InviteToken(token): InviteToken,
) -> Result<Response, Problem> {
    let mut work = app.database.begin().await?;
    let invite = invites::find(work.connection(), token.hash()).await?;
    let invite = invite.ok_or_else(|| Problem::new(Code::SessionNotFound))?;
    if let Err(problem) = invite.open(work.now, app.invite_timeout) {
        let client = Client::find(peer, &headers, app.proxies);
        return Err(invite.refuse(work, problem, client).await);
    }
    // Those who are in are shown to those who are in.
    let body = json!({
        "session": {
            "id": invite.session.id.to_string(),
            "app": invite.session.app,
            "title": invite.session.title,
            "participant_count": invite.session.participants,
        },
        "expires_at": invite.session.expires_at.to_string(),
    });
    Ok(answer::json(StatusCode::OK, body, work.now))
}
