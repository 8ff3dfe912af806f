//! What a cluster asks, and the pages of the problems.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use runtime::database::failure::{Failure, FailureKind};

use crate::db::{migrations, partitions};
use crate::problem::{Code, Problem};
use crate::state::App;

/// Within so long the database says which schema it has, or is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /healthz`: the process is there.
pub async fn healthz() -> &'static str {
    "alive\n"
}

/// `GET /readyz`: it can do its work, and goes on to.
pub async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, String) {
    let not = |why: String| (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n"));
    if app.draining.has_begun() {
        return not("about to end".to_owned());
    }
    let ready = (StatusCode::OK, "ready\n".to_owned());
    let is_busy = match tokio::time::timeout(PATIENCE, schema_version(&app)).await {
        Ok(Ok(version)) if migrations::fits(version) => return ready,
        Ok(Ok(version)) => return not(format!("the schema is at version {version}")),
        Ok(Err(error)) => is_busy(error),
        Err(_) => true,
    };
    // All replicas have too much to do at the same time: if they left, nobody would be there to say so.
    if is_busy && app.database.began_lately() {
        return ready;
    }
    not("the database does not answer".to_owned())
}

/// Whether a failure says only that there is much to do.
fn is_busy(error: sqlx::Error) -> bool {
    matches!(error, sqlx::Error::PoolTimedOut)
        || matches!(Failure::from(error).kind, FailureKind::Slow | FailureKind::Contention)
}

/// The version of the schema, by way of the pool that requests use.
async fn schema_version(app: &App) -> Result<i64, sqlx::Error> {
    let mut work = app.database.begin().await?;
    partitions::schema_version(work.connection()).await
}

/// `GET /metrics`
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    match app.metrics.page(app.database.connections()) {
        Ok(page) => {
            ([(header::CONTENT_TYPE, runtime::metrics::CONTENT_TYPE)], page).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "cannot write the metrics page");
            Problem::new(Code::Internal).into_response()
        }
    }
}

/// `GET /problems/{code}`: what the type of a problem leads to.
pub async fn problem(word: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let code = word.ok().and_then(|Path(word)| Code::of(&word));
    let code = code.ok_or_else(|| Problem::new(Code::RouteNotFound))?;
    let (status, title, detail) = (code.status(), code.title(), code.detail());
    Ok(format!("{}\n\n{title} (usually {status}).\n{detail}\n", code.as_str()))
}
