use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::controller::examples::{self, ended, job};
use crate::controller::observe::{Ending, ObservedCronJob, Role};

fn at(clock: &str) -> Timestamp {
    format!("2026-11-21T{clock}Z").parse().expect("a time")
}

/// `shop/codes`, every five minutes with a deadline of two, seen at this time, expected since 02:00.
fn observed(now: &str, last_slot: Option<&str>) -> Observed {
    let mut observed = examples::observed();
    observed.now = at(now);
    observed.policy.document["spec"]["startingDeadlineSeconds"] = json!(120);
    observed.policy.status.slots_expected_after = Some(at("02:00:00").to_string());
    let last_schedule_time = last_slot.map(at);
    observed.cron_job =
        Some(Arc::new(ObservedCronJob { last_schedule_time, ..Default::default() }));
    observed
}

fn clocks(slots: &[Timestamp]) -> Vec<String> {
    slots.iter().map(|slot| slot.strftime("%H:%M").to_string()).collect()
}

fn missed(observed: &Observed) -> Vec<String> {
    clocks(&slots(observed).missed)
}

/// A complete Job of this slot.
fn ran(slot: &str) -> ObservedJob {
    let slot = at(slot);
    let mut job = ended(&slot.to_string(), 0, "");
    (job.slot, job.created) = (Some(slot), Some(slot));
    job.ending = job.ending.map(|ending| Ending { time: slot, ..ending });
    job
}

#[test]
fn a_slot_is_missed_when_its_deadline_has_passed_and_not_before() {
    for (now, expected, next) in [
        ("02:04:00", &[][..], "02:07:01"),
        ("02:07:00", &[], "02:07:01"),
        ("02:07:01", &["02:05"], "02:12:01"),
        ("02:20:00", &["02:05", "02:10", "02:15"], "02:22:01"),
    ] {
        let found = slots(&observed(now, None));
        assert_eq!(clocks(&found.missed), expected, "{now}");
        assert_eq!(found.next, Some(at(next)), "{now}");
    }
}

#[test]
fn slots_up_to_the_newest_that_ran_are_over() {
    let mut seen = observed("02:20:00", Some("02:15:00"));
    seen.policy.status.last_schedule_time = Some(at("02:15:00").to_string());
    let found = slots(&seen);
    assert_eq!((found.missed, found.newest), (vec![], Some(at("02:15:00"))));
    assert_eq!(found.next, Some(at("02:22:01")));
    // The news of the Job is faster than that of its CronJob.
    let mut seen = observed("02:20:00", Some("02:10:00"));
    seen.policy.status.last_schedule_time = Some(at("02:10:00").to_string());
    assert_eq!(missed(&seen), ["02:15"]);
    seen.jobs.push(Arc::new(ran("02:15:00")));
    assert_eq!(missed(&seen), [""; 0]);
}

#[test]
fn kubernetes_passes_slots_by_when_it_was_away_for_longer() {
    // It made the Job of 02:20 only; those before have none.
    let mut seen = observed("02:20:05", Some("02:20:00"));
    seen.policy.status.last_schedule_time = Some(at("02:05:00").to_string());
    let active = ObservedJob { slot: Some(at("02:20:00")), ..job("j4") };
    seen.jobs = vec![Arc::new(ObservedJob { created: Some(at("02:20:00")), ..active })];
    assert_eq!(missed(&seen), ["02:10", "02:15"]);
    // Once they are counted they are over.
    seen.policy.status.slots_expected_after = Some(at("02:15:00").to_string());
    seen.policy.status.last_schedule_time = Some(at("02:20:00").to_string());
    assert_eq!(missed(&seen), [""; 0]);
}

#[test]
fn runs_that_came_while_the_operator_was_away_are_not_missed() {
    let mut seen = observed("02:20:05", Some("02:20:00"));
    seen.policy.status.last_schedule_time = Some(at("02:00:00").to_string());
    seen.jobs =
        ["02:05:00", "02:10:00", "02:15:00", "02:20:00"].map(|slot| Arc::new(ran(slot))).into();
    assert_eq!(missed(&seen), [""; 0]);
    // One of them has not come: else an older one would have gone before it.
    seen.jobs.remove(1);
    assert_eq!(missed(&seen), ["02:10"]);
    seen.policy.document["spec"]["successfulJobsHistoryLimit"] = json!(2);
    assert_eq!(missed(&seen), [""; 0]);
    // With a limit of one the older Jobs are gone whether they came or not.
    seen.policy.document["spec"]["successfulJobsHistoryLimit"] = json!(1);
    seen.jobs = vec![Arc::new(ran("02:20:00"))];
    assert_eq!(missed(&seen), [""; 0]);
}

#[test]
fn forbid_skips_a_slot_while_a_scheduled_run_goes_on() {
    let mut seen = observed("02:20:00", Some("02:05:00"));
    seen.policy.status.last_schedule_time = Some(at("02:05:00").to_string());
    let since = Some(at("02:05:00"));
    let long = ObservedJob { slot: since, created: since, ..job("j1") };
    seen.jobs = vec![Arc::new(long.clone())];
    assert_eq!(missed(&seen), [""; 0]);
    // Under Replace nothing holds a slot up.
    let mut replaced = seen.clone();
    replaced.policy.document["spec"]["concurrencyPolicy"] = json!("Replace");
    assert_eq!(missed(&replaced), ["02:10", "02:15"]);
    // A run by hand holds nothing up either.
    let by_hand = ObservedJob { role: Role::Run(Trigger::Manual), ..long.clone() };
    let mut manual = seen.clone();
    manual.jobs = vec![Arc::new(by_hand)];
    assert_eq!(missed(&manual), ["02:10", "02:15"]);
    // It has ended at 02:11: the slot of 02:10 was due then.
    let over = ObservedJob {
        ending: Some(Ending { time: at("02:11:00"), verdict: Verdict::Complete }),
        ..long.clone()
    };
    seen.jobs = vec![Arc::new(over)];
    assert_eq!(missed(&seen), ["02:10", "02:15"]);
    // It was deleted just now.
    seen.jobs = vec![Arc::new(long.ended_by(Verdict::Deleted))];
    assert_eq!(missed(&seen), [""; 0]);
}

#[test]
fn forbid_is_known_by_the_history_when_the_job_is_gone() {
    let mut seen = observed("02:21:00", Some("02:20:00"));
    seen.policy.status.last_schedule_time = Some(at("02:05:00").to_string());
    assert_eq!(missed(&seen), ["02:10", "02:15"]);
    seen.policy.status.history = vec![policy::HistoryEntry {
        job_name: "codes-1".into(),
        uid: "j1".into(),
        trigger: Some(Trigger::Schedule),
        is_unreported: false,
        result: policy::RunResult::Succeeded,
        stop_reason: policy::StopReason::Drained,
        rows_affected: 0,
        rows_remaining: Some(0),
        start_time: Some(at("02:05:03").to_string()),
        duration_seconds: 900.0,
    }];
    assert_eq!(missed(&seen), [""; 0]);
}

#[test]
fn nothing_is_missed_while_nothing_is_expected_or_the_schedule_is_wrong() {
    let mut seen = observed("05:00:00", None);
    assert_eq!(missed(&seen).len(), 35);
    seen.policy.document["spec"]["timeZone"] = json!("Mars/Olympus");
    assert_eq!(slots(&seen), Slots::default());
    let mut seen = observed("05:00:00", None);
    seen.policy.status.slots_expected_after = None;
    assert_eq!(slots(&seen), Slots::default());
}

#[test]
fn a_time_is_a_slot_or_not() {
    let schedule = Schedule::parse("*/5 * * * *", "Etc/UTC").expect("a schedule");
    assert!(is_slot(&schedule, at("02:05:00")));
    assert!(!is_slot(&schedule, at("02:05:01")) && !is_slot(&schedule, at("02:04:59")));
    assert!(!is_slot(&schedule, at("02:05:00.25")));
}
