//! `POST /api/v1/sessions/{id}/join-code`: the host gets a new code, and the old one is void.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::answer;
use crate::client::{Client, Peer};
use crate::code::Purpose;
use crate::db::rate_limits::{self, Limit, Reserved};
use crate::db::{events, join_codes};
use crate::join_code::{quota, waiting_host};
use crate::participant::{Access, Member};
use crate::problem::Problem;
use crate::session::SessionId;
use crate::session::create::{draw, generated};
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
    let key = format!("{}:{id}", LIMIT.name);
    if let Reserved::Denied(wait) = rate_limits::reserve(work.connection(), &key, LIMIT).await? {
        return Err(quota(LIMIT, wait));
    }
    for _ in 0..DRAWS {
        let (code, kept) = draw(&app, Purpose { app: &member.session.app, session: id })?;
        if join_codes::is_live(work.connection(), &app.code_keys.lookups(&code)).await? {
            continue;
        }
        let Some(session) = join_codes::issue(work.connection(), id, &kept).await? else {
            continue;
        };
        let actor = member.actor(Client::find(peer, &headers, app.proxies));
        events::tell(work.connection(), &[generated(&session)], &actor).await?;
        let expires_at = session.code_expires_at.map(|at| at.to_string());
        let body = json!({"pairing": {"code": code.shown(), "expires_at": expires_at}});
        let answer = answer::json(StatusCode::CREATED, body, work.now);
        work.commit().await?;
        return Ok(answer);
    }
    Err(Problem::overloaded().detail("There is no code that is free at the moment; try again."))
}
