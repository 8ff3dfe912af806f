//! Events of the policy and its CronJob: told by the difference between the
//! status that is stored and the one that is about to be, so that a status that
//! could not be written loses none. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use policy::{CleanupPolicyStatus, condition, event, reason};

use super::EventDraft;
use crate::controller::apply::{AppliedCronJob, Change};
use crate::controller::build::{Applied, Resources};
use crate::controller::observe::Observed;
use crate::controller::publish::conditions::{SUSPENDED_TOO, find, is_suspended};

/// Reasons of `Ready` under which a right policy is held back.
const HELD: [&str; 4] = [
    reason::PREFLIGHTING,
    reason::PREFLIGHT_FAILED,
    reason::APPROVAL_PENDING,
    reason::SECRET_MISSING,
];

pub(super) fn cron_job_drafts(
    observed: &Observed,
    applied: &Resources<Applied>,
) -> Vec<EventDraft> {
    let AppliedCronJob::Current { reference, change } = &applied.cron_job else { return vec![] };
    let known = observed.policy.status.cron_job_ref.as_ref();
    let known = known.filter(|known| known.uid == reference.uid);
    let name = &reference.name;
    // What the status knows tells one change from the next, and not what the CronJob has become:
    // that may have moved on when the status could not be stored.
    let since = known.map_or(0, |known| known.generation);
    let draft = |reason, note| EventDraft {
        reason,
        is_warning: false,
        action: "Apply",
        note,
        key: format!("{}/{since}", reference.uid),
    };
    let updated =
        || draft(event::CRON_JOB_UPDATED, format!("updated CronJob {name} to the policy"));
    let corrected = || {
        let note = format!("undid an edit of CronJob {name}: the policy is where to make it");
        draft(event::DRIFT_CORRECTED, note)
    };
    let Some(known) = known else {
        return vec![draft(event::CRON_JOB_CREATED, format!("created CronJob {name}"))];
    };
    if known.hash.is_empty() {
        // A status of before it had hashes.
        return match change {
            Some(Change::Updated) => vec![updated()],
            Some(Change::Corrected) => vec![corrected()],
            Some(Change::Created) | None => vec![],
        };
    }
    if known.hash == reference.hash {
        let is_other = known.generation != reference.generation;
        return is_other.then(corrected).into_iter().collect();
    }
    // An edit of somebody else and one of the policy can be told at once.
    let edited = (*change == Some(Change::Corrected)).then(corrected);
    edited.into_iter().chain((!is_by_gate(observed, applied)).then(updated)).collect()
}

/// The gate alone was opened or shut, of which other events tell. That it is shut the status says
/// before it is done.
fn is_by_gate(observed: &Observed, applied: &Resources<Applied>) -> bool {
    let status = &observed.policy.status;
    let was_held = ready(&status.conditions).is_some_and(|last| HELD.contains(&&*last.reason));
    let is_held = applied.gate.as_ref().is_some_and(|gate| gate.hold.is_some());
    status.observed_generation == Some(observed.policy.generation) && (was_held || is_held)
}

fn ready(conditions: &[Condition]) -> Option<&Condition> {
    find(conditions, condition::READY)
}

/// What `Ready` began to say. Of an object that the API server refused also where something else
/// is said first.
pub(super) fn ready_draft(
    observed: &Observed,
    status: &CleanupPolicyStatus,
    applied: &Resources<Applied>,
) -> Option<EventDraft> {
    let now = ready(&status.conditions)?;
    let before = ready(&observed.policy.status.conditions);
    let refused = applied.refusal().filter(|refusal| refusal.reason == reason::APPLY_FAILED);
    if let Some(refusal) = refused {
        let told = before.is_some_and(|before| before.message.contains(&refusal.message));
        let draft =
            warning(event::APPLY_FAILED, observed, before, refusal.message.clone(), "Apply");
        return (!told).then_some(draft);
    }
    let (reason, note) = match now.reason.as_str() {
        reason::INVALID_SPEC => (event::INVALID_SPEC, now.message.clone()),
        reason::INVALID_SCHEDULE => (event::INVALID_SCHEDULE, now.message.clone()),
        reason::SECRET_MISSING => (event::SECRET_MISSING, now.message.clone()),
        reason::NAME_CONFLICT => (event::NAME_CONFLICT, now.message.clone()),
        reason::APPROVAL_PENDING => {
            let approved = find(&status.conditions, condition::APPROVED)?;
            // kubectl shows events as a table; to a shell the rest of the line is a comment.
            (event::APPROVAL_REQUIRED, approved.message.replace('\n', " # "))
        }
        _ => return None,
    };
    let told =
        before.is_some_and(|before| before.reason == now.reason && before.message == now.message);
    (!told).then(|| warning(reason, observed, before, note, "Check"))
}

/// What stood before tells one Secret that went missing from the next; unlike the time of this
/// moment it is the same until the status is stored.
fn warning(
    reason: &'static str,
    observed: &Observed,
    before: Option<&Condition>,
    note: String,
    action: &'static str,
) -> EventDraft {
    let since = before.map(|before| before.last_transition_time.0.to_string()).unwrap_or_default();
    let key = format!("{}/{since}/{note}", observed.policy.generation);
    EventDraft { reason, is_warning: true, action, note, key }
}

/// That `spec.suspend` changed. `Ready` is where the status remembers it.
pub(super) fn suspension_draft(observed: &Observed) -> Option<EventDraft> {
    let before = ready(&observed.policy.status.conditions);
    let was_suspended = before.is_some_and(|before| {
        before.reason == reason::SUSPENDED || before.message.ends_with(SUSPENDED_TOO)
    });
    let (reason, note) = match (was_suspended, is_suspended(observed)) {
        (false, true) => (event::SUSPENDED, "suspended by spec.suspend: no scheduled run begins"),
        (true, false) => (event::RESUMED, "resumed: scheduled runs begin again"),
        _ => return None,
    };
    let key = observed.policy.generation.to_string();
    Some(EventDraft { reason, is_warning: false, action: "Apply", note: note.into(), key })
}

/// That somebody approved the rules.
pub(super) fn approved_draft(
    observed: &Observed,
    status: &CleanupPolicyStatus,
) -> Option<EventDraft> {
    let approved = |conditions| find(conditions, condition::APPROVED);
    let now = approved(&status.conditions).filter(|now| now.reason == reason::HASH_APPROVED)?;
    let before = approved(&observed.policy.status.conditions);
    let told = before.is_some_and(|before| before.message == now.message);
    let since = before.map(|before| before.last_transition_time.0.to_string()).unwrap_or_default();
    let (note, key) = (now.message.clone(), format!("{since}/{}", now.message));
    let reason = event::APPROVED;
    (!told).then_some(EventDraft { reason, is_warning: false, action: "Approve", note, key })
}

#[cfg(test)]
mod tests;
