//! Join codes: a host gets one for the second phone, and whoever types it is let in. The rules of `code`,
//! by requests.

pub mod issue;
pub mod redeem;
pub mod revoke;

use axum::http::{HeaderName, StatusCode};
use jiff::Timestamp;

use crate::db::rate_limits::Limit;
use crate::participant::Member;
use crate::problem::{Code, Problem};

/// What the server allows, and what is left of it: draft-ietf-httpapi-ratelimit-headers.
pub const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// See [`POLICY`].
pub const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// The value of [`POLICY`].
pub fn policy(limit: Limit) -> String {
    format!("\"{}\";q={};w={}", limit.name, limit.tries, limit.seconds)
}

/// The value of [`LEFT`].
pub fn left(limit: Limit, tries: i32, seconds: u64) -> String {
    format!("\"{}\";r={tries};t={seconds}", limit.name)
}

/// In whole seconds, and never too early.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a wait is between nothing and ten minutes"
)]
pub fn whole_seconds(wait: f64) -> u64 {
    wait.max(0.0).ceil() as u64
}

/// There is no try left for so many seconds.
pub fn quota(limit: Limit, wait: f64) -> Problem {
    let seconds = whole_seconds(wait).max(1);
    Problem::quota(limit.name, seconds)
        .header(POLICY, policy(limit))
        .header(LEFT, left(limit, 0, seconds))
}

/// Goes on where the member is the host of a session that still waits for its second phone.
fn waiting_host(member: &Member, now: Timestamp) -> Result<(), Problem> {
    member.host()?;
    member.session.live(now, StatusCode::CONFLICT)?;
    match member.session.dual_status.as_deref() {
        Some("waiting") => Ok(()),
        Some(_) => Err(Problem::new(Code::AlreadyPaired)),
        None => Err(Problem::new(Code::NotDual)),
    }
}

#[cfg(test)]
mod tests {
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
