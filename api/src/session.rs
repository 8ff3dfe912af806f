//! Sessions: what one is, in which state, and what its participants are shown of it.

pub mod change;
pub mod create;
pub mod end;
pub mod recover;
pub mod remove;
pub mod show;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::problem::{Code, Problem};

/// A session as it stands in the database.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// `table_talk`, `tarot` or `after_hours`.
    pub app: String,
    /// `single` or `dual`.
    pub mode: String,
    /// The group that it shares events with.
    pub group: Uuid,
    /// The table.
    pub table_token: Option<String>,
    /// What is played.
    pub context: Option<String>,
    /// For people.
    pub title: Option<String>,
    /// `waiting`, `paired` or `ended`, where it is dual.
    pub dual_status: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When somebody last did something.
    pub last_activity_at: Timestamp,
    /// When its time is over.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
    /// Why.
    pub end_reason: Option<String>,
    /// Whether its host has deleted it, so that nobody sees it any more.
    pub is_removed: bool,
    /// Those who joined and have not left.
    pub participants: i32,
    /// When its code expires, or did.
    pub code_expires_at: Option<Timestamp>,
    /// Whose it is, where what happens to it is told to them.
    pub user_id: Option<String>,
    /// Another one after each change.
    pub version: String,
}

/// Whether a session can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It can.
    Live,
    /// Somebody ended it.
    Ended,
    /// Its time was over, whether anybody has noticed or not.
    Expired,
}

impl Session {
    /// Judged at the time of use by database time, and the same before and after cleanup came by.
    pub fn standing(&self, now: Timestamp) -> Standing {
        match self.end_reason.as_deref() {
            Some("ended") => Standing::Ended,
            Some(_) if self.ended_at.is_some() => Standing::Expired,
            _ if self.ended_at.is_some() || self.expires_at <= now => Standing::Expired,
            _ => Standing::Live,
        }
    }

    /// Goes on only where it can still be used. What was ended has the status that the endpoint gives it.
    pub fn live(&self, now: Timestamp, ended: StatusCode) -> Result<(), Problem> {
        match self.standing(now) {
            Standing::Live => Ok(()),
            Standing::Ended => Err(Problem::new(Code::SessionEnded).status(ended)),
            Standing::Expired => Err(Problem::new(Code::SessionExpired)),
        }
    }

    /// What tells its versions apart.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }

    /// What its participants see.
    pub fn shown(&self, now: Timestamp) -> Value {
        let state = match self.standing(now) {
            Standing::Live => "active",
            Standing::Ended => "ended",
            Standing::Expired => "expired",
        };
        json!({
            "id": self.id.to_string(),
            "app": self.app,
            "mode": self.mode,
            "state": state,
            "dual_status": self.dual_status,
            "session_group_id": self.group.to_string(),
            "table_token": self.table_token,
            "context": self.context,
            "title": self.title,
            "participant_count": self.participants,
            "created_at": self.created_at.to_string(),
            "last_activity_at": self.last_activity_at.to_string(),
            "expires_at": self.expires_at.to_string(),
            "ended_at": self.ended_at.map(|at| at.to_string()),
            "end_reason": self.end_reason,
        })
    }
}

/// The id of a path. What is no id leads to no session.
pub struct SessionId(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for SessionId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::new(Code::SessionNotFound))?;
        let id = Uuid::try_parse(&id).map_err(|_| Problem::new(Code::SessionNotFound))?;
        Ok(Self(id))
    }
}

/// Whether `If-Match` names the version that is there.
pub fn matches(headers: &HeaderMap, session: &Session) -> bool {
    let lines = headers.get_all(axum::http::header::IF_MATCH).iter();
    let tags = lines.filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(','));
    tags.map(str::trim).any(|tag| tag == "*" || tag == session.etag())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A session that is live at 12:00.
    pub fn session() -> Session {
        let at = |text: &str| text.parse().expect("a time");
        Session {
            id: Uuid::from_u128(1),
            app: "table_talk".to_owned(),
            mode: "single".to_owned(),
            group: Uuid::from_u128(2),
            table_token: None,
            context: None,
            title: None,
            dual_status: None,
            created_at: at("2026-01-01T11:00:00Z"),
            last_activity_at: at("2026-01-01T11:30:00Z"),
            expires_at: at("2026-01-01T13:00:00Z"),
            ended_at: None,
            end_reason: None,
            is_removed: false,
            participants: 1,
            code_expires_at: None,
            user_id: None,
            version: "7".to_owned(),
        }
    }

    #[test]
    fn what_cleanup_has_done_changes_nothing_of_what_is_told() {
        let noon: Timestamp = "2026-01-01T12:00:00Z".parse().expect("a time");
        let live = session();
        assert_eq!(live.standing(noon), Standing::Live);
        let over = Session { expires_at: noon, ..session() };
        assert_eq!(over.standing(noon), Standing::Expired, "at the very moment");
        let reason = |reason: &str| Some(reason.to_owned());
        let swept = Session { ended_at: Some(noon), end_reason: reason("inactivity"), ..session() };
        assert_eq!(swept.standing(noon), Standing::Expired);
        let ended = Session { ended_at: Some(noon), end_reason: reason("ended"), ..session() };
        assert_eq!(ended.standing(noon), Standing::Ended);
        let later = Session { expires_at: noon, ..ended };
        assert_eq!(later.standing(noon), Standing::Ended, "that it expired since is no news");
        let shortened = Session { expires_at: noon, end_reason: reason("inactivity"), ..session() };
        assert_eq!(shortened.standing(noon), Standing::Expired);
        assert_eq!(session().shown(noon)["state"], "active");
    }

    #[test]
    fn a_version_is_named_alone_or_in_a_list() {
        let mut headers = HeaderMap::new();
        for (value, expected) in [
            ("\"7\"", true),
            ("\"6\", \"7\"", true),
            ("*", true),
            ("\"6\"", false),
            ("7", false),
            ("W/\"7\"", false),
        ] {
            headers.insert(axum::http::header::IF_MATCH, value.parse().expect("a header"));
            assert_eq!(matches(&headers, &session()), expected, "{value}");
        }
    }
}
