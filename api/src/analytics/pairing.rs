//! `GET /api/v1/analytics/pairing`: the hours of the last day: pairings, how long they took, and codes that expired.

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

/// `GET /api/v1/analytics/pairing`
pub async fn pairing(
    State(app): State<Arc<App>>,
    _: Reader,
    query: Query,
) -> Result<Response, Problem> {
    let of_app = super::app_alone(query)?;
    let mut work = app.database.begin_long().await?;
    let rows = analytics::pairing(work.connection(), of_app).await?;
    Ok(answer::json(StatusCode::OK, json!({"hours": rows}), work.now))
}
