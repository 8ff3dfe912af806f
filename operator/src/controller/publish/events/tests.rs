use std::sync::Arc;

use jiff::SignedDuration;
use policy::{ActionKind, CronJobRef, Mode, RunResult, StopReason, reason};
use serde_json::json;

use super::about_run::run_draft;
use super::*;
use crate::controller::apply::{AppliedCronJob, Change};
use crate::controller::examples::{self, applied, now};
use crate::controller::observe::{Cause, StuckJob};
use crate::controller::publish::status::publication;
use crate::controller::validate::validate;

fn changed(change: Option<Change>) -> Resources<Applied> {
    let reference = CronJobRef {
        name: "codes".into(),
        uid: "cron-uid".into(),
        generation: 5,
        hash: String::new(),
    };
    Resources { cron_job: AppliedCronJob::Current { reference, change }, ..applied() }
}

fn told(observed: &Observed, applied: &Resources<Applied>) -> Vec<EventDraft> {
    publication(observed, &validate(&observed.policy), applied).events
}

/// A policy that has been told of before.
fn known() -> Observed {
    let mut observed = examples::observed();
    observed.policy.status = publication(&observed, &validate(&observed.policy), &applied()).status;
    observed
}

#[test]
fn each_change_of_the_cron_job_is_one_event() {
    let reasons = |observed: &Observed, change| -> Vec<_> {
        told(observed, &changed(change)).iter().map(|draft| draft.reason).collect()
    };
    let new = examples::observed();
    assert_eq!(reasons(&new, Some(Change::Created)), ["CronJobCreated"]);
    // The status that should have told of it was never written.
    assert_eq!(reasons(&new, None), ["CronJobCreated"]);
    assert_eq!(reasons(&known(), None), [""; 0]);
    assert_eq!(reasons(&known(), Some(Change::Updated)), ["CronJobUpdated"]);
    assert_eq!(reasons(&known(), Some(Change::Corrected)), ["DriftCorrected"]);
}

#[test]
fn an_edit_of_the_cron_job_is_told_also_when_the_policy_was_edited_meanwhile() {
    let mut observed = known();
    let reference = |hash: &str, generation| CronJobRef {
        name: "codes".into(),
        uid: "cron-uid".into(),
        generation,
        hash: hash.into(),
    };
    observed.policy.status.cron_job_ref = Some(reference("old", 4));
    let reasons = |change| -> Vec<_> {
        let cron_job = AppliedCronJob::Current { reference: reference("new", 6), change };
        let told = told(&observed, &Resources { cron_job, ..applied() });
        told.iter().map(|draft| draft.reason).collect()
    };
    assert_eq!(reasons(Some(Change::Updated)), ["CronJobUpdated"]);
    assert_eq!(reasons(Some(Change::Corrected)), ["DriftCorrected", "CronJobUpdated"]);
}

#[test]
fn what_is_wrong_is_told_when_it_begins_and_when_it_changes() {
    let mut observed = known();
    let reasons = |observed: &Observed| -> Vec<_> {
        let told = told(observed, &applied());
        told.iter().map(|draft| (draft.reason, draft.is_warning)).collect()
    };
    observed.policy.document["spec"]["rules"] = json!([]);
    assert_eq!(reasons(&observed), [("InvalidSpec", true)]);
    observed.policy.status = publication(&observed, &validate(&observed.policy), &applied()).status;
    assert_eq!(reasons(&observed), []);
    observed.policy.document["spec"]["schedule"] = json!("never");
    assert_eq!(reasons(&observed), [("InvalidSpec", true)]);
}

#[test]
fn a_run_is_told_by_its_result() {
    use Mode::{DryRun, Enforce};
    let event = |result, mode, reason, message: &str| {
        let mut run = examples::finished("j1");
        run.status.result = result;
        run.status.mode = mode;
        run.status.stop_reason = StopReason::Error;
        run.status.message = message.into();
        run.reason = reason;
        let draft = run_draft(&run);
        format!(
            "{} {}: {}",
            if draft.is_warning { "Warning" } else { "Normal" },
            draft.reason,
            draft.note
        )
    };
    let events = [
        event(RunResult::Succeeded, Enforce, reason::SUCCEEDED, ""),
        event(RunResult::Succeeded, DryRun, reason::SUCCEEDED, "a dry run"),
        event(
            RunResult::PartiallySucceeded,
            Enforce,
            reason::SUCCEEDED,
            "a cap on rows was reached",
        ),
        event(RunResult::PartiallySucceeded, Enforce, reason::RULES_FAILED, "rule a: why"),
        event(RunResult::Skipped, Enforce, reason::NOTHING_TO_DO, "another run is under way"),
        event(
            RunResult::Aborted,
            Enforce,
            reason::SAFETY_ABORT,
            "rule a matches 80 % of its table",
        ),
        event(RunResult::Failed, Enforce, reason::PERMISSION_DENIED, "the password is wrong"),
        event(RunResult::Failed, Enforce, reason::DEADLINE_EXCEEDED, "Kubernetes ended the Job"),
    ];
    insta::assert_yaml_snapshot!(events);
}

#[test]
fn a_run_without_rules_to_sum_up_is_told_by_its_message() {
    let mut run = examples::finished("j1");
    run.status.rules.clear();
    run.status.message = "its report could not be read".into();
    assert_eq!(run_draft(&run).note, "Job codes-j1: its report could not be read");
}

#[test]
fn the_event_of_a_run() {
    let mut run = examples::finished("j1");
    run.status.rules.push(examples::rule("b", Some(ActionKind::Update), 300, 300));
    let event = run_draft(&run).event(&examples::policy(), now());
    insta::assert_yaml_snapshot!(event);
}

#[test]
fn the_same_thing_has_the_same_name_and_another_thing_another() {
    let policy = examples::policy();
    let name = |uid: &str| {
        let event = run_draft(&examples::finished(uid)).event(&policy, now());
        event.metadata.name.expect("a name")
    };
    assert_eq!(name("j1"), name("j1"));
    assert_ne!(name("j1"), name("j2"));
    let mut run = examples::finished("j1");
    run.status.message = "x".repeat(3000);
    run.status.result = RunResult::Failed;
    let note = run_draft(&run).event(&policy, now()).note.expect("a note");
    assert!(note.len() <= 1024);
}

fn reasons(drafts: &[EventDraft]) -> Vec<&'static str> {
    drafts.iter().map(|draft| draft.reason).collect()
}

#[test]
fn slots_that_are_missed_together_are_one_event_that_says_how_many() {
    let mut observed = known();
    observed.policy.document["spec"]["startingDeadlineSeconds"] = json!(60);
    let after = |minutes| {
        let mut later = observed.clone();
        later.now = now() + SignedDuration::from_mins(minutes);
        let drafts = told(&later, &applied());
        assert_eq!(reasons(&drafts), ["RunMissed"], "after {minutes} min");
        drafts[0].clone()
    };
    let found = [after(5), after(24)];
    insta::assert_yaml_snapshot!(found.each_ref().map(|draft| draft.note.as_str()));
    // Told again, since the status could not be written, it is the same event.
    let name = |draft: &EventDraft| draft.event(&observed.policy, now()).metadata.name;
    assert_eq!(name(&found[0]), name(&found[1]));
}

#[test]
fn a_stuck_job_is_told_once() {
    let mut observed = known();
    observed.stuck.jobs = ["codes-1", "codes-11"]
        .map(|name| StuckJob {
            name: name.into(),
            uid: name.into(),
            since: now(),
            cause: Cause::Waiting("no node takes its pod: 0/1 nodes are available".into()),
        })
        .into();
    let drafts = told(&observed, &applied());
    assert_eq!(reasons(&drafts), ["JobStuck", "JobStuck"]);
    insta::assert_snapshot!(drafts[0].note);
    observed.policy.status = publication(&observed, &validate(&observed.policy), &applied()).status;
    assert_eq!(reasons(&told(&observed, &applied())), [""; 0]);
}

#[test]
fn falling_behind_is_told_when_it_begins() {
    let mut observed = known();
    observed.policy.document["spec"]["historyLimit"] = json!(10);
    let mut found = Vec::new();
    for rows in 1..=6 {
        let uid = format!("j{rows}");
        let mut report = examples::report(&uid);
        (report.result, report.stop_reason) = (RunResult::PartiallySucceeded, StopReason::RowLimit);
        report.rules[0].remaining = rows;
        observed.jobs = vec![Arc::new(examples::ended(&uid, 60, ""))];
        let report = serde_json::to_string(&report).expect("JSON");
        observed.pods = vec![examples::ended_pod(&uid, 0, &report)];
        let publication = publication(&observed, &validate(&observed.policy), &applied());
        found.push(reasons(&publication.events).len());
        observed.policy.status = publication.status;
    }
    assert_eq!(found, [1, 1, 1, 2, 1, 1]);
}
