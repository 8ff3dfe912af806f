//! `GET /api/v1/analytics/tables`: the groups and sessions of each table today (UTC), the busiest first.

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

/// `GET /api/v1/analytics/tables`
pub async fn tables(
    State(app): State<Arc<App>>,
    _: Reader,
    query: Query,
) -> Result<Response, Problem> {
    let (of_app, limit) = super::app_and_limit(query)?;
    let mut work = app.database.begin_long().await?;
    let rows = analytics::tables(work.connection(), of_app, limit).await?;
    Ok(answer::json(StatusCode::OK, json!({"tables": rows}), work.now))
}
