//! After Hours: who declined whom, which devices were there, who matched, and what they write to each other
//! while their session lasts.
//!
//! Somebody is known here by the `user_id` that they came in with, or else by the id of their participant. A match is
//! of two who are in one session.

pub mod decline;
pub mod fingerprint;
pub mod matches;
pub mod messages;
pub mod save;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::{Work, after_hours};
use crate::participant::{Access, Member};
use crate::problem::{Code, Problem};

/// Two who like each other.
#[derive(Clone, Debug)]
pub struct Match {
    /// Its id.
    pub id: Uuid,
    /// Where they met.
    pub session: Uuid,
    /// Both.
    pub users: [String; 2],
    /// When.
    pub created_at: Timestamp,
    /// When its session ends; unsaved it goes 30 days after that.
    pub expires_at: Timestamp,
    /// What it was saved as.
    pub saved_as: Option<Uuid>,
}

impl Match {
    /// What both see.
    pub fn shown(&self) -> Value {
        json!({
            "id": self.id.to_string(),
            "session_id": self.session.to_string(),
            "user_ids": self.users,
            "created_at": self.created_at.to_string(),
            "expires_at": self.expires_at.to_string(),
            "converted_to_match_id": self.saved_as.map(|id| id.to_string()),
        })
    }
}

/// What one wrote to the other.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id.
    pub id: Uuid,
    /// Who wrote it.
    pub sender: String,
    /// What.
    pub body: String,
    /// When.
    pub sent_at: Timestamp,
}

impl Message {
    /// What both see.
    pub fn shown(&self) -> Value {
        json!({
            "id": self.id.to_string(),
            "sender_id": self.sender,
            "body": self.body,
            "sent_at": self.sent_at.to_string(),
        })
    }
}

/// Somebody in a live session of After Hours, by the name that they are known by.
pub struct Person {
    /// They and their session.
    pub member: Member,
    /// Their name.
    pub user_id: String,
}

impl Person {
    /// Whose token a request bears, in the session that it names.
    pub async fn find(
        work: &mut Work,
        headers: &HeaderMap,
        session: Uuid,
    ) -> Result<Self, Problem> {
        let member = Member::find(work, headers, session, Access::Change).await?;
        Self::of(work, member)
    }

    /// The same in whichever session.
    pub async fn any(
        work: &mut Work,
        headers: &HeaderMap,
        access: Access,
    ) -> Result<Self, Problem> {
        let member = Member::any(work, headers, access).await?;
        Self::of(work, member)
    }

    fn of(work: &Work, member: Member) -> Result<Self, Problem> {
        if member.session.app != "after_hours" {
            return Err(Problem::new(Code::WrongApp));
        }
        member.session.live(work.now, StatusCode::CONFLICT)?;
        let id = || member.participant.id.to_string();
        let user_id = member.participant.user_id.clone().unwrap_or_else(id);
        Ok(Self { member, user_id })
    }

    /// Whose limits theirs are.
    pub fn key(&self) -> String {
        self.member.participant.id.to_string()
    }

    /// One of their matches. That of others is told from none by nobody.
    pub async fn their_match(&self, work: &mut Work, id: Uuid) -> Result<Match, Problem> {
        let found = after_hours::find_match(work.connection(), id).await?;
        found
            .filter(|found| {
                found.session == self.member.session.id && found.users.contains(&self.user_id)
            })
            .ok_or_else(|| Problem::new(Code::MatchNotFound))
    }
}

/// The id of a path. What is no id leads to no match.
pub struct MatchId(pub Result<Uuid, Problem>);

impl<S: Send + Sync> FromRequestParts<S> for MatchId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = path.and_then(|Path(id)| Uuid::try_parse(&id).ok());
        Ok(Self(id.ok_or_else(|| Problem::new(Code::MatchNotFound))))
    }
}
