//! `GET /api/v1/analytics/forecast`: how many sessions the next 24 hours will bring, by what the same hours of the
//! last four weeks brought.

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

/// `GET /api/v1/analytics/forecast`
pub async fn forecast(
    State(app): State<Arc<App>>,
    _: Reader,
    query: Query,
) -> Result<Response, Problem> {
    let of_app = super::app_alone(query)?;
    let mut work = app.database.begin_long().await?;
    let rows = analytics::forecast(work.connection(), of_app).await?;
    Ok(answer::json(StatusCode::OK, json!({"hours": rows}), work.now))
}
