//! What a client is told when something is wrong: RFC 9457, with a stable code each.
//!
//! A handler only says what is wrong. `answer` adds which request it was and writes the body, so that no
//! endpoint can leave a member out. Nothing of a request's body and no word of the database goes in here.

mod code;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use runtime::database::failure::{Failure, FailureKind};
use serde_json::{Value, json};

pub use code::Code;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// How soon a client may try again after 503.
const SOON: u64 = 1;

/// One thing that is wrong with a field of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// Its name.
    pub field: &'static str,
    /// What it must be.
    pub message: String,
}

/// What is wrong.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    code: Code,
    status: StatusCode,
    detail: String,
    retry_after: Option<u64>,
    errors: Vec<FieldProblem>,
    /// Names of the rate limits that were passed.
    violated: Vec<&'static str>,
    headers: Vec<(HeaderName, String)>,
    /// For our log alone.
    cause: Option<Failure>,
}

impl Problem {
    /// A problem with the usual words and status of its code.
    pub fn new(code: Code) -> Self {
        Self(Box::new(Parts {
            code,
            status: code.status(),
            detail: code.detail().to_owned(),
            retry_after: None,
            errors: Vec::new(),
            violated: Vec::new(),
            headers: Vec::new(),
            cause: None,
        }))
    }

    /// The same code by another status: what is over is 409 to one endpoint and 410 to another.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// Says more of this one case.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Every field that is wrong.
    pub fn errors(mut self, errors: Vec<FieldProblem>) -> Self {
        self.0.errors = errors;
        self
    }

    /// A header that goes with it.
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Too many tries under a rate limit, and when the next one is allowed.
    pub fn quota(policy: &'static str, retry_after: u64) -> Self {
        let mut problem = Self::new(Code::QuotaExceeded).retry_after(retry_after);
        problem.0.violated.push(policy);
        problem
    }

    /// Too much to do at the moment.
    pub fn overloaded() -> Self {
        Self::new(Code::Overloaded).retry_after(SOON)
    }

    /// What our log should say beside the request.
    pub fn cause(&self) -> Option<&Failure> {
        self.0.cause.as_ref()
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The body, for one request.
    pub fn body(&self, instance: &str, request_id: &str, server_time: &str) -> Value {
        let Parts { code, status, detail, retry_after, errors, violated, .. } = &*self.0;
        let mut body = json!({
            "type": code.uri(),
            "title": code.title(),
            "status": status.as_u16(),
            "detail": detail,
            "instance": instance,
            "code": code.as_str(),
            "request_id": request_id,
            "server_time": server_time,
        });
        if let Some(seconds) = retry_after {
            body["retry_after_s"] = json!(seconds);
        }
        if !errors.is_empty() {
            body["errors"] = errors
                .iter()
                .map(|FieldProblem { field, message }| json!({"field": field, "message": message}))
                .collect();
        }
        if !violated.is_empty() {
            body["violated-policies"] = json!(violated);
        }
        body
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        // Every connection is at work: the one failure that says nothing of the database.
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::overloaded();
        }
        let failure = Failure::from(error);
        let mut problem = match failure.kind {
            FailureKind::Unavailable | FailureKind::Contention | FailureKind::Slow => {
                Self::overloaded()
            }
            FailureKind::Wrong | FailureKind::Row | FailureKind::Rule | FailureKind::Superseded => {
                Self::new(Code::Internal)
            }
        };
        problem.0.cause = Some(failure);
        problem
    }
}

impl From<getrandom::Error> for Problem {
    fn from(_: getrandom::Error) -> Self {
        Self::new(Code::Internal)
            .detail("the system gave no random numbers, without which nothing safe can be made")
    }
}

impl IntoResponse for Problem {
    /// Without a body: that is the work of `answer`, which knows the request.
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        let headers = response.headers_mut();
        for (name, value) in &self.0.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_every_member() {
        let problem = Problem::new(Code::ValidationFailed)
            .errors(vec![FieldProblem { field: "app", message: "must be given".to_owned() }]);
        let body = problem.body("/api/v1/sessions", "r1", "2026-01-01T00:00:00Z");
        assert_eq!(
            body,
            json!({
                "type": "/problems/validation_failed",
                "title": "The request does not fit",
                "status": 422,
                "detail": Code::ValidationFailed.detail(),
                "instance": "/api/v1/sessions",
                "code": "validation_failed",
                "request_id": "r1",
                "server_time": "2026-01-01T00:00:00Z",
                "errors": [{"field": "app", "message": "must be given"}],
            })
        );
    }

    #[test]
    fn a_quota_names_its_policy_and_the_wait() {
        let problem = Problem::quota("join-code", 37);
        let body = problem.body("/x", "r", "t");
        assert_eq!(body["retry_after_s"], 37);
        assert_eq!(body["violated-policies"], json!(["join-code"]));
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "37");
    }

    #[test]
    fn a_full_pool_is_overload_and_a_wrong_schema_is_ours() {
        let full = Problem::from(sqlx::Error::PoolTimedOut);
        assert_eq!((full.0.status, full.0.retry_after), (StatusCode::SERVICE_UNAVAILABLE, Some(1)));
        let wrong = Problem::from(sqlx::Error::Configuration("secret".into()));
        assert_eq!(wrong.0.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!wrong.body("/", "r", "t").to_string().contains("secret"));
    }
}
