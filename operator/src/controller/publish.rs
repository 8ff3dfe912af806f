//! The last step: what there is to tell, worked out purely, then told: events
//! first, then at most one write of the status, and none when it is the same.
//!
//! In this order, so that a run which the status has counted has its event.

mod conditions;
mod events;
mod history;
mod patch;
mod preview;
pub mod run;
mod schedule;
mod status;
pub mod words;

use jiff::SignedDuration;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use policy::{CleanupPolicy, FIELD_MANAGER};
use serde_json::{Value, json};
use thiserror::Error;

use super::observe::{Observed, ObservedPolicy};
use super::refusal::{is_conflict, is_there_already, is_transient, words as answer};
use crate::metrics::Metrics;

pub use run::FinishedRun;
pub use status::{Publication, publication};

const CREATE_EVENT: &str = "CreateEvent";

/// Why what there is to tell could not be told.
#[derive(Debug, Error)]
pub enum PublishError {
    /// An event could not be created.
    #[error("failed to create the event {reason}")]
    CreateEvent { reason: &'static str, source: Box<kube::Error> },
    /// The policy has changed since it was read: this status may be wrong.
    #[error("the policy has changed since it was read")]
    StatusConflict,
    /// The status could not be written.
    #[error("failed to write the status")]
    WriteStatus(#[source] Box<kube::Error>),
}

impl PublishError {
    pub fn kind(&self) -> &'static str {
        match self {
            PublishError::CreateEvent { .. } => CREATE_EVENT,
            PublishError::StatusConflict => "StatusConflict",
            PublishError::WriteStatus(_) => "WriteStatus",
        }
    }

    pub fn is_retryable(&self) -> bool {
        match self {
            PublishError::CreateEvent { source, .. } | PublishError::WriteStatus(source) => {
                is_transient(source)
            }
            PublishError::StatusConflict => true,
        }
    }
}

/// Tells it, and says whether that has replaced the version that was observed. An event that cannot
/// be created is passed over where that is what has been `lasting`.
pub async fn publish(
    observed: &Observed,
    publication: &Publication,
    lasting: Option<&str>,
    metrics: &Metrics,
    client: &Client,
) -> Result<bool, PublishError> {
    for (draft, place) in publication.events.iter().zip(0..) {
        // Where times are equal, kubectl shows events in no order.
        let time = observed.now.checked_add(SignedDuration::from_micros(place));
        let event = draft.event(&observed.policy, time.unwrap_or(observed.now));
        create_event(draft.reason, &event, lasting, &observed.policy, client).await?;
    }
    // Until the status is written they all can come again.
    let counted = publication.status.counted_jobs.iter().cloned();
    let told = publication.runs.iter().map(|run| run.status.uid.clone());
    let remembered: Vec<_> = counted.chain(told).collect();
    metrics.count_runs(&observed.policy.name, &publication.runs, &remembered);
    let Some(changes) = patch::changes(&observed.policy, &publication.status) else {
        return Ok(false);
    };
    let has_replaced = write_status(&observed.policy, &changes, client).await?;
    for run in &publication.runs {
        log_run(&observed.policy, run);
    }
    Ok(has_replaced)
}

fn log_run(policy: &ObservedPolicy, run: &FinishedRun) {
    let status = &run.status;
    tracing::info!(
        policy.namespace = policy.name.namespace,
        policy.name = policy.name.name,
        run_id = status.uid,
        trigger = status.trigger.as_str(),
        mode = status.mode.as_str(),
        result = status.result.as_str(),
        stop_reason = status.stop_reason.as_str(),
        rows.matched = status.rows_matched,
        rows.affected = status.rows_affected,
        rows.remaining = status.rows_remaining,
        duration_seconds = status.duration_seconds,
        "counted a run: {}",
        status.message
    );
}

async fn create_event(
    reason: &'static str,
    event: &Event,
    lasting: Option<&str>,
    policy: &ObservedPolicy,
    client: &Client,
) -> Result<(), PublishError> {
    let api = Api::<Event>::namespaced(client.clone(), &policy.name.namespace);
    match api.create(&PostParams::default(), event).await {
        Ok(_) => Ok(()),
        Err(error) if is_there_already(&error) => Ok(()),
        Err(error) if is_transient(&error) && lasting != Some(CREATE_EVENT) => {
            Err(PublishError::CreateEvent { reason, source: Box::new(error) })
        }
        // The status is worth more than its event: a missing permission must not hide it.
        Err(error) => {
            tracing::warn!(
                policy.namespace = policy.name.namespace,
                policy.name = policy.name.name,
                reason,
                error = answer(&error),
                "the API server refused an event"
            );
            Ok(())
        }
    }
}

/// Only what changes, also where another manager wrote it; of the very version that was read, so
/// that no run is counted on the ground of an old status.
async fn write_status(
    policy: &ObservedPolicy,
    changes: &Value,
    client: &Client,
) -> Result<bool, PublishError> {
    let resource = ApiResource::erase::<CleanupPolicy>(&());
    let body = json!({
        "metadata": {"uid": policy.uid, "resourceVersion": policy.resource_version},
        "status": changes,
    });
    let api =
        Api::<DynamicObject>::namespaced_with(client.clone(), &policy.name.namespace, &resource);
    let parameters =
        PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    match api.patch_status(&policy.name.name, &parameters, &Patch::Merge(&body)).await {
        Ok(now) => Ok(now.metadata.resource_version.as_ref() != Some(&policy.resource_version)),
        Err(error) if is_conflict(&error) => Err(PublishError::StatusConflict),
        Err(error) => Err(PublishError::WriteStatus(Box::new(error))),
    }
}
