//! `GET /api/v1/analytics/cleanup-runs`: what the last runs of cleanup have done, the newest first.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

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
    let (of_app, limit) = super::app_and_limit(query)?;
    let mut work = app.database.begin_long().await?;
    let rows = analytics::cleanup_runs(work.connection(), of_app, limit).await?;
    Ok(answer::json(StatusCode::OK, json!({"runs": rows}), work.now))
}
