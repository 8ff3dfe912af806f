//! `POST /api/v1/admin/sessions/{id}/end`: somebody who runs the service ends a session. Again it is the same.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::Operator;
use crate::answer;
use crate::client::{Client, Peer};
use crate::event::Actor;
use crate::problem::{Code, Problem};
use crate::session::{SessionId, Standing, end};
use crate::state::App;

/// `POST /api/v1/admin/sessions/{id}/end`
pub async fn end(
    State(app): State<Arc<App>>,
    Operator(admin): Operator,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut work = app.database.begin().await?;
    let session = super::session(&mut work, id).await?;
    let session = match session.standing(work.now) {
        Standing::Live => {
            let actor = Actor::admin(admin, Client::find(peer, &headers, app.proxies));
            end::over(&app, &mut work, &session, &actor).await?
        }
        Standing::Ended => session,
        Standing::Expired => return Err(Problem::new(Code::SessionExpired)),
    };
    let body = json!({"session": session.shown(work.now)});
    let answer = answer::json(StatusCode::OK, body, work.now);
    work.commit().await?;
    app.presence.forget_session(id);
    Ok(answer)
}
