//! `GET /api/v1/analytics/active-sessions`: who plays now, by table and group.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::admin::Reader;
use crate::answer;
use crate::db::analytics;
use crate::problem::Problem;
use crate::query::Query;
use crate::state::App;

/// `GET /api/v1/analytics/active-sessions`
pub async fn active_sessions(
    State(app): State<Arc<App>>,
    _: Reader,
    query: Query,
) -> Result<Response, Problem> {
    let (of_app, page) = super::app_and_page(query)?;
    let mut work = app.database.begin_long().await?;
    let mut rows = analytics::active_sessions(work.connection(), of_app, &page).await?;
    let next = page.cut(&mut rows, |row| row.place);
    let shown: Vec<Value> = rows.into_iter().map(|row| row.shown).collect();
    Ok(answer::json(StatusCode::OK, json!({"groups": shown, "next": next}), work.now))
}
