//! What a preflight says: written by `pgsweep plan` in a Preflight Job, read by the operator.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ActionKind, Strategy};
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
