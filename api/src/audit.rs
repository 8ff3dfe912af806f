//! `GET /api/v1/audit`: who did what, the newest first.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use crate::admin::Reader;
use crate::analytics::APPS;
use crate::answer;
use crate::db::audit::{self, Filter};
use crate::problem::Problem;
use crate::query::{Query, whole};
use crate::state::App;

/// `GET /api/v1/audit`
pub async fn list(
    State(app): State<Arc<App>>,
    _: Reader,
    mut query: Query,
) -> Result<Response, Problem> {
    let is_line = |text: &str| whole(text).is_some();
    let before = query.fields().formed("cursor", is_line, "must be what an answer gave as next");
    let limit = query.limit();
    let session = query.id("session_id");
    let of_app = query.fields().choice("app", APPS);
    let event_type = query.fields().name("type", 64);
    query.done()?;
    let filter = Filter {
        session,
        app: of_app,
        event_type: event_type.as_deref(),
        before: before.and_then(|text| whole(&text)),
    };
    let mut work = app.database.begin_long().await?;
    let mut lines = audit::list(work.connection(), &filter, limit + 1).await?;
    let has_more = lines.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if has_more {
        lines.pop();
    }
    let next = lines.last().filter(|_| has_more).map(|line| line["id"].to_string());
    Ok(answer::json(StatusCode::OK, json!({"lines": lines, "next": next}), work.now))
}
