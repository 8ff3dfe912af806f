use policy::CronJobRef;
use serde_json::json;

use super::*;
use crate::controller::apply::{AppliedPreflight, Refusal};
use crate::controller::examples::{self, applied, applied_to, told};
use crate::controller::publish::publication;
use crate::controller::validate::validate;

/// With the CronJob of this generation and hash, after this change.
fn with_cron_job(generation: i64, hash: &str, change: Option<Change>) -> Resources<Applied> {
    let reference =
        CronJobRef { name: "codes".into(), uid: "cron-uid".into(), generation, hash: hash.into() };
    Resources { cron_job: AppliedCronJob::Current { reference, change }, ..applied() }
}

/// A policy whose status has told of generation 4 of its CronJob.
fn known() -> Observed {
    let mut observed = examples::observed();
    let told = publication(&observed, &validate(&observed.policy), &with_cron_job(4, "a", None));
    observed.policy.status = told.status;
    observed
}

fn reasons(observed: &Observed, applied: &Resources<Applied>) -> Vec<&'static str> {
    let told = publication(observed, &validate(&observed.policy), applied);
    told.events.iter().map(|draft| draft.reason).collect()
}

#[test]
fn our_write_and_the_edit_of_somebody_else_are_told_apart_though_the_status_was_lost() {
    let known = known();
    let told = |generation, hash, change| {
        reasons(&known, &with_cron_job(generation, hash, change)).first().copied()
    };
    assert_eq!(told(4, "a", None), None);
    assert_eq!(told(5, "b", Some(Change::Updated)), Some("CronJobUpdated"));
    assert_eq!(told(5, "b", None), Some("CronJobUpdated"));
    assert_eq!(told(6, "a", Some(Change::Corrected)), Some("DriftCorrected"));
    assert_eq!(told(6, "a", None), Some("DriftCorrected"));
    // A label that came back moves no generation.
    assert_eq!(told(4, "a", Some(Change::Updated)), None);
    let new = examples::observed();
    assert_eq!(reasons(&new, &with_cron_job(1, "a", None)), ["CronJobCreated"]);
}

#[test]
fn the_same_write_has_the_same_name_before_and_after_a_stop() {
    let known = known();
    let key = |generation, hash, change| {
        let applied = with_cron_job(generation, hash, change);
        let told = publication(&known, &validate(&known.policy), &applied);
        told.events.first().map(|draft| draft.key.clone())
    };
    let updated = key(5, "b", Some(Change::Updated));
    assert!(updated.is_some());
    assert_eq!(key(5, "b", None), updated);
    // The gate was opened meanwhile.
    assert_eq!(key(6, "c", Some(Change::Updated)), updated);
}

#[test]
fn a_gate_that_opens_is_no_update() {
    let mut observed = examples::new();
    let first = told(&mut observed);
    assert_eq!(first.events[0].reason, "CronJobCreated");
    observed.policy.status.cron_job_ref.as_mut().expect("a CronJob").hash = "a".into();
    let passed = examples::preflighted(0, Some(&examples::preflight_report()));
    (observed.preflights, observed.pods) = (passed.preflights, passed.pods);
    let opened = Resources { gate: examples::built(&observed).gate, ..with_cron_job(5, "b", None) };
    assert_eq!(reasons(&observed, &opened), ["PreflightSucceeded"]);
    observed.policy.generation = 4;
    assert_eq!(reasons(&observed, &opened), ["CronJobUpdated", "PreflightSucceeded"]);
}

#[test]
fn suspending_and_resuming_is_told_once_whatever_else_is_wrong() {
    let mut observed = examples::observed();
    told(&mut observed);
    let mut suspend = |value: bool, change: fn(&mut Observed)| -> Vec<_> {
        observed.policy.generation += 1;
        observed.policy.document["spec"]["suspend"] = json!(value);
        change(&mut observed);
        let all = told(&mut observed).events;
        let both = [event::SUSPENDED, event::RESUMED];
        all.iter().map(|draft| draft.reason).filter(|reason| both.contains(reason)).collect()
    };
    let break_it = |observed: &mut Observed| {
        observed.policy.document["spec"]["timeZone"] = json!("Mars/Olympus");
    };
    let mend_it = |observed: &mut Observed| {
        observed.policy.document["spec"]["timeZone"] = json!("Etc/UTC");
    };
    assert_eq!(suspend(false, |_| {}), [""; 0]);
    assert_eq!(suspend(true, |_| {}), ["Suspended"]);
    assert_eq!(suspend(true, |_| {}), [""; 0]);
    assert_eq!(suspend(true, break_it), [""; 0]);
    assert_eq!(suspend(true, mend_it), [""; 0]);
    assert_eq!(suspend(false, break_it), ["Resumed"]);
    assert_eq!(suspend(true, |_| {}), ["Suspended"]);
    assert_eq!(suspend(false, mend_it), ["Resumed"]);
}

#[test]
fn each_object_that_is_refused_is_told_once_and_hides_nothing_else() {
    let refusal = || Refusal { reason: reason::APPLY_FAILED, message: "quota exceeded".to_owned() };
    let right = known();
    let mut wrong = known();
    wrong.policy.document["spec"]["rules"] = json!([]);
    let cases = [
        (&right, Resources { cron_job: AppliedCronJob::Refused(refusal()), ..applied() }),
        (&right, Resources { run: Err(refusal()), ..with_cron_job(4, "a", None) }),
        (
            &right,
            Resources {
                preflight: AppliedPreflight::Refused(refusal()),
                ..with_cron_job(4, "a", None)
            },
        ),
        // The suspension of the old rules.
        (&wrong, Resources { cron_job: AppliedCronJob::Refused(refusal()), ..applied() }),
    ];
    for (observed, applied) in cases {
        let told = publication(observed, &validate(&observed.policy), &applied);
        let failed: Vec<_> =
            told.events.iter().filter(|draft| draft.reason == event::APPLY_FAILED).collect();
        assert_eq!(failed.len(), 1, "{:?}", told.events);
        assert!(failed[0].is_warning && failed[0].note == "quota exceeded");
        assert_eq!(told.status.cron_job_ref, observed.policy.status.cron_job_ref);
        let mut later = (*observed).clone();
        later.policy.status = told.status;
        let again = publication(&later, &validate(&later.policy), &applied);
        assert!(again.events.is_empty(), "{:?}", again.events);
    }
    let refused_run = Resources { run: Err(refusal()), ..with_cron_job(4, "a", None) };
    let told = publication(&right, &validate(&right.policy), &refused_run);
    assert!(told.status.next_schedule_time.is_some());
}

#[test]
fn what_waits_for_approval_is_told_with_the_command_and_so_is_its_approval() {
    let mut observed = examples::new();
    observed.policy.document["spec"]["approval"] = json!("OnRulesChange");
    let early = told(&mut observed);
    assert!(early.events.iter().all(|draft| draft.reason != event::APPROVAL_REQUIRED));
    let passed = examples::preflighted(0, Some(&examples::preflight_report()));
    (observed.preflights, observed.pods) = (passed.preflights, passed.pods);
    let waits = told(&mut observed);
    let required = waits.events.iter().find(|draft| draft.reason == event::APPROVAL_REQUIRED);
    let required = required.expect("an event");
    assert!(required.is_warning);
    let approved = find(&waits.status.conditions, condition::APPROVED).expect("a condition");
    let (command, rest) = approved.message.split_once('\n').expect("two lines");
    assert_eq!(required.note, format!("{command} # {rest}"));
    assert!(told(&mut observed).events.is_empty());

    let hash = examples::valid().policy.rules_hash().to_owned();
    observed.policy.approved_rules_hash = Some(hash.clone());
    let events = told(&mut observed).events;
    assert_eq!(events.iter().map(|draft| draft.reason).collect::<Vec<_>>(), ["Approved"]);
    assert!(events[0].note.contains(&hash) && !events[0].is_warning);
    assert!(told(&mut observed).events.is_empty());
    assert!(applied_to(&observed).gate.is_some_and(|gate| gate.hold.is_none()));
}
