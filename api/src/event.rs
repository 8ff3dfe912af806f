//! What happens, by its name, and who is told: sockets (the outbox), people who count (analytics) and
//! auditors. The table of `docs/session-api-http.md`.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::session::Session;

/// Where an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sinks {
    /// To the sockets of the group.
    pub realtime: bool,
    /// To the figures.
    pub analytics: bool,
    /// To the audit log.
    pub audit: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    SessionCreated,
    SessionChanged,
    SessionEnded,
    SessionExpired,
    SessionRecovered,
    InviteCreated,
    InviteExpired,
    SessionGroupCreated,
    SessionJoinedExistingGroup,
    JoinCodeGenerated,
    JoinCodeUsed,
    JoinCodeFailed,
    JoinCodeExpired,
    JoinCodeRevoked,
    DualPhonePaired,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantReconnected,
    ReadyStatusUpdate,
    MatchMade,
    MatchDeclined,
    DeviceSeen,
    MessagePosted,
    MatchSaved,
    ParticipantDisconnected,
    Broadcast,
}

impl EventType {
    /// Its name, the same in outbox, figures and audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionCreated => "session_created",
            Self::SessionChanged => "session_changed",
            Self::SessionEnded => "session_ended",
            Self::SessionExpired => "session_expired",
            Self::SessionRecovered => "session_recovered",
            Self::InviteCreated => "invite_created",
            Self::InviteExpired => "invite_expired",
            Self::SessionGroupCreated => "session_group_created",
            Self::SessionJoinedExistingGroup => "session_joined_existing_group",
            Self::JoinCodeGenerated => "join_code_generated",
            Self::JoinCodeUsed => "join_code_used",
            Self::JoinCodeFailed => "join_code_failed",
            Self::JoinCodeExpired => "join_code_expired",
            Self::JoinCodeRevoked => "join_code_revoked",
            Self::DualPhonePaired => "dual_phone_paired",
            Self::ParticipantJoined => "participant_joined",
            Self::ParticipantLeft => "participant_left",
            Self::ParticipantReconnected => "participant_reconnected",
            Self::ReadyStatusUpdate => "ready_status_update",
            Self::MatchMade => "match_made",
            Self::MatchDeclined => "match_declined",
            Self::DeviceSeen => "device_seen",
            Self::MessagePosted => "message_posted",
            Self::MatchSaved => "match_saved",
            Self::ParticipantDisconnected => "participant_disconnected",
            Self::Broadcast => "broadcast",
        }
    }

    /// Who is told.
    pub fn sinks(self) -> Sinks {
        let sinks = |realtime, analytics, audit| Sinks { realtime, analytics, audit };
        match self {
            Self::SessionCreated
            | Self::SessionChanged
            | Self::JoinCodeRevoked
            | Self::MatchDeclined
            | Self::DeviceSeen => sinks(false, false, true),
            Self::SessionEnded
            | Self::SessionExpired
            | Self::SessionRecovered
            | Self::InviteCreated
            | Self::InviteExpired
            | Self::ParticipantJoined
            | Self::ParticipantLeft
            | Self::ParticipantReconnected
            | Self::MatchMade
            | Self::MessagePosted
            | Self::MatchSaved
            | Self::ParticipantDisconnected
            | Self::Broadcast => sinks(true, false, true),
            Self::SessionGroupCreated | Self::SessionJoinedExistingGroup | Self::JoinCodeFailed => {
                sinks(false, true, false)
            }
            Self::JoinCodeGenerated => sinks(false, true, true),
            Self::JoinCodeUsed | Self::DualPhonePaired => sinks(true, true, true),
            Self::JoinCodeExpired => sinks(true, true, false),
            Self::ReadyStatusUpdate => sinks(true, false, false),
        }
    }
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    kind: EventType,
    session: Option<Uuid>,
    group: Option<Uuid>,
    app: Option<String>,
    to_user: Option<String>,
    data: Value,
}

impl Event {
    /// Something that happened in a session.
    pub fn of(session: &Session, kind: EventType, data: Value) -> Self {
        Self {
            kind,
            session: Some(session.id),
            group: Some(session.group),
            app: Some(session.app.clone()),
            // As requirement 003 has it, and as the triggers do.
            to_user: session.user_id.clone().filter(|_| kind == EventType::SessionExpired),
            data,
        }
    }

    /// A try of a code that led to no session.
    pub fn failed_code(table_token: Option<&str>, app: Option<&str>, reason: &str) -> Self {
        Self {
            kind: EventType::JoinCodeFailed,
            session: None,
            group: None,
            app: app.map(str::to_owned),
            to_user: None,
            data: json!({"table_token": table_token, "reason": reason}),
        }
    }

    /// As the statement that tells of it takes it.
    pub fn told(&self) -> Value {
        let Sinks { realtime, analytics, audit } = self.kind.sinks();
        json!({
            "type": self.kind.as_str(),
            "session": self.session.map(|id| id.to_string()),
            "group": self.group.map(|id| id.to_string()),
            "app": self.app,
            "to_user": self.to_user,
            "data": self.data,
            "realtime": realtime,
            "analytics": analytics,
            "audit": audit,
        })
    }
}

/// Who did it, for the audit log.
#[derive(Clone, Debug)]
pub struct Actor {
    /// `participant`, `admin` or `system`.
    pub kind: &'static str,
    /// The participant, or the id of the admin's key; nobody yet where a code was tried.
    pub id: Option<String>,
    /// The network, shortened; none where nothing is known of it.
    pub network: Option<String>,
}

impl Actor {
    /// Somebody in a session.
    pub fn participant(id: Uuid, client: Client) -> Self {
        Self { kind: "participant", id: Some(id.to_string()), network: Some(client.prefix()) }
    }

    /// Somebody in a session of whom it is only known that they were heard of.
    pub fn unseen(id: Uuid) -> Self {
        Self { kind: "participant", id: Some(id.to_string()), network: None }
    }

    /// Somebody who runs the service, by the id of their key.
    pub fn admin(id: String, client: Client) -> Self {
        Self { kind: "admin", id: Some(id), network: Some(client.prefix()) }
    }

    /// Somebody who is in none.
    pub fn nobody(client: Client) -> Self {
        Self { kind: "system", id: None, network: Some(client.prefix()) }
    }
}
