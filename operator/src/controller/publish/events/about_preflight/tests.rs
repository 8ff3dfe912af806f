use jiff::SignedDuration;
use policy::PreflightReport;

use crate::controller::examples::{self, preflight_report, preflighted, problem, told};
use crate::controller::observe::Observed;

fn events(observed: &mut Observed) -> Vec<String> {
    let all = told(observed).events;
    let preflight = all.iter().filter(|draft| draft.action == "Preflight");
    preflight
        .map(|draft| {
            let kind = if draft.is_warning { "Warning" } else { "Normal" };
            format!("{kind} {}: {}", draft.reason, draft.note)
        })
        .collect()
}

fn keys(observed: &Observed) -> Vec<String> {
    let all = told(&mut observed.clone()).events;
    let preflight = all.into_iter().filter(|draft| draft.action == "Preflight");
    preflight.map(|draft| draft.key).collect()
}

fn missing(table: &str) -> PreflightReport {
    let mut report = preflight_report();
    report.problems = vec![problem("TableMissing", &format!("table {table} is missing"), true)];
    report
}

#[test]
fn a_preflight_is_told_when_it_passes_and_once() {
    let mut report = preflight_report();
    report.rules[0].advice = vec!["MissingIndex".into()];
    let mut observed = preflighted(0, Some(&report));
    // Before the status is stored the same names come again.
    assert_eq!(keys(&observed), keys(&observed));
    insta::assert_yaml_snapshot!(events(&mut observed));
    assert_eq!(events(&mut observed), [""; 0]);
    observed.policy.generation += 1;
    assert_eq!(events(&mut observed), [""; 0]);
}

#[test]
fn what_is_wrong_is_told_once_however_often_it_is_tried() {
    let mut observed = preflighted(2, Some(&missing("app.codes")));
    observed.now = examples::now() - SignedDuration::from_secs(590);
    let first = keys(&observed);
    assert_eq!(
        events(&mut observed),
        ["Warning PreflightFailed: rule delete-expired: table app.codes is missing (TableMissing)"]
    );
    assert_eq!(events(&mut observed), [""; 0]);
    // The next try finds the same.
    observed.now = examples::now();
    assert_eq!(events(&mut observed), [""; 0]);
    let again = |observed: &mut Observed, report: &PreflightReport| {
        let last = observed.policy.status.preflight.clone().expect("a preflight");
        let mut report = report.clone();
        report.run_id = "p9".into();
        let ended = preflighted(2, Some(&report));
        let mut job = (*ended.preflights[0]).clone();
        (job.uid, job.name) = ("p9".into(), last.job_name);
        job.role = crate::controller::observe::Role::Preflight {
            rules_hash: last.rules_hash,
            generation: last.generation,
            attempt: last.attempts,
        };
        let mut pod = (*ended.pods[0]).clone();
        pod.job_uid = "p9".into();
        observed.preflights = vec![job.into()];
        observed.pods = vec![pod.into()];
    };
    let mut same = observed.clone();
    again(&mut same, &missing("app.codes"));
    same.now = examples::now() - SignedDuration::from_secs(590);
    assert_eq!(events(&mut same), [""; 0]);
    let mut other = observed.clone();
    again(&mut other, &missing("app.users"));
    other.now = examples::now() - SignedDuration::from_secs(590);
    assert_ne!(keys(&other), first);
    assert_eq!(events(&mut other).len(), 1);
}
