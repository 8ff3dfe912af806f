//! The conditions of a policy, from what was applied and how the runs ended. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use policy::{condition, reason};

use super::run::FinishedRun;
use super::words::cut;
use crate::controller::apply::AppliedCronJob;
use crate::controller::build::{Applied, Resources};
use crate::controller::observe::{Container, Observed};
use crate::controller::validate::{InvalidPolicy, ValidPolicy};

/// The API server takes 32 KiB; nobody reads that much.
const LONGEST_MESSAGE: usize = 8 * 1024;

/// Kubelet's word for a pod whose Secret, or the key in it, is not there.
const CONFIG_ERROR: &str = "CreateContainerConfigError";

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

/// All conditions, in a fixed order.
pub fn conditions(
    observed: &Observed,
    validated: &Result<ValidPolicy, InvalidPolicy>,
    applied: &Resources<Applied>,
    runs: &[FinishedRun],
) -> Vec<Condition> {
    let ready = ready(observed, validated, applied);
    let also = match ready.reason.as_str() {
        reason::INVALID_SPEC | reason::INVALID_SCHEDULE | reason::NAME_CONFLICT => {
            Some(condition::STALLED)
        }
        reason::APPLY_FAILED | reason::SECRET_MISSING => Some(condition::RECONCILING),
        _ => None,
    };
    let also = also.map(|kind| (kind, Saying { status: "True", ..ready.clone() }));
    let mut all = vec![stamped(observed, condition::READY, ready)];
    all.push(last_run_succeeded(observed, runs));
    all.extend(also.map(|(kind, saying)| stamped(observed, kind, saying)));
    all
}

/// Finds a condition.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn ready(
    observed: &Observed,
    validated: &Result<ValidPolicy, InvalidPolicy>,
    applied: &Resources<Applied>,
) -> Saying {
    let valid = match validated {
        Err(invalid) => return Saying::new("False", invalid.reason(), invalid.sentence()),
        Ok(valid) => valid,
    };
    if let AppliedCronJob::Refused(refusal) = &applied.cron_job {
        return Saying::new("False", refusal.reason, refusal.message.clone());
    }
    if let Some(message) = missing_secret(observed) {
        return Saying::new("False", reason::SECRET_MISSING, message);
    }
    if valid.spec.suspend {
        let message = "suspended by spec.suspend: no scheduled run begins; runNow still works";
        return Saying::new("True", reason::SUSPENDED, message);
    }
    let rules = match valid.policy.rules().len() {
        1 => "1 rule".to_owned(),
        several => format!("{several} rules"),
    };
    let schedule = valid.policy.schedule();
    let message = format!(
        "runs at \"{}\" ({}): {rules}, mode {}",
        schedule.expression(),
        schedule.time_zone(),
        valid.policy.mode().as_str()
    );
    Saying::new("True", reason::SCHEDULED, message)
}

/// What kubelet says of a pod that waits for its Secret. Between two runs the last word holds,
/// until a container begins or the policy is edited.
fn missing_secret(observed: &Observed) -> Option<String> {
    let active =
        |job_uid: &str| observed.jobs.iter().any(|job| job.uid == job_uid && job.ending.is_none());
    let waiting =
        observed.pods.iter().filter(|pod| active(&pod.job_uid)).find_map(|pod| {
            match &pod.container {
                Container::Waiting { reason, message }
                    if reason == CONFIG_ERROR && message.to_lowercase().contains("secret") =>
                {
                    Some(message)
                }
                _ => None,
            }
        });
    if let Some(message) = waiting {
        let message = format!("the Jobs cannot start: {message}");
        return Some(message);
    }
    let last = find(&observed.policy.status.conditions, condition::READY)?;
    let holds = last.reason == reason::SECRET_MISSING
        && last.observed_generation == Some(observed.policy.generation);
    (holds && !has_begun_since(observed, last.last_transition_time.0)).then(|| last.message.clone())
}

fn has_begun_since(observed: &Observed, time: Timestamp) -> bool {
    observed.pods.iter().any(|pod| match &pod.container {
        Container::Waiting { .. } => false,
        Container::Running => true,
        Container::Terminated(termination) => {
            termination.finished_at.is_some_and(|finished| finished > time)
        }
    })
}

/// Unchanged while a run is active, and by a run that was skipped.
fn last_run_succeeded(observed: &Observed, runs: &[FinishedRun]) -> Condition {
    let kind = condition::LAST_RUN_SUCCEEDED;
    let newest = runs.iter().rev().find_map(|run| Some((run, run.succeeded()?)));
    let saying = match (newest, find(&observed.policy.status.conditions, kind)) {
        (Some((run, true)), _) => Saying::new("True", run.reason, run.status.message.clone()),
        (Some((run, false)), _) => Saying::new("False", run.reason, run.status.message.clone()),
        (None, Some(last)) => return last.clone(),
        (None, None) => Saying::new("Unknown", reason::NEVER_RUN, "no run has finished yet"),
    };
    stamped(observed, kind, saying)
}

/// The time moves only when the status does.
fn stamped(observed: &Observed, kind: &str, saying: Saying) -> Condition {
    let last = find(&observed.policy.status.conditions, kind);
    let since = last.filter(|last| last.status == saying.status);
    let since =
        since.map_or_else(|| in_seconds(observed.now), |last| last.last_transition_time.clone());
    Condition {
        type_: kind.to_owned(),
        status: saying.status.to_owned(),
        reason: saying.reason,
        message: cut(&saying.message, LONGEST_MESSAGE),
        last_transition_time: since,
        observed_generation: Some(observed.policy.generation),
    }
}

/// As the API conventions write times.
fn in_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

#[cfg(test)]
mod tests;
