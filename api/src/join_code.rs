//! Join codes: a host gets one for the second phone, and whoever types it is let in. The rules of `code`,
//! by requests.

pub mod issue;
pub mod redeem;
pub mod revoke;

use axum::http::StatusCode;
use jiff::Timestamp;

use crate::participant::Member;
use crate::problem::{Code, Problem};

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
