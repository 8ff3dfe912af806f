//! `POST /api/v1/sessions/{id}/join-code`: the host gets a new code, and the old one is void.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::answer;
use crate::client::{Client, Peer};
use crate::code::Purpose;
use crate::db::rate_limits::Limit;
use crate::db::{events, join_codes};
use crate::join_code::waiting_host;
use crate::limit;
use crate::participant::{Access, Member};
use crate::problem::Problem;
use crate::session::SessionId;
use crate::session::create::{draw, generated, no_code};
use crate::state::App;

/// Of one session: a code lives as long as it is not asked for anew.
const LIMIT: Limit = Limit { name: "issue-code", tries: 10, seconds: 60.0 };
/// See [`crate::session::create`].
const DRAWS: usize = 20;

/// `POST /api/v1/sessions/{id}/join-code`
pub async fn issue(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut work = app.database.begin().await?;
    let member = Member::find(&mut work, &headers, id, Access::Change).await?;
    waiting_host(&member, work.now)?;
    let taken = limit::take(&app, &mut work, LIMIT, &id.to_string()).await?;
    for _ in 0..DRAWS {
        let (code, kept) = draw(&app, Purpose { app: &member.session.app, session: id })?;
        if join_codes::is_live(work.connection(), &app.code_keys.lookups(&code)).await? {
            continue;
        }
        let session = join_codes::issue(work.connection(), id, &kept).await?;
        let session = session.ok_or_else(no_code)?;
        let actor = member.actor(Client::find(peer, &headers, app.proxies));
        events::tell(work.connection(), &[generated(&session)], &actor).await?;
        let expires_at = session.code_expires_at.map(|at| at.to_string());
        let body = json!({"pairing": {"code": code.shown(), "expires_at": expires_at}});
        let answer = answer::json(StatusCode::CREATED, body, work.now);
        work.commit().await?;
        return Ok(limit::with_left(answer, LIMIT, &taken));
    }
    Err(no_code())
}
