//! `GET /api/v1/analytics/cleanup-runs`: what the last runs of cleanup have done, the newest first.

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

/// `GET /api/v1/analytics/cleanup-runs`
pub async fn cleanup_runs(
    State(app): State<Arc<App>>,
    _: Reader,
    query: Query,
) -> Result<Response, Problem> {
    let (of_app, page) = super::app_and_page(query)?;
    let mut work = app.database.begin_long().await?;
    let mut rows = analytics::cleanup_runs(work.connection(), of_app, &page).await?;
    let next = page.cut(&mut rows, |row| row.place);
    let shown: Vec<Value> = rows.into_iter().map(|row| row.shown).collect();
    Ok(answer::json(StatusCode::OK, json!({"runs": shown, "next": next}), work.now))
}
