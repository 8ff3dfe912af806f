//! What `pgsweep plan` shows of one policy: sections for people, one object for programs.

use comfy_table::{Cell, CellAlignment};
use policy::{Cascade, Named, OnDelete, Plan, Policy, PreflightProblem, Statement, Step};
use serde_json::{Value, json};

use super::Looked;
use crate::args::Output;
use crate::measure::Held;
use crate::output::{self, grouped};

/// The name of a guard's verdict: a problem of the data, not of the schema.
const BLAST_RADIUS: &str = "BlastRadius";

pub struct Shown {
    text: String,
    object: Value,
}

impl Shown {
    /// A policy that cannot run.
    pub fn refused(policy: &str, problems: &[PreflightProblem]) -> Self {
        let lines: String = problems.iter().map(|it| format!("\n  {}", sentence(it))).collect();
        let problems: Vec<_> = problems.iter().map(object).collect();
        Self {
            text: format!("{policy} cannot run:{lines}"),
            object: json!({"policy": policy, "problems": problems, "warnings": [], "advice": [], "rules": []}),
        }
    }

    /// What is known without a database.
    pub fn offline(policy: &Policy, plan: &Plan) -> Self {
        let mut text = String::new();
        for step in plan.steps() {
            text.push_str(&format!(
                "-- rule {} ({})\n",
                step.rule(),
                step.action().kind().as_str()
            ));
            text.push_str(&notes(step, plan, "-- "));
            text.push_str(&sql_text(step));
        }
        text.push_str("-- Without a database the columns' types and the primary key are not known: add --database-url for the exact SQL, and for what it would find.");
        Self { text, object: whole(policy, plan, None) }
    }

    /// What the database says.
    pub fn planned(policy: &Policy, looked: &Looked) -> Self {
        let plan = &looked.plan;
        let mut text = format!("{} ({})\n\n", policy.name(), policy.mode().as_str());
        if let Some((_, message)) = &looked.verdict {
            text.push_str(&format!("A run would stop before its first row: {message}\n\n"));
        }
        text.push_str(&format!("{}\n\n", overview(looked)));
        for warning in &looked.connection {
            text.push_str(&format!("warning   {}: {}\n\n", warning.as_str(), warning.sentence()));
        }
        for advice in plan.advice().filter(|it| it.rule.is_empty()) {
            text.push_str(&format!("advice    {}: {}\n\n", advice.name(), advice.message));
        }
        for step in plan.steps() {
            text.push_str(&format!("rule {}\n", step.rule()));
            for lock in step.locks() {
                text.push_str(&format!("  lock      {lock}\n"));
            }
            for cascade in step.cascades() {
                text.push_str(&format!("  key       {}\n", cascade_text(cascade, policy)));
            }
            text.push_str(&notes(step, plan, "  "));
            text.push_str(&sql_text(step));
        }
        Self { text, object: whole(policy, plan, Some(looked)) }
    }

    /// What programs read.
    pub fn into_object(self) -> Value {
        self.object
    }

    pub fn print(&self, format: Output) {
        match format {
            Output::Table => output::print(self.text.trim_end()),
            Output::Json | Output::Yaml => output::object(format, &self.object),
        }
    }
}

/// A problem in one sentence.
pub fn sentence(problem: &PreflightProblem) -> String {
    let PreflightProblem { name, rule, message, .. } = problem;
    if rule.is_empty() {
        format!("{name}: {message}")
    } else {
        format!("rule {rule}: {name}: {message}")
    }
}

fn object(problem: &PreflightProblem) -> Value {
    let PreflightProblem { name, rule, message, may_pass } = problem;
    json!({"name": name, "rule": rule, "message": message, "mayPass": may_pass})
}

fn remark(remark: &impl Named) -> Value {
    json!({"name": remark.name(), "rule": remark.rule(), "message": remark.message()})
}

/// Warnings and advice of one rule, a line each.
fn notes(step: &Step, plan: &Plan, indent: &str) -> String {
    let own = |rule: &str| rule == step.rule();
    let warnings = plan.warnings().filter(|it| own(&it.rule));
    let warnings = warnings.map(|it| format!("{indent}warning   {}: {}\n", it.name(), it.message));
    let advice = plan.advice().filter(|it| own(&it.rule));
    let advice = advice.map(|it| format!("{indent}advice    {}: {}\n", it.name(), it.message));
    warnings.chain(advice).collect()
}

fn sql_text(step: &Step) -> String {
    let mut text = String::new();
    for statement in step.first_batch() {
        text.push_str(&format!("{};\n", statement.text));
        for (index, parameter) in parameters(&statement).iter().enumerate() {
            text.push_str(&format!("-- ${}: {parameter}\n", index + 1));
        }
    }
    format!("{text}\n")
}

fn parameters(statement: &Statement) -> Vec<String> {
    statement.binds.iter().map(policy::Bind::describe).collect()
}

fn overview(looked: &Looked) -> comfy_table::Table {
    let mut table = output::table(&[
        "RULE",
        "ACTION",
        "ROWS NOW",
        "OF TABLE",
        "OLDEST DUE",
        "STRATEGY",
        "INDEXES",
    ]);
    for (step, held) in looked.plan.steps().iter().zip(&looked.held) {
        let about = if held.is_estimate { "about " } else { "" };
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(step.rule()),
            Cell::new(step.action().kind().as_str()),
            right(format!("{about}{}", grouped(held.rows))),
            right(share(step, held).map_or("?".to_owned(), |share| format!("{share:.1} %"))),
            right(duration(held.overdue_seconds)),
            Cell::new(step.strategy().as_str()),
            Cell::new(step.indexes().join(", ")),
        ]);
    }
    table
}

/// The rule's share of the rows that the planner thinks the table has, in percent.
fn share(step: &Step, held: &Held) -> Option<f64> {
    if held.rows == 0 {
        return Some(0.0);
    }
    let rows = step.table_rows().filter(|rows| *rows > 0)?;
    #[expect(clippy::cast_precision_loss, reason = "a share to one decimal")]
    let share = held.rows as f64 * 100.0 / rows as f64;
    Some((share.min(100.0) * 10.0).round() / 10.0)
}

/// The two largest units of a time.
fn duration(seconds: i64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        if left >= size {
            parts.push(format!("{} {unit}", grouped(left / size)));
            left %= size;
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

fn cascade_text(cascade: &Cascade, policy: &Policy) -> String {
    let key = &cascade.key;
    let does = match key.on_delete {
        OnDelete::Cascade => "goes with",
        OnDelete::Set => "is set by",
        OnDelete::Refuse => "holds back",
    };
    let many = per_batch(cascade, policy)
        .map_or("unknown".to_owned(), |rows| format!("about {}", grouped(rows)));
    let index = if key.indexed { "" } else { ", no index" };
    format!(
        "{}{} {does} {} ({}: {many} rows a batch{index})",
        "  ".repeat(cascade.depth),
        key.table.plain(),
        cascade.parent.plain(),
        key.constraint,
    )
}

/// How many rows of the key's table a batch of `batchSize` rows meets.
fn per_batch(cascade: &Cascade, policy: &Policy) -> Option<i64> {
    let batch = policy.execution().batch_size;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "an estimate; `as` saturates"
    )]
    cascade.per_row.map(|per_row| (per_row * batch as f64).round() as i64)
}

fn whole(policy: &Policy, plan: &Plan, looked: Option<&Looked>) -> Value {
    let verdict = looked.and_then(|looked| looked.verdict.as_ref()).map(|(rule, message)| {
        object(&PreflightProblem {
            name: BLAST_RADIUS.to_owned(),
            rule: plan.steps()[*rule].rule().to_owned(),
            message: message.clone(),
            // The rows that are there tomorrow are others.
            may_pass: true,
        })
    });
    let connection = looked
        .into_iter()
        .flat_map(|looked| &looked.connection)
        .map(|it| json!({"name": it.as_str(), "rule": "", "message": it.sentence()}));
    let steps = plan.steps().iter().enumerate();
    let rules: Vec<_> = steps
        .map(|(index, step)| rule_object(step, policy, looked.and_then(|it| it.held.get(index))))
        .collect();
    json!({
        "policy": policy.name().to_string(),
        "rulesHash": policy.rules_hash(),
        "mode": policy.mode(),
        "problems": verdict.into_iter().collect::<Vec<_>>(),
        "warnings": connection.chain(plan.warnings().map(remark)).collect::<Vec<_>>(),
        "advice": plan.advice().map(remark).collect::<Vec<_>>(),
        "rules": rules,
    })
}

fn rule_object(step: &Step, policy: &Policy, held: Option<&Held>) -> Value {
    let statements = step.first_batch();
    let cascades = step.cascades().iter().map(|cascade| {
        json!({
            "depth": cascade.depth,
            "table": cascade.key.table.plain(),
            "references": cascade.parent.plain(),
            "constraint": cascade.key.constraint,
            "onDelete": match cascade.key.on_delete {
                OnDelete::Refuse => "Refuse",
                OnDelete::Cascade => "Cascade",
                OnDelete::Set => "Set",
            },
            "rowsPerBatch": per_batch(cascade, policy),
            "indexed": cascade.key.indexed,
        })
    });
    json!({
        "name": step.rule(),
        "table": step.table().plain(),
        "action": step.action().kind(),
        "strategy": step.strategy(),
        "matched": held.map(|held| held.rows),
        "matchedIsEstimate": held.map(|held| held.is_estimate),
        "tableRows": step.table_rows(),
        "percentOfTable": held.and_then(|held| share(step, held)),
        "oldestOverdueSeconds": held.map(|held| held.overdue_seconds),
        "indexes": step.indexes(),
        "locks": step.locks(),
        "cascades": cascades.collect::<Vec<_>>(),
        "warnings": step.warnings(),
        "sql": statements.iter().map(|it| it.text.as_str()).collect::<Vec<_>>(),
        "parameters": statements.iter().map(parameters).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_two_largest_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (3600, "1 h"),
            (90_061, "1 d 1 h"),
            (864_000_000, "10,000 d"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
