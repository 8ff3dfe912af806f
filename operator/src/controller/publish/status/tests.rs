use std::sync::Arc;

use jiff::SignedDuration;
use policy::{RunResult, Totals};
use serde_json::json;

use super::*;
use crate::controller::examples::{self, applied, ended, ended_pod, job, now};
use crate::controller::validate::validate;

fn told(observed: &Observed) -> Publication {
    publication(observed, &validate(&observed.policy), &applied())
}

fn report(uid: &str, result: RunResult) -> String {
    let mut report = examples::report(uid);
    report.result = result;
    report.totals = Some(Totals { runs: 41, failures: 1, rows_affected: 88_211 });
    serde_json::to_string(&report).expect("JSON")
}

/// A run of each of these results, the first the oldest.
fn after(results: &[RunResult]) -> Observed {
    let mut observed = examples::observed();
    for (index, result) in results.iter().enumerate() {
        let uid = format!("j{index}");
        let seconds = 60 - i64::try_from(index).expect("a few");
        observed.jobs.push(Arc::new(ended(&uid, seconds, "")));
        observed.pods.push(ended_pod(&uid, 0, &report(&uid, *result)));
    }
    observed
}

#[test]
fn the_status_after_a_run() {
    let mut observed = after(&[RunResult::Succeeded]);
    observed.jobs.push(Arc::new(job("j9")));
    insta::assert_yaml_snapshot!(told(&observed).status);
}

#[test]
fn a_run_is_counted_once_across_restarts() {
    let mut observed = after(&[RunResult::Failed]);
    let first = told(&observed);
    assert_eq!((first.runs.len(), first.status.consecutive_failures), (1, 1));

    // The operator begins anew: it knows what is stored, and nothing else.
    observed.policy.status = first.status.clone();
    let second = told(&observed);
    assert!(second.runs.is_empty() && second.events.is_empty());
    assert_eq!(second.status, first.status);

    // Kubernetes removes the Job: nothing to tell, until the API server itself says so.
    observed.jobs.clear();
    assert_eq!(told(&observed).status, first.status);
    observed.is_fresh = true;
    let third = told(&observed).status;
    assert!(third.counted_jobs.is_empty());
    assert_eq!(third.last_run, first.status.last_run);
}

#[test]
fn several_runs_at_once_are_counted_in_the_order_in_which_they_ended() {
    use RunResult::{Failed, Skipped, Succeeded};
    let check = |results: &[RunResult]| {
        let mut observed = after(results);
        // The watch knows no order.
        observed.jobs.reverse();
        let status = told(&observed).status;
        (status.consecutive_failures, status.last_run.map(|run| run.result))
    };
    assert_eq!(check(&[Failed, Failed, Succeeded]), (0, Some(Succeeded)));
    assert_eq!(check(&[Succeeded, Failed, Failed]), (2, Some(Failed)));
    assert_eq!(check(&[Failed, Skipped]), (1, Some(Skipped)));
}

#[test]
fn a_skipped_run_changes_neither_failures_nor_the_last_success() {
    let mut observed = after(&[RunResult::Skipped]);
    observed.policy.status.consecutive_failures = 2;
    observed.policy.status.last_success_time = Some("2026-11-20T03:00:00Z".into());
    let status = told(&observed).status;
    assert_eq!(status.consecutive_failures, 2);
    assert_eq!(status.last_success_time.as_deref(), Some("2026-11-20T03:00:00Z"));
}

#[test]
fn the_history_has_the_newest_first_and_keeps_to_its_limit() {
    let observed = after(&[RunResult::Succeeded; 5]);
    let history = told(&observed).status.history;
    let names: Vec<_> = history.iter().map(|entry| entry.job_name.as_str()).collect();
    assert_eq!(names, ["codes-j4", "codes-j3", "codes-j2"]);
}

#[test]
fn the_list_of_counted_jobs_stays_within_its_bound() {
    let mut observed = examples::observed();
    for index in 0..300 {
        let uid = format!("j{index:03}");
        observed.jobs.push(Arc::new(ended(&uid, 400 - index, "")));
    }
    let first = told(&observed);
    assert_eq!((first.status.counted_jobs.len(), first.runs.len()), (256, 256));
    observed.policy.status = first.status;
    assert!(told(&observed).runs.is_empty());
}

#[test]
fn a_late_report_is_waited_for_before_the_run_is_counted() {
    let mut observed = examples::observed();
    observed.jobs = vec![Arc::new(ended("j1", 4, ""))];
    let waiting = told(&observed);
    assert!(waiting.runs.is_empty() && waiting.status.counted_jobs.is_empty());
    assert_eq!(waiting.look_again, Duration::from_secs(26));
    observed.pods = vec![ended_pod("j1", 0, &report("j1", RunResult::Succeeded))];
    assert_eq!(told(&observed).status.last_run.expect("a run").rows_affected, 1204);
}

#[test]
fn the_next_run_is_told_while_there_will_be_one() {
    let observed = examples::observed();
    let next = told(&observed);
    assert_eq!(next.status.next_schedule_time.as_deref(), Some("2026-11-21T03:05:00Z"));
    assert_eq!(next.look_again, Duration::from_secs(3 * 60 + 1));

    let mut suspended = observed.clone();
    suspended.policy.document["spec"]["suspend"] = json!(true);
    assert_eq!(told(&suspended).status.next_schedule_time, None);
    assert_eq!(told(&suspended).look_again, RESYNC);
    let mut wrong = observed;
    wrong.policy.document["spec"]["rules"] = json!([]);
    assert_eq!(told(&wrong).status.next_schedule_time, None);
}

#[test]
fn nothing_new_is_told_while_nothing_happens() {
    let mut observed = after(&[RunResult::Succeeded, RunResult::Failed]);
    observed.policy.status = told(&observed).status;
    for minutes in [0, 1, 2] {
        observed.now = now() + SignedDuration::from_mins(minutes);
        let again = told(&observed);
        assert_eq!(again.status, observed.policy.status, "after {minutes} min");
        assert!(again.events.is_empty() && again.runs.is_empty());
    }
}

#[test]
fn a_token_that_has_its_job_is_remembered() {
    let observed = examples::observed();
    let applied = Resources { run: Ok(Some("initial".into())), ..applied() };
    let told = publication(&observed, &validate(&observed.policy), &applied);
    assert_eq!(told.status.last_run_now, "initial");
}

#[test]
fn what_is_stored_reads_back_as_it_was() {
    let observed = after(&[RunResult::Succeeded, RunResult::Failed]);
    let status = told(&observed).status;
    let stored = serde_json::to_string(&status).expect("JSON");
    assert_eq!(serde_json::from_str::<CleanupPolicyStatus>(&stored).expect("a status"), status);
}
