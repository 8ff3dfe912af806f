//! What a team writes: `spec`.

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{CleanupPolicyStatus, NewRowSpec, PodTemplateSpec, RuleSpec};

/// Gives rows in Postgres an end of life: a schedule, a database and the rules
/// by which rows are updated, deleted, archived or dropped with their partition.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "pgsweep.dev",
    version = "v1alpha1",
    kind = "CleanupPolicy",
    plural = "cleanuppolicies",
    shortname = "sweep",
    category = "pgsweep",
    namespaced,
    status = "CleanupPolicyStatus",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name.size() <= 49")
        .message("metadata.name must have at most 49 characters, so that the names of its Jobs fit"),
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be a DNS label: lower-case letters, digits and '-', without dots"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".status.effectiveSchedule"),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Last-Result", type_ = "string", json_path = ".status.lastRun.result"),
    printcolumn(name = "Last-Success", type_ = "date", json_path = ".status.lastSuccessTime"),
    printcolumn(name = "Rows", type_ = "integer", json_path = ".status.lastRun.rowsAffected"),
    printcolumn(name = "Remaining", type_ = "integer", json_path = ".status.lastRun.rowsRemaining"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "TimeZone", type_ = "string", json_path = ".spec.timeZone", priority = 1),
    // A string: kubectl prints a date in the future as `<invalid>`.
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextScheduleTime", priority = 1),
    printcolumn(name = "Stop-Reason", type_ = "string", json_path = ".status.lastRun.stopReason", priority = 1),
    printcolumn(name = "Duration", type_ = "number", json_path = ".status.lastRun.durationSeconds", priority = 1),
    printcolumn(name = "Fails", type_ = "integer", json_path = ".status.consecutiveFailures", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#, priority = 1),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.report) || self.report.values.all(v, !has(v.fromColumn) && (!has(v.object) || v.object.all(f, !has(f.fromColumn))))")
        .message("fromColumn belongs to emit: a report has no row to take it from")
        .field_path(".report"),
    validation = Rule::new("!has(self.report) || self.report.values.all(v, (!has(v.affected) || self.rules.exists(r, r.name == v.affected)) && (!has(v.matched) || self.rules.exists(r, r.name == v.matched)) && (!has(v.object) || v.object.all(f, (!has(f.affected) || self.rules.exists(r, r.name == f.affected)) && (!has(f.matched) || self.rules.exists(r, r.name == f.matched)))))")
        .message("affected and matched name a rule of this policy")
        .field_path(".report"),
    validation = Rule::new("!has(self.limits) || !self.limits.minimumAge.matches('[1-9]') || self.rules.all(r, has(r.action.update) || r.where.exists(c, has(c.operator) && c.operator == 'OlderThan'))")
        .message("a rule that deletes needs an OlderThan of at least limits.minimumAge")
        .field_path(".rules"),
    validation = Rule::new("!self.schedule.contains('TZ=')")
        .message("schedule takes no TZ=; set spec.timeZone instead")
        .field_path(".schedule"),
    validation = Rule::new("!has(self.podTemplate) || !has(self.podTemplate.labels) || self.podTemplate.labels.all(k, !k.startsWith('pgsweep.dev/') && !k.startsWith('app.kubernetes.io/'))")
        .message("podTemplate.labels must not use pgsweep.dev/ or app.kubernetes.io/: those are the operator's")
        .field_path(".podTemplate.labels"),
    validation = Rule::new("!has(self.podTemplate) || !has(self.podTemplate.labels) || self.podTemplate.labels.all(k, !k.startsWith('batch.kubernetes.io/') && k != 'job-name' && k != 'controller-uid')")
        .message("podTemplate.labels must not use batch.kubernetes.io/, job-name or controller-uid: those are the Job's")
        .field_path(".podTemplate.labels"),
)]
pub struct CleanupPolicySpec {
    /// When to run: five cron fields, or a macro such as `@hourly`. No `TZ=`, no seconds, no `@every`.
    #[schemars(
        length(min = 1, max = 128),
        regex(
            pattern = r"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[^@\s]\S*(\s+\S+){4})$"
        )
    )]
    pub schedule: String,

    /// IANA time zone in which the schedule is read.
    #[serde(default = "default_time_zone")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,

    /// No scheduled run begins while this is true; a running one goes on.
    #[serde(default)]
    pub suspend: bool,

    /// A slot that is late by more than this many seconds is not made up for.
    #[serde(default = "default_starting_deadline")]
    #[schemars(range(min = 10, max = 604_800))]
    pub starting_deadline_seconds: i64,

    /// What happens to a run that is still active at the next slot: `Forbid` skips the slot, `Replace` ends the run.
    #[serde(default)]
    pub concurrency_policy: ConcurrencyPolicy,

    /// How many succeeded Jobs are kept; at least one, so that its result can be read.
    #[serde(default = "default_successful_jobs")]
    #[schemars(range(min = 1, max = 100))]
    pub successful_jobs_history_limit: i32,

    /// How many failed Jobs are kept; at least one, so that its result can be read.
    #[serde(default = "default_failed_jobs")]
    #[schemars(range(min = 1, max = 100))]
    pub failed_jobs_history_limit: i32,

    /// How many runs `status.history` keeps.
    #[serde(default = "default_history")]
    #[schemars(range(min = 1, max = 30))]
    pub history_limit: i32,

    /// `Enforce` changes rows; `DryRun` only counts them, in a read-only transaction.
    pub mode: Mode,

    /// `OnRulesChange` holds new rules, the first too, until the annotation `pgsweep.dev/approved-rules-hash` names their hash.
    #[serde(default)]
    pub approval: Approval,

    /// A token of your choice: each new value makes one extra run, also while suspended; empty never does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub run_now: String,

    /// Which database to clean.
    pub database: DatabaseSpec,

    /// Caps and guards of the whole run.
    #[serde(default)]
    pub limits: LimitsSpec,

    /// How gently rows go.
    #[serde(default)]
    pub execution: ExecutionSpec,

    /// Kubernetes ends a Job that is older than this many seconds; more than `execution.maxDuration` + 60 s.
    #[serde(default = "default_active_deadline")]
    #[schemars(range(min = 61, max = 604_800))]
    pub active_deadline_seconds: i64,

    /// How often Kubernetes tries a Job again whose database was away.
    #[serde(default = "default_backoff_limit")]
    #[schemars(range(min = 0, max = 20))]
    pub backoff_limit: i32,

    /// What may be set on the pods of the Jobs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pod_template: PodTemplateSpec,

    /// What goes, in this order.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub rules: Vec<RuleSpec>,

    /// One row a run, inserted once, in the transaction that closes the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<NewRowSpec>,
}

/// What happens to a run that is still active when the next slot comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConcurrencyPolicy {
    /// The slot is skipped.
    #[default]
    Forbid,
    /// The running Job is ended and a new one begins.
    Replace,
}

/// Whether rules need somebody's word before they run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Approval {
    /// They run as they are applied.
    #[default]
    Never,
    /// New rules wait until their hash is approved.
    OnRulesChange,
}

/// Whether rows change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Rows are changed.
    Enforce,
    /// Rows are only counted, read-only by the database's own word.
    DryRun,
}

impl Mode {
    /// The word of YAML, labels and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "Enforce",
            Mode::DryRun => "DryRun",
        }
    }
}

/// Where the connection URL is found, and what the server is verified by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSpec {
    /// The Secret key that holds the URL (`postgres://user:password@host:5432/database`), in the policy's namespace.
    pub url_from: SecretSource,
    /// The Secret key that holds the certificates (PEM, at most 128 KiB) of the authority that signed the server's; the server is then verified, its host name too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_from: Option<SecretSource>,
}

/// A reference into a Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// The Secret and the key in it.
    pub secret_key_ref: SecretKeyRef,
}

/// One key of one Secret of the policy's own namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// Caps and guards of the whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitsSpec {
    /// A cap: what is left waits for the next run.
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub max_rows_per_run: i64,
    /// A guard: a rule that matches over 1,000 rows and more than this share of its table stops the run before any row changes.
    #[schemars(range(min = 1, max = 100))]
    pub max_percent_of_table: i32,
    /// A guard: every rule that deletes must have an age of at least this.
    pub minimum_age: DurationText,
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self {
            max_rows_per_run: 1_000_000,
            max_percent_of_table: 50,
            minimum_age: DurationText("0s".into()),
        }
    }
}

/// How gently rows go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecutionSpec {
    /// Rows of the first batch; it adapts towards `targetBatchDuration`.
    #[schemars(range(min = 1, max = 50_000))]
    pub batch_size: i32,
    /// How long a batch should take.
    #[schemars(schema_with = "more_than_zero")]
    pub target_batch_duration: DurationText,
    /// How long a batch may take; the app never waits longer than this for a row of ours.
    #[schemars(schema_with = "more_than_zero")]
    pub batch_timeout: DurationText,
    /// How long a batch waits for a lock; at most half of the time that `batchTimeout` leaves to each of its statements.
    #[schemars(schema_with = "more_than_zero")]
    pub lock_timeout: DurationText,
    /// How long a count or a check may take.
    #[schemars(schema_with = "more_than_zero")]
    pub statement_timeout: DurationText,
    /// The run pauses between batches so that it stays below this; 0 is no limit.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub max_rows_per_second: i64,
    /// The run pauses while a replica is further behind than this; seen with the rights of `pg_monitor`.
    #[schemars(schema_with = "more_than_zero")]
    pub max_replica_lag: DurationText,
    /// The run ends after the batch in which this has passed; the rest waits for the next run.
    #[schemars(schema_with = "more_than_zero")]
    pub max_duration: DurationText,
    /// What happens to the later rules when one fails.
    pub on_rule_error: OnRuleError,
}

impl Default for ExecutionSpec {
    fn default() -> Self {
        Self {
            batch_size: 200,
            target_batch_duration: DurationText("25ms".into()),
            batch_timeout: DurationText("1s".into()),
            lock_timeout: DurationText("50ms".into()),
            statement_timeout: DurationText("30s".into()),
            max_rows_per_second: 0,
            max_replica_lag: DurationText("10s".into()),
            max_duration: DurationText("20m".into()),
            on_rule_error: OnRuleError::Continue,
        }
    }
}

/// What happens to the later rules when one fails in mid-run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnRuleError {
    /// The later rules run.
    #[default]
    Continue,
    /// The later rules do not run.
    Stop,
}

/// A length of time as it is written: `25ms`, `90s`, `30m`, `24h`, `7d`, `2w`, `1h30m`; a day is 24 hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(
    inline,
    extend("maxLength" = 32, "pattern" = r"^([0-9]+(w|d|h|m|s|ms))+$")
)]
pub struct DurationText(pub String);

impl Default for DurationText {
    fn default() -> Self {
        Self("0s".into())
    }
}

/// The schema of a length of time that is not zero.
fn more_than_zero(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = DurationText::json_schema(generator);
    let rule = json!([{"rule": "self.matches('[1-9]')", "message": "must be more than 0"}]);
    schema.insert("x-kubernetes-validations".to_owned(), rule);
    schema
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn default_time_zone() -> String {
    "Etc/UTC".into()
}

fn default_starting_deadline() -> i64 {
    300
}

fn default_successful_jobs() -> i32 {
    3
}

fn default_failed_jobs() -> i32 {
    1
}

fn default_history() -> i32 {
    10
}

fn default_active_deadline() -> i64 {
    1800
}

fn default_backoff_limit() -> i32 {
    3
}
