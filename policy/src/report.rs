//! What a run says: written by the job, read by the operator and the session API.
//!
//! The names are a contract: the termination message, the log line and
//! `--output json` all carry this one object. It never holds a secret, a row's
//! content or a message of the server.

mod preflight;
mod termination;
#[cfg(test)]
mod tests;

pub use preflight::{PreflightProblem, PreflightReport, RulePlan};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crd::Mode;

/// One run, over all attempts of its Job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// `namespace/name` of the policy; a file without a namespace is in `default`.
    pub policy: String,
    /// Generation of the policy; 0 for a file.
    #[serde(default)]
    pub generation: i64,
    /// Hash of the rules; see [`crate::Policy::rules_hash`].
    #[serde(default)]
    pub rules_hash: String,
    /// UID of the Job, or a random id on a laptop.
    pub run_id: String,
    /// The fence of the run; 0 where there is no ledger.
    #[serde(default)]
    pub epoch: i64,
    /// Whether rows were changed.
    pub mode: Mode,
    /// How the run ended.
    pub result: RunResult,
    /// Why the run ended.
    pub stop_reason: StopReason,
    /// One sentence for people; empty when there is nothing to say.
    #[serde(default)]
    pub message: String,
    /// Database time at the start (RFC 3339); empty when the database was never reached.
    #[serde(default)]
    pub start_time: String,
    /// How long it took, in seconds.
    #[serde(default)]
    pub duration_seconds: f64,
    /// Pods that it took.
    #[serde(default)]
    pub attempts: i32,
    /// Names of warnings about the run as a whole; those about a rule are with the rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What each rule did, in their order.
    #[serde(default)]
    pub rules: Vec<RuleOutcome>,
    /// Running totals of the ledger; absent where there is no ledger.
    #[serde(default)]
    pub totals: Option<Totals>,
    /// The last runs before this one, newest first, in short: a report that nobody could read is made
    /// up for by the next.
    #[serde(default)]
    pub earlier: Vec<EarlierRun>,
    /// True when less important parts were left out to fit the termination message.
    #[serde(default)]
    pub truncated: bool,
}

/// What one rule did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleOutcome {
    /// Name of the rule.
    pub name: String,
    /// What happens to its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionKind>,
    /// Rows that it held at the start.
    pub matched: i64,
    /// True when `matched` is the planner's estimate.
    #[serde(default)]
    pub matched_is_estimate: bool,
    /// Rows that were changed; 0 in a dry run.
    pub affected: i64,
    /// Rows that it still holds, counted up to a bound.
    pub remaining: i64,
    /// How long the oldest of those has been due, in seconds; 0 without an age condition.
    #[serde(default)]
    pub oldest_overdue_seconds: i64,
    /// Rows that could not be changed.
    #[serde(default)]
    pub failed: i64,
    /// Batches that were committed.
    #[serde(default)]
    pub batches: i64,
    /// Rows that the app held during both passes.
    #[serde(default)]
    pub skipped_locked: i64,
    /// How the rows were found; absent where the run ended before they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Why the rule ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<StopReason>,
    /// SQLSTATE of what went wrong; empty when nothing did.
    #[serde(default)]
    #[schemars(length(max = 5))]
    pub sql_state: String,
    /// One sentence for people; empty when there is nothing to say.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub message: String,
    /// Names of warnings.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub warnings: Vec<String>,
}

/// Running totals of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Runs that ended.
    pub runs: i64,
    /// Runs that failed.
    pub failures: i64,
    /// Rows that were changed.
    pub rows_affected: i64,
}

/// A run that ended before this one, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EarlierRun {
    /// UID of its Job.
    pub run_id: String,
    /// How it ended.
    pub result: RunResult,
    /// Why it ended.
    pub stop_reason: StopReason,
    /// Database time at its start (RFC 3339).
    pub start_time: String,
    /// How long it took, in seconds.
    pub duration_seconds: f64,
    /// Rows that it changed.
    pub affected: i64,
}

/// How a run ended.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum RunResult {
    /// All rows that were due are handled.
    Succeeded,
    /// Done within its caps and budget; some rows are left, or some failed.
    PartiallySucceeded,
    /// Something was wrong; the message says what.
    Failed,
    /// Nothing was to be done, by another's right.
    Skipped,
    /// A guard stopped it; nothing changed.
    Aborted,
}

impl RunResult {
    /// From its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        serde_json::from_value(Value::from(word)).ok()
    }

    /// The word of report, status and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RunResult::Succeeded => "Succeeded",
            RunResult::PartiallySucceeded => "PartiallySucceeded",
            RunResult::Failed => "Failed",
            RunResult::Skipped => "Skipped",
            RunResult::Aborted => "Aborted",
        }
    }
}

/// Why a run, or a rule, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StopReason {
    /// No due row is left.
    Drained,
    /// A cap on rows was reached.
    RowLimit,
    /// `maxDuration` has passed.
    TimeBudget,
    /// A rule matched more of its table than the guard allows.
    BlastRadius,
    /// A replica stayed too far behind.
    ReplicaLag,
    /// A lock on the table could not be had.
    LockTimeout,
    /// Another run of the policy is under way.
    LockHeld,
    /// The policy is on hold.
    Held,
    /// Rows were still held by the app after a second pass.
    Blocked,
    /// The process was asked to end.
    Cancelled,
    /// Something was wrong; the message says what.
    Error,
}

impl StopReason {
    /// From its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        serde_json::from_value(Value::from(word)).ok()
    }

    /// The word of report and status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StopReason::Drained => "Drained",
            StopReason::RowLimit => "RowLimit",
            StopReason::TimeBudget => "TimeBudget",
            StopReason::BlastRadius => "BlastRadius",
            StopReason::ReplicaLag => "ReplicaLag",
            StopReason::LockTimeout => "LockTimeout",
            StopReason::LockHeld => "LockHeld",
            StopReason::Held => "Held",
            StopReason::Blocked => "Blocked",
            StopReason::Cancelled => "Cancelled",
            StopReason::Error => "Error",
        }
    }
}

/// What happens to the rows of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ActionKind {
    /// Columns are set.
    Update,
    /// The rows are deleted.
    Delete,
    /// The rows are moved to an archive.
    Archive,
    /// Whole partitions are dropped.
    DropPartitions,
}

impl ActionKind {
    /// From its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        serde_json::from_value(Value::from(word)).ok()
    }

    /// The word of report and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ActionKind::Update => "Update",
            ActionKind::Delete => "Delete",
            ActionKind::Archive => "Archive",
            ActionKind::DropPartitions => "DropPartitions",
        }
    }
}

/// How the rows of a rule are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// In the order of the age column and the primary key, from where the last batch ended.
    Keyset,
    /// In the order of the primary key, a bounded number of rows at a time, whether they are due or
    /// not: where no index leads to those that are.
    PrimaryKey,
    /// Whole partitions.
    Partition,
}

impl Strategy {
    /// The word of reports, plans and the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::Keyset => "Keyset",
            Strategy::PrimaryKey => "PrimaryKey",
            Strategy::Partition => "Partition",
        }
    }
}

impl RunReport {
    /// Rows that the rules held at the start.
    #[must_use]
    pub fn rows_matched(&self) -> i64 {
        self.sum(|rule| rule.matched)
    }

    /// Rows that were changed.
    #[must_use]
    pub fn rows_affected(&self) -> i64 {
        self.sum(|rule| rule.affected)
    }

    /// Rows that the rules still hold; nothing where the run ended before they were counted.
    #[must_use]
    pub fn rows_remaining(&self) -> Option<i64> {
        let is_counted =
            |rule: &RuleOutcome| rule.strategy.is_some() || rule.matched > 0 || rule.affected > 0;
        // What was left out to fit may have told.
        let known = self.truncated || self.rules.iter().any(is_counted);
        known.then(|| self.sum(|rule| rule.remaining))
    }

    /// How long the oldest row that is left has been due, in seconds.
    #[must_use]
    pub fn oldest_overdue_seconds(&self) -> i64 {
        let overdue = self.rules.iter().map(|rule| rule.oldest_overdue_seconds);
        overdue.max().unwrap_or(0)
    }

    fn sum(&self, count: impl Fn(&RuleOutcome) -> i64) -> i64 {
        self.rules.iter().map(count).fold(0, i64::saturating_add)
    }
}
