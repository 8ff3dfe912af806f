//! What every answer has, whatever the endpoint: the number of the request, headers that keep a browser
//! safe, a body for each problem, a line in the log and a place in the figures.
//!
//! The line has no address, no query, no header and no body of the client.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::body::Awaited;
use crate::problem::{Code, MEDIA_TYPE, Problem};
use crate::state::App;
use crate::token::Token;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 64;

/// For answers that are data and never a page.
const SAFE: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// An answer with a body, which always says what time it is here: a countdown then survives a clock of a
/// phone that is wrong.
pub fn json(status: StatusCode, mut body: Value, now: Timestamp) -> Response {
    body["server_time"] = json!(now.to_string());
    let media_type = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, media_type)], body.to_string()).into_response()
}

/// Around every request.
pub async fn complete(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let request_id = request_id(request.headers());
    let method = request.method().clone();
    let instance = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "none".to_owned());

    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        tell_cause(&problem, &request_id);
        let body = problem.body(&instance, &request_id, &wall_clock());
        response = with_body(response, &body);
    }
    let headers = response.headers_mut();
    for (name, value) in SAFE {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if app.draining.has_begun() {
        // Whoever keeps the connection for later goes to another replica with the next request.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    tell(&app, &Told { request_id, method, route, status: response.status(), begun });
    response
}

/// Every request has its time, and its body is a part of it.
pub async fn in_time(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let body = Awaited::default();
    request.extensions_mut().insert(body.clone());
    let work = tokio::time::timeout(app.request_timeout, next.run(request)).await;
    work.unwrap_or_else(|_| {
        let problem = if body.is_awaited() {
            Problem::new(Code::RequestTimeout).header(header::CONNECTION, "close")
        } else {
            Problem::overloaded()
        };
        problem.into_response()
    })
}

/// A request that needs the token of a participant has something that can be one.
pub async fn with_token(request: Request, next: Next) -> Response {
    match Token::from_headers(request.headers()) {
        Ok(_) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The client's own number where it can be one, so that its log and ours meet.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_id = |id: &&str| {
        (8..=LONGEST_REQUEST_ID).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    given.filter(is_id).map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

fn with_body(response: Response, body: &Value) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, body.to_string().into())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a problem is told without the database; nothing is decided by this clock, as by none of ours"
)]
fn wall_clock() -> String {
    Timestamp::now().to_string()
}

fn tell_cause(problem: &Problem, request_id: &str) {
    let Some(failure) = problem.cause() else { return };
    if problem.code().status() == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(request_id, error = %failure, "the database refused what a request needs");
    } else {
        tracing::warn!(request_id, error = %failure, "the database could not answer a request");
    }
}

struct Told {
    request_id: String,
    method: Method,
    route: String,
    status: StatusCode,
    begun: Instant,
}

fn tell(app: &App, told: &Told) {
    let Told { request_id, method, route, status, begun } = told;
    let duration = begun.elapsed();
    app.metrics.answered(method, route, *status, duration);
    tracing::info!(
        request_id,
        http.method = %method,
        http.route = route,
        http.status = status.as_u16(),
        duration_ms = duration.as_secs_f64() * 1000.0,
        "answered"
    );
}

/// A request whose handler has a mistake is answered all the same, and the others do not notice.
pub fn broken(_: Box<dyn std::any::Any + Send>) -> Response {
    Problem::new(Code::Internal).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_the_clients_where_it_is_harmless() {
        let id = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, value.parse().expect("a header"));
            request_id(&headers)
        };
        assert_eq!(id("abc-123_X"), "abc-123_X");
        for wrong in ["short", "with space in it", "\"quoted\"-id", &"x".repeat(65)] {
            assert_eq!(id(wrong).len(), 36, "{wrong}");
        }
    }
}
