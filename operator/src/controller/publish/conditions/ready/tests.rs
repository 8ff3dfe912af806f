use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::json;

use super::*;
use crate::controller::examples::{
    self, applied, built, preflight_job, preflight_report, preflighted, problem, told,
};
use crate::controller::publish::publication;
use crate::controller::validate::validate;

/// What the policy says of itself, without what it says of runs.
fn words(conditions: &[Condition]) -> Vec<String> {
    let own = [condition::READY, condition::APPROVED, condition::RECONCILING, condition::STALLED];
    let own = conditions.iter().filter(|condition| own.contains(&condition.type_.as_str()));
    own.map(|Condition { type_, status, reason, message, .. }| {
        format!("{type_}={status} {reason}: {message}")
    })
    .collect()
}

fn says(observed: &Observed) -> Vec<String> {
    words(&told(&mut observed.clone()).status.conditions)
}

fn failed(may_pass: bool) -> Observed {
    let mut report = preflight_report();
    report.problems = vec![problem("TableMissing", "table app.codes is missing", may_pass)];
    let mut observed = preflighted(2, Some(&report));
    observed.now = examples::now() - jiff::SignedDuration::from_secs(590);
    observed
}

fn with_approval(mut observed: Observed) -> Observed {
    observed.policy.document["spec"]["approval"] = json!("OnRulesChange");
    observed
}

#[test]
fn the_way_of_a_policy_to_its_first_run() {
    let passed = || preflighted(0, Some(&preflight_report()));
    let mut waits = examples::new();
    let turn = Resources {
        preflight: AppliedPreflight::WaitsForTurn,
        gate: built(&waits).gate,
        ..applied()
    };
    let turn = publication(&waits, &validate(&waits.policy), &turn).status.conditions;
    waits.preflights = vec![preflight_job().into()];
    let container = Container::Waiting {
        reason: CONFIG_ERROR.into(),
        message: "secret \"db\" not found".into(),
    };
    let mut no_secret = waits.clone();
    no_secret.pods = vec![examples::pod("p1", container)];
    let mut retries = failed(true);
    told(&mut retries);
    retries.now = examples::now();
    let mut suspended = failed(true);
    suspended.policy.document["spec"]["suspend"] = json!(true);
    let mut guard = preflight_report();
    guard.verdict = "rule delete-expired matches 80 % of its table".into();
    let mut approved = with_approval(passed());
    approved.policy.approved_rules_hash = Some(examples::valid().policy.rules_hash().to_owned());
    let states = [
        ("new", says(&examples::new())),
        ("waits for its turn", words(&turn)),
        ("under way", says(&waits)),
        ("without its Secret", says(&no_secret)),
        ("tried again later", says(&failed(true))),
        ("tried again now", says(&retries)),
        ("suspended beside it", says(&suspended)),
        ("waits for an edit", says(&failed(false))),
        ("passed", says(&passed())),
        ("passed, and a guard would stop it", says(&preflighted(3, Some(&guard)))),
        ("passed without a report", says(&preflighted(0, None))),
        ("to be approved, under way", says(&with_approval(waits.clone()))),
        ("to be approved", says(&with_approval(passed()))),
        ("to be approved, without a report", says(&with_approval(preflighted(0, None)))),
        ("approved", says(&approved)),
    ];
    insta::assert_yaml_snapshot!(states);
}

/// kubectl is handed the first line as it is.
#[test]
fn the_first_line_of_the_condition_is_the_command() {
    let observed = with_approval(preflighted(0, Some(&preflight_report())));
    let conditions = told(&mut observed.clone()).status.conditions;
    let approved = find(&conditions, condition::APPROVED).expect("a condition");
    let hash = examples::valid().policy.rules_hash().to_owned();
    assert_eq!(
        approved.message.lines().next(),
        Some(&*format!(
            "kubectl -n shop annotate --overwrite cleanuppolicies.pgsweep.dev/codes \
             pgsweep.dev/approved-rules-hash={hash}"
        ))
    );
}

#[test]
fn what_is_wrong_keeps_what_was_said_of_approval() {
    let mut observed = with_approval(preflighted(0, Some(&preflight_report())));
    let before = told(&mut observed).status.conditions;
    observed.policy.document["spec"]["rules"] = json!([]);
    let after = told(&mut observed).status.conditions;
    assert_eq!(find(&after, condition::APPROVED), find(&before, condition::APPROVED));
}

#[test]
fn a_policy_that_waits_writes_its_status_once() {
    let mut states =
        [examples::new(), failed(true), failed(false), with_approval(examples::observed())];
    states[0].preflights = vec![preflight_job().into()];
    for observed in &mut states {
        let first = told(observed).status;
        for seconds in [1, 7, 20] {
            observed.now += jiff::SignedDuration::from_secs(seconds);
            let again = told(observed);
            assert_eq!(again.status, first);
            assert!(again.events.is_empty(), "{:?}", again.events);
        }
    }
}

#[test]
fn no_slot_is_promised_while_the_gate_is_shut() {
    let mut observed = examples::new();
    assert_eq!(told(&mut observed).status.next_schedule_time, None);
    let mut passed = preflighted(0, Some(&preflight_report()));
    assert!(told(&mut passed).status.next_schedule_time.is_some());
}

#[test]
fn a_refused_suspension_is_told_beside_what_is_wrong() {
    let mut observed = examples::observed();
    observed.policy.document["spec"]["rules"] = json!([]);
    let refusal = crate::controller::apply::Refusal {
        reason: reason::APPLY_FAILED,
        message: "the API server refused it".into(),
    };
    let applied = Resources { cron_job: AppliedCronJob::Refused(refusal), ..applied() };
    let (saying, also) = ready(&observed, &validate(&observed.policy), &applied, None);
    assert_eq!((saying.reason.as_str(), also), (reason::INVALID_SPEC, Some(condition::STALLED)));
    assert!(saying.message.ends_with("the old rules may run on: the API server refused it"));
}

#[test]
fn after_a_run_the_message_tells_of_it_too() {
    let mut observed = examples::observed();
    observed.jobs = vec![examples::ended("job-1", 60, "").into()];
    let report = serde_json::to_string(&examples::report("job-1")).expect("JSON");
    observed.pods = vec![examples::ended_pod("job-1", 0, &report)];
    let message = |observed: &mut Observed| {
        let conditions = told(observed).status.conditions;
        find(&conditions, condition::READY).expect("a condition").message.clone()
    };
    let mut failed = observed.clone();
    failed.jobs = vec![examples::ended("job-1", 60, "BackoffLimitExceeded").into()];
    failed.pods = vec![examples::ended_pod("job-1", 12, "")];
    // A plan that was made after it is what counts now.
    let mut planned = observed.clone();
    planned.policy.status.plan.as_mut().expect("a plan").time = examples::now().to_string();
    let messages = [&mut observed, &mut failed, &mut planned].map(message);
    insta::assert_yaml_snapshot!(messages);
}
