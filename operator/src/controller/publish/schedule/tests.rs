use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::controller::apply::Change;
use crate::controller::examples::{self, now};
use crate::controller::gate::Hold;
use crate::controller::observe::ObservedCronJob;
use crate::controller::validate::validate;

/// The CronJob as it was written, and a status that says so since ten minutes ago.
fn steady() -> Observed {
    let mut observed = examples::observed();
    let mut cron_job = ObservedCronJob {
        schedule: "*/5 * * * *".into(),
        time_zone: "Etc/UTC".into(),
        last_schedule_time: Some(now() - SignedDuration::from_mins(2)),
        ..ObservedCronJob::default()
    };
    cron_job.metadata.uid = Some("cron-uid".into());
    cron_job.metadata.generation = Some(4);
    observed.cron_job = Some(Arc::new(cron_job));
    let AppliedCronJob::Current { reference, .. } = examples::applied().cron_job else {
        panic!("it is current");
    };
    observed.policy.status.cron_job_ref = Some(reference);
    let since = now() - SignedDuration::from_mins(10);
    observed.policy.status.slots_expected_after = Some(since.to_string());
    let last = now() - SignedDuration::from_mins(2);
    observed.policy.status.last_schedule_time = Some(last.to_string());
    observed
}

fn edited(observed: &mut Observed, edit: impl FnOnce(&mut ObservedCronJob)) {
    let mut cron_job = observed.cron_job.as_deref().cloned().expect("a CronJob");
    edit(&mut cron_job);
    observed.cron_job = Some(Arc::new(cron_job));
}

fn kept_up(observed: &Observed, applied: &Resources<Applied>) -> (CleanupPolicyStatus, Timetable) {
    let mut status = observed.policy.status.clone();
    let validated = validate(&observed.policy);
    let timetable = keep_up(&mut status, observed, &validated, applied);
    (status, timetable)
}

/// The CronJob was written just now.
fn updated() -> Resources<Applied> {
    let mut applied = examples::applied();
    if let AppliedCronJob::Current { reference, change } = &mut applied.cron_job {
        reference.generation += 1;
        *change = Some(Change::Updated);
    }
    applied
}

/// What slots are expected after, in seconds before now.
fn expected(observed: &Observed, applied: &Resources<Applied>) -> Option<i64> {
    let (status, _) = kept_up(observed, applied);
    let since = slots::time(status.slots_expected_after.as_deref())?;
    Some(now().duration_since(since).as_secs())
}

#[test]
fn slots_are_expected_from_when_the_cron_job_was_written_and_then_it_stays() {
    let mut new = examples::observed();
    assert_eq!(expected(&new, &examples::applied()), Some(0));
    new.policy.status.slots_expected_after = Some(now().to_string());
    assert_eq!(expected(&steady(), &examples::applied()), Some(600));
    assert_eq!(expected(&steady(), &updated()), Some(600), "an edit of something else");
}

#[test]
fn a_changed_schedule_or_zone_begins_anew() {
    for (field, value) in [("schedule", "*/7 * * * *"), ("timeZone", "Europe/Berlin")] {
        let mut observed = steady();
        observed.policy.document["spec"][field] = json!(value);
        assert_eq!(expected(&observed, &updated()), Some(0), "{field}");
        // The same after a stop between the CronJob and the status.
        edited(&mut observed, |cron_job| {
            cron_job.metadata.generation = Some(5);
            let written =
                if field == "schedule" { &mut cron_job.schedule } else { &mut cron_job.time_zone };
            value.clone_into(written);
        });
        let mut applied = updated();
        if let AppliedCronJob::Current { change, .. } = &mut applied.cron_job {
            *change = None;
        }
        assert_eq!(expected(&observed, &applied), Some(0), "{field} after a stop");
    }
    // Somebody deleted it.
    let mut observed = steady();
    observed.policy.status.cron_job_ref.as_mut().expect("a CronJob").uid = "old".into();
    assert_eq!(expected(&observed, &examples::applied()), Some(0));
}

#[test]
fn nothing_is_expected_of_a_cron_job_that_is_suspended_whoever_wanted_that() {
    let mut by_spec = steady();
    by_spec.policy.document["spec"]["suspend"] = json!(true);
    assert_eq!(expected(&by_spec, &updated()), None);
    let held = || {
        let mut held = examples::applied();
        held.gate.as_mut().expect("a gate").hold = Some(Hold::ApprovalPending);
        held
    };
    assert_eq!(expected(&steady(), &held()), None);
    assert_eq!(kept_up(&steady(), &held()).1.next, None);
    let wrong =
        Resources { cron_job: AppliedCronJob::Suspended(None), gate: None, ..examples::applied() };
    assert_eq!(expected(&steady(), &wrong), None);

    let mut resumed = steady();
    resumed.policy.status.slots_expected_after = None;
    assert_eq!(expected(&resumed, &examples::applied()), Some(0));
}

#[test]
fn a_missed_slot_is_counted_once_and_is_over_with_the_next_run() {
    let mut observed = steady();
    edited(&mut observed, |cron_job| cron_job.last_schedule_time = None);
    observed.policy.status.last_schedule_time = None;
    observed.policy.document["spec"]["startingDeadlineSeconds"] = json!(60);
    let (status, timetable) = kept_up(&observed, &examples::applied());
    assert_eq!((timetable.missed.len(), status.missed_runs), (2, 2));
    let valid = validate(&observed.policy).expect("a right policy");
    let slot = now() - SignedDuration::from_mins(2);
    assert_eq!(missed_slot(&status, &valid), Some(slot));

    observed.policy.status = status;
    for minutes in [0, 1, 3] {
        let mut later = observed.clone();
        later.now = now() + SignedDuration::from_mins(minutes);
        let (status, timetable) = kept_up(&later, &examples::applied());
        assert_eq!((timetable.missed.len(), status.missed_runs), (0, 2), "after {minutes} min");
        assert_eq!(missed_slot(&status, &valid), Some(slot));
    }
    // The run of 03:05.
    observed.now = now() + SignedDuration::from_mins(3);
    let last_schedule_time = Some(observed.now);
    edited(&mut observed, |cron_job| cron_job.last_schedule_time = last_schedule_time);
    let (status, timetable) = kept_up(&observed, &examples::applied());
    assert_eq!((timetable.missed.len(), status.missed_runs), (0, 2));
    assert_eq!(missed_slot(&status, &valid), None);
    assert_eq!(status.slots_expected_after, observed.policy.status.slots_expected_after);
}

#[test]
fn while_it_is_unknown_what_the_cron_job_is_nothing_is_counted() {
    let refused = crate::controller::apply::Refusal { reason: "ApplyFailed", message: "no".into() };
    let applied = Resources { cron_job: AppliedCronJob::Refused(refused), ..examples::applied() };
    assert_eq!(expected(&steady(), &applied), Some(600));
    assert_eq!(kept_up(&steady(), &applied).0.missed_runs, 0);
}
