//! What the operator says of a policy: `status`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::{RuleOutcome, RulePlan, RunResult, StopReason, Totals};

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
    /// Slots that are looked for begin after this (RFC 3339): since then the schedule is as it is now
    /// and not suspended, and missed slots up to it are counted. Absent while suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots_expected_after: Option<String>,
    /// Slots whose run never came.
    pub missed_runs: i64,
    /// The last `runNow` token that made a run.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_run_now: String,
    /// Runs that failed since the last one that succeeded.
    pub consecutive_failures: i32,
    /// When a run last succeeded (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<String>,
    /// The preflight of the rules that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preflight: Option<PreflightStatus>,
    /// What the last preflight that passed found: what a run would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// Runs that are under way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub active: Vec<ActiveRun>,
    /// The newest finished run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunStatus>,
    /// The newest run that did what it should, without its rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_successful_run: Option<RunStatus>,
    /// Finished runs, newest first, at most `spec.historyLimit`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 30))]
    pub history: Vec<HistoryEntry>,
    /// UIDs of the finished Jobs that are counted and may still exist, so that none is counted twice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub counted_jobs: Vec<String>,
    /// Running totals, copied from the ledger in the newest report; absent until a report has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// See [`crate::condition`].
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
    /// Hash of the object as it was last built; another one on the object means that we wrote it
    /// and could not say so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

/// How far the preflight of the current rules is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreflightStatus {
    /// Hash of the rules that it is about.
    pub rules_hash: String,
    /// The mode that it is about: a dry run needs fewer privileges.
    pub mode: Mode,
    /// Generation of the policy at its last try: an edit is a reason to try again at once.
    pub generation: i64,
    /// How far it is.
    pub state: PreflightState,
    /// Its newest Job.
    pub job_name: String,
    /// UID of that Job.
    pub job_uid: String,
    /// Tries so far, 1 for the first.
    pub attempts: i32,
    /// When the last try ended (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// When the next try is due (RFC 3339), if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_time: Option<String>,
    /// What was wrong, in one sentence for people; empty when nothing was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 8192))]
    pub message: String,
}

/// How far a preflight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PreflightState {
    /// Its Job exists and has not ended.
    Running,
    /// The rules can run on the database.
    Passed,
    /// They cannot now; it is tried again.
    Retrying,
    /// They cannot, and only an edit of the policy can change that.
    Failed,
}

/// What a run would do, by the last preflight that passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Hash of the rules that it is about.
    pub rules_hash: String,
    /// The mode that it is about.
    pub mode: Mode,
    /// Database time of the look (RFC 3339).
    pub time: String,
    /// The guard that would stop a run now, in one sentence; empty when none would.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub verdict: String,
    /// What each rule would do, in their order.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub rules: Vec<RulePlan>,
    /// Names of warnings about the policy as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub warnings: Vec<String>,
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
    /// Rows that the rules still hold; absent where the run ended before they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_remaining: Option<i64>,
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
    /// Name of the Job; empty for a run that only the ledger knows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub job_name: String,
    /// UID of the Job.
    #[serde(default)]
    pub uid: String,
    /// Why it ran; absent for a run that only the ledger knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// Its report could not be read: the numbers are unknown until a later report tells them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_unreported: bool,
    /// How it ended.
    pub result: RunResult,
    /// Why it ended.
    pub stop_reason: StopReason,
    /// Rows that were changed.
    pub rows_affected: i64,
    /// Rows that the rules still hold; absent where the run ended before they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_remaining: Option<i64>,
    /// When it began (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// How long it took, in seconds.
    pub duration_seconds: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}
