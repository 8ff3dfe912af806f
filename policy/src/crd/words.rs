//! The words of conditions and events, each in its one spelling.

/// Types of conditions.
pub mod condition {
    /// The CronJob matches the spec and may run.
    pub const READY: &str = "Ready";
    /// Not ready, and being tried again; there only while true, as kstatus reads it.
    pub const RECONCILING: &str = "Reconciling";
    /// Not ready until somebody changes something; there only while true, as kstatus reads it.
    pub const STALLED: &str = "Stalled";
    /// The newest finished run did what it should; unchanged while a run is active.
    pub const LAST_RUN_SUCCEEDED: &str = "LastRunSucceeded";
    /// A run is under way.
    pub const RUNNING: &str = "Running";
    /// The newest finished run left no row that was due.
    pub const BACKLOG_DRAINED: &str = "BacklogDrained";
    /// The rules may run by the word of whoever has to approve them.
    pub const APPROVED: &str = "Approved";
    /// Runs come when they are due, begin, and do not fail one after the other.
    pub const SCHEDULE_HEALTHY: &str = "ScheduleHealthy";
}

/// Reasons of conditions.
pub mod reason {
    /// `Ready`: the CronJob matches and will run.
    pub const SCHEDULED: &str = "Scheduled";
    /// `Ready`: the CronJob matches and does not run, as asked for.
    pub const SUSPENDED: &str = "Suspended";
    /// `Ready`: the first preflight of these rules is under way.
    pub const PREFLIGHTING: &str = "Preflighting";
    /// `Ready`: the schedule or its time zone is wrong.
    pub const INVALID_SCHEDULE: &str = "InvalidSchedule";
    /// `Ready`: the policy is wrong; the message has every problem.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// `Ready`: the Secret, or the key in it, is not there.
    pub const SECRET_MISSING: &str = "SecretMissing";
    /// `Ready`: the rules cannot run on this database; the message has every problem.
    pub const PREFLIGHT_FAILED: &str = "PreflightFailed";
    /// `Ready`: the rules wait for their approval.
    pub const APPROVAL_PENDING: &str = "ApprovalPending";
    /// `Ready`: a CronJob of that name belongs to somebody else.
    pub const NAME_CONFLICT: &str = "NameConflict";
    /// `Ready`: the API server refused an object of the policy.
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

    /// `Running`: a Job of a run has not ended.
    pub const JOB_ACTIVE: &str = "JobActive";
    /// `Running`: no Job is under way.
    pub const IDLE: &str = "Idle";

    /// `BacklogDrained`: no row that was due is left.
    pub const DRAINED: &str = "Drained";
    /// `BacklogDrained`: a cap on rows ended the run.
    pub const ROW_LIMIT_REACHED: &str = "RowLimitReached";
    /// `BacklogDrained`: `execution.maxDuration` ended the run.
    pub const TIME_BUDGET_REACHED: &str = "TimeBudgetReached";
    /// `BacklogDrained`: rows are left for another reason; the message says which.
    pub const ROWS_LEFT: &str = "RowsLeft";
    /// `BacklogDrained`: after each of three runs more rows were left than after the one before.
    pub const FALLING_BEHIND: &str = "FallingBehind";

    /// `Approved`: `spec.approval` asks for none.
    pub const NOT_REQUIRED: &str = "NotRequired";
    /// `Approved`: the annotation names the hash of these rules.
    pub const HASH_APPROVED: &str = "HashApproved";
    /// `Approved`: it does not; the message is the command that approves them.
    pub const AWAITING_APPROVAL: &str = "AwaitingApproval";

    /// `ScheduleHealthy`: nothing is wrong.
    pub const ON_TIME: &str = "OnTime";
    /// `ScheduleHealthy`: the last slot had no run.
    pub const MISSED_RUNS: &str = "MissedRuns";
    /// `ScheduleHealthy`: the pod of a Job does not begin.
    pub const JOB_STUCK_PENDING: &str = "JobStuckPending";
    /// `ScheduleHealthy`: three runs or more failed in a row.
    pub const TOO_MANY_FAILURES: &str = "TooManyFailures";
}

/// Reasons of events.
pub mod event {
    /// The CronJob was made.
    pub const CRON_JOB_CREATED: &str = "CronJobCreated";
    /// The CronJob follows an edit of the policy.
    pub const CRON_JOB_UPDATED: &str = "CronJobUpdated";
    /// An edit of the CronJob by somebody else was undone.
    pub const DRIFT_CORRECTED: &str = "DriftCorrected";
    /// `spec.suspend` became true.
    pub const SUSPENDED: &str = "Suspended";
    /// `spec.suspend` became false.
    pub const RESUMED: &str = "Resumed";
    /// The rules were approved.
    pub const APPROVED: &str = "Approved";
    /// The rules can run on the database.
    pub const PREFLIGHT_SUCCEEDED: &str = "PreflightSucceeded";
    /// A run did what it should.
    pub const RUN_SUCCEEDED: &str = "RunSucceeded";
    /// A dry run counted.
    pub const DRY_RUN_COMPLETED: &str = "DryRunCompleted";
    /// A run left its place to another one.
    pub const RUN_SKIPPED: &str = "RunSkipped";
    /// The rules wait for their approval.
    pub const APPROVAL_REQUIRED: &str = "ApprovalRequired";
    /// The rules cannot run on the database.
    pub const PREFLIGHT_FAILED: &str = "PreflightFailed";
    /// No index leads to the rows of a rule.
    pub const MISSING_INDEX: &str = "MissingIndex";
    /// A run lacked a password or a privilege.
    pub const PERMISSION_DENIED: &str = "PermissionDenied";
    /// A run did a part of what it should.
    pub const RUN_PARTIALLY_SUCCEEDED: &str = "RunPartiallySucceeded";
    /// A run failed.
    pub const RUN_FAILED: &str = "RunFailed";
    /// A guard stopped a run.
    pub const RUN_ABORTED: &str = "RunAborted";
    /// Kubernetes ended a run at its deadline.
    pub const RUN_DEADLINE_EXCEEDED: &str = "RunDeadlineExceeded";
    /// A slot had no run.
    pub const RUN_MISSED: &str = "RunMissed";
    /// The pod of a Job does not begin.
    pub const JOB_STUCK: &str = "JobStuck";
    /// Each run leaves more rows than the one before.
    pub const FALLING_BEHIND: &str = "FallingBehind";
    /// The schedule is wrong.
    pub const INVALID_SCHEDULE: &str = "InvalidSchedule";
    /// The policy is wrong.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// A CronJob of that name belongs to somebody else.
    pub const NAME_CONFLICT: &str = "NameConflict";
    /// The Secret, or the key in it, is not there.
    pub const SECRET_MISSING: &str = "SecretMissing";
    /// The API server refused an object of the policy.
    pub const APPLY_FAILED: &str = "ApplyFailed";
}
