//! `POST /api/v1/sessions/{id}/recover`: the host brings a session back that has expired a moment ago.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::client::{Client, Peer};
use crate::db::{events, sessions};
use crate::event::{Event, EventType};
use crate::participant::{Access, Member};
use crate::problem::{Code, Problem};
use crate::session::show::{snapshot, with_etag};
use crate::session::{Session, SessionId, Standing};
use crate::state::App;

/// For so long after its end.
const WINDOW: SignedDuration = SignedDuration::from_mins(15);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// `POST /api/v1/sessions/{id}/recover`
pub async fn recover(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut work = app.database.begin().await?;
    let member = Member::find(&mut work, &headers, id, Access::Change).await?;
    member.host()?;
    may_recover(&member.session, work.now)?;
    let session = sessions::recover(work.connection(), id).await?;
    member.heard(&mut work).await?;
    let data = json!({
        "sessionId": id.to_string(),
        "expiresAt": session.expires_at.to_string(),
    });
    let event = Event::of(&session, EventType::SessionRecovered, data);
    let actor = member.actor(Client::find(peer, &headers, app.proxies));
    events::tell(work.connection(), &[event], &actor).await?;
    let body = snapshot(&mut work, &session, app.heartbeat).await?;
    let answer = with_etag(body, &session, &work);
    work.commit().await?;
    Ok(answer)
}

/// What somebody ended stays ended, and a day is a day.
fn may_recover(session: &Session, now: Timestamp) -> Result<(), Problem> {
    match session.standing(now) {
        Standing::Live => return Err(Problem::new(Code::SessionLive)),
        Standing::Ended => return Err(Problem::new(Code::SessionEnded)),
        Standing::Expired => {}
    }
    let over_since = session.ended_at.unwrap_or(session.expires_at);
    if now.duration_since(over_since) > WINDOW || now.duration_since(session.created_at) >= DAY {
        return Err(Problem::new(Code::RecoveryOver));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::session;

    #[test]
    fn only_what_has_just_expired_and_is_younger_than_a_day_comes_back() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let noon = at("2026-01-01T12:00:00Z");
        let expired = |expires_at: &str| Session { expires_at: at(expires_at), ..session() };
        let code =
            |session: &Session| may_recover(session, noon).err().map(|problem| problem.code());
        assert_eq!(code(&session()), Some(Code::SessionLive));
        assert_eq!(code(&expired("2026-01-01T12:00:00Z")), None);
        assert_eq!(code(&expired("2026-01-01T11:45:00Z")), None);
        assert_eq!(code(&expired("2026-01-01T11:44:59Z")), Some(Code::RecoveryOver));
        let old =
            Session { created_at: at("2025-12-31T12:00:00Z"), ..expired("2026-01-01T12:00:00Z") };
        assert_eq!(code(&old), Some(Code::RecoveryOver));
        let ended =
            Session { ended_at: Some(noon), end_reason: Some("ended".to_owned()), ..session() };
        assert_eq!(code(&ended), Some(Code::SessionEnded));
    }
}
