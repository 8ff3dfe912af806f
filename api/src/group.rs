//! Groups: parties that share events and a deck, as those who are in one see them.

pub mod list;
pub mod show;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// A group, with what its live sessions come to.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its id.
    pub id: Uuid,
    /// Its app.
    pub app: String,
    /// Its table.
    pub table_token: Option<String>,
    /// What is played.
    pub context: Option<String>,
    /// What its cards are shuffled by.
    pub deck: Option<Uuid>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Sessions of it that are live.
    pub sessions: i64,
    /// Those who are in them.
    pub participants: i64,
    /// When somebody in them last did something.
    pub last_activity_at: Option<Timestamp>,
}

impl Group {
    /// What everybody at its table sees. Its deck is for those who are in it.
    pub fn shown(&self) -> Value {
        json!({
            "id": self.id.to_string(),
            "app": self.app,
            "table_token": self.table_token,
            "context": self.context,
            "created_at": self.created_at.to_string(),
            "session_count": self.sessions,
            "participant_count": self.participants,
            "last_activity_at": self.last_activity_at.map(|at| at.to_string()),
        })
    }
}
