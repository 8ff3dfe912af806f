//! The first step: everything that a reconcile looks at, gathered once. The
//! only reads, and all but one come from the watches' memory.
//!
//! Never a Secret: the operator may not, and need not.

mod cron_job;
mod job;
mod pod;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use kube::api::DynamicObject;
use kube::{Api, Client};
use policy::{ANNOTATION_APPROVED, CleanupPolicyStatus, PolicyName};
use serde_json::{Value, json};
use thiserror::Error;

use crate::controller::refusal::is_transient;
use crate::controller::watch::Caches;

pub use cron_job::{ObservedCronJob, Ownership};
pub use job::{Ending, ObservedJob, Role, Verdict};
pub use pod::{Container, ObservedPod, Termination};

/// Why a policy could not be observed.
#[derive(Debug, Error)]
pub enum ObserveError {
    /// The API server did not say whether there is a CronJob.
    #[error("failed to look for the CronJob {name}")]
    FindCronJob { name: PolicyName, source: Box<kube::Error> },
}

impl ObserveError {
    pub fn kind(&self) -> &'static str {
        match self {
            ObserveError::FindCronJob { .. } => "FindCronJob",
        }
    }

    pub fn is_retryable(&self) -> bool {
        match self {
            ObserveError::FindCronJob { source, .. } => is_transient(source),
        }
    }
}

/// Everything that a reconcile looks at.
#[derive(Clone, Debug)]
pub struct Observed {
    pub policy: ObservedPolicy,
    /// The CronJob of the policy's name, whoever it belongs to.
    pub cron_job: Option<Arc<ObservedCronJob>>,
    /// Runs: Jobs of the policy's own CronJob.
    pub jobs: Vec<Arc<ObservedJob>>,
    /// Preflight Jobs of the policy itself.
    pub preflights: Vec<Arc<ObservedJob>>,
    /// The pods of both.
    pub pods: Vec<Arc<ObservedPod>>,
    /// Some of those Jobs are gone, and will not be seen for long.
    pub has_gone: bool,
    pub now: Timestamp,
}

/// A policy as the API server has it: nothing in its spec is known to be right.
#[derive(Clone, Debug)]
pub struct ObservedPolicy {
    pub name: PolicyName,
    pub uid: String,
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

/// Gathers what there is to know about a policy.
pub async fn observe(
    object: &DynamicObject,
    caches: &Caches,
    client: &Client,
    now: Timestamp,
) -> Result<Observed, ObserveError> {
    let policy = ObservedPolicy::from(object);
    let cron_job = cron_job(&policy.name, caches, client).await?;
    let ours = cron_job
        .as_ref()
        .filter(|cron_job| cron_job.ownership(&policy.name, &policy.uid) == Ownership::Ours);
    let (mut jobs, mut preflights): (Vec<_>, Vec<_>) =
        caches.jobs.of(&policy.name).into_iter().partition(|job| matches!(job.role, Role::Run(_)));
    jobs.retain(|job| ours.is_some_and(|cron_job| cron_job.uid() == job.owner_uid));
    preflights.retain(|job| job.owner_uid == policy.uid);
    let pods = caches.pods.of(&policy.name);
    let has_gone = caches.jobs.has_gone(&policy.name);
    Ok(Observed { policy, cron_job, jobs, preflights, pods, has_gone, now })
}

/// The watch knows only CronJobs with our label. Before one is made, the API server is asked, so
/// that one without the label is not taken over.
async fn cron_job(
    name: &PolicyName,
    caches: &Caches,
    client: &Client,
) -> Result<Option<Arc<ObservedCronJob>>, ObserveError> {
    let watched = caches.cron_jobs.of(name);
    let same_name = |cron_job: &Arc<ObservedCronJob>| {
        cron_job.metadata.name.as_deref() == Some(name.name.as_str())
    };
    if let Some(watched) = watched.into_iter().find(same_name) {
        return Ok(Some(watched));
    }
    let api = Api::<CronJob>::namespaced(client.clone(), &name.namespace);
    let found = api.get_opt(&name.name).await.map_err(|source| ObserveError::FindCronJob {
        name: name.clone(),
        source: Box::new(source),
    })?;
    Ok(found.map(|cron_job| Arc::new(ObservedCronJob::from(&cron_job))))
}

impl From<&DynamicObject> for ObservedPolicy {
    fn from(object: &DynamicObject) -> Self {
        let metadata = &object.metadata;
        let name = PolicyName {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        };
        let generation = metadata.generation.unwrap_or_default();
        let annotation =
            |name| metadata.annotations.as_ref().and_then(|all| all.get(name)).cloned();
        let mut document = json!({
            "apiVersion": format!("{}/v1alpha1", policy::GROUP),
            "kind": "CleanupPolicy",
            "metadata": {
                "name": name.name,
                "namespace": name.namespace,
                "generation": generation,
            },
        });
        if let (Some(fields), Some(spec)) = (document.as_object_mut(), object.data.get("spec")) {
            fields.insert("spec".into(), spec.clone());
        }
        let (status, unreadable_status) = status(object, &name);
        Self {
            status,
            unreadable_status,
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            approved_rules_hash: annotation(ANNOTATION_APPROVED),
            name,
            generation,
            document,
        }
    }
}

fn status(object: &DynamicObject, name: &PolicyName) -> (CleanupPolicyStatus, Option<Value>) {
    let Some(stored) = object.data.get("status") else {
        return (CleanupPolicyStatus::default(), None);
    };
    match serde_json::from_value(stored.clone()) {
        Ok(status) => (status, None),
        Err(error) => {
            tracing::warn!(policy.namespace = name.namespace, policy.name = name.name, %error,
                "cannot read the stored status of the policy: it is written anew");
            (CleanupPolicyStatus::default(), Some(stored.clone()))
        }
    }
}
