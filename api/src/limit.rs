//! Limits: so many tries of something in so long, over all replicas, and how an answer says what is left.

use std::time::Instant;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

use crate::db::Work;
use crate::db::rate_limits::{self, Limit, Reserved, Try};
use crate::problem::Problem;
use crate::state::App;

/// What the server allows, and what is left of it: draft-ietf-httpapi-ratelimit-headers.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// See [`POLICY`].
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// The value of [`POLICY`].
fn policy(limit: Limit) -> String {
    format!("\"{}\";q={};w={}", limit.name, limit.tries, limit.seconds)
}

/// The value of [`LEFT`].
fn left(limit: Limit, tries: i32, seconds: u64) -> String {
    format!("\"{}\";r={tries};t={seconds}", limit.name)
}

/// In whole seconds, and never too early.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a wait is between nothing and ten minutes"
)]
fn whole_seconds(wait: f64) -> u64 {
    wait.max(0.0).ceil() as u64
}

/// There is no try left for so many seconds.
fn quota(limit: Limit, wait: f64) -> Problem {
    let seconds = whole_seconds(wait).max(1);
    Problem::quota(limit.name, seconds)
        .header(POLICY, policy(limit))
        .header(LEFT, left(limit, 0, seconds))
}

/// By what a limit knows somebody or something.
pub fn key(limit: Limit, whose: &str) -> String {
    format!("{}:{whose}", limit.name)
}

/// Turns away who was just told to wait: a flood reaches no database.
pub fn guard(app: &App, limit: Limit, whose: &str) -> Result<(), Problem> {
    match app.blocked.seconds_left(&key(limit, whose), Instant::now()) {
        Some(wait) => Err(denied(app, limit, wait)),
        None => Ok(()),
    }
}

/// Takes a try of somebody or something; where none is left, the problem says when one will be.
pub async fn take(app: &App, work: &mut Work, limit: Limit, whose: &str) -> Result<Try, Problem> {
    // Many at once would wait for one row, each with a connection to the database.
    guard(app, limit, whose)?;
    let key = key(limit, whose);
    match rate_limits::reserve(work.connection(), &key, limit).await? {
        Reserved::Taken(taken) => Ok(taken),
        Reserved::Denied(wait) => {
            app.blocked.block(key, wait, Instant::now());
            Err(denied(app, limit, wait))
        }
    }
}

/// No try is left.
pub fn denied(app: &App, limit: Limit, wait: f64) -> Problem {
    app.metrics.limited(limit.name);
    quota(limit, wait)
}

/// Says in an answer what is left after a try.
pub fn with_left(mut answer: Response, limit: Limit, taken: &Try) -> Response {
    for (name, value) in headers(limit, taken) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// The same of a problem.
pub fn left_of(problem: Problem, limit: Limit, taken: &Try) -> Problem {
    headers(limit, taken)
        .into_iter()
        .fold(problem, |problem, (name, value)| problem.header(name, value))
}

fn headers(limit: Limit, taken: &Try) -> [(HeaderName, String); 2] {
    [(POLICY, policy(limit)), (LEFT, left(limit, taken.left, whole_seconds(taken.reset)))]
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::response::IntoResponse as _;

    use super::*;

    const LIMIT: Limit = Limit { name: "join-code", tries: 5, seconds: 60.0 };

    #[test]
    fn a_quota_says_how_many_there_are_and_when_the_next_one_comes() {
        let response = quota(LIMIT, 36.2).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[POLICY], "\"join-code\";q=5;w=60");
        assert_eq!(response.headers()[LEFT], "\"join-code\";r=0;t=37");
        assert_eq!(response.headers()["retry-after"], "37");
        assert_eq!(quota(LIMIT, -0.1).into_response().headers()["retry-after"], "1");
    }
}
