//! `POST /api/v1/sessions/{id}/participants`: somebody who knows a session comes in.
//!
//! The id of a session is random and known to those who were told; a session of two phones takes a code
//! instead.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::answer;
use crate::body::Fields;
use crate::client::{Client, Peer};
use crate::db::participants::{self, Newcomer};
use crate::db::{events, sessions};
use crate::event::Actor;
use crate::participant::MOST;
use crate::problem::{Code, Problem};
use crate::session::create::joined;
use crate::session::show::snapshot;
use crate::session::{Session, SessionId};
use crate::state::App;
use crate::token::Token;

fn read(mut fields: Fields) -> Result<Option<String>, Problem> {
    let method = fields.choice("access_method", &["direct"]);
    fields.required("access_method", method);
    let display_name = fields.text("display_name", 40);
    fields.done()?;
    Ok(display_name)
}

/// `POST /api/v1/sessions/{id}/participants`
pub async fn join(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    let display_name = read(fields)?;
    let mut work = app.database.begin().await?;
    let session = sessions::lock(work.connection(), id).await?;
    let session = session.filter(|session| !session.is_removed);
    let session = session.ok_or_else(|| Problem::new(Code::SessionNotFound))?;
    session.live(work.now, StatusCode::CONFLICT)?;
    may_join(&session)?;

    let token = Token::draw()?;
    let newcomer =
        Newcomer { role: "guest", display_name: display_name.as_deref(), token_hash: token.hash() };
    let guest = participants::join(work.connection(), id, &newcomer).await?;
    sessions::touch(work.connection(), id).await?;
    let client = Client::find(peer, &headers, app.proxies);
    let actor = Actor { participant: Some(guest.id), network: client.prefix() };
    events::tell(work.connection(), &[joined(&session, &guest)], &actor).await?;

    let session = sessions::lock(work.connection(), id).await?.unwrap_or(session);
    let snapshot = snapshot(&mut work, &session).await?;
    let body = json!({
        "participant": guest.shown(work.now),
        "token": token.shown(),
        "head": snapshot["head"],
        "snapshot": snapshot,
    });
    let answer = answer::json(StatusCode::CREATED, body, work.now);
    work.commit().await?;
    Ok(answer)
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
    fn a_session_takes_sixty_four_and_one_of_two_phones_takes_a_code() {
        assert!(may_join(&Session { participants: MOST - 1, ..session() }).is_ok());
        let full = may_join(&Session { participants: MOST, ..session() });
        assert_eq!(full.expect_err("full").code(), Code::SessionFull);
        let dual = may_join(&Session { mode: "dual".to_owned(), ..session() });
        assert_eq!(dual.expect_err("dual").code(), Code::DirectRefused);
    }
}
