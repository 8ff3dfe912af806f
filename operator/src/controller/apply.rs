//! The fourth step: the CronJob, then a Preflight Job, then the Job of a
//! `runNow` token. With `publish` the only writes.
//!
//! Never takes an object over that is not the policy's own, never touches a
//! Job that exists, and writes nothing where nothing has changed.

mod decision;
mod job;
mod places;

use k8s_openapi::api::batch::v1::CronJob;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use policy::{ANNOTATION_BUILD_HASH, ANNOTATION_GENERATION, CronJobRef, FIELD_MANAGER, reason};
use serde_json::json;
use thiserror::Error;

use super::build::{Applied, Built, DesiredCronJob, Resources, WantedCronJob};
use super::observe::{Observed, ObservedCronJob};
use super::refusal::{is_transient, words};
use crate::metrics::Metrics;
use decision::{Decision, Suspension, decide, decide_suspension, is_told_first};

pub use job::AppliedPreflight;
pub use places::Places;

/// In the place of a build hash: no build has it, so the next right policy is written.
const SUSPENDED_HASH: &str = "suspended";

/// Why the objects of a policy could not be applied now.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The CronJob could not be written.
    #[error("failed to write the CronJob")]
    WriteCronJob(#[source] Box<kube::Error>),
    /// A Preflight Job could not be made.
    #[error("failed to create the Preflight Job")]
    CreatePreflight(#[source] Box<kube::Error>),
    /// The Job of a `runNow` token could not be made.
    #[error("failed to create the Job of the runNow token")]
    CreateRun(#[source] Box<kube::Error>),
    /// What the watch says is older than what we wrote, or the CronJob of a deleted policy of the
    /// same name is not gone yet.
    #[error("waiting for the CronJob to be up to date")]
    AwaitCronJob,
}

impl ApplyError {
    pub fn kind(&self) -> &'static str {
        match self {
            ApplyError::WriteCronJob(_) => "WriteCronJob",
            ApplyError::CreatePreflight(_) => "CreatePreflight",
            ApplyError::CreateRun(_) => "CreateRun",
            ApplyError::AwaitCronJob => "AwaitCronJob",
        }
    }

    pub fn is_retryable(&self) -> bool {
        match self {
            ApplyError::WriteCronJob(source)
            | ApplyError::CreatePreflight(source)
            | ApplyError::CreateRun(source) => is_transient(source),
            ApplyError::AwaitCronJob => true,
        }
    }
}

/// The CronJob as the API server has it now.
#[derive(Clone, Debug, PartialEq)]
pub enum AppliedCronJob {
    /// It matches the policy.
    Current { reference: CronJobRef, change: Option<Change> },
    /// The policy is wrong; if there is a CronJob, it does not run.
    Suspended(Option<CronJobRef>),
    /// It cannot be as it should, and only somebody else can change that.
    Refused(Refusal),
}

/// What we did to the CronJob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Created,
    Updated,
    /// Somebody else had edited it.
    Corrected,
}

impl Change {
    /// The word of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::Created => "created",
            Change::Updated => "updated",
            Change::Corrected => "corrected",
        }
    }
}

/// Why the objects cannot be as they should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `NameConflict` or `ApplyFailed`.
    pub reason: &'static str,
    /// One sentence for people.
    pub message: String,
}

impl Resources<Applied> {
    /// What keeps the objects from being as they should, the first if there are several.
    pub fn refusal(&self) -> Option<&Refusal> {
        match (&self.cron_job, &self.preflight, &self.run) {
            (AppliedCronJob::Refused(refusal), _, _)
            | (_, AppliedPreflight::Refused(refusal), _)
            | (_, _, Err(refusal)) => Some(refusal),
            _ => None,
        }
    }
}

/// Brings the cluster to what was built. What should be told first is done at once where a failure
/// is `lasting`: it may be that nothing can be told.
pub async fn apply(
    built: Resources<Built>,
    observed: &Observed,
    lasting: Option<&str>,
    places: &Places,
    metrics: &Metrics,
    client: &Client,
) -> Result<Resources<Applied>, ApplyError> {
    let Resources { cron_job, preflight, run, gate } = built;
    job::settle(places, observed, gate.as_ref());
    let cron_job = match cron_job {
        WantedCronJob::Exactly(desired) => {
            apply_cron_job(&desired, observed, lasting, client).await?
        }
        WantedCronJob::Suspended => suspend_cron_job(observed, client).await?,
    };
    let AppliedCronJob::Current { reference, change } = &cron_job else {
        let preflight = AppliedPreflight::NotAsked;
        return Ok(Resources { cron_job, preflight, run: Ok(None), gate });
    };
    if let Some(change) = change {
        metrics.count_apply(change.as_str());
        let name = &observed.policy.name;
        let (namespace, name) = (&name.namespace, &name.name);
        tracing::info!(
            policy.namespace = namespace,
            policy.name = name,
            "{} the CronJob",
            change.as_str()
        );
    }
    let preflight = Box::pin(job::create_preflight(preflight, observed, places, client)).await?;
    let run = match run {
        Some(job) => Box::pin(job::create_run(job, reference, observed, client)).await?,
        None => Ok(None),
    };
    Ok(Resources { cron_job, preflight, run, gate })
}

async fn apply_cron_job(
    desired: &DesiredCronJob,
    observed: &Observed,
    lasting: Option<&str>,
    client: &Client,
) -> Result<AppliedCronJob, ApplyError> {
    let name = &observed.policy.name;
    let api = Api::<CronJob>::namespaced(client.clone(), &name.namespace);
    let existing = observed.cron_job.as_deref();
    let as_it_is = |existing| {
        let reference = reference(existing);
        Ok(AppliedCronJob::Current { reference, change: None })
    };
    if let Some(existing) = existing
        && lasting.is_none()
        && is_told_first(&observed.policy, desired, existing)
    {
        return as_it_is(existing);
    }
    let decision = decide(&observed.policy, desired, existing);
    let written = match (decision, existing) {
        (Decision::Keep, Some(existing)) => return as_it_is(existing),
        (Decision::Wait, _) => return Err(ApplyError::AwaitCronJob),
        (Decision::Refuse, _) => return Ok(AppliedCronJob::Refused(name_conflict(observed))),
        (Decision::Replace | Decision::Correct, Some(existing)) => {
            let body = replacement(desired, existing);
            let parameters =
                PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
            api.replace(&name.name, &parameters, &body).await
        }
        (Decision::Apply, Some(existing)) => {
            let mut body = desired.object.clone();
            // So that one that was deleted meanwhile is not made anew, one that came in its place
            // is not taken over, and what is newer than we know is not undone.
            body.metadata.uid.clone_from(&existing.metadata.uid);
            body.metadata.resource_version.clone_from(&existing.metadata.resource_version);
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            api.patch(&name.name, &parameters, &Patch::Apply(&body)).await
        }
        // Not forced: whoever was faster with this name keeps it.
        (_, _) => {
            let parameters = PatchParams::apply(FIELD_MANAGER);
            api.patch(&name.name, &parameters, &Patch::Apply(&desired.object)).await
        }
    };
    match written {
        Ok(written) => Ok(outcome(decision, existing, &ObservedCronJob::from(&written))),
        Err(error) if is_transient(&error) => Err(ApplyError::WriteCronJob(Box::new(error))),
        Err(error) => Ok(AppliedCronJob::Refused(refused("the CronJob", &error))),
    }
}

fn outcome(
    decision: Decision,
    before: Option<&ObservedCronJob>,
    written: &ObservedCronJob,
) -> AppliedCronJob {
    let version = |cron_job: &ObservedCronJob| cron_job.metadata.resource_version.clone();
    let change = match before {
        None => Some(Change::Created),
        Some(before) if version(before) == version(written) => None,
        Some(_) if decision == Decision::Correct => Some(Change::Corrected),
        Some(_) => Some(Change::Updated),
    };
    AppliedCronJob::Current { reference: reference(written), change }
}

/// Our whole `spec`, under the metadata that others may have added to.
fn replacement(desired: &DesiredCronJob, existing: &ObservedCronJob) -> CronJob {
    let mut metadata = existing.metadata.clone();
    let ours = &desired.object.metadata;
    metadata.labels.get_or_insert_default().extend(ours.labels.clone().unwrap_or_default());
    metadata
        .annotations
        .get_or_insert_default()
        .extend(ours.annotations.clone().unwrap_or_default());
    CronJob { metadata, spec: desired.object.spec.clone(), status: None }
}

async fn suspend_cron_job(
    observed: &Observed,
    client: &Client,
) -> Result<AppliedCronJob, ApplyError> {
    let name = &observed.policy.name;
    let existing = observed.cron_job.as_deref();
    let known = || observed.policy.status.cron_job_ref.clone();
    let existing = match (decide_suspension(&observed.policy, existing), existing) {
        (Suspension::Wait, _) => return Err(ApplyError::AwaitCronJob),
        (Suspension::Suspend, Some(existing)) => existing,
        (Suspension::Tell, Some(existing)) => {
            return Ok(AppliedCronJob::Suspended(Some(reference(existing))));
        }
        (Suspension::Keep | Suspension::Tell | Suspension::Suspend, _) => {
            return Ok(AppliedCronJob::Suspended(existing.and(known())));
        }
    };
    let patch = json!({
        "metadata": {
            "uid": existing.metadata.uid,
            "resourceVersion": existing.metadata.resource_version,
            "annotations": {
                ANNOTATION_BUILD_HASH: SUSPENDED_HASH,
                ANNOTATION_GENERATION: observed.policy.generation.to_string(),
            },
        },
        "spec": {"suspend": true},
    });
    let parameters =
        PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let api = Api::<CronJob>::namespaced(client.clone(), &name.namespace);
    match api.patch(&name.name, &parameters, &Patch::Merge(&patch)).await {
        Ok(written) => {
            let written = ObservedCronJob::from(&written);
            Ok(AppliedCronJob::Suspended(Some(reference(&written))))
        }
        Err(error) if is_transient(&error) => Err(ApplyError::WriteCronJob(Box::new(error))),
        Err(error) => Ok(AppliedCronJob::Refused(refused("the suspension of the CronJob", &error))),
    }
}

fn reference(cron_job: &ObservedCronJob) -> CronJobRef {
    CronJobRef {
        name: cron_job.metadata.name.clone().unwrap_or_default(),
        uid: cron_job.uid().to_owned(),
        generation: cron_job.generation(),
        hash: cron_job.annotation(ANNOTATION_BUILD_HASH).unwrap_or_default().to_owned(),
    }
}

fn name_conflict(observed: &Observed) -> Refusal {
    let name = &observed.policy.name.name;
    Refusal {
        reason: reason::NAME_CONFLICT,
        message: format!(
            "there is a CronJob {name:?} in this namespace that does not belong to this policy; \
             delete or rename it, or give the policy another name"
        ),
    }
}

fn refused(what: &str, error: &kube::Error) -> Refusal {
    let words = in_policy_terms(&words(error));
    Refusal {
        reason: reason::APPLY_FAILED,
        message: format!("the API server refused {what}: {words}"),
    }
}

/// Names fields of the CronJob, or of a Job, by those of the policy that they were made of.
fn in_policy_terms(words: &str) -> String {
    const POD_TEMPLATE: &str = "spec.podTemplate.";
    // Before each stands what it is the beginning of.
    let ours = [
        ("spec.jobTemplate.spec.template.spec.containers[0].", POD_TEMPLATE),
        ("spec.jobTemplate.spec.template.spec.", POD_TEMPLATE),
        ("spec.jobTemplate.spec.template.", POD_TEMPLATE),
        ("spec.jobTemplate.spec.", "spec."),
        ("spec.template.spec.containers[0].", POD_TEMPLATE),
        ("spec.template.spec.", POD_TEMPLATE),
        ("spec.template.", POD_TEMPLATE),
    ];
    ours.iter().fold(words.to_owned(), |words, (theirs, ours)| words.replace(theirs, ours))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_refusal_names_the_fields_of_the_policy() {
        let says = |message: &str| {
            let status = Status::failure(message, "Invalid").with_code(422);
            refused("the CronJob", &kube::Error::Api(Box::new(status))).message
        };
        let pod = "spec.jobTemplate.spec.template";
        assert_eq!(
            says(&format!(
                "[{pod}.labels: a, {pod}.spec.nodeSelector: b, {pod}.spec.containers[0].resources.limits: c]"
            )),
            "the API server refused the CronJob: [spec.podTemplate.labels: a, \
             spec.podTemplate.nodeSelector: b, spec.podTemplate.resources.limits: c] (422 Invalid)"
        );
        assert_eq!(
            says("spec.template.spec.tolerations[0].key: a, spec.schedule: b"),
            "the API server refused the CronJob: spec.podTemplate.tolerations[0].key: a, \
             spec.schedule: b (422 Invalid)"
        );
    }
}
