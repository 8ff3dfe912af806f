use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::controller::examples::{
    self, RETRY, preflight_job, preflight_report, preflighted, problem,
};
use crate::controller::observe::ObservedJob;
use crate::controller::validate::validate;

fn check(observed: &Observed) -> Gate {
    let valid = validate(&observed.policy).expect("a right policy");
    judge(observed, &valid, RETRY)
}

/// The generation and number of the try that should begin.
fn begins(observed: &Observed) -> Option<(i64, i32)> {
    check(observed).begin.map(|next| (next.generation, next.number))
}

/// What the status says after this; `begun` when the Job of the next try was made.
fn stored(observed: &mut Observed, begun: Option<&str>) {
    let gate = check(observed);
    observed.policy.status.preflight = gate.preflight(begun);
    observed.policy.status.plan = gate.plan;
}

fn edit(observed: &mut Observed) {
    observed.policy.generation += 1;
    observed.policy.document["spec"]["schedule"] = json!("0 3 * * *");
}

fn failed(may_pass: bool) -> Observed {
    let mut report = preflight_report();
    report.problems = vec![problem("TableMissing", "table app.codes does not exist", may_pass)];
    report.rules.clear();
    preflighted(2, Some(&report))
}

const SENTENCE: &str = "rule delete-expired: table app.codes does not exist (TableMissing)";

#[test]
fn new_rules_are_preflighted_once_and_then_run_for_ever() {
    let new = examples::new();
    let gate = check(&new);
    assert_eq!((begins(&new), gate.hold), (Some((3, 1)), Some(Hold::Preflighting)));

    let mut observed = preflighted(0, Some(&preflight_report()));
    let gate = check(&observed);
    assert_eq!((gate.begin.clone(), gate.hold.clone()), (None, None));
    assert_eq!(gate.plan, Some(examples::plan()));
    stored(&mut observed, None);

    // An edit that is none of the rules, and the Job long gone.
    edit(&mut observed);
    (observed.preflights, observed.pods) = (vec![], vec![]);
    let later = check(&observed);
    assert_eq!((later.begin, later.hold), (None, None));
    assert_eq!(later.preflight, observed.policy.status.preflight);
    assert_eq!(later.plan, observed.policy.status.plan);
}

#[test]
fn other_rules_and_another_mode_are_preflighted_anew() {
    for (field, value) in [
        ("mode", json!("DryRun")),
        ("limits", json!({"maxRowsPerRun": 7})),
        ("database", json!({"urlFrom": {"secretKeyRef": {"name": "other", "key": "uri"}}})),
    ] {
        let mut observed = examples::observed();
        observed.policy.generation = 4;
        observed.policy.document["spec"][field] = value;
        let gate = check(&observed);
        assert_eq!(gate.hold, Some(Hold::Preflighting), "{field}");
        assert_eq!(begins(&observed), Some((4, 1)), "{field}");
        assert_eq!(gate.preflight(None), None, "{field}");
        // What the old ones would have done stays told, under their own hash.
        assert_eq!(gate.plan, observed.policy.status.plan, "{field}");
    }
}

#[test]
fn a_problem_that_may_pass_is_tried_again_later_and_later() {
    let mut observed = failed(true);
    observed.now = examples::now() - SignedDuration::from_secs(590);
    let gate = check(&observed);
    let last = gate.preflight(None).expect("a preflight");
    assert_eq!((last.state, last.attempts), (PreflightState::Retrying, 1));
    assert_eq!(last.message, SENTENCE);
    let next_time = last.next_time.clone();
    let waits = gate.look_again.expect("a time");
    assert!(waits <= Duration::from_secs(50) && waits >= Duration::from_secs(34), "{waits:?}");
    let hold = Hold::PreflightFailed { message: SENTENCE.into(), next_time, waits_for_edit: false };
    assert_eq!((gate.begin.clone(), gate.hold), (None, Some(hold)));
    stored(&mut observed, None);
    // However often it is looked at, and after a restart, nothing changes before the time.
    assert_eq!(check(&observed).preflight(None), observed.policy.status.preflight);

    observed.now = examples::now();
    assert_eq!(begins(&observed), Some((3, 2)));
    let hold =
        Hold::PreflightFailed { message: SENTENCE.into(), next_time: None, waits_for_edit: false };
    assert_eq!(check(&observed).hold, Some(hold.clone()));
    stored(&mut observed, Some("p2"));
    let running = observed.policy.status.preflight.clone().expect("a preflight");
    assert_eq!((running.state, running.attempts), (PreflightState::Running, 2));
    assert_eq!((running.job_uid.as_str(), running.message.as_str()), ("p2", SENTENCE));
    assert_eq!(check(&observed).hold, Some(hold));
}

#[test]
fn an_edit_is_a_reason_to_try_again_at_once() {
    for may_pass in [true, false] {
        let mut observed = failed(may_pass);
        observed.now = examples::now() - SignedDuration::from_secs(595);
        stored(&mut observed, None);
        assert_eq!(begins(&observed), None, "{may_pass}");
        edit(&mut observed);
        assert_eq!(begins(&observed), Some((4, 1)), "{may_pass}");
        assert_eq!(check(&observed).hold, Some(Hold::Preflighting), "{may_pass}");
        stored(&mut observed, Some("p2"));
        let status = observed.policy.status.preflight.clone().expect("a preflight");
        assert_eq!((status.message.as_str(), status.attempts), ("", 1), "{may_pass}");
    }
}

#[test]
fn a_problem_of_the_policy_itself_waits_for_an_edit() {
    let mut observed = failed(false);
    stored(&mut observed, None);
    observed.now += SignedDuration::from_hours(48);
    let gate = check(&observed);
    let hold =
        Hold::PreflightFailed { message: SENTENCE.into(), next_time: None, waits_for_edit: true };
    assert_eq!((gate.begin, gate.hold, gate.look_again), (None, Some(hold), None));
    assert_eq!(gate.preflight.map(|last| last.state), Some(PreflightState::Failed));
}

#[test]
fn an_edit_during_a_preflight_lets_it_come_to_its_end() {
    let mut observed = examples::new();
    stored(&mut observed, Some("p1"));
    edit(&mut observed);
    observed.preflights = vec![Arc::new(preflight_job())];
    assert_eq!(begins(&observed), None);
    // Its rules are those of now, so its word counts.
    let ended = preflighted(0, Some(&preflight_report()));
    (observed.preflights, observed.pods) = (ended.preflights, ended.pods);
    assert_eq!(check(&observed).hold, None);
    // What it found may be what the edit was about.
    let mut observed = failed(true);
    observed.policy.generation += 1;
    assert_eq!(begins(&observed), Some((4, 1)));
}

#[test]
fn a_status_that_was_never_written_is_made_up_for_by_the_job() {
    let mut observed = examples::new();
    observed.preflights = vec![Arc::new(preflight_job())];
    let gate = check(&observed);
    assert_eq!(gate.begin, None);
    let status = gate.preflight(None).expect("a preflight");
    assert_eq!((status.state, status.job_uid.as_str()), (PreflightState::Running, "p1"));

    let mut observed = failed(true);
    stored(&mut observed, None);
    let Observed { policy, .. } = &observed;
    let next = check(&observed).begin.expect("a try").job_name;
    let role = crate::controller::observe::Role::Preflight {
        rules_hash: policy.status.preflight.as_ref().expect("one").rules_hash.clone(),
        generation: 3,
        attempt: 2,
    };
    let second = ObservedJob { name: next, uid: "p2".into(), role, ..preflight_job() };
    observed.preflights.push(Arc::new(second));
    assert_eq!(begins(&observed), None);
    assert_eq!(check(&observed).preflight(None).map(|last| last.attempts), Some(2));
}

#[test]
fn a_job_that_is_not_seen_is_asked_for_again_by_the_same_name() {
    let mut observed = examples::new();
    let name = check(&observed).begin.expect("a try").job_name;
    stored(&mut observed, Some("p1"));
    let before = observed.policy.status.preflight.clone();
    let gate = check(&observed);
    assert_eq!(gate.begin.as_ref().map(|next| next.job_name.clone()), Some(name));
    // There already: its UID is known. Made anew: it has another.
    assert_eq!(gate.preflight(Some("")), before);
    assert_eq!(gate.preflight(Some("p9")).expect("a preflight").job_uid, "p9");
    assert!(gate.look_again.is_some());
}

#[test]
fn rules_that_come_back_find_the_job_that_looked_at_them() {
    let mut observed = preflighted(0, Some(&preflight_report()));
    let mut other = examples::preflight();
    other.rules_hash = "of other rules".into();
    observed.policy.status.preflight = Some(other);
    observed.policy.generation = 7;
    let gate = check(&observed);
    assert_eq!((gate.begin, gate.hold), (None, None));
}

#[test]
fn jobs_of_other_rules_another_mode_or_another_name_say_nothing() {
    use crate::controller::observe::Role;
    let foreign = |change: fn(&mut ObservedJob)| {
        let mut observed = preflighted(0, Some(&preflight_report()));
        let mut job = (*observed.preflights[0]).clone();
        change(&mut job);
        observed.preflights = vec![Arc::new(job)];
        begins(&observed)
    };
    assert_eq!(foreign(|_| {}), None);
    assert_eq!(foreign(|job| job.name = "theirs".into()), Some((3, 1)));
    assert_eq!(foreign(|job| job.mode = policy::Mode::DryRun), Some((3, 1)));
    let other = foreign(|job| {
        job.role = Role::Preflight { rules_hash: "other".into(), generation: 3, attempt: 1 };
    });
    assert_eq!(other, Some((3, 1)));
}

#[test]
fn rules_that_passed_wait_for_their_approval_and_for_no_other() {
    let mut observed = examples::observed();
    observed.policy.document["spec"]["approval"] = json!("OnRulesChange");
    assert_eq!(check(&observed).hold, Some(Hold::ApprovalPending));
    observed.policy.approved_rules_hash = Some("of other rules".into());
    assert_eq!(check(&observed).hold, Some(Hold::ApprovalPending));
    let hash = examples::valid().policy.rules_hash().to_owned();
    observed.policy.approved_rules_hash = Some(hash.clone());
    assert_eq!(check(&observed).hold, None);

    // Approved before anybody knows what they would do: the database has its say first.
    let mut early = examples::new();
    early.policy.document["spec"]["approval"] = json!("OnRulesChange");
    early.policy.approved_rules_hash = Some(hash);
    assert_eq!(check(&early).hold, Some(Hold::Preflighting));
}
