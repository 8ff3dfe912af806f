//! `Ready`: whether the CronJob matches the policy and may run. Pure.

use jiff::Timestamp;
use policy::{condition, reason};

use super::{Saying, find};
use crate::controller::apply::AppliedCronJob;
use crate::controller::build::{Applied, Resources};
use crate::controller::observe::{Container, Observed};
use crate::controller::validate::{InvalidPolicy, ValidPolicy};

/// Kubelet's word for a pod whose Secret, or the key in it, is not there.
const CONFIG_ERROR: &str = "CreateContainerConfigError";

/// What `Ready` should say.
pub(super) fn ready(
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
