//! What is known of a Job of a policy.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use policy::{
    ANNOTATION_ATTEMPT, ANNOTATION_GENERATION, ANNOTATION_RULES_HASH, ANNOTATION_RUN_NOW,
    COMPONENT_PREFLIGHT, GROUP, LABEL_COMPONENT, LABEL_MODE, LABEL_POLICY, Mode, PolicyName,
    Trigger,
};

use crate::controller::index::{Digest, Entry};

/// What `kubectl create job --from=cronjob/…` leaves on the Job that it makes.
const ANNOTATION_INSTANTIATE: &str = "cronjob.kubernetes.io/instantiate";
/// What the CronJob controller leaves on the Job of a slot.
const ANNOTATION_SLOT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// The part of a Job that a reconcile looks at: not its template, which can hold 96 KiB.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedJob {
    pub name: String,
    pub uid: String,
    /// UID of the CronJob that owns it, or of the policy, for a preflight; empty for an orphan.
    pub owner_uid: String,
    /// Name of that owner.
    pub owner_name: String,
    pub role: Role,
    pub mode: Mode,
    pub created: Option<Timestamp>,
    /// The slot that its CronJob made it for.
    pub slot: Option<Timestamp>,
    pub start_time: Option<Timestamp>,
    /// `spec.suspend`: somebody holds it back.
    pub suspended: bool,
    /// Pods that ended, whichever way.
    pub attempts: i32,
    /// How it ended, if it did.
    pub ending: Option<Ending>,
}

/// What a Job is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// A run, for this reason.
    Run(Trigger),
    /// A preflight of the rules of this hash: its so many-th try since this generation of the policy.
    Preflight { rules_hash: String, generation: i64, attempt: i32 },
}

/// How a Job ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    pub time: Timestamp,
    pub verdict: Verdict,
}

/// What ended a Job.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// By its own word.
    Complete,
    /// By its own word.
    Failed {
        /// `DeadlineExceeded`, `BackoffLimitExceeded`, `PodFailurePolicy`, …
        reason: String,
    },
    /// It was deleted before it ended; the watch saw it go.
    Deleted,
    /// It went while nobody looked, and may have ended in any way before.
    Lost {
        /// A Job of the CronJob has succeeded since this one began.
        likely_succeeded: bool,
    },
}

impl ObservedJob {
    /// Why it runs.
    pub fn trigger(&self) -> Trigger {
        match self.role {
            Role::Run(trigger) => trigger,
            Role::Preflight { .. } => Trigger::Manual,
        }
    }

    /// The same Job, at its end.
    pub fn ended_by(&self, verdict: Verdict) -> Self {
        // Nobody knows when; as early as can be, so that no run that came after it is counted first.
        let time = self.start_time.or(self.created).unwrap_or(Timestamp::MIN);
        Self { ending: Some(Ending { time, verdict }), ..self.clone() }
    }
}

impl Digest for ObservedJob {
    type Object = Job;

    fn digest(job: &Job) -> Option<Entry<Self>> {
        let metadata = &job.metadata;
        let labels = metadata.labels.as_ref()?;
        let status = job.status.clone().unwrap_or_default();
        let uid = metadata.uid.clone()?;
        let owner = owner(metadata);
        let value = Self {
            name: metadata.name.clone()?,
            uid: uid.clone(),
            owner_uid: owner.map(|owner| owner.uid.clone()).unwrap_or_default(),
            owner_name: owner.map(|owner| owner.name.clone()).unwrap_or_default(),
            role: role(metadata),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            mode: mode(labels.get(LABEL_MODE).map(String::as_str)),
            slot: slot(metadata),
            start_time: status.start_time.as_ref().map(|time| time.0),
            suspended: job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true)),
            attempts: status.succeeded.unwrap_or(0).saturating_add(status.failed.unwrap_or(0)),
            ending: ending(job),
        };
        let policy = PolicyName {
            namespace: metadata.namespace.clone()?,
            name: labels.get(LABEL_POLICY)?.clone(),
        };
        Some(Entry { policy, uid, value })
    }

    /// One that was deleted in its midst is a run, too.
    fn is_last_word(&self) -> bool {
        true
    }
}

/// The CronJob of a run, the policy of a preflight.
fn owner(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| {
        let group = owner.api_version.split('/').next();
        owner.kind == "CronJob" || (owner.kind == "CleanupPolicy" && group == Some(GROUP))
    })
}

/// Written in the zone of the schedule.
fn slot(metadata: &ObjectMeta) -> Option<Timestamp> {
    metadata.annotations.as_ref()?.get(ANNOTATION_SLOT)?.parse().ok()
}

/// By its owner, since a Job that a person made has copied every label.
fn role(metadata: &ObjectMeta) -> Role {
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(LABEL_COMPONENT));
    let of_policy =
        metadata.owner_references.iter().flatten().any(|owner| owner.kind == "CleanupPolicy");
    if !of_policy || label.is_none_or(|label| label != COMPONENT_PREFLIGHT) {
        return Role::Run(trigger(metadata));
    }
    let annotation = |name| metadata.annotations.as_ref().and_then(|all| all.get(name));
    Role::Preflight {
        rules_hash: annotation(ANNOTATION_RULES_HASH).cloned().unwrap_or_default(),
        generation: annotation(ANNOTATION_GENERATION)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default(),
        attempt: annotation(ANNOTATION_ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or(1),
    }
}

/// Labels do not count: a Job that a person made has copied them all.
fn trigger(metadata: &ObjectMeta) -> Trigger {
    let annotation = |name| metadata.annotations.as_ref().and_then(|all| all.get(name));
    if annotation(ANNOTATION_INSTANTIATE).is_some_and(|value| value == "manual") {
        Trigger::Manual
    } else if annotation(ANNOTATION_RUN_NOW).is_some() {
        Trigger::RunNow
    } else {
        Trigger::Schedule
    }
}

fn mode(label: Option<&str>) -> Mode {
    if label == Some(Mode::DryRun.as_str()) { Mode::DryRun } else { Mode::Enforce }
}

fn ending(job: &Job) -> Option<Ending> {
    let status = job.status.as_ref()?;
    let ended = |kind: &str| {
        let mut conditions = status.conditions.iter().flatten();
        conditions.find(|condition| condition.type_ == kind && condition.status == "True")
    };
    let (condition, verdict) = match (ended("Failed"), ended("Complete")) {
        (Some(failed), _) => {
            let reason = failed.reason.clone().unwrap_or_default();
            (failed, Verdict::Failed { reason })
        }
        (None, Some(complete)) => (complete, Verdict::Complete),
        (None, None) => return None,
    };
    let time = status.completion_time.as_ref().or(condition.last_transition_time.as_ref());
    Some(Ending { time: time.map(|time| time.0).unwrap_or_default(), verdict })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_trigger_is_told_by_annotations_and_a_person_wins() {
        let manual = ("cronjob.kubernetes.io/instantiate", "manual");
        let run_now = ("pgsweep.dev/run-now", "initial");
        let scheduled = ("batch.kubernetes.io/cronjob-scheduled-timestamp", "2026-11-21T03:00:00Z");
        let cases: [(&[(&str, &str)], Trigger); 5] = [
            (&[], Trigger::Schedule),
            (&[scheduled], Trigger::Schedule),
            (&[run_now], Trigger::RunNow),
            (&[manual], Trigger::Manual),
            (&[run_now, manual], Trigger::Manual),
        ];
        for (annotations, expected) in cases {
            let annotations =
                annotations.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            let metadata = ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() };
            assert_eq!(trigger(&metadata), expected, "{metadata:?}");
        }
    }

    fn job(status: serde_json::Value) -> Option<Entry<ObservedJob>> {
        let mut job: Job = serde_json::from_value(json!({
            "metadata": {
                "name": "codes-1", "namespace": "shop", "uid": "j1",
                "labels": {"pgsweep.dev/policy": "codes", "pgsweep.dev/mode": "DryRun"},
                "ownerReferences": [
                    {"apiVersion": "batch/v1", "kind": "CronJob", "name": "codes", "uid": "c1", "controller": true},
                ],
            },
        }))
        .expect("a Job");
        job.status = serde_json::from_value(status).expect("a status");
        ObservedJob::digest(&job)
    }

    #[test]
    fn a_job_ends_by_a_condition_that_is_true_and_not_before() {
        let at = "2026-11-21T03:00:07Z";
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({"conditions": [
                {"type": kind, "status": status, "reason": reason, "lastTransitionTime": at},
            ]})
        };
        let failed = |reason: &str| Some(Verdict::Failed { reason: reason.into() });
        let cases = [
            (json!({"active": 1}), None),
            (condition("FailureTarget", "True", "PodFailurePolicy"), None),
            (condition("SuccessCriteriaMet", "True", ""), None),
            (condition("Complete", "False", ""), None),
            (condition("Complete", "True", "CompletionsReached"), Some(Verdict::Complete)),
            (condition("Failed", "True", "DeadlineExceeded"), failed("DeadlineExceeded")),
        ];
        for (status, expected) in cases {
            let job = job(status.clone()).expect("a Job of ours").value;
            assert_eq!(
                job.ending.as_ref().map(|ending| &ending.verdict),
                expected.as_ref(),
                "{status}"
            );
            if let Some(ending) = job.ending {
                assert_eq!(ending.time.to_string(), at);
            }
        }
    }

    #[test]
    fn attempts_are_the_pods_that_ended() {
        let job = job(json!({"succeeded": 1, "failed": 2})).expect("a Job of ours").value;
        assert_eq!((job.attempts, job.mode), (3, Mode::DryRun));
    }
}
