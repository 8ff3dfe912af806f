//! The first step: everything that a reconcile looks at, gathered once. The
//! only reads, and nearly all come from the watches' memory.
//!
//! Never a Secret: the operator may not, and need not.

mod cron_job;
mod fresh;
mod job;
mod pod;
pub mod slots;
mod stuck;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::{Client, Resource as _};
use policy::{ANNOTATION_GENERATION, ActiveRun, CleanupPolicyStatus, Mode, PolicyName};
use serde::Deserialize as _;
use serde_json::{Value, json};
use thiserror::Error;

use crate::controller::refusal::is_transient;
use crate::controller::stored::StoredPolicy;
use crate::controller::watch::Caches;

pub use cron_job::{ObservedCronJob, Ownership};
pub use job::{Ending, ObservedJob, Role, Verdict};
pub use pod::{Container, ObservedPod, REPORT_PATIENCE, Termination};
pub use stuck::{Cause, Stuck, StuckJob};

/// So many UIDs of Jobs that were counted and are likely gone are kept: to drop each at once would
/// be a write of its own.
const MOST_MISSING: usize = 16;

/// Why a policy could not be observed.
#[derive(Debug, Error)]
pub enum ObserveError {
    /// The API server did not say what became of the policy.
    #[error("failed to look for the policy {name}")]
    FindPolicy { name: PolicyName, source: Box<kube::Error> },
    /// What the watch knows of is no more.
    #[error("the policy {name} is gone, or goes")]
    IsGone { name: PolicyName },
    /// The API server did not say whether there is a CronJob.
    #[error("failed to look for the CronJob {name}")]
    FindCronJob { name: PolicyName, source: Box<kube::Error> },
    /// The API server did not say which Jobs there are.
    #[error("failed to look for the Jobs of {name}")]
    ListJobs { name: PolicyName, source: Box<kube::Error> },
    /// The API server did not say why a Job has no pod.
    #[error("failed to look for the events of a Job")]
    ListEvents(#[source] Box<kube::Error>),
}

impl ObserveError {
    pub fn kind(&self) -> &'static str {
        match self {
            ObserveError::FindPolicy { .. } => "FindPolicy",
            ObserveError::IsGone { .. } => "IsGone",
            ObserveError::FindCronJob { .. } => "FindCronJob",
            ObserveError::ListJobs { .. } => "ListJobs",
            ObserveError::ListEvents(_) => "ListEvents",
        }
    }

    pub fn is_retryable(&self) -> bool {
        match self {
            ObserveError::IsGone { .. } => true,
            ObserveError::FindPolicy { source, .. }
            | ObserveError::FindCronJob { source, .. }
            | ObserveError::ListJobs { source, .. }
            | ObserveError::ListEvents(source) => is_transient(source),
        }
    }
}

/// Everything that a reconcile looks at.
#[derive(Clone, Debug)]
pub struct Observed {
    pub policy: ObservedPolicy,
    /// The CronJob of the policy's name, whoever it belongs to.
    pub cron_job: Option<Arc<ObservedCronJob>>,
    /// Runs: Jobs of the policy's own CronJob, of the one before it, and those that went.
    pub jobs: Vec<Arc<ObservedJob>>,
    /// Preflight Jobs of the policy itself.
    pub preflights: Vec<Arc<ObservedJob>>,
    /// The pods of both.
    pub pods: Vec<Arc<ObservedPod>>,
    /// Some of those Jobs are gone, and will not be seen for long.
    pub has_gone: bool,
    /// The API server itself was asked: a Job that is not here is gone.
    pub is_fresh: bool,
    /// Jobs of both whose pod does not begin.
    pub stuck: Stuck,
    pub now: Timestamp,
}

/// A policy as the API server has it: nothing in its spec is known to be right.
#[derive(Clone, Debug)]
pub struct ObservedPolicy {
    pub name: PolicyName,
    pub uid: String,
    pub created: Option<Timestamp>,
    pub generation: i64,
    pub resource_version: String,
    /// The hash of the rules that somebody approved.
    pub approved_rules_hash: Option<String>,
    /// `apiVersion`, `kind`, `spec` and the part of `metadata` that Jobs are given.
    pub document: Value,
    pub status: CleanupPolicyStatus,
    /// What is stored as the status, if nothing in it could be read.
    pub unreadable_status: Option<Value>,
}

/// As the API conventions write times.
pub fn in_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Who knows what there is.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub caches: &'a Caches,
    pub client: &'a Client,
    /// What the watches know was old when it was last used: the API server is asked.
    pub is_doubted: bool,
}

/// Gathers what there is to know about a policy.
pub async fn observe(
    stored: &StoredPolicy,
    source: &Source<'_>,
    stuck_after: Duration,
    now: Timestamp,
) -> Result<Observed, ObserveError> {
    let Source { caches, client, is_doubted } = *source;
    let policy = ObservedPolicy::from(stored);
    let name = policy.name.clone();
    let known = Known {
        jobs: caches.jobs.of(&name),
        gone: caches.jobs.gone(&name),
        pods: caches.pods.of(&name),
    };
    let cron_job = watched_cron_job(&name, caches);
    let cron_job = match cron_job {
        Some(watched) => Some(watched),
        // The watch knows only CronJobs with our label. Before one is made, the API server is
        // asked, so that one without the label is not taken over.
        None => fresh::cron_job(&name, client).await?,
    };
    let mut observed = gather(policy, cron_job, &known, now);
    if is_doubted || is_behind(&observed) || misses_something(&observed) {
        let policy = ObservedPolicy::from(&fresh::policy(&name, client).await?);
        let known = known.with(fresh::jobs(&name, client).await?);
        observed = gather(policy, fresh::cron_job(&name, client).await?, &known, now);
        observed.jobs.extend(lost(&observed));
        observed.is_fresh = true;
    }
    let under_way = observed.jobs.iter().chain(&observed.preflights);
    observed.stuck = stuck::stuck(under_way, &observed.pods, now, stuck_after);
    for job in &mut observed.stuck.jobs {
        if let Cause::NoPod { refusal } = &mut job.cause {
            *refusal = fresh::refusal_of_pod(&name.namespace, &job.uid, client).await?;
        }
    }
    Ok(observed)
}

/// What is known of the Jobs and pods with the label of a policy.
struct Known {
    jobs: Vec<Arc<ObservedJob>>,
    /// UIDs of Jobs that the watch saw go.
    gone: BTreeSet<String>,
    pods: Vec<Arc<ObservedPod>>,
}

impl Known {
    /// As the API server has them; it knows nothing of those that are gone.
    fn with(mut self, mut jobs: BTreeMap<String, Arc<ObservedJob>>) -> Self {
        let gone = self.jobs.into_iter().filter(|job| self.gone.contains(&job.uid));
        jobs.extend(gone.map(|job| (job.uid.clone(), job)));
        self.jobs = jobs.into_values().collect();
        self
    }
}

/// Puts together what belongs to the policy. Pure.
fn gather(
    policy: ObservedPolicy,
    cron_job: Option<Arc<ObservedCronJob>>,
    known: &Known,
    now: Timestamp,
) -> Observed {
    let was_cut_off = |job: &ObservedJob| job.ending.is_none() && known.gone.contains(&job.uid);
    let at_end = |job: Arc<ObservedJob>| {
        if was_cut_off(&job) { Arc::new(job.ended_by(Verdict::Deleted)) } else { job }
    };
    let (mut jobs, mut preflights): (Vec<_>, Vec<_>) =
        known.jobs.iter().cloned().partition(|job| matches!(job.role, Role::Run(_)));
    jobs.retain(|job| is_run_of(&policy, cron_job.as_deref(), job));
    let jobs = jobs.into_iter().map(at_end).collect();
    // One that was cut off has nothing to tell: another is made.
    preflights.retain(|job| job.owner_uid == policy.uid && !was_cut_off(job));
    let (pods, has_gone) = (known.pods.clone(), !known.gone.is_empty());
    let stuck = Stuck::default();
    Observed { policy, cron_job, jobs, preflights, pods, has_gone, is_fresh: false, stuck, now }
}

/// Whether a Job is a run of the policy: of its CronJob, or of one that it had before, which
/// somebody deleted.
fn is_run_of(
    policy: &ObservedPolicy,
    cron_job: Option<&ObservedCronJob>,
    job: &ObservedJob,
) -> bool {
    let status = &policy.status;
    let owner = |uid: &str| !uid.is_empty() && uid == job.owner_uid;
    if status.active.iter().any(|run| run.uid == job.uid) {
        return true;
    }
    match cron_job {
        Some(cron_job) if owner(cron_job.uid()) => {
            cron_job.ownership(&policy.name, &policy.uid) == Ownership::Ours
        }
        _ => {
            status.cron_job_ref.as_ref().is_some_and(|last| owner(&last.uid))
                // Older ones are of an older policy of the same name.
                || (job.owner_name == policy.name.name && job.created > policy.created)
        }
    }
}

/// Whether the CronJob is of a later generation of the policy than the one that is known: what was
/// asked once must not come back.
fn is_behind(observed: &Observed) -> bool {
    let policy = &observed.policy;
    observed.cron_job.as_ref().is_some_and(|cron_job| {
        let generation =
            cron_job.annotation(ANNOTATION_GENERATION).and_then(|text| text.parse().ok());
        cron_job.ownership(&policy.name, &policy.uid) == Ownership::Ours
            && generation > Some(policy.generation)
    })
}

/// Whether the watches may be behind: what follows from this cannot be taken back.
fn misses_something(observed: &Observed) -> bool {
    lost(observed).next().is_some()
        || is_forgetting(observed)
        || !slots::slots(observed).missed.is_empty()
}

/// Whether it is time to drop the UIDs of Jobs that were counted and are not there: one that is
/// dropped would be counted again if it came back.
fn is_forgetting(observed: &Observed) -> bool {
    let counted = observed.policy.status.counted_jobs.iter();
    let missing = counted.filter(|uid| !observed.jobs.iter().any(|job| job.uid == **uid));
    missing.count() > MOST_MISSING
}

/// Runs that were under way and are not to be found: they went while nobody looked.
fn lost(observed: &Observed) -> impl Iterator<Item = Arc<ObservedJob>> + use<> {
    let is_there = |run: &ActiveRun| observed.jobs.iter().any(|job| job.uid == run.uid);
    let counted = &observed.policy.status.counted_jobs;
    let active = observed.policy.status.active.iter();
    let lost = active.filter(|run| !is_there(run) && !counted.contains(&run.uid));
    let last_success = observed.cron_job.as_ref().and_then(|job| job.last_successful_time);
    let mode = observed.policy.document.pointer("/spec/mode").and_then(Value::as_str);
    let mode = if mode == Some(Mode::DryRun.as_str()) { Mode::DryRun } else { Mode::Enforce };
    let lost: Vec<_> = lost
        .map(|run| {
            let start_time = slots::time(run.start_time.as_deref());
            let likely_succeeded = start_time.is_some_and(|start| last_success > Some(start));
            let job = ObservedJob {
                name: run.job_name.clone(),
                uid: run.uid.clone(),
                owner_uid: String::new(),
                owner_name: String::new(),
                role: Role::Run(run.trigger),
                mode,
                created: None,
                slot: None,
                start_time,
                suspended: false,
                attempts: 0,
                ending: None,
            };
            Arc::new(job.ended_by(Verdict::Lost { likely_succeeded }))
        })
        .collect();
    lost.into_iter()
}

fn watched_cron_job(name: &PolicyName, caches: &Caches) -> Option<Arc<ObservedCronJob>> {
    let watched = caches.cron_jobs.of(name);
    watched
        .into_iter()
        .find(|cron_job| cron_job.metadata.name.as_deref() == Some(name.name.as_str()))
}

impl From<&StoredPolicy> for ObservedPolicy {
    fn from(stored: &StoredPolicy) -> Self {
        let (metadata, name) = (stored.meta(), stored.name());
        let generation = metadata.generation.unwrap_or_default();
        let mut document = json!({
            "apiVersion": format!("{}/v1alpha1", policy::GROUP),
            "kind": "CleanupPolicy",
            "metadata": {
                "name": name.name,
                "namespace": name.namespace,
                "generation": generation,
            },
        });
        if let (Some(fields), Some(spec)) = (document.as_object_mut(), stored.spec()) {
            fields.insert("spec".into(), spec);
        }
        let (status, unreadable_status) = status(stored.status(), &name);
        Self {
            status,
            unreadable_status,
            uid: stored.uid().to_owned(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            approved_rules_hash: stored.approved_rules_hash(),
            name,
            generation,
            document,
        }
    }
}

fn status(stored: Option<Value>, name: &PolicyName) -> (CleanupPolicyStatus, Option<Value>) {
    let Some(stored) = stored else { return (CleanupPolicyStatus::default(), None) };
    match CleanupPolicyStatus::deserialize(&stored) {
        Ok(status) => (status, None),
        Err(error) => {
            tracing::warn!(policy.namespace = name.namespace, policy.name = name.name, %error,
                "cannot read the stored status of the policy: it is written anew");
            (CleanupPolicyStatus::default(), Some(stored))
        }
    }
}

#[cfg(test)]
mod tests;
