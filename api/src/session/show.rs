//! `GET /api/v1/sessions/{id}`: what a participant sees of their session.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use crate::answer;
use crate::db::Work;
use crate::db::participants::{self, Present};
use crate::participant::{Access, Member};
use crate::problem::{Code, Problem};
use crate::session::{Session, SessionId, Standing};
use crate::state::App;

/// `GET /api/v1/sessions/{id}`
pub async fn show(
    State(app): State<Arc<App>>,
    SessionId(id): SessionId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut work = app.database.begin().await?;
    let member = Member::find(&mut work, &headers, id, Access::Read).await?;
    if member.session.standing(work.now) == Standing::Expired {
        return Err(Problem::new(Code::SessionExpired));
    }
    let body = snapshot(&mut work, &member.session, app.heartbeat).await?;
    Ok(with_etag(body, &member.session, &work))
}

/// A session with all that its participants see.
pub async fn snapshot(
    work: &mut Work,
    session: &Session,
    heartbeat: Duration,
) -> Result<Value, Problem> {
    let now = work.now;
    let Present { participants, deck, head: (epoch, seq) } =
        participants::list(work.connection(), session.id, session.group).await?;
    Ok(json!({
        "session": session.shown(now),
        "participants": participants.iter().map(|one| one.shown(now, heartbeat)).collect::<Vec<_>>(),
        "group": {
            "id": session.group.to_string(),
            "deck_context_id": deck.map(|deck| deck.to_string()),
        },
        "head": format!("{epoch}:{seq}"),
    }))
}

/// The answer that a later change refers to.
pub fn with_etag(body: Value, session: &Session, work: &Work) -> Response {
    let mut answer = answer::json(StatusCode::OK, body, work.now);
    if let Ok(tag) = HeaderValue::from_str(&session.etag()) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}
