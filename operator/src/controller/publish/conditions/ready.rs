//! `Ready`: whether the CronJob matches the policy and may run, and how far it
//! is from that. What is said first hides what comes after it. Pure.

use jiff::Timestamp;
use policy::{Mode, RunStatus, condition, reason};

use super::{LONGEST_MESSAGE, Saying, cut, find};
use crate::controller::apply::{AppliedCronJob, AppliedPreflight};
use crate::controller::build::{Applied, Resources};
use crate::controller::gate::Hold;
use crate::controller::observe::{Container, Observed};
use crate::controller::publish::preview::preview;
use crate::controller::validate::{InvalidPolicy, ValidPolicy};

/// Kubelet's word for a pod whose Secret, or the key in it, is not there.
const CONFIG_ERROR: &str = "CreateContainerConfigError";
/// Beside another reason: what the policy will be when that is gone.
pub(in crate::controller::publish) const SUSPENDED_TOO: &str = "; suspended by spec.suspend";

/// What `Ready` should say, and which condition says it for kstatus too: `Reconciling` while it is
/// tried again by itself, `Stalled` when somebody has to change something.
pub(super) fn ready(
    observed: &Observed,
    validated: &Result<ValidPolicy, InvalidPolicy>,
    applied: &Resources<Applied>,
    last_run: Option<&RunStatus>,
) -> (Saying, Option<&'static str>) {
    let (mut saying, also) = match validated {
        Err(invalid) => (of_wrong_policy(invalid, applied), Some(condition::STALLED)),
        Ok(valid) => of_right_policy(observed, valid, applied, last_run),
    };
    if saying.status != "True" && is_suspended(observed) {
        let room = LONGEST_MESSAGE.saturating_sub(SUSPENDED_TOO.len());
        saying.message = cut(&saying.message, room) + SUSPENDED_TOO;
    }
    (saying, also)
}

/// By its own word, also while the rest of it is wrong.
pub(in crate::controller::publish) fn is_suspended(observed: &Observed) -> bool {
    observed.policy.document.pointer("/spec/suspend") == Some(&true.into())
}

fn of_wrong_policy(invalid: &InvalidPolicy, applied: &Resources<Applied>) -> Saying {
    let mut message = invalid.sentence();
    if let AppliedCronJob::Refused(refusal) = &applied.cron_job {
        message += &format!("; and the old rules may run on: {}", refusal.message);
    }
    Saying::new("False", invalid.reason(), message)
}

fn of_right_policy(
    observed: &Observed,
    valid: &ValidPolicy,
    applied: &Resources<Applied>,
    last_run: Option<&RunStatus>,
) -> (Saying, Option<&'static str>) {
    let reconciling = Some(condition::RECONCILING);
    if let Some(refusal) = applied.refusal() {
        let needs_a_person = refusal.reason == reason::NAME_CONFLICT;
        let also = if needs_a_person { Some(condition::STALLED) } else { reconciling };
        return (Saying::new("False", refusal.reason, refusal.message.clone()), also);
    }
    if let Some(message) = missing_secret(observed) {
        return (Saying::new("False", reason::SECRET_MISSING, message), reconciling);
    }
    // Nothing but a refusal leaves the gate unknown.
    let hold = applied.gate.as_ref().map_or(Some(&Hold::Preflighting), |gate| gate.hold.as_ref());
    match hold {
        Some(hold) => of_hold(hold, valid, applied),
        None if valid.spec.suspend => {
            let message = format!(
                "suspended by spec.suspend: no scheduled run begins, runNow still works; a run: {}",
                outlook(valid, applied, last_run)
            );
            (Saying::new("True", reason::SUSPENDED, message), None)
        }
        None => (Saying::new("True", reason::SCHEDULED, schedule(valid, applied, last_run)), None),
    }
}

fn of_hold(
    hold: &Hold,
    valid: &ValidPolicy,
    applied: &Resources<Applied>,
) -> (Saying, Option<&'static str>) {
    let reconciling = Some(condition::RECONCILING);
    match hold {
        Hold::Preflighting => {
            let message = preflighting(applied);
            (Saying::new("False", reason::PREFLIGHTING, message), reconciling)
        }
        Hold::PreflightFailed { message, next_time, waits_for_edit } => {
            let (then, also) = match next_time {
                _ if *waits_for_edit => {
                    ("waits for an edit of the policy".to_owned(), Some(condition::STALLED))
                }
                Some(time) => (format!("tried again at {time}, or after an edit"), reconciling),
                None => ("being tried again".to_owned(), reconciling),
            };
            let message = format!("{message}; {then}");
            (Saying::new("False", reason::PREFLIGHT_FAILED, message), also)
        }
        Hold::ApprovalPending => {
            let hash = valid.policy.rules_hash();
            let message = format!(
                "rules {hash} wait for approval: the message of condition Approved has the \
                 command; {}",
                would(valid, applied)
            );
            (Saying::new("False", reason::APPROVAL_PENDING, message), reconciling)
        }
    }
}

fn preflighting(applied: &Resources<Applied>) -> String {
    if applied.preflight == AppliedPreflight::WaitsForTurn {
        return "the preflight of these rules waits for its turn: as many as \
                --preflight-concurrency allows are under way"
            .to_owned();
    }
    match applied.gate.as_ref().and_then(|gate| gate.job_name()) {
        Some(job) => format!("Job {job} looks at what these rules would do on the database"),
        None => "the preflight of these rules has not begun".to_owned(),
    }
}

fn schedule(
    valid: &ValidPolicy,
    applied: &Resources<Applied>,
    last_run: Option<&RunStatus>,
) -> String {
    let schedule = valid.policy.schedule();
    let (expression, zone) = (schedule.expression(), schedule.time_zone());
    format!("runs at \"{expression}\" ({zone}): {}", outlook(valid, applied, last_run))
}

/// What a run would do, and what the last one of these rules did since that was seen.
fn outlook(
    valid: &ValidPolicy,
    applied: &Resources<Applied>,
    last_run: Option<&RunStatus>,
) -> String {
    let would = would(valid, applied);
    let time = |text: &str| text.parse::<Timestamp>().ok();
    let planned = applied.gate.as_ref().and_then(|gate| time(&gate.plan_of(valid)?.time));
    match last_run.and_then(|run| Some((run, run.start_time.as_deref()?))) {
        Some((run, began)) if planned.is_some() && time(began) >= planned => {
            format!("{would}; last run, at {began}, {}: {}", run.result.as_str(), run.message)
        }
        _ => would,
    }
}

/// What a run would do, by the newest preflight; without one what there is to run.
fn would(valid: &ValidPolicy, applied: &Resources<Applied>) -> String {
    if let Some(plan) = applied.gate.as_ref().and_then(|gate| gate.plan_of(valid)) {
        return format!("{} (seen at {})", preview(plan), plan.time);
    }
    let rules = match valid.policy.rules().len() {
        1 => "1 rule".to_owned(),
        several => format!("{several} rules"),
    };
    let mode = match valid.policy.mode() {
        Mode::Enforce => "mode Enforce",
        Mode::DryRun => "mode DryRun, which changes nothing",
    };
    format!("{rules}, {mode}")
}

/// What kubelet says of a pod that waits for its Secret, of a run or a preflight. Between two of
/// them the last word holds, until a container begins or the policy is edited.
fn missing_secret(observed: &Observed) -> Option<String> {
    let active = |job_uid: &str| {
        let mut jobs = observed.jobs.iter().chain(&observed.preflights);
        jobs.any(|job| job.uid == job_uid && job.ending.is_none())
    };
    let waiting =
        // One that is going, or gone, says nothing of the one that comes in its place.
        observed.pods.iter().filter(|pod| active(&pod.job_uid) && pod.deletion.is_none()).find_map(|pod| {
            match &pod.container {
                Container::Waiting { reason, message }
                    if reason == CONFIG_ERROR && is_about_missing_secret(message) =>
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
    let message = last.message.strip_suffix(SUSPENDED_TOO).unwrap_or(&last.message);
    (holds && !has_begun_since(observed, last.last_transition_time.0)).then(|| message.to_owned())
}

/// A kubelet that has much to do says "failed to sync secret cache" of a Secret that is there.
fn is_about_missing_secret(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("secret") && !message.contains("failed to sync")
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

#[cfg(test)]
mod tests;
