use std::sync::Arc;

use jiff::SignedDuration;
use policy::{CronJobRef, reason};
use serde_json::json;

use super::*;
use crate::controller::apply::{AppliedCronJob, Refusal};
use crate::controller::examples::{self, applied, ended_pod, job, now, pod};
use crate::controller::observe::Container;
use crate::controller::validate::validate;

fn words(conditions: &[Condition]) -> Vec<String> {
    let word = |condition: &Condition| {
        let Condition { type_, status, reason, message, .. } = condition;
        format!("{type_}={status} {reason}: {message}")
    };
    conditions.iter().map(word).collect()
}

/// The conditions of a policy as observed, with its CronJob applied.
fn check(observed: &Observed) -> Vec<Condition> {
    conditions(observed, &validate(&observed.policy), &applied(), &[])
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
    let valid = validate(&observed.policy);
    let wrong_schedule = with_spec(|spec| spec["timeZone"] = json!("Mars/Olympus"));
    let wrong_spec = with_spec(|spec| spec["rules"][0]["where"] = json!([]));
    let states = [
        check(&observed),
        check(&with_spec(|spec| spec["suspend"] = json!(true))),
        check(&wrong_schedule),
        check(&wrong_spec),
        conditions(&observed, &valid, &refused("NameConflict", "it is another's"), &[]),
        conditions(&observed, &valid, &refused("ApplyFailed", "the API server refused it"), &[]),
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
    use policy::RunResult;
    let observed = examples::observed();
    let run = |uid: &str, result: RunResult, reason| {
        let mut run = examples::finished(uid);
        run.status.result = result;
        run.reason = reason;
        run
    };
    let last = |runs: &[FinishedRun]| {
        let all = conditions(&observed, &validate(&observed.policy), &applied(), runs);
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
    let all = conditions(&observed, &validate(&observed.policy), &suspended, &[]);
    assert_eq!(all[0].reason, reason::INVALID_SPEC);
}
