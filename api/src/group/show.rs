//! `GET /api/v1/groups/{id}`: a participant sees their own group.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::answer;
use crate::db::{events, groups};
use crate::participant::{Access, Member};
use crate::problem::{Code, Problem};
use crate::session::SessionId;
use crate::state::App;

/// `GET /api/v1/groups/{id}`
pub async fn show(
    State(app): State<Arc<App>>,
    id: Result<SessionId, Problem>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let absent = || Problem::new(Code::GroupNotFound);
    let mut work = app.database.begin().await?;
    let member = Member::any(&mut work, &headers, Access::Read).await?;
    member.session.live(work.now, StatusCode::GONE)?;
    let SessionId(id) = id.map_err(|_| absent())?;
    if member.session.group != id {
        return Err(absent());
    }
    let group = groups::find(work.connection(), id).await?.ok_or_else(absent)?;
    let (epoch, seq) = events::head(work.connection(), id).await?;
    let mut shown = group.shown();
    shown["deck_context_id"] = json!(group.deck.map(|deck| deck.to_string()));
    let body = json!({"group": shown, "head": format!("{epoch}:{seq}")});
    Ok(answer::json(StatusCode::OK, body, work.now))
}
