//! The short report of a look at the database: what the operator reads of a Preflight Job. Pure.

use policy::{Mode, Named, Plan, Policy, PreflightProblem, PreflightReport, RulePlan, Step};

use super::Looked;
use crate::failure::{Failure, FailureKind};
use crate::load::Source;
use crate::measure::Held;
use crate::preflight::Refusal;

/// More of them name no rule's way any better; `status.plan` takes no more.
const MOST_INDEXES: usize = 16;

/// The report of a policy that cannot even be read.
pub fn unread(run_id: &str, problems: Vec<PreflightProblem>) -> PreflightReport {
    PreflightReport {
        policy: String::new(),
        generation: 0,
        rules_hash: String::new(),
        run_id: run_id.to_owned(),
        mode: Mode::Enforce,
        time: String::new(),
        problems,
        verdict: String::new(),
        warnings: Vec::new(),
        rules: Vec::new(),
        truncated: false,
    }
}

/// The report of a policy that is wrong in itself.
pub fn invalid(source: &Source, run_id: &str, problems: Vec<PreflightProblem>) -> PreflightReport {
    let generation = source.document.pointer("/metadata/generation");
    PreflightReport {
        policy: source.name(),
        generation: generation.and_then(serde_json::Value::as_i64).unwrap_or(0),
        mode: source.mode(),
        ..unread(run_id, problems)
    }
}

/// The report of a policy that cannot run on its database.
pub fn refused(policy: &Policy, run_id: &str, problems: Vec<PreflightProblem>) -> PreflightReport {
    PreflightReport {
        policy: policy.name().to_string(),
        generation: policy.generation(),
        rules_hash: policy.rules_hash().to_owned(),
        mode: policy.mode(),
        ..unread(run_id, problems)
    }
}

/// The report of a policy that can.
pub fn planned(policy: &Policy, run_id: &str, looked: &Looked) -> PreflightReport {
    let Looked { plan, held, verdict, connection, now } = looked;
    let rules = plan.steps().iter().zip(held).map(|(step, held)| rule(plan, step, held));
    PreflightReport {
        time: now.to_string(),
        verdict: verdict.as_ref().map(|(_, message)| message.clone()).unwrap_or_default(),
        warnings: connection.iter().map(|warning| warning.as_str().to_owned()).collect(),
        rules: rules.collect(),
        ..refused(policy, run_id, Vec::new())
    }
}

fn rule(plan: &Plan, step: &Step, held: &Held) -> RulePlan {
    let own = plan.advice().filter(|advice| advice.rule == step.rule());
    let mut advice: Vec<String> = Vec::new();
    for name in own.map(Named::name) {
        if !advice.iter().any(|known| known == name) {
            advice.push(name.to_owned());
        }
    }
    RulePlan {
        name: step.rule().to_owned(),
        table: step.table().plain(),
        action: Some(step.action().kind()),
        matched: held.rows,
        matched_is_estimate: held.is_estimate,
        table_rows: step.table_rows(),
        oldest_overdue_seconds: held.overdue_seconds,
        strategy: Some(step.strategy()),
        indexes: step.indexes().iter().take(MOST_INDEXES).cloned().collect(),
        warnings: step.warnings().into_iter().map(str::to_owned).collect(),
        advice,
    }
}

/// What is wrong with the policy itself: only an edit helps.
pub fn invalid_spec(message: String) -> PreflightProblem {
    PreflightProblem { may_pass: false, ..about_the_policy("InvalidSpec", message) }
}

/// The process was asked to end before it knew anything.
pub fn cancelled() -> PreflightProblem {
    about_the_policy("Cancelled", "asked to end before the look was over".to_owned())
}

/// What a refusal is made of.
pub fn problems(refusal: &Refusal) -> Vec<PreflightProblem> {
    match refusal {
        Refusal::Failed(failure) => vec![failed(failure)],
        Refusal::Schema(problems) => problems.iter().map(PreflightProblem::from).collect(),
    }
}

fn failed(failure: &Failure) -> PreflightProblem {
    let name = match failure.kind {
        _ if failure.sql_state == "25006" => "ReadOnlyDatabase",
        FailureKind::Unavailable | FailureKind::Contention => "DatabaseUnavailable",
        FailureKind::Slow => "StatementTimeout",
        FailureKind::Wrong | FailureKind::Row | FailureKind::Rule | FailureKind::Superseded => {
            "DatabaseRefused"
        }
    };
    about_the_policy(name, failure.message.clone())
}

/// None of these is about the rules: the database, its Secret or the network can be mended without
/// an edit of the policy.
fn about_the_policy(name: &str, message: String) -> PreflightProblem {
    PreflightProblem { name: name.to_owned(), rule: String::new(), message, may_pass: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_schema_has_its_line_in_the_docs_and_may_pass_without_an_edit() {
        let page = include_str!("../../../docs/preflight.md");
        let listed = |name: &str| page.matches(&format!("\n| `{name}` |")).count() == 1;
        for (kind, sql_state, name) in [
            (FailureKind::Unavailable, "", "DatabaseUnavailable"),
            (FailureKind::Contention, "55P03", "DatabaseUnavailable"),
            (FailureKind::Slow, "57014", "StatementTimeout"),
            (FailureKind::Wrong, "25006", "ReadOnlyDatabase"),
            (FailureKind::Wrong, "28P01", "DatabaseRefused"),
            (FailureKind::Row, "22003", "DatabaseRefused"),
            (FailureKind::Rule, "", "DatabaseRefused"),
        ] {
            let failure = Failure { kind, ..Failure::wrong(sql_state, "it failed") };
            let problem = failed(&failure);
            assert_eq!((problem.name.as_str(), problem.may_pass), (name, true), "{kind:?}");
            assert!(listed(name), "{name}");
        }
        assert!(cancelled().may_pass && listed(&cancelled().name));
        let invalid = invalid_spec(String::new());
        assert!(!invalid.may_pass && listed(&invalid.name));
    }
}
