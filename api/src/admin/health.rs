//! `GET /api/v1/admin/health`: the service as a whole, over all replicas.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::Reader;
use crate::answer;
use crate::db::{analytics, partitions};
use crate::problem::Problem;
use crate::state::App;

/// `GET /api/v1/admin/health`
pub async fn health(State(app): State<Arc<App>>, _: Reader) -> Result<Response, Problem> {
    let mut work = app.database.begin().await?;
    let version = partitions::schema_version(work.connection()).await?;
    let mut body = analytics::health(work.connection()).await?;
    let (open, idle) = app.database.connections();
    body["schema_version"] = json!(version);
    body["replica"] = json!({
        "id": app.id.to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "is_draining": app.draining.has_begun(),
        "pool": {"open": open, "idle": idle},
    });
    Ok(answer::json(StatusCode::OK, body, work.now))
}
