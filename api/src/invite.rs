//! Invites: a link that lets whoever has it into a session, as long as somebody is there.

pub mod accept;
pub mod create;
pub mod show;

use std::time::Duration;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::client::Client;
use crate::db::{Work, events, invites, sessions};
use crate::event::{Actor, Event, EventType};
use crate::problem::{Code, Problem};
use crate::session::Session;
use crate::token::{self, Token};

/// An invite and what it leads to.
#[derive(Clone, Debug)]
pub struct Invite {
    /// Its id.
    pub id: Uuid,
    /// The session.
    pub session: Session,
    /// The newest sign of life of those who are there; where nobody is, the last change.
    pub seen_at: Timestamp,
}

impl Invite {
    /// Goes on where somebody can be let in: a session in which nobody was for longer than that takes nobody in by
    /// a link.
    pub fn open(&self, now: Timestamp, timeout: Duration) -> Result<(), Problem> {
        let silent = Duration::try_from(now.duration_since(self.seen_at)).unwrap_or_default();
        if silent > timeout {
            return Err(Problem::new(Code::InviteExpired).detail(expired(timeout)));
        }
        let over = |_| Problem::new(Code::SessionNotFound);
        self.session.live(now, StatusCode::NOT_FOUND).map_err(over)
    }

    /// Turns somebody away. That the invite has expired is told by the first who finds out.
    pub async fn refuse(&self, mut work: Work, problem: Problem, client: Client) -> Problem {
        if problem.code() != Code::InviteExpired {
            return problem;
        }
        match self.expire(&mut work, client).await {
            Ok(()) => work.commit().await.map_or_else(Problem::from, |()| problem),
            Err(error) => error.into(),
        }
    }

    async fn expire(&self, work: &mut Work, client: Client) -> Result<(), sqlx::Error> {
        // The session before its invite, as by a cleanup that deletes both.
        let session = sessions::lock(work.connection(), self.session.id).await?;
        let Some(session) = session else { return Ok(()) };
        if invites::expire(work.connection(), self.id).await? {
            let data = json!({"invite_id": self.id.to_string(), "reason": "inactivity"});
            let event = Event::of(&session, EventType::InviteExpired, data);
            events::tell(work.connection(), &[event], &Actor::nobody(client)).await?;
        }
        Ok(())
    }
}

/// The text of the requirement, with the time that holds here.
fn expired(timeout: Duration) -> String {
    let seconds = timeout.as_secs();
    let (count, unit) = match seconds {
        _ if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        _ if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!(
        "This invitation link has expired. Sessions become inactive after {count} {unit}{plural} of no activity."
    )
}

/// The token of a path. What cannot be one leads to no session.
pub struct InviteToken(pub Token);

impl<S: Send + Sync> FromRequestParts<S> for InviteToken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::new(Code::SessionNotFound))?;
        let token = Token::parse(token::INVITE, &text);
        token.map(Self).ok_or_else(|| Problem::new(Code::SessionNotFound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::session;

    #[test]
    fn a_link_is_open_while_somebody_is_there_and_the_session_lives() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let noon = at("2026-01-01T12:00:00Z");
        let invite = || Invite {
            id: Uuid::from_u128(1),
            session: session(),
            seen_at: at("2026-01-01T11:00:00Z"),
        };
        let code = |invite: &Invite| {
            invite.open(noon, Duration::from_hours(1)).err().map(|problem| problem.code())
        };
        assert_eq!(code(&invite()), None, "an hour is not more than an hour");
        let silent = Invite { seen_at: at("2026-01-01T10:59:59Z"), ..invite() };
        assert_eq!(code(&silent), Some(Code::InviteExpired));
        let over = Session { expires_at: noon, ..session() };
        let over = Invite { session: over, ..invite() };
        assert_eq!(code(&over), Some(Code::SessionNotFound));
    }
}
