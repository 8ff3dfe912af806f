use jiff::SignedDuration;
use policy::{ActionKind, Mode};

use super::*;
use crate::controller::examples::{self, ended, ended_pod, job, now, pod};

fn court(pods: &[Arc<ObservedPod>]) -> impl Fn(&ObservedJob) -> Option<Judged> + use<'_> {
    move |job| {
        let policy = examples::policy().name;
        Court { policy: &policy, pods, stuck: None, now: now() }.judge(job)
    }
}

fn judged(job: &ObservedJob, pods: &[Arc<ObservedPod>]) -> FinishedRun {
    match court(pods)(job) {
        Some(Judged::Finished(run)) => *run,
        other => panic!("not finished: {other:?}"),
    }
}

fn said(change: impl FnOnce(&mut RunReport)) -> String {
    let mut report = examples::report("j1");
    change(&mut report);
    serde_json::to_string(&report).expect("JSON")
}

/// Result, reason of `LastRunSucceeded` and message of a run.
fn check(failed: &str, exit_code: i32, message: &str) -> (RunResult, &'static str, String) {
    let run = judged(&ended("j1", 60, failed), &[ended_pod("j1", exit_code, message)]);
    (run.status.result, run.reason, run.status.message)
}

#[test]
fn a_report_becomes_the_run_as_it_says() {
    let run = judged(&ended("j1", 60, ""), &[ended_pod("j1", 0, &said(|_| {}))]);
    insta::assert_yaml_snapshot!(run.status);
    assert_eq!((run.reason, run.succeeded()), (reason::SUCCEEDED, Some(true)));
}

#[test]
fn the_reason_follows_from_report_and_condition() {
    use RunResult::{Aborted, Failed, PartiallySucceeded, Succeeded};
    let with = |result, stop_reason| {
        said(move |report| {
            report.result = result;
            report.stop_reason = stop_reason;
        })
    };
    let idle = said(|report| report.rules[0] = examples::rule("r", None, 0, 0));
    let rule_failed = said(|report| {
        report.result = PartiallySucceeded;
        report.rules[0].failed = 3;
    });
    let policy = "PodFailurePolicy";
    let cases = [
        ("", 0, said(|_| {}), Succeeded, reason::SUCCEEDED),
        ("", 0, idle, Succeeded, reason::NOTHING_TO_DO),
        (
            "",
            0,
            with(PartiallySucceeded, StopReason::RowLimit),
            PartiallySucceeded,
            reason::SUCCEEDED,
        ),
        (
            policy,
            11,
            with(PartiallySucceeded, StopReason::Error),
            PartiallySucceeded,
            reason::RULES_FAILED,
        ),
        ("", 0, rule_failed, PartiallySucceeded, reason::RULES_FAILED),
        (policy, 3, with(Aborted, StopReason::BlastRadius), Aborted, reason::SAFETY_ABORT),
        (
            "BackoffLimitExceeded",
            10,
            with(Failed, StopReason::Error),
            Failed,
            reason::BACKOFF_LIMIT_EXCEEDED,
        ),
        (
            "DeadlineExceeded",
            143,
            with(PartiallySucceeded, StopReason::Cancelled),
            Failed,
            reason::DEADLINE_EXCEEDED,
        ),
        // A later attempt left no report.
        (policy, 0, said(|_| {}), Failed, reason::FAILED),
    ];
    for (failed, exit_code, message, result, reason) in cases {
        let found = check(failed, exit_code, &message);
        assert_eq!((found.0, found.1), (result, reason), "{failed} {exit_code} {message}");
    }
}

#[test]
fn a_failure_is_told_apart_by_its_sqlstate() {
    let states = [
        ("28P01", reason::PERMISSION_DENIED),
        ("28000", reason::PERMISSION_DENIED),
        ("42501", reason::PERMISSION_DENIED),
        ("42P01", reason::SCHEMA_MISMATCH),
        ("42703", reason::SCHEMA_MISMATCH),
        ("42804", reason::SCHEMA_MISMATCH),
        ("3F000", reason::SCHEMA_MISMATCH),
        ("55000", reason::SCHEMA_MISMATCH),
        ("3D000", reason::FAILED),
        ("", reason::FAILED),
    ];
    for (state, expected) in states {
        let message = said(|report| {
            report.result = RunResult::Failed;
            report.rules[0].sql_state = state.into();
        });
        assert_eq!(check("PodFailurePolicy", 2, &message).1, expected, "{state:?}");
    }
}

#[test]
fn a_shortened_report_still_tells_its_sqlstate_by_its_message() {
    let message = said(|report| {
        report.result = RunResult::Failed;
        report.message = "the password of the database role is wrong (SQLSTATE 28P01)".into();
    });
    assert_eq!(check("PodFailurePolicy", 2, &message).1, reason::PERMISSION_DENIED);
}

#[test]
fn without_a_report_condition_and_exit_code_speak() {
    let whole = said(|_| {});
    let garbled = &whole[whole.len() / 2..];
    let of_another = said(|report| report.run_id = "j2".into());
    let cases = [
        ("", 0, ""),
        ("", 0, garbled),
        ("DeadlineExceeded", 143, ""),
        ("BackoffLimitExceeded", 10, ""),
        ("BackoffLimitExceeded", 1, "panicked"),
        ("PodFailurePolicy", 2, ""),
        ("PodFailurePolicy", 3, ""),
        ("PodFailurePolicy", 11, ""),
        ("SomethingNew", 1, ""),
        ("", 0, &of_another),
    ];
    let found: Vec<_> = cases
        .map(|(failed, exit_code, message)| {
            let (result, reason, sentence) = check(failed, exit_code, message);
            format!("{failed}/{exit_code}: {} {reason}: {sentence}", result.as_str())
        })
        .into();
    insta::assert_yaml_snapshot!(found);
}

#[test]
fn the_newest_attempt_speaks_and_pods_of_others_do_not() {
    let attempt = |job_uid: &str, seconds: i64, result| {
        let message = said(|report| report.result = result);
        let termination = Termination {
            exit_code: 0,
            reason: String::new(),
            message,
            finished_at: Some(now() - SignedDuration::from_secs(seconds)),
        };
        pod(job_uid, Container::Terminated(termination))
    };
    let pods = [
        attempt("j1", 90, RunResult::Failed),
        attempt("j1", 70, RunResult::Succeeded),
        attempt("j1", 80, RunResult::Failed),
        attempt("j2", 60, RunResult::Aborted),
    ];
    assert_eq!(judged(&ended("j1", 60, ""), &pods).status.result, RunResult::Succeeded);
}

#[test]
fn a_report_that_is_late_is_waited_for_and_not_for_ever() {
    let waits = |job: &ObservedJob, pods: &[Arc<ObservedPod>]| match court(pods)(job) {
        Some(Judged::AwaitReport(wait)) => Some(wait.as_secs()),
        Some(Judged::Finished(_)) => None,
        None => panic!("it has ended"),
    };
    let open = pod("j1", Container::Running);
    let closed = ended_pod("j1", 0, "");
    assert_eq!(waits(&ended("j1", 3, ""), &[]), Some(27));
    assert_eq!(waits(&ended("j1", 3, ""), &[open.clone(), closed.clone()]), Some(27));
    assert_eq!(waits(&ended("j1", 30, ""), &[open]), None);
    assert_eq!(waits(&ended("j1", 30, ""), &[]), None);
    // It has said its last word, though that is empty.
    assert_eq!(waits(&ended("j1", 0, ""), &[closed]), None);
    assert_eq!(court(&[])(&job("j1")), None);
}

#[test]
fn a_run_that_was_skipped_neither_succeeded_nor_failed() {
    let message = said(|report| {
        report.result = RunResult::Skipped;
        report.stop_reason = StopReason::LockHeld;
    });
    let run = judged(&ended("j1", 60, ""), &[ended_pod("j1", 0, &message)]);
    assert_eq!((run.status.result, run.succeeded()), (RunResult::Skipped, None));
}

#[test]
fn what_a_report_says_stays_within_the_schema_of_the_status() {
    let message = said(|report| {
        report.duration_seconds = -1.0;
        report.rules = (0..40)
            .map(|index| {
                let mut rule = examples::rule(&index.to_string(), Some(ActionKind::Delete), 1, 1);
                rule.sql_state = "too long".into();
                rule.warnings = vec!["W".into(); 20];
                rule
            })
            .collect();
    });
    let status = judged(&ended("j1", 60, ""), &[ended_pod("j1", 0, &message)]).status;
    assert_eq!(status.rules.len(), 32);
    assert!(status.rules.iter().all(|rule| rule.warnings.len() == 16 && rule.sql_state.is_empty()));
    assert!(status.duration_seconds.abs() < f64::EPSILON);
}

fn outcome(run: &FinishedRun) -> String {
    let known = if run.is_unreported { "unreported" } else { "known" };
    let FinishedRun { status, reason, .. } = run;
    format!("{} {reason} ({known}): {}", status.result.as_str(), status.message)
}

#[test]
fn what_was_lost_is_said_in_its_own_words() {
    let deleted = job("j1").ended_by(Verdict::Deleted);
    let lost = |likely_succeeded| job("j1").ended_by(Verdict::Lost { likely_succeeded });
    let cancelled = said(|report| {
        report.result = RunResult::PartiallySucceeded;
        report.stop_reason = StopReason::Cancelled;
        report.rules[0].affected = 400;
        report.rules[0].remaining = 804;
    });
    let never = ObservedJob { attempts: 0, ..ended("j1", 60, "DeadlineExceeded") };
    let never_deleted = ObservedJob { attempts: 0, ..deleted.clone() };
    let unscheduled =
        pod("j1", Container::Waiting { reason: String::new(), message: String::new() });
    let found = [
        judged(&ended("j1", 60, ""), &[]),
        judged(&ended("j1", 60, "DeadlineExceeded"), &[]),
        judged(&ended("j1", 60, "BackoffLimitExceeded"), &[]),
        judged(&ended("j1", 60, "PodFailurePolicy"), &[]),
        judged(&deleted, &[]),
        judged(&deleted, &[ended_pod("j1", 143, &cancelled)]),
        judged(&deleted, &[ended_pod("j1", 0, &said(|_| {}))]),
        judged(&lost(false), &[]),
        judged(&lost(true), &[]),
        judged(&never, &[]),
        judged(&never, &[unscheduled]),
        judged(&never_deleted, &[]),
    ];
    let found: Vec<_> = found.iter().map(outcome).collect();
    insta::assert_yaml_snapshot!(found);
}

#[test]
fn a_job_that_never_began_repeats_why() {
    let policy = examples::policy().name;
    let said = "Job codes-j1 has not begun since 2026-11-21 02:00 UTC: Kubernetes cannot make its \
                pod: exceeded quota: none; also: 3 runs in a row have failed";
    let court = Court { policy: &policy, pods: &[], stuck: Some(said), now: now() };
    let job = ObservedJob { attempts: 0, ..ended("j1", 60, "DeadlineExceeded") };
    let Some(Judged::Finished(run)) = court.judge(&job) else { panic!("it has ended") };
    assert_eq!(
        run.status.message,
        "Kubernetes ended the Job at its activeDeadlineSeconds before its pod began: Kubernetes \
         cannot make its pod: exceeded quota: none"
    );
    assert_eq!((run.is_unreported, run.status.attempts), (false, 0));
}

#[test]
fn a_report_is_believed_only_of_its_own_run_and_policy() {
    let is_believed = |change: fn(&mut RunReport)| {
        let run = judged(&ended("j1", 60, ""), &[ended_pod("j1", 0, &said(change))]);
        (!run.is_unreported, run.status.rows_affected)
    };
    assert_eq!(is_believed(|_| {}), (true, 1204));
    assert_eq!(is_believed(|report| report.run_id = "j2".into()), (false, 0));
    assert_eq!(is_believed(|report| report.policy = "shop/other".into()), (false, 0));
}

#[test]
fn a_pod_that_outlives_its_job_is_waited_for_as_long_as_it_may_take() {
    let waits = |job: &ObservedJob, deletion: Option<i64>| {
        let deletion = deletion.map(|seconds| now() + SignedDuration::from_secs(seconds));
        let running = pod("j1", Container::Running);
        let running = Arc::new(ObservedPod { deletion, ..(*running).clone() });
        match court(&[running])(job) {
            Some(Judged::AwaitReport(wait)) => Some(wait.as_secs()),
            Some(Judged::Finished(_)) => None,
            None => panic!("it has ended"),
        }
    };
    let deleted = job("j1").ended_by(Verdict::Deleted);
    let lost = job("j1").ended_by(Verdict::Lost { likely_succeeded: false });
    assert_eq!(waits(&deleted, Some(60)), Some(90));
    assert_eq!(waits(&deleted, None), Some(30));
    assert_eq!(waits(&deleted, Some(-30)), None);
    assert_eq!(waits(&lost, Some(20)), Some(50));
    assert_eq!(waits(&lost, None), None);
}

#[test]
fn a_later_report_tells_what_an_unread_one_would_have() {
    let mut run = judged(&ended("j1", 60, ""), &[]);
    run.status.mode = Mode::Enforce;
    let mut told = |result, stop_reason, affected| {
        run.amend(&EarlierRun {
            run_id: "j1".into(),
            result,
            stop_reason,
            start_time: "2026-11-21T03:00:01Z".into(),
            duration_seconds: 12.0,
            affected,
        });
        outcome(&run)
    };
    let found = [
        told(RunResult::Succeeded, StopReason::Drained, 1204),
        told(RunResult::Succeeded, StopReason::Drained, 0),
        told(RunResult::PartiallySucceeded, StopReason::RowLimit, 1204),
        told(RunResult::PartiallySucceeded, StopReason::Error, 7),
        told(RunResult::Failed, StopReason::Error, 7),
        told(RunResult::Aborted, StopReason::BlastRadius, 0),
    ];
    insta::assert_yaml_snapshot!(found);
}
