//! Participants: who is in a session, and how one proves to be.

pub mod heartbeat;
pub mod join;
pub mod leave;
pub mod ready;

use std::time::Duration;

use axum::http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::db::{Work, participants};
use crate::event::Actor;
use crate::problem::{Code, Problem};
use crate::session::{Session, Standing};
use crate::token::Token;

/// As many can be in one session.
pub const MOST: i32 = 64;

/// Silent for so long, one is gone: cleanup marks them then.
const GONE: Duration = Duration::from_mins(5);

/// Somebody in a session.
#[derive(Clone, Debug)]
pub struct Participant {
    /// Their id.
    pub id: Uuid,
    /// For people.
    pub display_name: Option<String>,
    /// What the app calls them.
    pub user_id: Option<String>,
    /// `host` or `guest`.
    pub role: String,
    /// Whether they said so.
    pub ready: bool,
    /// Since when.
    pub joined_at: Timestamp,
    /// The newest sign of life.
    pub last_seen_at: Timestamp,
    /// Whether cleanup has marked them as gone.
    pub is_disconnected: bool,
    /// Whether they left.
    pub has_left: bool,
}

/// A participant and their session.
#[derive(Clone, Debug)]
pub struct Member {
    /// The session.
    pub session: Session,
    /// The participant.
    pub participant: Participant,
}

/// Whether the session is to be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is only looked at.
    Read,
    /// It is locked until the end of the transaction. Who asks for it was heard of then, while it lives.
    Change,
}

impl Participant {
    /// What the others see. Who lets more than half a heartbeat pass after the one that was due is away.
    pub fn shown(&self, now: Timestamp, heartbeat: Duration) -> Value {
        let silent = Duration::try_from(now.duration_since(self.last_seen_at)).unwrap_or_default();
        let presence = if self.is_disconnected || silent >= GONE {
            "disconnected"
        } else if silent >= heartbeat * 3 / 2 {
            "away"
        } else {
            "online"
        };
        json!({
            "id": self.id.to_string(),
            "display_name": self.display_name,
            "user_id": self.user_id,
            "role": self.role,
            "ready": self.ready,
            "presence": presence,
            "joined_at": self.joined_at.to_string(),
        })
    }
}

impl Member {
    /// Whose token a request bears, if it is one of this session. A session of others is told from none
    /// by nobody.
    pub async fn find(
        work: &mut Work,
        headers: &HeaderMap,
        session: Uuid,
        access: Access,
    ) -> Result<Self, Problem> {
        let token = Token::from_headers(headers)?;
        Self::find_by(work, &token, session, access).await
    }

    /// The same of a token that was read already.
    pub async fn find_by(
        work: &mut Work,
        token: &Token,
        session: Uuid,
        access: Access,
    ) -> Result<Self, Problem> {
        let member = Self::of(work, token, access).await?;
        if member.session.id != session || member.session.is_removed {
            return Err(Problem::new(Code::SessionNotFound));
        }
        Ok(member)
    }

    /// Whose token a request bears, of whichever session that still is there.
    pub async fn any(
        work: &mut Work,
        headers: &HeaderMap,
        access: Access,
    ) -> Result<Self, Problem> {
        let token = Token::from_headers(headers)?;
        let member = Self::of(work, &token, access).await?;
        if member.session.is_removed {
            return Err(Problem::new(Code::SessionNotFound));
        }
        Ok(member)
    }

    async fn of(work: &mut Work, token: &Token, access: Access) -> Result<Self, Problem> {
        let found = match access {
            Access::Read => participants::find(work.connection(), token.hash()).await?,
            Access::Change => participants::find_and_lock(work.connection(), token.hash()).await?,
        };
        let member = found.filter(|member| !member.participant.has_left);
        let member = member.ok_or_else(|| Problem::new(Code::TokenInvalid))?;
        let lives = member.session.standing(work.now) == Standing::Live;
        if access == Access::Change && lives {
            member.heard(work).await?;
        }
        Ok(member)
    }

    /// They are there, and back if they were marked as gone.
    pub async fn heard(&self, work: &mut Work) -> Result<(), sqlx::Error> {
        let Participant { id, is_disconnected, .. } = self.participant;
        if is_disconnected {
            return heartbeat::came_back(work, self, &Actor::unseen(id)).await;
        }
        participants::see(work.connection(), id).await
    }

    /// Goes on for the host alone.
    pub fn host(&self) -> Result<(), Problem> {
        if self.participant.role == "host" { Ok(()) } else { Err(Problem::new(Code::NotTheHost)) }
    }

    /// Them, for the audit log.
    pub fn actor(&self, client: Client) -> Actor {
        Actor::participant(self.participant.id, client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_follows_the_newest_sign_of_life() {
        let noon: Timestamp = "2026-01-01T12:00:00Z".parse().expect("a time");
        let presence = |seconds: i64, is_disconnected| {
            let participant = Participant {
                id: Uuid::from_u128(1),
                display_name: None,
                user_id: None,
                role: "host".to_owned(),
                ready: false,
                joined_at: noon,
                last_seen_at: noon - jiff::SignedDuration::from_secs(seconds),
                is_disconnected,
                has_left: false,
            };
            participant.shown(noon, Duration::from_secs(30))["presence"].clone()
        };
        let seen = [0, 44, 45, 299, 300].map(|seconds| presence(seconds, false));
        assert_eq!(seen, ["online", "online", "away", "away", "disconnected"]);
        assert_eq!(presence(0, true), "disconnected");
    }
}
