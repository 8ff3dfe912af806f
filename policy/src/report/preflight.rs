//! What a preflight says: written by `pgsweep plan` in a Preflight Job, read by the operator.

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::termination::{self, Shorten, shorten, shorten_names};
use super::{ActionKind, Strategy};
use crate::catalog::SchemaProblem;
use crate::crd::Mode;

/// One look at the database, in the short form of the termination message. The whole plan, with its
/// SQL, is the log of the Job. It never holds a secret, a row's content or a message of the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreflightReport {
    /// `namespace/name` of the policy.
    pub policy: String,
    /// Generation of the policy.
    #[serde(default)]
    pub generation: i64,
    /// Hash of the rules; see [`crate::Policy::rules_hash`].
    pub rules_hash: String,
    /// UID of the Job.
    #[serde(default)]
    pub run_id: String,
    /// The mode that it is about: a dry run needs fewer privileges.
    pub mode: Mode,
    /// Database time of the look (RFC 3339); empty when the database was never reached.
    #[serde(default)]
    pub time: String,
    /// What keeps a run from its first row; none when the preflight passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<PreflightProblem>,
    /// The guard that would stop a run now, in one sentence; empty when none would. It fails no
    /// preflight: it is about the rows of this moment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verdict: String,
    /// Names of warnings about the policy as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What each rule would do, in their order; empty when there are problems.
    #[serde(default)]
    pub rules: Vec<RulePlan>,
    /// True when less important parts were left out to fit the termination message.
    #[serde(default)]
    pub truncated: bool,
}

/// Something that keeps a policy from running on its database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreflightProblem {
    /// Its stable name, such as `TableMissing`; `docs/preflight.md` has the way out of each.
    pub name: String,
    /// Name of the rule; empty where it is about the whole policy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// One sentence for people, with the way out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// It may go without an edit of the policy: by a migration, a GRANT, a database that comes back.
    #[serde(default)]
    pub may_pass: bool,
}

/// What one rule would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RulePlan {
    /// Name of the rule.
    pub name: String,
    /// `schema.table`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub table: String,
    /// What happens to its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionKind>,
    /// Rows that it holds now.
    pub matched: i64,
    /// True when `matched` is the planner's estimate.
    #[serde(default)]
    pub matched_is_estimate: bool,
    /// Rows of the table, by the planner's statistics; absent where it was never analysed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_rows: Option<i64>,
    /// How long the oldest of its rows has been due, in seconds; 0 without an age condition.
    #[serde(default)]
    pub oldest_overdue_seconds: i64,
    /// How its rows are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The indexes that lead to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub indexes: Vec<String>,
    /// Names of warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub warnings: Vec<String>,
    /// Names of advice, such as `MissingIndex`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub advice: Vec<String>,
}

impl PreflightReport {
    /// Rows that the rules hold now.
    #[must_use]
    pub fn rows_matched(&self) -> i64 {
        self.rules.iter().map(|rule| rule.matched).fold(0, i64::saturating_add)
    }

    /// The report as the termination message carries it: at most 4096 bytes. `name` and `matched` of
    /// every rule stay, and every name of a problem, once at least; what goes, goes by importance,
    /// and then `truncated` is true.
    #[must_use]
    pub fn termination_message(&self) -> String {
        termination::message(self)
    }

    /// What the policy itself says too: table and action of each rule.
    fn drop_tables(&mut self) {
        for rule in &mut self.rules {
            rule.table.clear();
            rule.action = None;
        }
    }

    fn drop_warnings(&mut self) {
        self.warnings.clear();
        for rule in &mut self.rules {
            rule.warnings.clear();
        }
    }

    fn drop_details(&mut self) {
        for rule in &mut self.rules {
            rule.table_rows = None;
            rule.oldest_overdue_seconds = 0;
            rule.strategy = None;
        }
    }

    fn shorten_messages(&mut self, bytes: usize) {
        shorten(&mut self.verdict, bytes);
        for problem in &mut self.problems {
            shorten(&mut problem.message, bytes);
        }
    }

    /// The first problems in full: whoever mends them asks again.
    fn drop_last_message(&mut self) {
        let last = self.problems.iter_mut().rfind(|problem| !problem.message.is_empty());
        if let Some(problem) = last {
            problem.message.clear();
        }
    }

    /// Of the problems after the first `count`, those whose name was not met before.
    fn keep_names_after(&mut self, count: usize) {
        let mut met: Vec<(String, bool)> = Vec::new();
        let mut place = 0;
        self.problems.retain(|problem| {
            let name = (problem.name.clone(), problem.may_pass);
            let is_new = !met.contains(&name);
            if is_new {
                met.push(name);
            }
            place += 1;
            is_new || place <= count
        });
    }

    fn keep_names_alone(&mut self) {
        self.keep_names_after(0);
        for problem in &mut self.problems {
            problem.rule.clear();
        }
        for rule in &mut self.rules {
            rule.matched_is_estimate = false;
        }
        // Some of it stays: an empty one would mean that no guard spoke.
        shorten(&mut self.verdict, 64);
    }
}

/// With more of them no message of any would fit.
const MOST_PROBLEMS: usize = 48;

impl Shorten for PreflightReport {
    const CUTS: &'static [fn(&mut Self)] = &[
        |report| shorten_names(&mut report.policy, &mut report.run_id),
        |report| report.rules.iter_mut().for_each(|rule| rule.indexes.clear()),
        Self::drop_tables,
        |report| report.shorten_messages(512),
        |report| report.keep_names_after(MOST_PROBLEMS),
        |report| report.shorten_messages(256),
        Self::drop_warnings,
        Self::drop_last_message,
        |report| report.rules.iter_mut().for_each(|rule| rule.advice.clear()),
        Self::drop_details,
        Self::keep_names_alone,
    ];
    const KEPT: &'static [&'static str] = &["name", "matched"];

    fn mark_truncated(&mut self) {
        self.truncated = true;
    }
}

impl From<&SchemaProblem> for PreflightProblem {
    fn from(problem: &SchemaProblem) -> Self {
        Self {
            name: problem.kind.as_str().to_owned(),
            rule: problem.rule.clone(),
            message: problem.message.clone(),
            may_pass: problem.kind.may_pass(),
        }
    }
}
