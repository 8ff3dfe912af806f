//! What a run would do, in a sentence: from the plan of the last preflight. Pure.

use policy::{ActionKind, Mode, PlanStatus, RulePlan};

use super::words::grouped;

/// The advice that says that no index leads to the rows.
pub(super) const MISSING_INDEX: &str = "MissingIndex";
/// Of more rules the rest is in `status.plan`.
const MOST_RULES: usize = 3;

/// Such as `would delete 1,204 of 9,800 rows of table_talk.sessions; oldest due for 3 d; index ok`.
pub(super) fn preview(plan: &PlanStatus) -> String {
    let mut sentences: Vec<_> = match plan.rules.as_slice() {
        [only] => vec![format!("would {}", of_rule(only))],
        several => {
            let first = several.iter().take(MOST_RULES);
            first.map(|rule| format!("{} would {}", rule.name, of_rule(rule))).collect()
        }
    };
    match plan.rules.len().saturating_sub(MOST_RULES) {
        0 => {}
        1 => sentences.push("1 more rule is in status.plan".into()),
        more => sentences.push(format!("{more} more rules are in status.plan")),
    }
    let mut text = sentences.join(". ");
    if plan.mode == Mode::DryRun {
        text += "; mode DryRun changes nothing";
    }
    if !plan.verdict.is_empty() {
        text += &format!("; but a guard would stop the run: {}", plan.verdict);
    }
    text
}

fn of_rule(rule: &RulePlan) -> String {
    let verb = match rule.action {
        Some(ActionKind::Update) => "update",
        Some(ActionKind::Delete) => "delete",
        Some(ActionKind::Archive) => "archive",
        Some(ActionKind::DropPartitions) => "drop the partitions of",
        None => "change",
    };
    let about = if rule.matched_is_estimate { "about " } else { "" };
    let matched = match rule.matched {
        0 => "no row".to_owned(),
        matched => format!("{about}{}", grouped(matched)),
    };
    let rows = match (rule.matched, rule.table_rows) {
        (0, _) => matched,
        // A table that was analysed long ago may have more by now.
        (_, Some(all)) if all >= rule.matched => format!("{matched} of {} rows", grouped(all)),
        (1, _) => format!("{matched} row"),
        (_, _) => format!("{matched} rows"),
    };
    let mut parts = vec![format!("{verb} {rows} of {}", rule.table)];
    if rule.matched > 0 && rule.oldest_overdue_seconds > 0 {
        parts.push(format!("oldest due for {}", overdue(rule.oldest_overdue_seconds)));
    }
    if rule.advice.iter().any(|advice| advice == MISSING_INDEX) {
        parts.push("no index leads to its rows".into());
    } else if !rule.indexes.is_empty() {
        parts.push("index ok".into());
    }
    parts.join("; ")
}

/// `259,300` seconds as `3 d`.
fn overdue(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", grouped(seconds / 86_400)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::examples;

    fn check(change: impl FnOnce(&mut PlanStatus)) -> String {
        let mut plan = examples::plan();
        change(&mut plan);
        preview(&plan)
    }

    #[test]
    fn what_a_run_would_do_in_a_sentence() {
        let sentences = [
            check(|_| {}),
            check(|plan| plan.rules[0].matched = 0),
            check(|plan| plan.rules[0].table_rows = None),
            check(|plan| (plan.rules[0].table_rows, plan.rules[0].matched) = (None, 1)),
            check(|plan| (plan.rules[0].table_rows, plan.rules[0].matched) = (Some(7), 1204)),
            check(|plan| plan.rules[0].matched_is_estimate = true),
            check(|plan| plan.rules[0].oldest_overdue_seconds = 0),
            check(|plan| plan.rules[0].advice = vec![MISSING_INDEX.into()]),
            check(|plan| plan.mode = Mode::DryRun),
            check(|plan| plan.verdict = "rule delete-expired matches 80 % of its table".into()),
            check(|plan| {
                let mut rules = vec![plan.rules[0].clone(); 5];
                rules[1].action = Some(ActionKind::Update);
                rules[2].action = Some(ActionKind::DropPartitions);
                plan.rules = rules;
            }),
        ];
        insta::assert_yaml_snapshot!(sentences);
    }

    #[test]
    fn times_are_short() {
        let times = [0, 59, 119, 120, 7199, 7200, 172_799, 172_800, 259_300].map(overdue);
        assert_eq!(
            times,
            ["0 s", "59 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d", "3 d"]
        );
    }
}
