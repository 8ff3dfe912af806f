//! The Jobs that the operator makes itself: of a preflight, of a `runNow` token.
//! One that is there already is the same one, by its name.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use kube::{Api, Client};
use policy::{CronJobRef, FIELD_MANAGER, PreflightState};

use super::places::Places;
use super::{ApplyError, Refusal, refused};
use crate::controller::gate::Gate;
use crate::controller::observe::Observed;
use crate::controller::refusal::{is_there_already, is_transient};

/// What became of the Preflight Job that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppliedPreflight {
    /// None was.
    NotAsked,
    /// It exists; its UID is empty if it did before.
    Begun { uid: String },
    /// As many as may be are under way.
    WaitsForTurn,
    /// The API server refused it.
    Refused(Refusal),
}

/// Makes the Preflight Job, when it is its turn.
pub(super) async fn create_preflight(
    job: Option<Job>,
    observed: &Observed,
    places: &Places,
    client: &Client,
) -> Result<AppliedPreflight, ApplyError> {
    let name = &observed.policy.name;
    let Some(job) = job else { return Ok(AppliedPreflight::NotAsked) };
    if !places.take(name) {
        return Ok(AppliedPreflight::WaitsForTurn);
    }
    match create(&job, observed, client).await {
        Ok(uid) => {
            if uid.is_some() {
                tracing::info!(
                    policy.namespace = name.namespace,
                    policy.name = name.name,
                    job = job.metadata.name.as_deref().unwrap_or_default(),
                    "created a Preflight Job"
                );
            }
            Ok(AppliedPreflight::Begun { uid: uid.unwrap_or_default() })
        }
        Err(error) if is_transient(&error) => Err(ApplyError::CreatePreflight(Box::new(error))),
        Err(error) => {
            places.leave(name);
            Ok(AppliedPreflight::Refused(refused("the Preflight Job", &error)))
        }
    }
}

/// Tells the places what the watch has seen: a preflight that has ended, or one of before a restart.
pub(super) fn settle(places: &Places, observed: &Observed, gate: Option<&Gate>) {
    let under_way = observed.preflights.iter().filter(|job| job.ending.is_none());
    let newest = under_way.filter_map(|job| job.created).max();
    let preflight = gate.and_then(|gate| gate.preflight(None));
    let is_awaited = gate.is_some_and(|gate| gate.begin.is_some())
        || preflight.is_some_and(|last| last.state == PreflightState::Running);
    match newest {
        Some(created) => {
            let age = Duration::try_from(observed.now.duration_since(created));
            places.note(&observed.policy.name, age.unwrap_or_default());
        }
        None if is_awaited => {}
        None => places.leave(&observed.policy.name),
    }
}

/// Makes the Job of a `runNow` token and returns the token.
pub(super) async fn create_run(
    mut job: Job,
    cron_job: &CronJobRef,
    observed: &Observed,
    client: &Client,
) -> Result<Result<Option<String>, Refusal>, ApplyError> {
    let token = job.metadata.annotations.as_ref();
    let token = token.and_then(|all| all.get(policy::ANNOTATION_RUN_NOW)).cloned();
    // As `kubectl create job --from=cronjob/…` has it, so that the CronJob's history limits count
    // it in; blockOwnerDeletion would need a permission on `cronjobs/finalizers`.
    job.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "batch/v1".into(),
        kind: "CronJob".into(),
        name: cron_job.name.clone(),
        uid: cron_job.uid.clone(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    match create(&job, observed, client).await {
        Ok(_) => Ok(Ok(Some(token.unwrap_or_default()))),
        Err(error) if is_transient(&error) => Err(ApplyError::CreateRun(Box::new(error))),
        Err(error) => Ok(Err(refused("the Job of the runNow token", &error))),
    }
}

/// The UID of the new Job; none if there was one of its name.
async fn create(job: &Job, observed: &Observed, client: &Client) -> kube::Result<Option<String>> {
    let api = Api::<Job>::namespaced(client.clone(), &observed.policy.name.namespace);
    let parameters =
        PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    match api.create(&parameters, job).await {
        Ok(created) => Ok(created.metadata.uid),
        Err(error) if is_there_already(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
