//! `GET /api/v1/analytics/sessions`: sessions that ended in a period: how many were completed, how long they
//! took, when most people play and how many come again.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::SignedDuration;

use super::APPS;
use crate::admin::Reader;
use crate::answer;
use crate::billing::Period;
use crate::db::analytics;
use crate::problem::Problem;
use crate::query::Query;
use crate::state::App;

/// `GET /api/v1/analytics/sessions`
pub async fn sessions(
    State(app): State<Arc<App>>,
    _: Reader,
    mut query: Query,
) -> Result<Response, Problem> {
    let of_app = query.fields().choice("app", APPS);
    let (from, to) = (query.time("from"), query.time("to"));
    query.done()?;
    let mut work = app.database.begin_long().await?;
    let to = to.unwrap_or(work.now);
    let from =
        from.unwrap_or_else(|| to.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(to));
    let period = Period::of(from, to)?;
    let body = analytics::sessions(work.connection(), &period, of_app).await?;
    Ok(answer::json(StatusCode::OK, body, work.now))
}
