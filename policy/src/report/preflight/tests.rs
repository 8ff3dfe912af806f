//! The short report fits where it must, and keeps what the operator decides by.

use super::*;
use crate::catalog::SchemaProblemKind;
use crate::crd::MAX_TERMINATION_MESSAGE_BYTES;
use crate::plan::{Advice, Warning};

/// The longest name of a table that Postgres takes, in bytes.
fn identifier(letter: &str) -> String {
    letter.repeat(63 / letter.len())
}

fn rule(number: usize) -> RulePlan {
    RulePlan {
        name: format!("{number:02}{}", "r".repeat(38)),
        table: format!("{}.{}", identifier("é"), identifier("\"")),
        action: Some(ActionKind::DropPartitions),
        matched: 7_654_321,
        matched_is_estimate: true,
        table_rows: Some(7_654_321_000),
        oldest_overdue_seconds: 7_654_321,
        strategy: Some(Strategy::PrimaryKey),
        indexes: vec![identifier("日"); 16],
        warnings: Warning::ALL.iter().map(|it| it.as_str().to_owned()).collect(),
        advice: Advice::ALL.iter().map(|it| it.as_str().to_owned()).collect(),
    }
}

/// As most rules are.
fn usual(number: usize) -> RulePlan {
    RulePlan {
        name: format!("delete-expired-{number}"),
        table: "table_talk.sessions".to_owned(),
        action: Some(ActionKind::Delete),
        matched: 1204,
        matched_is_estimate: false,
        table_rows: Some(9800),
        oldest_overdue_seconds: 259_200,
        strategy: Some(Strategy::Keyset),
        indexes: vec!["sessions_expires_at_idx".to_owned()],
        warnings: vec!["UserTriggers".to_owned()],
        advice: vec!["MissingIndex".to_owned()],
    }
}

fn report(rules: Vec<RulePlan>, problems: Vec<PreflightProblem>) -> PreflightReport {
    PreflightReport {
        policy: format!("{}/{}", "n".repeat(63), "p".repeat(49)),
        generation: 1_234,
        rules_hash: "f".repeat(32),
        run_id: "12345678-1234-1234-1234-123456789012".to_owned(),
        mode: Mode::Enforce,
        time: "2026-11-21T10:50:55.463054Z".to_owned(),
        problems,
        verdict: String::new(),
        warnings: vec!["UnverifiedConnection".to_owned()],
        rules,
        truncated: false,
    }
}

fn problem(kind: SchemaProblemKind, message: &str) -> PreflightProblem {
    let rule = "r".repeat(40);
    PreflightProblem::from(&SchemaProblem::new(&rule, kind, message.to_owned()))
}

/// What the operator reads, after the message was found to fit.
fn read(report: &PreflightReport) -> PreflightReport {
    let text = report.termination_message();
    assert!(text.len() <= MAX_TERMINATION_MESSAGE_BYTES, "{} bytes", text.len());
    let read: PreflightReport = serde_json::from_str(&text).unwrap();
    assert_eq!(read.truncated, read != *report, "it says that it is not all");
    let head =
        |it: &PreflightReport| (it.rules_hash.clone(), it.mode, it.generation, it.time.clone());
    assert_eq!(head(&read), head(report));
    read
}

#[test]
fn a_short_report_is_carried_whole() {
    let passed = PreflightReport {
        verdict: "rule delete holds 9 of the 10 rows".to_owned(),
        ..report((0..3).map(usual).collect(), Vec::new())
    };
    assert_eq!(read(&passed), passed);
    let failed = report(Vec::new(), vec![problem(SchemaProblemKind::TableMissing, "it is not")]);
    assert_eq!(read(&failed), failed);
}

#[test]
fn the_longest_plan_fits_and_keeps_name_and_count_of_every_rule() {
    let whole = PreflightReport {
        verdict: "\u{1F600}\"".repeat(2000),
        ..report((0..32).map(rule).collect(), Vec::new())
    };
    let short = read(&whole);
    let counts = |it: &PreflightReport| {
        let rules = it.rules.iter();
        rules.map(|it| (it.name.clone(), it.matched, it.matched_is_estimate)).collect::<Vec<_>>()
    };
    assert_eq!(counts(&short), counts(&whole));
    assert!(short.verdict.ends_with('…') && short.verdict.len() > 60, "{}", short.verdict);
    let control = PreflightReport { verdict: "\u{1}".repeat(4000), ..whole.clone() };
    let short = read(&control);
    assert!(!short.verdict.is_empty(), "empty would mean that no guard spoke");
    assert_eq!(short.rules.len(), 32);
    assert_eq!(short.policy, whole.policy, "the longest that is right is not cut");
}

#[test]
fn what_is_cut_of_a_plan_goes_by_importance() {
    let mut met = Vec::new();
    for count in 1..=32 {
        let short = read(&report((0..count).map(usual).collect(), Vec::new()));
        let rule = &short.rules[0];
        let kept = [
            rule.strategy.is_some(),
            !rule.advice.is_empty(),
            !rule.warnings.is_empty(),
            !rule.table.is_empty(),
            !rule.indexes.is_empty(),
        ];
        assert!(kept.is_sorted_by(|more, less| more >= less), "{count} rules: {kept:?}");
        assert_eq!(rule.action.is_some(), !rule.table.is_empty());
        assert_eq!(rule.matched, 1204);
        assert!(short.rules.iter().all(|it| it.indexes == rule.indexes), "of all rules or of none");
        if met.last() != Some(&kept) {
            met.push(kept);
        }
    }
    let all = [true; 5];
    assert_eq!(met.first(), Some(&all));
    assert!(met.len() >= 3, "little by little: {met:?}");
}

#[test]
fn all_problems_are_named_and_the_first_are_told_in_full() {
    let grant = "GRANT SELECT (\"é\") ON \"app\".\"codes\" TO cleaner; ".repeat(3);
    for message in ["\u{1F600}\"\\\n".repeat(2000), grant.clone()] {
        let problems = SchemaProblemKind::ALL.map(|kind| problem(kind, &message)).to_vec();
        let whole = report(Vec::new(), problems);
        let short = read(&whole);
        let names = |it: &PreflightReport| {
            let problems = it.problems.iter();
            problems.map(|it| (it.name.clone(), it.rule.clone(), it.may_pass)).collect::<Vec<_>>()
        };
        assert_eq!(names(&short), names(&whole));
        assert!(!short.problems[0].message.is_empty());
    }
    let few = report(Vec::new(), vec![problem(SchemaProblemKind::PrivilegeMissing, &grant); 6]);
    assert_eq!(read(&few), few, "what fits is told in full");
}

#[test]
fn of_very_many_problems_each_name_stays() {
    let wrong = |number: usize| PreflightProblem {
        name: "InvalidSpec".to_owned(),
        rule: String::new(),
        message: format!("spec.rules[{number}].where: \u{1}"),
        may_pass: false,
    };
    let mut problems: Vec<_> = (0..5000).map(wrong).collect();
    problems.extend(SchemaProblemKind::ALL.map(|kind| problem(kind, &"m".repeat(600))));
    let whole = PreflightReport {
        policy: "\u{1}".repeat(50_000),
        run_id: "j".repeat(50_000),
        ..report(Vec::new(), problems)
    };
    let short = read(&whole);
    let named = |name: &str| short.problems.iter().any(|it| it.name == name);
    assert!(named("InvalidSpec") && SchemaProblemKind::ALL.iter().all(|it| named(it.as_str())));
    let passing = |it: &PreflightReport| it.problems.iter().all(|problem| problem.may_pass);
    assert_eq!(passing(&short), passing(&whole));
    let many = report(Vec::new(), (0..5000).map(wrong).collect());
    let first = &read(&many).problems[0];
    assert_eq!(first.message, wrong(0).message, "the first are told in full");
}

#[test]
fn what_the_policy_alone_can_mend_waits_for_an_edit() {
    let waiting = SchemaProblemKind::ALL.iter().filter(|kind| !kind.may_pass());
    assert_eq!(
        waiting.map(|kind| kind.as_str()).collect::<Vec<_>>(),
        ["NotATable", "TypeMismatch", "OrderCannotWork", "CascadeNotArchived", "StatementRefused"]
    );
}
