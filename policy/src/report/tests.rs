//! The report fits where it must, and keeps what counts.

use super::*;
use crate::crd::MAX_TERMINATION_MESSAGE_BYTES;

fn rule(name: String, message: &str) -> RuleOutcome {
    RuleOutcome {
        name,
        action: Some(ActionKind::Delete),
        matched: 1_234_567,
        matched_is_estimate: true,
        affected: 1_234_567,
        remaining: 1_234_567,
        oldest_overdue_seconds: 7_654_321,
        failed: 12,
        batches: 12_345,
        skipped_locked: 42,
        strategy: Some(Strategy::Keyset),
        stop_reason: Some(StopReason::TimeBudget),
        sql_state: "23503".to_owned(),
        message: message.to_owned(),
        warnings: vec!["NoAgeCondition".to_owned()],
    }
}

fn earlier() -> EarlierRun {
    EarlierRun {
        run_id: "12345678-1234-1234-1234-123456789013".to_owned(),
        result: RunResult::PartiallySucceeded,
        stop_reason: StopReason::RowLimit,
        start_time: "2026-11-21T10:45:55.463054Z".to_owned(),
        duration_seconds: 1_199.123,
        affected: 1_234_567,
    }
}

fn report(rules: Vec<RuleOutcome>, message: &str) -> RunReport {
    RunReport {
        policy: format!("{}/{}", "n".repeat(63), "p".repeat(49)),
        generation: 1_234,
        rules_hash: "f".repeat(32),
        run_id: "12345678-1234-1234-1234-123456789012".to_owned(),
        epoch: 123_456,
        mode: Mode::Enforce,
        result: RunResult::PartiallySucceeded,
        stop_reason: StopReason::TimeBudget,
        message: message.to_owned(),
        start_time: "2026-11-21T10:50:55.463054Z".to_owned(),
        duration_seconds: 1_199.123,
        attempts: 4,
        warnings: vec!["UnverifiedConnection".to_owned()],
        rules,
        totals: Some(Totals { runs: 123_456, failures: 1_234, rows_affected: 123_456_789_012 }),
        earlier: vec![earlier(); 5],
        truncated: false,
    }
}

#[test]
fn a_short_report_is_carried_whole() {
    let whole = report(vec![rule("delete".to_owned(), "")], "");
    let message: RunReport = serde_json::from_str(&whole.termination_message()).unwrap();
    assert_eq!(message, whole);
}

#[test]
fn the_longest_report_fits_and_keeps_the_four_fields_of_every_rule() {
    let rules = (0..32).map(|n| rule(format!("{n:02}{}", "r".repeat(38)), &"é\"".repeat(2000)));
    let whole = report(rules.collect(), &"\u{1F600}".repeat(3000));
    let text = whole.termination_message();
    assert!(text.len() <= MAX_TERMINATION_MESSAGE_BYTES, "{} bytes", text.len());
    let message: RunReport = serde_json::from_str(&text).unwrap();
    assert!(message.truncated);
    assert_eq!(message.rules.len(), 32);
    for (short, long) in message.rules.iter().zip(&whole.rules) {
        assert_eq!(
            (&short.name, short.matched, short.affected, short.remaining),
            (&long.name, long.matched, long.affected, long.remaining)
        );
    }
    assert_eq!(message.totals, whole.totals);
    assert_eq!(message.stop_reason, whole.stop_reason);
}

#[test]
fn what_is_cut_goes_by_importance() {
    let whole = report(
        vec![rule("delete".to_owned(), "a constraint refused the change")],
        &"m".repeat(5000),
    );
    let message: RunReport = serde_json::from_str(&whole.termination_message()).unwrap();
    assert!(message.truncated && message.earlier.is_empty());
    assert_eq!(message.rules[0].message, "a constraint refused the change");
    assert!(message.message.starts_with("mmm") && message.message.len() > 500);
}

#[test]
fn every_word_is_read_back() {
    for result in [
        RunResult::Succeeded,
        RunResult::PartiallySucceeded,
        RunResult::Failed,
        RunResult::Skipped,
        RunResult::Aborted,
    ] {
        assert_eq!(RunResult::parse(result.as_str()), Some(result));
    }
    for stop in [
        StopReason::Drained,
        StopReason::RowLimit,
        StopReason::TimeBudget,
        StopReason::BlastRadius,
        StopReason::ReplicaLag,
        StopReason::LockTimeout,
        StopReason::LockHeld,
        StopReason::Held,
        StopReason::Blocked,
        StopReason::Cancelled,
        StopReason::Error,
    ] {
        assert_eq!(StopReason::parse(stop.as_str()), Some(stop));
    }
    for action in
        [ActionKind::Update, ActionKind::Delete, ActionKind::Archive, ActionKind::DropPartitions]
    {
        assert_eq!(ActionKind::parse(action.as_str()), Some(action));
    }
    for strategy in [Strategy::Keyset, Strategy::PrimaryKey, Strategy::Partition] {
        assert_eq!(serde_json::to_value(strategy).unwrap(), strategy.as_str());
    }
    assert_eq!(RunResult::parse("Maybe"), None);
}

#[test]
fn a_run_counts_what_its_rules_count() {
    let rules = [(10, 7, 3, 50), (i64::MAX, 100, 20, 900), (1, 0, 1, 0)].map(
        |(matched, affected, remaining, oldest_overdue_seconds)| RuleOutcome {
            matched,
            affected,
            remaining,
            oldest_overdue_seconds,
            ..rule("r".to_owned(), "")
        },
    );
    let report = report(rules.to_vec(), "");
    assert_eq!(report.rows_matched(), i64::MAX, "and no sum panics");
    assert_eq!((report.rows_affected(), report.rows_remaining()), (107, Some(24)));
    assert_eq!(report.oldest_overdue_seconds(), 900, "the oldest of all, not a sum");
}

#[test]
fn what_was_not_counted_is_no_zero() {
    let counted = RuleOutcome { matched: 0, affected: 0, remaining: 0, ..rule("r".to_owned(), "") };
    let not_counted = RuleOutcome { strategy: None, ..counted.clone() };
    let remaining = |rules: &[&RuleOutcome], truncated| {
        let rules = rules.iter().map(|rule| (*rule).clone()).collect();
        RunReport { truncated, ..report(rules, "") }.rows_remaining()
    };
    assert_eq!(remaining(&[&not_counted, &not_counted], false), None);
    assert_eq!(remaining(&[], false), None);
    assert_eq!(remaining(&[&counted, &not_counted], false), Some(0));
    assert_eq!(remaining(&[&not_counted], true), Some(0));
}
