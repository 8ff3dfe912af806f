//! `POST /api/v1/sessions/{id}/participants`: somebody who knows a session comes in.
//!
//! The id of a session is random and known to those who were told; a session of two phones takes a code
//! instead.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use uuid::Uuid;

use crate::answer;
use crate::body::Fields;
use crate::client::{Client, Peer};
use crate::db::participants::{self, Newcomer};
use crate::db::{Work, events, sessions};
use crate::event::Actor;
use crate::invite;
use crate::participant::MOST;
use crate::problem::{Code, Problem};
use crate::session::create::joined;
use crate::session::show::snapshot;
use crate::session::{Session, SessionId, Standing};
use crate::state::App;
use crate::token::{self, Token};

/// What is asked for.
struct Request {
    invite: Option<Token>,
    guest: Guest,
}

/// Who comes in, as they say.
#[derive(Default)]
pub struct Guest {
    /// For people.
    pub display_name: Option<String>,
    /// What the app calls them.
    pub user_id: Option<String>,
}

impl Guest {
    /// Reads both from a body.
    pub fn read(fields: &mut Fields) -> Self {
        Self { display_name: fields.text("display_name", 40), user_id: fields.user("user_id") }
    }
}

impl Request {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let method = fields.choice("access_method", &["direct", "invite"]);
        let method = fields.required("access_method", method);
        let is_token = |text: &str| Token::parse(token::INVITE, text).is_some();
        let invite = fields.formed("invite_token", is_token, "must be the token of an invite");
        let by_invite = method == "invite";
        if by_invite {
            fields.required("invite_token", invite.clone());
        }
        let guest = Guest::read(&mut fields);
        fields.done()?;
        let invite = invite.filter(|_| by_invite);
        Ok(Self { invite: invite.and_then(|text| Token::parse(token::INVITE, &text)), guest })
    }
}

/// `POST /api/v1/sessions/{id}/participants`
pub async fn join(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    let request = Request::read(fields)?;
    let client = Client::find(peer, &headers, app.proxies);
    let mut work = app.database.begin().await?;
    let session = if let Some(token) = &request.invite {
        let session;
        (work, session) = invite::accept::take(&app, work, token, Some(id), client).await?;
        session
    } else {
        direct(&mut work, id).await?
    };
    let answer = let_in(&app, &mut work, session, &request.guest, &headers, client).await?;
    work.commit().await?;
    Ok(answer)
}

async fn direct(work: &mut Work, id: Uuid) -> Result<Session, Problem> {
    let session = sessions::lock(work.connection(), id).await?;
    let session = session.filter(|session| !session.is_removed);
    let session = session.ok_or_else(|| Problem::new(Code::SessionNotFound))?;
    // Cleanup has switched it off before its time was over: requirement 001 tells that from nothing.
    if session.standing(work.now) == Standing::Expired && work.now < session.expires_at {
        return Err(Problem::new(Code::SessionNotFound));
    }
    session.live(work.now, StatusCode::CONFLICT)?;
    Ok(session)
}

/// Lets somebody into a session that is live and locked. The answer has all that they need to begin.
pub async fn let_in(
    app: &App,
    work: &mut Work,
    session: Session,
    guest: &Guest,
    headers: &HeaderMap,
    client: Client,
) -> Result<Response, Problem> {
    may_join(&session)?;
    let token = Token::draw(token::SESSION)?;
    own_name(work, &session, guest, headers).await?;
    let newcomer = Newcomer {
        role: "guest",
        display_name: guest.display_name.as_deref(),
        user_id: guest.user_id.as_deref(),
        token_hash: token.hash(),
    };
    let newcomer = participants::join(work.connection(), session.id, &newcomer).await?;
    let newcomer = newcomer.ok_or_else(|| Problem::new(Code::SessionFull))?;
    sessions::touch(work.connection(), session.id).await?;
    let actor = Actor::participant(newcomer.id, client);
    events::tell(work.connection(), &[joined(&session, &newcomer)], &actor).await?;

    let session = sessions::lock(work.connection(), session.id).await?.unwrap_or(session);
    let snapshot = snapshot(work, &session, app.heartbeat).await?;
    let body = json!({
        "participant": newcomer.shown(work.now, app.heartbeat),
        "token": token.shown(),
        "head": snapshot["head"],
        "snapshot": snapshot,
    });
    Ok(answer::json(StatusCode::CREATED, body, work.now))
}

/// In After Hours a user id stands for a person whom others match and write to, so that in a session, which
/// is locked, nobody has the one of somebody else: whoever left comes back with the token that they had.
pub async fn own_name(
    work: &mut Work,
    session: &Session,
    guest: &Guest,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let Some(user_id) = guest.user_id.as_deref().filter(|_| session.app == "after_hours") else {
        return Ok(());
    };
    let former = Token::from_headers(headers).ok().map(|token| token.hash());
    if participants::is_taken(work.connection(), session.id, user_id, former).await? {
        return Err(Problem::new(Code::UserPresent));
    }
    Ok(())
}

fn may_join(session: &Session) -> Result<(), Problem> {
    if session.mode == "dual" {
        return Err(Problem::new(Code::DirectRefused));
    }
    if session.participants >= MOST {
        return Err(Problem::new(Code::SessionFull));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::session;

    #[test]
    fn whoever_comes_by_invite_brings_it() {
        let read = |text: &str| Request::read(Fields::parse(text.as_bytes()).expect("an object"));
        let token = format!("in_{}", "0".repeat(64));
        let with = format!(r#"{{"access_method": "invite", "invite_token": "{token}"}}"#);
        assert!(read(&with).expect("right").invite.is_some());
        let direct = read(r#"{"access_method": "direct"}"#).expect("right");
        assert!(direct.invite.is_none());
        for wrong in [
            "{}",
            r#"{"access_method": "invite"}"#,
            r#"{"access_method": "invite", "invite_token": "st_0"}"#,
            r#"{"access_method": "window"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_session_takes_sixty_four_and_one_of_two_phones_takes_a_code() {
        assert!(may_join(&Session { participants: MOST - 1, ..session() }).is_ok());
        let full = may_join(&Session { participants: MOST, ..session() });
        assert_eq!(full.expect_err("full").code(), Code::SessionFull);
        let dual = may_join(&Session { mode: "dual".to_owned(), ..session() });
        assert_eq!(dual.expect_err("dual").code(), Code::DirectRefused);
    }
}
