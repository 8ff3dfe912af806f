//! What the operator says of a policy: `status`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::{RuleOutcome, RunResult, StopReason, Totals};

use super::Mode;

/// What the operator last saw; written by it alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CleanupPolicyStatus {
    /// The generation of the policy that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Hash of the rules that this status speaks of.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rules_hash: String,
    /// The schedule as the CronJob has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub effective_schedule: String,
    /// The CronJob of this policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron_job_ref: Option<CronJobRef>,
    /// When the next run is due (RFC 3339); absent while suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<String>,
    /// When the CronJob last made a Job (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<String>,
    /// The last `runNow` token that made a run.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_run_now: String,
    /// Runs that failed since the last one that succeeded.
    pub consecutive_failures: i32,
    /// When a run last succeeded (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<String>,
    /// Jobs that run now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub active: Vec<ActiveRun>,
    /// The newest finished run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunStatus>,
    /// Finished runs, newest first, at most `spec.historyLimit`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 30))]
    pub history: Vec<HistoryEntry>,
    /// UIDs of the finished Jobs that still exist and are counted, so that none is counted twice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub counted_jobs: Vec<String>,
    /// Running totals, copied from the ledger in the newest report; absent until a report has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// `Ready`, `LastRunSucceeded`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

/// The CronJob as it was last written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CronJobRef {
    /// Its name, which is the policy's.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its generation after our write: another one means that somebody else edited it.
    pub generation: i64,
}

/// A Job that runs now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActiveRun {
    /// Name of the Job.
    pub job_name: String,
    /// UID of the Job.
    pub uid: String,
    /// Why it runs.
    pub trigger: Trigger,
    /// When it began (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
}

/// Why a run took place; only the operator says so.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Trigger {
    /// The schedule.
    Schedule,
    /// A new `runNow` token.
    RunNow,
    /// `kubectl create job --from=cronjob/…`.
    Manual,
}

impl Trigger {
    /// The word of status and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Schedule => "Schedule",
            Trigger::RunNow => "RunNow",
            Trigger::Manual => "Manual",
        }
    }
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Name of the Job.
    pub job_name: String,
    /// UID of the Job.
    pub uid: String,
    /// Why it ran.
    pub trigger: Trigger,
    /// Whether rows were changed.
    pub mode: Mode,
    /// How it ended.
    pub result: RunResult,
    /// Why it ended.
    pub stop_reason: StopReason,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Rows that the rules held at the start.
    pub rows_matched: i64,
    /// Rows that were changed.
    pub rows_affected: i64,
    /// Rows that the rules still hold.
    pub rows_remaining: i64,
    /// How long the oldest row that is left has been due, in seconds.
    pub oldest_overdue_seconds: i64,
    /// When it began (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// How long it took, in seconds.
    pub duration_seconds: f64,
    /// Pods that it took.
    pub attempts: i32,
    /// What each rule did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub rules: Vec<RuleOutcome>,
}

/// A finished run, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Name of the Job.
    pub job_name: String,
    /// Why it ran.
    pub trigger: Trigger,
    /// How it ended.
    pub result: RunResult,
    /// Why it ended.
    pub stop_reason: StopReason,
    /// Rows that were changed.
    pub rows_affected: i64,
    /// Rows that the rules still hold.
    pub rows_remaining: i64,
    /// When it began (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// How long it took, in seconds.
    pub duration_seconds: f64,
}

/// Types of conditions.
pub mod condition {
    /// The CronJob matches the spec and may run.
    pub const READY: &str = "Ready";
    /// The newest finished run did what it should.
    pub const LAST_RUN_SUCCEEDED: &str = "LastRunSucceeded";
    /// Not ready, and being tried again; there only while true, as kstatus reads it.
    pub const RECONCILING: &str = "Reconciling";
    /// Not ready until somebody changes something; there only while true, as kstatus reads it.
    pub const STALLED: &str = "Stalled";
}

/// Reasons of conditions.
pub mod reason {
    /// `Ready`: the CronJob matches and will run.
    pub const SCHEDULED: &str = "Scheduled";
    /// `Ready`: the CronJob matches and does not run, as asked for.
    pub const SUSPENDED: &str = "Suspended";
    /// `Ready`: the policy is wrong; the message has every problem.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// `Ready`: the schedule or its time zone is wrong.
    pub const INVALID_SCHEDULE: &str = "InvalidSchedule";
    /// `Ready`: the Secret, or the key in it, is not there.
    pub const SECRET_MISSING: &str = "SecretMissing";
    /// `Ready`: a CronJob of that name belongs to somebody else.
    pub const NAME_CONFLICT: &str = "NameConflict";
    /// `Ready`: the API server refused the CronJob.
    pub const APPLY_FAILED: &str = "ApplyFailed";
    /// `LastRunSucceeded`: rows were handled.
    pub const SUCCEEDED: &str = "Succeeded";
    /// `LastRunSucceeded`: no row was due.
    pub const NOTHING_TO_DO: &str = "NothingToDo";
    /// `LastRunSucceeded`: the run failed.
    pub const FAILED: &str = "Failed";
    /// `LastRunSucceeded`: Kubernetes ended the Job at its deadline.
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    /// `LastRunSucceeded`: no attempt reached the database.
    pub const BACKOFF_LIMIT_EXCEEDED: &str = "BackoffLimitExceeded";
    /// `LastRunSucceeded`: a password or a privilege is missing.
    pub const PERMISSION_DENIED: &str = "PermissionDenied";
    /// `LastRunSucceeded`: a table or column is missing or of a wrong type.
    pub const SCHEMA_MISMATCH: &str = "SchemaMismatch";
    /// `LastRunSucceeded`: a guard stopped the run.
    pub const SAFETY_ABORT: &str = "SafetyAbort";
    /// `LastRunSucceeded`: some rules, or some rows, could not be done.
    pub const RULES_FAILED: &str = "RulesFailed";
    /// `LastRunSucceeded`: no run has finished yet.
    pub const NEVER_RUN: &str = "NeverRun";
}
