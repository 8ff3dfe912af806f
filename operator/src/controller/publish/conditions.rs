//! The conditions of a policy, from what was applied and how the runs ended. Pure.

mod approved;
mod ready;
mod runs;
mod schedule;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use policy::{CleanupPolicyStatus, condition};

pub(super) use ready::{SUSPENDED_TOO, is_suspended};

use super::run::FinishedRun;
use super::words::cut;
use crate::controller::build::{Applied, Resources};
use crate::controller::observe::{Observed, in_seconds};
use crate::controller::validate::{InvalidPolicy, ValidPolicy};

/// The API server takes 32 KiB; nobody reads that much.
const LONGEST_MESSAGE: usize = 8 * 1024;

/// What a condition should say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying {
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    pub reason: String,
    pub message: String,
}

impl Saying {
    fn new(status: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { status, reason: reason.to_owned(), message: message.into() }
    }
}

/// All conditions, in a fixed order; `status` is the next one but for them.
pub fn conditions(
    observed: &Observed,
    validated: &Result<ValidPolicy, InvalidPolicy>,
    applied: &Resources<Applied>,
    status: &CleanupPolicyStatus,
    runs: &[FinishedRun],
) -> Vec<Condition> {
    let (ready, also) = ready::ready(observed, validated, applied, status.last_run.as_ref());
    let also = also.map(|kind| (kind, Saying { status: "True", ..ready.clone() }));
    let mut all = vec![stamped(observed, condition::READY, ready)];
    all.extend(approved::approved(observed, validated, applied));
    all.push(runs::last_run_succeeded(observed, runs));
    all.push(runs::running(observed, status));
    all.extend(runs::backlog_drained(observed, status, runs));
    all.push(schedule::schedule_healthy(observed, validated, status));
    all.extend(also.map(|(kind, saying)| stamped(observed, kind, saying)));
    all
}

/// Finds a condition.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// The time moves only when the status does.
fn stamped(observed: &Observed, kind: &str, saying: Saying) -> Condition {
    let last = find(&observed.policy.status.conditions, kind);
    let since = last.filter(|last| last.status == saying.status);
    let since = since
        .map_or_else(|| Time(in_seconds(observed.now)), |last| last.last_transition_time.clone());
    Condition {
        type_: kind.to_owned(),
        status: saying.status.to_owned(),
        reason: saying.reason,
        message: cut(&saying.message, LONGEST_MESSAGE),
        last_transition_time: since,
        observed_generation: Some(observed.policy.generation),
    }
}

#[cfg(test)]
mod tests;
