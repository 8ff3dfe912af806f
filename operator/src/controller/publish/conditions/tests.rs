use std::sync::Arc;

use jiff::SignedDuration;
use policy::{CronJobRef, RunResult, StopReason, Trigger, reason};
use serde_json::json;

use super::*;
use crate::controller::apply::{AppliedCronJob, Refusal};
use crate::controller::examples::{self, applied, ended, ended_pod, job, now, pod};
use crate::controller::observe::{Cause, Container, Role, StuckJob};
use crate::controller::publish::status::publication;
use crate::controller::validate::validate;

fn words(conditions: &[Condition]) -> Vec<String> {
    let word = |condition: &Condition| {
        let Condition { type_, status, reason, message, .. } = condition;
        format!("{type_}={status} {reason}: {message}")
    };
    conditions.iter().map(word).collect()
}

/// The conditions of a policy as observed, with this CronJob.
fn check_with(observed: &Observed, applied: &Resources<Applied>) -> Vec<Condition> {
    publication(observed, &validate(&observed.policy), applied).status.conditions
}

/// The conditions of a policy as observed, with its CronJob applied.
fn check(observed: &Observed) -> Vec<Condition> {
    check_with(observed, &applied())
}

fn with_spec(change: impl FnOnce(&mut serde_json::Value)) -> Observed {
    let mut observed = examples::observed();
    change(&mut observed.policy.document["spec"]);
    observed
}

#[test]
fn every_state_of_a_policy_in_sentences() {
    let refused = |reason, message: &str| {
        let refusal = Refusal { reason, message: message.into() };
        Resources { cron_job: AppliedCronJob::Refused(refusal), ..applied() }
    };
    let observed = examples::observed();
    let wrong_schedule = with_spec(|spec| spec["timeZone"] = json!("Mars/Olympus"));
    let wrong_spec = with_spec(|spec| spec["rules"][0]["where"] = json!([]));
    let states = [
        check(&observed),
        check(&with_spec(|spec| spec["suspend"] = json!(true))),
        check(&wrong_schedule),
        check(&wrong_spec),
        check_with(&observed, &refused("NameConflict", "it is another's")),
        check_with(&observed, &refused("ApplyFailed", "the API server refused it")),
        check(&waiting_for_secret()),
    ];
    let states: Vec<_> = states.iter().map(|conditions| words(conditions)).collect();
    insta::assert_yaml_snapshot!(states);
}

fn waiting_for_secret() -> Observed {
    let mut observed = examples::observed();
    observed.jobs = vec![Arc::new(job("j1"))];
    let container = Container::Waiting {
        reason: "CreateContainerConfigError".into(),
        message: "secret \"db\" not found".into(),
    };
    observed.pods = vec![pod("j1", container)];
    observed
}

fn reason_of(observed: &Observed) -> String {
    find(&check(observed), condition::READY).expect("a condition").reason.clone()
}

#[test]
fn a_missing_secret_is_told_until_a_container_begins_or_the_policy_is_edited() {
    let mut observed = waiting_for_secret();
    observed.policy.status.conditions = check(&observed);
    observed.now = now() + SignedDuration::from_mins(30);

    // The Job has met its deadline; nothing says that the Secret is there now.
    (observed.jobs, observed.pods) = (vec![], vec![]);
    assert_eq!(reason_of(&observed), reason::SECRET_MISSING);
    // An older run, which Kubernetes still keeps, says nothing either.
    observed.pods = vec![ended_pod("j0", 0, "")];
    assert_eq!(reason_of(&observed), reason::SECRET_MISSING);

    let mut runs = observed.clone();
    runs.pods = vec![pod("j2", Container::Running)];
    assert_eq!(reason_of(&runs), reason::SCHEDULED);
    let mut has_run = observed.clone();
    let mut container = ended_pod("j2", 0, "").container.clone();
    if let Container::Terminated(termination) = &mut container {
        termination.finished_at = Some(observed.now);
    }
    has_run.pods = vec![pod("j2", container)];
    assert_eq!(reason_of(&has_run), reason::SCHEDULED);
    observed.policy.generation += 1;
    assert_eq!(reason_of(&observed), reason::SCHEDULED);
}

#[test]
fn other_reasons_to_wait_are_no_missing_secret() {
    let waits = |reason: &str, message: &str| {
        let mut observed = waiting_for_secret();
        let container = Container::Waiting { reason: reason.into(), message: message.into() };
        observed.pods = vec![pod("j1", container)];
        reason_of(&observed)
    };
    assert_eq!(waits("ContainerCreating", ""), reason::SCHEDULED);
    assert_eq!(waits("ImagePullBackOff", "a secret registry"), reason::SCHEDULED);
    assert_eq!(waits("CreateContainerConfigError", "runAsNonRoot"), reason::SCHEDULED);
    let busy = "failed to sync secret cache: timed out waiting for the condition";
    assert_eq!(waits("CreateContainerConfigError", busy), reason::SCHEDULED);
    for key in ["couldn't find key uri in Secret shop/db", "secret \"db-ca\" not found"] {
        assert_eq!(waits("CreateContainerConfigError", key), reason::SECRET_MISSING);
    }
}

#[test]
fn the_time_moves_only_when_the_status_does() {
    let mut observed = examples::observed();
    let before = check(&observed);
    observed.policy.status.conditions.clone_from(&before);
    observed.now = now() + SignedDuration::from_hours(1);
    assert_eq!(check(&observed), before);

    observed.policy.document["spec"]["suspend"] = json!(true);
    let suspended = check(&observed);
    assert_eq!(suspended[0].reason, reason::SUSPENDED);
    assert_eq!(suspended[0].last_transition_time, before[0].last_transition_time);

    observed.policy.document["spec"]["rules"][0]["where"] = json!([]);
    let wrong = check(&observed);
    assert_eq!(wrong[0].last_transition_time.0, observed.now);
}

#[test]
fn the_last_run_is_told_by_the_newest_that_was_not_skipped() {
    let observed = examples::observed();
    let run = |uid: &str, result: RunResult, reason| {
        let mut run = examples::finished(uid);
        run.status.result = result;
        run.reason = reason;
        run
    };
    let last = |runs: &[FinishedRun]| {
        let status = &observed.policy.status;
        let all = conditions(&observed, &validate(&observed.policy), &applied(), status, runs);
        let last = find(&all, condition::LAST_RUN_SUCCEEDED).expect("a condition");
        (last.status.clone(), last.reason.clone())
    };
    let pair = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    let good = || run("a", RunResult::Succeeded, reason::SUCCEEDED);
    let bad = || run("b", RunResult::Failed, reason::PERMISSION_DENIED);
    let skipped = || run("c", RunResult::Skipped, reason::NOTHING_TO_DO);
    assert_eq!(last(&[]), pair("Unknown", "NeverRun"));
    assert_eq!(last(&[bad(), good()]), pair("True", "Succeeded"));
    assert_eq!(last(&[good(), bad(), skipped()]), pair("False", "PermissionDenied"));
    assert_eq!(last(&[skipped()]), pair("Unknown", "NeverRun"));
}

#[test]
fn a_suspended_cron_job_of_a_wrong_policy_is_no_other_state() {
    let observed = with_spec(|spec| spec["rules"][0]["where"] = json!([]));
    let reference = CronJobRef::default();
    let suspended = Resources { cron_job: AppliedCronJob::Suspended(Some(reference)), ..applied() };
    let all = check_with(&observed, &suspended);
    assert_eq!(all[0].reason, reason::INVALID_SPEC);
}

fn message_of(observed: &Observed, kind: &str) -> String {
    let all = check(observed);
    let found = find(&all, kind).expect("a condition");
    format!("{} {}: {}", found.status, found.reason, found.message)
}

#[test]
fn what_is_wrong_with_the_schedule_is_told_the_worst_first() {
    let kind = condition::SCHEDULE_HEALTHY;
    let mut observed = examples::observed();
    let mut found = vec![message_of(&observed, kind)];
    let mut suspended = with_spec(|spec| spec["suspend"] = json!(true));
    suspended.policy.status.slots_expected_after = Some(now().to_string());
    found.push(message_of(&suspended, kind));

    observed.policy.status.consecutive_failures = 3;
    found.push(message_of(&observed, kind));
    observed.policy.status.cron_job_ref = Some(CronJobRef {
        name: "codes".into(),
        uid: "cron-uid".into(),
        generation: 4,
        hash: String::new(),
    });
    observed.policy.status.slots_expected_after = Some("2026-11-21T03:00:00Z".into());
    observed.policy.status.missed_runs = 2;
    found.push(message_of(&observed, kind));
    let stuck = |name: &str, cause| StuckJob {
        name: name.into(),
        uid: name.into(),
        since: now() - SignedDuration::from_mins(7),
        cause,
    };
    let refusal = "pods \"codes-1-\" is forbidden: exceeded quota: none".to_owned();
    observed.stuck.jobs = vec![
        stuck("codes-1", Cause::NoPod { refusal }),
        stuck("codes-2", Cause::NoPod { refusal: String::new() }),
        stuck("codes-3", Cause::Suspended),
        stuck("codes-4", Cause::Suspended),
    ];
    found.push(message_of(&observed, kind));
    insta::assert_yaml_snapshot!(found);
}

#[test]
fn a_run_that_is_under_way_is_named() {
    let kind = condition::RUNNING;
    let mut observed = examples::observed();
    let mut found = vec![message_of(&observed, kind)];
    observed.jobs = vec![Arc::new(job("j1"))];
    found.push(message_of(&observed, kind));
    let mut others = [job("j2"), job("j3"), job("j4")];
    others[0].start_time = None;
    others[1].role = Role::Run(Trigger::RunNow);
    others[2].role = Role::Run(Trigger::Manual);
    observed.jobs.extend(others.map(Arc::new));
    found.push(message_of(&observed, kind));
    insta::assert_yaml_snapshot!(found);
}

/// The condition after a run of each of these counts of rows that are left, the first the oldest.
fn backlog(observed: &mut Observed, left: &[(i64, StopReason)]) -> String {
    for (rows, stop_reason) in left {
        let uid = format!("j{}", observed.policy.status.history.len());
        let mut report = examples::report(&uid);
        report.stop_reason = *stop_reason;
        report.result = RunResult::PartiallySucceeded;
        report.rules[0].remaining = *rows;
        report.rules[0].oldest_overdue_seconds = 200_000;
        observed.jobs = vec![Arc::new(ended(&uid, 60, ""))];
        observed.pods = vec![ended_pod(&uid, 0, &serde_json::to_string(&report).expect("JSON"))];
        let told = publication(observed, &validate(&observed.policy), &applied());
        observed.policy.status = told.status;
    }
    message_of(observed, condition::BACKLOG_DRAINED)
}

#[test]
fn the_backlog_is_told_by_the_newest_run_that_came_to_its_end() {
    use StopReason::{Blocked, Drained, ReplicaLag, RowLimit, TimeBudget};
    let mut observed = with_spec(|spec| spec["historyLimit"] = json!(10));
    assert!(find(&check(&observed), condition::BACKLOG_DRAINED).is_none());
    let found = [
        backlog(&mut observed, &[(0, Drained)]),
        backlog(&mut observed, &[(100, RowLimit)]),
        backlog(&mut observed, &[(90, TimeBudget)]),
        backlog(&mut observed, &[(80, Blocked)]),
        backlog(&mut observed, &[(70, ReplicaLag)]),
        // Three runs in a row left more than the one before.
        backlog(&mut observed, &[(80, RowLimit), (90, RowLimit)]),
        backlog(&mut observed, &[(1_000, RowLimit)]),
        backlog(&mut observed, &[(999, RowLimit)]),
    ];
    insta::assert_yaml_snapshot!(found);
}

#[test]
fn a_backlog_grows_however_short_the_history_is_kept_and_only_by_runs_that_tell() {
    use StopReason::RowLimit;
    let mut observed = with_spec(|spec| spec["historyLimit"] = json!(3));
    let grows = [(1, RowLimit), (2, RowLimit), (3, RowLimit)];
    assert!(!backlog(&mut observed, &grows).contains("FallingBehind"));
    // A failure in between says nothing of what is left.
    let mut failed = observed.clone();
    failed.policy.status.history[0].result = RunResult::Failed;
    assert!(!backlog(&mut failed, &[(4, RowLimit)]).contains("FallingBehind"));
    assert!(backlog(&mut observed, &[(4, RowLimit)]).contains("FallingBehind"));
}

#[test]
fn a_dry_run_drains_nothing() {
    let mut observed = examples::observed();
    let mut report = examples::report("j1");
    report.mode = policy::Mode::DryRun;
    observed.jobs = vec![Arc::new(ended("j1", 60, ""))];
    observed.pods = vec![ended_pod("j1", 0, &serde_json::to_string(&report).expect("JSON"))];
    assert!(find(&check(&observed), condition::BACKLOG_DRAINED).is_none());
}
