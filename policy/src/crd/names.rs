//! Every name that others rely on, in its one spelling.

/// API group of [`crate::CleanupPolicy`].
pub const GROUP: &str = "pgsweep.dev";
/// Field manager of every write of the operator.
pub const FIELD_MANAGER: &str = "pgsweep";
/// Label on CronJob, Job and Pod: the name of the policy.
pub const LABEL_POLICY: &str = "pgsweep.dev/policy";
/// Label on CronJob, Job and Pod: `Enforce` or `DryRun`.
pub const LABEL_MODE: &str = "pgsweep.dev/mode";
/// Annotation: hash of the rules (see [`crate::Policy::rules_hash`]).
pub const ANNOTATION_RULES_HASH: &str = "pgsweep.dev/rules-hash";
/// Annotation: generation of the policy that an object was built from.
pub const ANNOTATION_GENERATION: &str = "pgsweep.dev/policy-generation";
/// Annotation: hash of the whole object as the operator built it.
pub const ANNOTATION_BUILD_HASH: &str = "pgsweep.dev/build-hash";
/// Annotation of a Job that a `runNow` token made: the token.
pub const ANNOTATION_RUN_NOW: &str = "pgsweep.dev/run-now";

/// Annotation of a policy: the hash of the rules that somebody approved.
pub const ANNOTATION_APPROVED: &str = "pgsweep.dev/approved-rules-hash";
/// Annotation of a Preflight Job: which try it is, from 1.
pub const ANNOTATION_ATTEMPT: &str = "pgsweep.dev/attempt";

/// Label on CronJob, Job and Pod: [`COMPONENT_JOB`] or [`COMPONENT_PREFLIGHT`].
pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
/// The component of CronJobs, of their Jobs and of those of a `runNow` token.
pub const COMPONENT_JOB: &str = "job";
/// The component of Preflight Jobs.
pub const COMPONENT_PREFLIGHT: &str = "preflight";

/// The container of a Job's pod.
pub const CONTAINER: &str = "pgsweep";

/// Environment of a Job's container: the policy, as JSON.
pub const ENV_POLICY: &str = "PGSWEEP_POLICY";
/// Environment of a Job's container: the connection URL, from the Secret.
pub const ENV_DATABASE_URL: &str = "DATABASE_URL";
/// Environment of a Job's container: the certificates of the database's authority, from the Secret.
pub const ENV_DATABASE_CA: &str = "PGSWEEP_DATABASE_CA";
/// Environment of a Job's container: the UID of the Job.
pub const ENV_JOB_UID: &str = "PGSWEEP_JOB_UID";
/// Environment of a Job's container: where the short report goes.
pub const ENV_TERMINATION_LOG: &str = "PGSWEEP_TERMINATION_LOG";

/// The longest policy that fits an environment string of a container, in bytes
/// (Linux allows 128 KiB for one string; escaping `$` must fit too).
pub const MAX_POLICY_BYTES: usize = 96 * 1024;
/// The longest name of a policy: a CronJob of that name, with the suffixes of
/// its Jobs and their pods, still fits 63 characters.
pub const MAX_POLICY_NAME: usize = 49;
/// The longest termination message that kubelet keeps, in bytes.
pub const MAX_TERMINATION_MESSAGE_BYTES: usize = 4096;
