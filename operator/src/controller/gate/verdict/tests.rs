use jiff::SignedDuration;
use policy::{Mode, PreflightReport};

use super::*;
use crate::controller::examples::{
    self, ended, preflight_job, preflight_report, preflighted, problem,
};
use crate::controller::observe::Observed;

fn check(observed: &Observed) -> Verdict {
    verdict(&observed.preflights[0], &observed.pods, &examples::valid(), observed.now)
}

/// `passed`, `failed` or `tries again`, with what is said.
fn told(observed: &Observed) -> (&'static str, String) {
    match check(observed) {
        Verdict::UnderWay => ("under way", String::new()),
        Verdict::AwaitReport(_) => ("awaits its report", String::new()),
        Verdict::Passed { plan, .. } => {
            ("passed", plan.map_or("no plan".into(), |plan| plan.verdict))
        }
        Verdict::Failed { may_pass: true, message, .. } => ("tries again", message),
        Verdict::Failed { may_pass: false, message, .. } => ("failed", message),
    }
}

fn with(change: impl FnOnce(&mut PreflightReport)) -> PreflightReport {
    let mut report = preflight_report();
    change(&mut report);
    report
}

#[test]
fn problems_decide_and_a_guard_does_not_fail() {
    let problems = |all: &[(&str, bool)]| {
        with(|report| {
            report.problems =
                all.iter().map(|(name, may_pass)| problem(name, "why", *may_pass)).collect();
        })
    };
    let guard = with(|report| report.verdict = "it matches 80 % of its table".into());
    let cases = [
        (0, preflight_report(), "passed", ""),
        (3, guard, "passed", "it matches 80 % of its table"),
        (
            2,
            problems(&[("TableMissing", true)]),
            "tries again",
            "rule delete-expired: why (TableMissing)",
        ),
        (
            2,
            problems(&[("TypeMismatch", false), ("ColumnMissing", true)]),
            "tries again",
            "rule delete-expired: why (TypeMismatch); rule delete-expired: why (ColumnMissing)",
        ),
        (
            2,
            problems(&[("TypeMismatch", false)]),
            "failed",
            "rule delete-expired: why (TypeMismatch)",
        ),
        (
            10,
            problems(&[("Unreachable", false)]),
            "tries again",
            "rule delete-expired: why (Unreachable)",
        ),
    ];
    for (exit_code, report, verdict, message) in cases {
        let told = told(&preflighted(exit_code, Some(&report)));
        assert_eq!(told, (verdict, message.to_owned()), "exit code {exit_code}");
    }
}

#[test]
fn only_the_jobs_own_report_about_these_rules_is_believed() {
    let lies: [fn(&mut PreflightReport); 4] = [
        |report| report.policy = "shop/other".into(),
        |report| report.rules_hash = "other".into(),
        |report| report.mode = Mode::DryRun,
        |report| report.run_id = "another Job".into(),
    ];
    for lie in lies {
        // Its exit code stands all the same.
        assert_eq!(told(&preflighted(0, Some(&with(lie)))), ("passed", "no plan".into()));
        assert_eq!(told(&preflighted(2, Some(&with(lie)))).0, "tries again");
    }
}

#[test]
fn what_left_no_report_is_tried_again_and_says_what_is_known() {
    let name = preflight_job().name;
    let without = |exit_code: i32, reason: &str, container_reason: &str| {
        let mut observed = preflighted(exit_code, None);
        let mut job = (*observed.preflights[0]).clone();
        job.ending = ended("p1", 600, reason).ending;
        observed.preflights = vec![Arc::new(job)];
        let mut pod = (*observed.pods[0]).clone();
        if let Container::Terminated(termination) = &mut pod.container {
            termination.reason = container_reason.into();
        }
        observed.pods = vec![Arc::new(pod)];
        observed
    };
    let gone = |reason: &str| {
        let mut observed = without(2, reason, "");
        observed.pods.clear();
        observed
    };
    let cases = [
        (without(10, "BackoffLimitExceeded", ""), "the database was away"),
        (without(137, "BackoffLimitExceeded", "OOMKilled"), "it used more memory than its limit"),
        (without(2, "BackoffLimitExceeded", ""), "it ended with exit code 2 and left no report"),
        (without(143, "DeadlineExceeded", ""), "the Job met its activeDeadlineSeconds"),
        (
            gone("DeadlineExceeded"),
            "its pod had not started when the Job met its activeDeadlineSeconds",
        ),
        (gone("BackoffLimitExceeded"), "nothing is left of its pod"),
    ];
    for (observed, how) in cases {
        let expected = format!("the preflight could not be made: {how}; see Job {name}");
        assert_eq!(told(&observed), ("tries again", expected));
    }
    assert_eq!(told(&without(0, "", "")), ("passed", "no plan".into()));
    assert_eq!(told(&gone("")), ("passed", "no plan".into()));
}

#[test]
fn a_late_pod_is_waited_for() {
    let mut observed = preflighted(0, Some(&preflight_report()));
    observed.pods.clear();
    observed.now = examples::now() - SignedDuration::from_secs(595);
    assert_eq!(check(&observed), Verdict::AwaitReport(Duration::from_secs(25)));
    observed.preflights = vec![Arc::new(preflight_job())];
    assert_eq!(check(&observed), Verdict::UnderWay);
}

#[test]
fn a_plan_keeps_to_the_bounds_of_the_status_and_knows_what_a_short_report_left_out() {
    let report = with(|report| {
        report.verdict = "x".repeat(5000);
        report.warnings = vec!["w".into(); 20];
        report.rules[0].table.clear();
        report.rules[0].action = None;
        report.rules[0].indexes = vec!["i".into(); 20];
    });
    let Verdict::Passed { plan: Some(plan), .. } = check(&preflighted(3, Some(&report))) else {
        panic!("it passed");
    };
    assert!(plan.verdict.len() <= 4096 && plan.warnings.len() == 16);
    let rule = &plan.rules[0];
    assert_eq!((rule.table.as_str(), rule.indexes.len()), ("app.codes", 16));
    assert_eq!(rule.action, Some(policy::ActionKind::Delete));
}

#[test]
fn many_long_problems_fit_the_status() {
    let report = with(|report| {
        report.problems = vec![problem("TableMissing", &"x".repeat(1000), true); 48];
    });
    assert!(told(&preflighted(2, Some(&report))).1.len() <= 8192);
}
