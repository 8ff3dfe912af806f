//! What the status says of the schedule: the next slot, and those that had no run. Pure.

use jiff::Timestamp;
use policy::{CleanupPolicyStatus, CronJobRef};

use crate::controller::apply::AppliedCronJob;
use crate::controller::build::{Applied, Resources};
use crate::controller::observe::slots::{self, Slots};
use crate::controller::observe::{Observed, in_seconds};
use crate::controller::validate::{InvalidPolicy, ValidPolicy};

/// What follows from the schedule.
#[derive(Clone, Debug, Default)]
pub struct Timetable {
    /// The next slot, while there will be one.
    pub next: Option<Timestamp>,
    /// Slots that turned out to have no run, oldest first.
    pub missed: Vec<Timestamp>,
    /// When the next one may turn out so.
    pub look_again: Option<Timestamp>,
}

/// Works it out, and takes it into the status.
pub fn keep_up(
    status: &mut CleanupPolicyStatus,
    observed: &Observed,
    validated: &Result<ValidPolicy, InvalidPolicy>,
    applied: &Resources<Applied>,
) -> Timetable {
    let Slots { missed, newest, next: look_again } = slots::slots(observed);
    let before = status.last_schedule_time.take();
    let newest = newest.max(slots::time(before.as_deref()));
    status.last_schedule_time = newest.map(|time| time.to_string());
    let (reference, valid) = match (&applied.cron_job, validated) {
        // It may be as it was; nobody knows.
        (AppliedCronJob::Refused(_), _) => return Timetable::default(),
        (AppliedCronJob::Current { reference, .. }, Ok(valid)) if !is_suspended(valid, applied) => {
            (reference, valid)
        }
        (AppliedCronJob::Current { .. } | AppliedCronJob::Suspended(_), _) => {
            status.slots_expected_after = None;
            return Timetable::default();
        }
    };
    let next = valid.policy.schedule().after(observed.now);
    if status.slots_expected_after.is_none() || !is_as_it_was(observed, valid, reference) {
        status.slots_expected_after = Some(in_seconds(observed.now).to_string());
        return Timetable { next, ..Timetable::default() };
    }
    if let Some(last) = missed.last() {
        status.slots_expected_after = Some(last.to_string());
        let count = i64::try_from(missed.len()).unwrap_or(i64::MAX);
        status.missed_runs = status.missed_runs.saturating_add(count);
    }
    Timetable { next, missed, look_again }
}

/// The CronJob as it was applied makes no Jobs.
fn is_suspended(valid: &ValidPolicy, applied: &Resources<Applied>) -> bool {
    valid.spec.suspend || applied.gate.as_ref().is_none_or(|gate| gate.hold.is_some())
}

/// Since the status was last written, nobody can have changed the schedule of the CronJob, or have
/// suspended it.
fn is_as_it_was(observed: &Observed, valid: &ValidPolicy, reference: &CronJobRef) -> bool {
    let Some(told) = &observed.policy.status.cron_job_ref else { return false };
    if told.uid != reference.uid {
        return false;
    }
    let schedule = valid.policy.schedule();
    told.generation == reference.generation
        || observed.cron_job.as_ref().is_some_and(|before| {
            before.generation() == told.generation
                && !before.suspended
                && before.schedule == schedule.expression()
                && before.time_zone == schedule.time_zone()
        })
}

/// The slot that had no run, while none has come since.
pub fn missed_slot(status: &CleanupPolicyStatus, valid: &ValidPolicy) -> Option<Timestamp> {
    let slot = slots::time(status.slots_expected_after.as_deref())?;
    let came_since = slots::time(status.last_schedule_time.as_deref()) > Some(slot);
    let is_missed = status.missed_runs > 0 && slots::is_slot(valid.policy.schedule(), slot);
    (is_missed && !came_since).then_some(slot)
}

#[cfg(test)]
mod tests;
