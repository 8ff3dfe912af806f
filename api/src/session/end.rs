//! `POST /api/v1/sessions/{id}/end`: somebody ends the session for all. Again it is the same.
//!
//! A session of two phones is both phones', and either may end it. One with guests is its host's: a guest leaves.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::answer;
use crate::client::{Client, Peer};
use crate::db::{Work, events, sessions};
use crate::event::{Actor, Event, EventType};
use crate::participant::{Access, Member};
use crate::presence::round;
use crate::problem::{Code, Problem};
use crate::session::{Session, SessionId, Standing};
use crate::state::App;

/// `POST /api/v1/sessions/{id}/end`
pub async fn end(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut work = app.database.begin().await?;
    let member = Member::find(&mut work, &headers, id, Access::Change).await?;
    if member.session.mode != "dual" {
        member.host()?;
    }
    let session = match member.session.standing(work.now) {
        Standing::Live => {
            let actor = member.actor(Client::find(peer, &headers, app.proxies));
            sessions::touch(work.connection(), id).await?;
            over(&app, &mut work, &member.session, &actor).await?
        }
        Standing::Ended => member.session,
        Standing::Expired => return Err(Problem::new(Code::SessionExpired)),
    };
    let body = json!({"session": session.shown(work.now)});
    let answer = answer::json(StatusCode::OK, body, work.now);
    work.commit().await?;
    app.presence.forget_session(id);
    Ok(answer)
}

/// Ends a session that is live, and tells of it. Who was heard of here until then is written down before: what was used
/// is reckoned now.
pub async fn over(
    app: &App,
    work: &mut Work,
    session: &Session,
    actor: &Actor,
) -> Result<Session, Problem> {
    round::write_in(app, work, session.id).await?;
    let ended = sessions::end(work.connection(), session.id).await?;
    let data = json!({"sessionId": session.id.to_string(), "reason": "ended"});
    let event = Event::of(&ended, EventType::SessionEnded, data);
    events::tell(work.connection(), &[event], actor).await?;
    Ok(ended)
}
