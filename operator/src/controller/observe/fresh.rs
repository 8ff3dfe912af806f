//! The reads that ask the API server itself: before something is said to be
//! missing, since a watch may be behind, and for what no watch knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client, Resource as _};
use policy::{LABEL_POLICY, PolicyName};

use super::{ObserveError, ObservedCronJob, ObservedJob};
use crate::controller::index::Digest as _;
use crate::controller::refusal::is_transient;
use crate::controller::stored::StoredPolicy;

/// Of the events of one Job; Kubernetes adds up those that are alike.
const MOST_EVENTS: u32 = 10;
/// The Job controller's word for a pod that the API server refused.
const FAILED_CREATE: &str = "FailedCreate";

/// The policy of this name, whichever it is now.
pub async fn policy(name: &PolicyName, client: &Client) -> Result<StoredPolicy, ObserveError> {
    let api = Api::<StoredPolicy>::namespaced(client.clone(), &name.namespace);
    let found = api.get_opt(&name.name).await.map_err(|source| ObserveError::FindPolicy {
        name: name.clone(),
        source: Box::new(source),
    })?;
    let stays = found.filter(|policy| policy.meta().deletion_timestamp.is_none());
    stays.ok_or_else(|| ObserveError::IsGone { name: name.clone() })
}

/// The CronJob of this name, whoever it belongs to.
pub async fn cron_job(
    name: &PolicyName,
    client: &Client,
) -> Result<Option<Arc<ObservedCronJob>>, ObserveError> {
    let api = Api::<CronJob>::namespaced(client.clone(), &name.namespace);
    let found = api.get_opt(&name.name).await.map_err(|source| ObserveError::FindCronJob {
        name: name.clone(),
        source: Box::new(source),
    })?;
    Ok(found.map(|cron_job| Arc::new(ObservedCronJob::from(&cron_job))))
}

/// Every Job with the label of the policy, by its UID.
pub async fn jobs(
    name: &PolicyName,
    client: &Client,
) -> Result<BTreeMap<String, Arc<ObservedJob>>, ObserveError> {
    let api = Api::<Job>::namespaced(client.clone(), &name.namespace);
    let own = ListParams::default().labels(&format!("{LABEL_POLICY}={}", name.name));
    let found = api.list(&own).await.map_err(|source| ObserveError::ListJobs {
        name: name.clone(),
        source: Box::new(source),
    })?;
    let entries = found.items.iter().filter_map(ObservedJob::digest);
    Ok(entries.map(|entry| (entry.uid, Arc::new(entry.value))).collect())
}

/// Why the pod of this Job could not be made; empty while nobody has told.
pub async fn refusal_of_pod(
    namespace: &str,
    job_uid: &str,
    client: &Client,
) -> Result<String, ObserveError> {
    let api = Api::<Event>::namespaced(client.clone(), namespace);
    let fields = format!("regarding.uid={job_uid},reason={FAILED_CREATE}");
    match api.list(&ListParams::default().fields(&fields).limit(MOST_EVENTS)).await {
        Ok(events) => {
            let newest = events.items.into_iter().max_by_key(told_at);
            Ok(newest.and_then(|event| event.note).unwrap_or_default())
        }
        Err(error) if is_transient(&error) => Err(ObserveError::ListEvents(Box::new(error))),
        // That a Job is stuck is worth more than why: a missing permission must not hide it.
        Err(error) => {
            tracing::warn!(namespace, job_uid, %error, "the API server refused the events of a Job");
            Ok(String::new())
        }
    }
}

/// The Job controller still writes events in the way of before `events.k8s.io`.
fn told_at(event: &Event) -> Option<jiff::Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    let old = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    series.or(old).or(event.event_time.as_ref().map(|time| time.0))
}
