//! Events of the policy and its CronJob. Pure.

use policy::{CleanupPolicyStatus, condition, event, reason};

use super::EventDraft;
use crate::controller::apply::{AppliedCronJob, Change};
use crate::controller::build::{Applied, Resources};
use crate::controller::observe::Observed;
use crate::controller::publish::conditions::find;

pub(super) fn cron_job_draft(
    observed: &Observed,
    applied: &Resources<Applied>,
) -> Option<EventDraft> {
    let AppliedCronJob::Current { reference, change } = &applied.cron_job else { return None };
    let known = observed.policy.status.cron_job_ref.as_ref();
    let is_new = known.is_none_or(|known| known.uid != reference.uid);
    let name = &reference.name;
    let (reason, note) = match change {
        // Also after a stop between the CronJob and the status that should have told of it.
        _ if is_new => (event::CRON_JOB_CREATED, format!("created CronJob {name}")),
        Some(Change::Updated) => {
            (event::CRON_JOB_UPDATED, format!("updated CronJob {name} to the policy"))
        }
        Some(Change::Corrected) => {
            let note = format!("undid an edit of CronJob {name}: the policy is where to make it");
            (event::DRIFT_CORRECTED, note)
        }
        Some(Change::Created) | None => return None,
    };
    let key = format!("{}/{}", reference.uid, if is_new { 0 } else { reference.generation });
    Some(EventDraft { reason, is_warning: false, action: "Apply", note, key })
}

pub(super) fn ready_draft(observed: &Observed, status: &CleanupPolicyStatus) -> Option<EventDraft> {
    let now = find(&status.conditions, condition::READY)?;
    let reason = [
        reason::INVALID_SPEC,
        reason::INVALID_SCHEDULE,
        reason::SECRET_MISSING,
        reason::NAME_CONFLICT,
    ]
    .into_iter()
    .find(|reason| *reason == now.reason)?;
    let before = find(&observed.policy.status.conditions, condition::READY);
    let told =
        before.is_some_and(|before| before.reason == now.reason && before.message == now.message);
    // What stood before tells one Secret that went missing from the next; unlike the time of this
    // moment it is the same until the status is stored.
    let since = before.map(|before| before.last_transition_time.0.to_string()).unwrap_or_default();
    let key = format!("{}/{since}/{}", observed.policy.generation, now.message);
    let note = now.message.clone();
    (!told).then_some(EventDraft { reason, is_warning: true, action: "Check", note, key })
}
