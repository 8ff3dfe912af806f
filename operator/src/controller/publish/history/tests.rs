use std::sync::Arc;

use policy::{HistoryEntry, Totals, Trigger};

use super::*;
use crate::controller::examples::{self, applied, ended, ended_pod, job, now};
use crate::controller::observe::{Observed, ObservedJob, Verdict};
use crate::controller::publish::status::{Publication, publication};
use crate::controller::validate::validate;

fn at(minute: i64) -> Timestamp {
    now() - SignedDuration::from_mins(30) + SignedDuration::from_mins(minute)
}

fn earlier(uid: &str, minute: i64, result: RunResult, affected: i64) -> EarlierRun {
    EarlierRun {
        run_id: uid.into(),
        result,
        stop_reason: StopReason::Drained,
        start_time: at(minute).to_string(),
        duration_seconds: 2.0,
        affected,
    }
}

/// A run that began at this minute, and names those before it.
fn ran(observed: &mut Observed, minute: i64, result: RunResult, before: &[EarlierRun]) {
    let uid = format!("j{minute}");
    let mut report = examples::report(&uid);
    report.result = result;
    report.start_time = at(minute).to_string();
    report.totals = Some(Totals { runs: minute, failures: 0, rows_affected: minute * 100 });
    report.earlier = before.to_vec();
    let failed = if result == RunResult::Failed { "PodFailurePolicy" } else { "" };
    observed.jobs.push(Arc::new(ended(&uid, (30 - minute) * 60, failed)));
    let report = serde_json::to_string(&report).expect("JSON");
    observed.pods.push(ended_pod(&uid, 0, &report));
}

fn told(observed: &Observed) -> Publication {
    publication(observed, &validate(&observed.policy), &applied())
}

fn observed() -> Observed {
    let mut observed = examples::observed();
    observed.policy.document["spec"]["historyLimit"] = 10.into();
    observed
}

/// Counts what is there, then forgets all Jobs, as after a while.
fn counted(observed: &mut Observed) {
    observed.policy.status = told(observed).status;
    (observed.jobs, observed.pods) = (vec![], vec![]);
}

fn words(history: &[HistoryEntry]) -> Vec<String> {
    let word = |entry: &HistoryEntry| {
        let trigger = entry.trigger.map_or("-", Trigger::as_str);
        let known = if entry.is_unreported { "?" } else { "" };
        format!("{} {trigger} {} {}{known}", entry.uid, entry.result.as_str(), entry.rows_affected)
    };
    history.iter().map(word).collect()
}

#[test]
fn runs_that_came_and_went_unseen_are_told_by_the_next_report() {
    use RunResult::{Failed, Succeeded};
    let mut seen = observed();
    ran(&mut seen, 1, Succeeded, &[]);
    counted(&mut seen);
    // The operator was away; only the newest Job is still there.
    let before = [
        earlier("j4", 4, Failed, 0),
        earlier("j3", 3, Failed, 0),
        earlier("j2", 2, Succeeded, 7),
        earlier("j1", 1, Succeeded, 1204),
        earlier("j0", 0, Succeeded, 5),
    ];
    ran(&mut seen, 5, Failed, &before);
    let told = told(&seen);
    assert_eq!(
        words(&told.status.history),
        [
            "j5 Schedule Failed 1204",
            "j4 - Failed 0",
            "j3 - Failed 0",
            "j2 - Succeeded 7",
            "j1 Schedule Succeeded 1204",
        ]
    );
    assert_eq!(told.status.consecutive_failures, 3);
    let end_of_j2 = at(2) + SignedDuration::from_secs(2);
    assert_eq!(told.status.last_success_time, Some(end_of_j2.to_string()));
    assert_eq!(told.status.totals.map(|totals| totals.runs), Some(5));
    assert_eq!((told.runs.len(), told.events.len()), (1, 1));
}

#[test]
fn a_report_that_was_never_read_is_made_up_for_by_the_next() {
    use RunResult::{Failed, Succeeded};
    let mut seen = observed();
    seen.jobs = vec![Arc::new(ended("j1", 29 * 60, ""))];
    counted(&mut seen);
    assert_eq!(words(&seen.policy.status.history), ["j1 Schedule Succeeded 0?"]);

    ran(&mut seen, 5, Failed, &[earlier("j1", 1, Succeeded, 1204)]);
    let status = told(&seen).status;
    assert_eq!(words(&status.history), ["j5 Schedule Failed 1204", "j1 Schedule Succeeded 1204"]);
    assert_eq!(status.consecutive_failures, 1);
}

#[test]
fn a_job_that_was_deleted_counts_as_failed_until_the_ledger_says_otherwise() {
    use RunResult::{Failed, Succeeded};
    let mut seen = observed();
    ran(&mut seen, 1, Failed, &[]);
    seen.jobs.push(Arc::new(job("j2").ended_by(Verdict::Deleted)));
    counted(&mut seen);
    let status = &seen.policy.status;
    assert_eq!(words(&status.history), ["j2 Schedule Failed 0?", "j1 Schedule Failed 1204"]);
    assert_eq!((status.consecutive_failures, status.active.len()), (2, 0));
    // It had come to its end a moment before.
    ran(&mut seen, 5, Failed, &[earlier("j2", 2, Succeeded, 9), earlier("j1", 1, Failed, 0)]);
    let status = told(&seen).status;
    assert_eq!(words(&status.history)[1], "j2 Schedule Succeeded 9");
    assert_eq!(status.consecutive_failures, 1);
}

#[test]
fn a_run_whose_job_is_gone_is_told_at_once_when_the_next_one_knows() {
    // Its start is unknown when it was seen last before it had any.
    for start_time in [Some(at(1)), None] {
        let mut seen = observed();
        let lost = ObservedJob { start_time, created: None, ..job("j1") };
        let lost = lost.ended_by(Verdict::Lost { likely_succeeded: false });
        seen.jobs = vec![Arc::new(lost)];
        let alone = told(&seen);
        assert_eq!(alone.events[1].reason, "RunFailed");
        assert!(alone.status.counted_jobs.is_empty(), "it cannot come again");

        ran(&mut seen, 5, RunResult::Succeeded, &[earlier("j1", 1, RunResult::Succeeded, 9)]);
        let both = told(&seen);
        assert_eq!(
            words(&both.status.history),
            ["j5 Schedule Succeeded 1204", "j1 Schedule Succeeded 9"]
        );
        let reasons: Vec<_> = both.events.iter().map(|event| event.reason).collect();
        assert_eq!(reasons, ["CronJobCreated", "RunSucceeded", "RunSucceeded"]);
    }
}

#[test]
fn a_run_that_the_ledger_told_of_first_is_not_counted_again_with_its_job() {
    let mut seen = observed();
    ran(&mut seen, 5, RunResult::Failed, &[earlier("j4", 4, RunResult::Failed, 0)]);
    counted(&mut seen);
    assert_eq!(seen.policy.status.consecutive_failures, 2);
    // An old watch shows it only now.
    ran(&mut seen, 4, RunResult::Failed, &[]);
    let told = told(&seen);
    assert_eq!(told.status.consecutive_failures, 2);
    assert_eq!(words(&told.status.history)[1], "j4 Schedule Failed 0");
    assert!(told.runs.is_empty() && told.events.is_empty());
    assert_eq!(told.status.counted_jobs, ["j4", "j5"]);
}

#[test]
fn runs_of_a_policy_of_the_same_name_that_was_before_are_not_ours() {
    let mut seen = observed();
    seen.policy.created = Some(at(3));
    let before = [earlier("j4", 4, RunResult::Failed, 0), earlier("j2", 2, RunResult::Failed, 0)];
    ran(&mut seen, 5, RunResult::Succeeded, &before);
    assert_eq!(words(&told(&seen).status.history), ["j5 Schedule Succeeded 1204", "j4 - Failed 0"]);
}

#[test]
fn a_job_that_is_there_is_judged_by_its_own_end_and_not_by_another_report() {
    let mut seen = observed();
    seen.jobs = vec![Arc::new(job("j4"))];
    ran(&mut seen, 5, RunResult::Succeeded, &[earlier("j4", 4, RunResult::Failed, 0)]);
    let status = told(&seen).status;
    assert_eq!(words(&status.history), ["j5 Schedule Succeeded 1204"]);
    assert_eq!(status.active.len(), 1);
}

#[test]
fn the_newest_run_that_succeeded_is_kept_without_its_rules() {
    let mut seen = observed();
    ran(&mut seen, 1, RunResult::Succeeded, &[]);
    ran(&mut seen, 2, RunResult::Failed, &[]);
    let status = told(&seen).status;
    let last = status.last_successful_run.expect("one succeeded");
    assert_eq!((last.uid.as_str(), last.rules.len()), ("j1", 0));
    assert_eq!(status.last_run.expect("a run").uid, "j2");
}

#[test]
fn a_run_whose_report_is_awaited_is_under_way_until_it_is_counted() {
    let mut seen = observed();
    seen.jobs = vec![Arc::new(ended("j1", 4, ""))];
    let status = told(&seen).status;
    assert_eq!((status.active.len(), status.history.len()), (1, 0));
}
