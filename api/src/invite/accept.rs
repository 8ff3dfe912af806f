//! `POST /api/v1/invites/{token}/accept`: whoever has the link comes in.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use uuid::Uuid;

use crate::body::Fields;
use crate::client::{Client, Peer};
use crate::db::{Work, invites, sessions};
use crate::invite::{Invite, InviteToken};
use crate::participant::join::{Guest, let_in};
use crate::problem::{Code, Problem};
use crate::session::Session;
use crate::state::App;
use crate::token::Token;

/// `POST /api/v1/invites/{token}/accept`
pub async fn accept(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    InviteToken(token): InviteToken,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let guest = Guest::read(&mut fields);
    fields.done()?;
    let client = Client::find(peer, &headers, app.proxies);
    let work = app.database.begin().await?;
    let (mut work, session) = take(&app, work, &token, None, client).await?;
    let answer = let_in(&app, &mut work, session, &guest, &headers, client).await?;
    work.commit().await?;
    Ok(answer)
}

/// The session of an invite that is open, locked: who is let in is counted, one after the other. Where a
/// session is named, the invite has to be for that one.
pub async fn take(
    app: &App,
    mut work: Work,
    token: &Token,
    named: Option<Uuid>,
    client: Client,
) -> Result<(Work, Session), Problem> {
    let absent = || Problem::new(Code::SessionNotFound);
    let invite = invites::find(work.connection(), token.hash()).await?;
    let invite = invite
        .filter(|invite| named.is_none_or(|id| id == invite.session.id))
        .ok_or_else(absent)?;
    let session = sessions::lock(work.connection(), invite.session.id).await?;
    let invite = Invite { session: session.ok_or_else(absent)?, ..invite };
    if let Err(problem) = invite.open(work.now, app.invite_timeout) {
        return Err(invite.refuse(work, problem, client).await);
    }
    invites::count(work.connection(), invite.id).await?;
    Ok((work, invite.session))
}
