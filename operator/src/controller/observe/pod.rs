//! What is known of a pod of a Job: only what its container says.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use policy::{CONTAINER, LABEL_POLICY, PolicyName};

use crate::controller::index::{Digest, Entry};

/// A pod's last word may reach us after its Job's: so long it is waited for. Longer than a list that
/// an API server under load is slow with; whatever waits is told late, what does not is lost.
pub const REPORT_PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// Kubelet's reason for the end of a container that it lost sight of: what it then says is its own
/// word, and no report.
const LOST_SIGHT: &str = "ContainerStatusUnknown";

/// The part of a pod that a reconcile looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedPod {
    pub name: String,
    /// UID of the Job that owns it.
    pub job_uid: String,
    pub created: Option<Timestamp>,
    /// When it must be gone, if somebody deletes it.
    pub deletion: Option<Timestamp>,
    pub container: Container,
    /// It has a node.
    pub is_scheduled: bool,
    /// Why it has no node; empty when it has one, or nothing is wrong yet.
    pub unschedulable: String,
}

/// The state of the container.
#[derive(Clone, Debug, PartialEq)]
pub enum Container {
    /// Not begun; `reason` is empty while nothing is wrong.
    Waiting { reason: String, message: String },
    /// Begun and not ended.
    Running,
    /// Ended.
    Terminated(Termination),
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Termination {
    pub exit_code: i32,
    /// Kubelet's word, such as `OOMKilled`.
    pub reason: String,
    /// The termination message: the report of the run, if all went well.
    pub message: String,
    pub finished_at: Option<Timestamp>,
}

impl Digest for ObservedPod {
    type Object = Pod;

    fn digest(pod: &Pod) -> Option<Entry<Self>> {
        let metadata = &pod.metadata;
        let mut owners = metadata.owner_references.iter().flatten();
        let job = owners.find(|owner| owner.kind == "Job")?;
        let value = Self {
            name: metadata.name.clone()?,
            job_uid: job.uid.clone(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            deletion: metadata.deletion_timestamp.as_ref().map(|time| time.0),
            container: container(pod),
            is_scheduled: pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()),
            unschedulable: unschedulable(pod),
        };
        let policy = PolicyName {
            namespace: metadata.namespace.clone()?,
            name: metadata.labels.as_ref()?.get(LABEL_POLICY)?.clone(),
        };
        Some(Entry { policy, uid: metadata.uid.clone()?, value })
    }

    /// One that never began tells why its run did nothing.
    fn is_last_word(&self) -> bool {
        true
    }
}

/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions>
fn unschedulable(pod: &Pod) -> String {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let refused = conditions.into_iter().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && matches!(condition.reason.as_deref(), Some("Unschedulable" | "SchedulingGated"))
    });
    refused.and_then(|condition| condition.message.clone()).unwrap_or_default()
}

fn container(pod: &Pod) -> Container {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let state = statuses.into_iter().find(|status| status.name == CONTAINER);
    match state.and_then(|status| status.state.clone()) {
        Some(ContainerState { terminated: Some(terminated), .. }) => {
            let reason = terminated.reason.unwrap_or_default();
            let message = terminated.message.filter(|_| reason != LOST_SIGHT);
            Container::Terminated(Termination {
                exit_code: terminated.exit_code,
                reason,
                message: message.unwrap_or_default(),
                finished_at: terminated.finished_at.map(|time| time.0),
            })
        }
        Some(ContainerState { running: Some(_), .. }) => Container::Running,
        Some(ContainerState { waiting: Some(waiting), .. }) => Container::Waiting {
            reason: waiting.reason.unwrap_or_default(),
            message: waiting.message.unwrap_or_default(),
        },
        Some(ContainerState { .. }) | None => {
            Container::Waiting { reason: String::new(), message: String::new() }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(state: serde_json::Value) -> Container {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": "codes-1-x", "namespace": "shop", "uid": "p1",
                "labels": {"pgsweep.dev/policy": "codes"},
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "codes-1", "uid": "j1"}],
            },
        }))
        .expect("a Pod");
        let sidecar = json!({"running": {}});
        let status = |name: &str, state| json!({"name": name, "state": state, "image": "i", "imageID": "", "ready": false, "restartCount": 0});
        pod.status = serde_json::from_value(json!({
            "containerStatuses": [status("sidecar", sidecar), status("pgsweep", state)],
        }))
        .expect("a status");
        ObservedPod::digest(&pod).expect("a pod of ours").value.container
    }

    #[test]
    fn only_our_container_speaks() {
        let waiting =
            pod(json!({"waiting": {"reason": "CreateContainerConfigError", "message": "m"}}));
        let expected =
            Container::Waiting { reason: "CreateContainerConfigError".into(), message: "m".into() };
        assert_eq!(waiting, expected);
        assert_eq!(pod(json!({"running": {}})), Container::Running);
        let Container::Terminated(ended) =
            pod(json!({"terminated": {"exitCode": 3, "message": "{}"}}))
        else {
            panic!("it has ended");
        };
        assert_eq!((ended.exit_code, ended.message.as_str()), (3, "{}"));
        let lost =
            json!({"exitCode": 137, "reason": LOST_SIGHT, "message": "could not be located"});
        let Container::Terminated(lost) = pod(json!({"terminated": lost})) else {
            panic!("it has ended");
        };
        assert_eq!((lost.exit_code, lost.message.as_str()), (137, ""));
    }
}
