//! `GET /api/v1/analytics/join-codes`: how many codes of the last 24 hours were right.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::admin::Reader;
use crate::answer;
use crate::db::analytics;
use crate::problem::Problem;
use crate::query::Query;
use crate::state::App;

/// `GET /api/v1/analytics/join-codes`
pub async fn join_codes(
    State(app): State<Arc<App>>,
    _: Reader,
    query: Query,
) -> Result<Response, Problem> {
    let of_app = super::app_alone(query)?;
    let mut work = app.database.begin_long().await?;
    let body = analytics::join_codes(work.connection(), of_app).await?;
    Ok(answer::json(StatusCode::OK, body, work.now))
}
