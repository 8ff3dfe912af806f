//! The CronJob of a policy.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    CronJob, CronJobSpec, JobSpec, JobTemplateSpec, PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use policy::{
    ANNOTATION_BUILD_HASH, ANNOTATION_GENERATION, ANNOTATION_RULES_HASH, CONTAINER,
    ConcurrencyPolicy, GROUP, LABEL_COMPONENT, LABEL_MODE, LABEL_POLICY,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::JobSettings;
use super::pod::{self, Purpose};
use crate::controller::validate::ValidPolicy;

/// Exit codes of `pgsweep` after which a retry cannot help.
const EXITS_THAT_FAIL: [i32; 3] = [2, 3, 11];
/// Exit codes of `pgsweep` after which a retry may help.
const EXITS_THAT_COUNT: [i32; 2] = [10, 143];

/// A CronJob as it should be.
#[derive(Clone, Debug)]
pub struct DesiredCronJob {
    /// With the hash among its annotations.
    pub object: CronJob,
    /// Hash of all the rest.
    pub hash: String,
}

/// Builds the CronJob; one that is held does not run, whatever the policy says.
pub fn build(
    valid: &ValidPolicy,
    policy_uid: &str,
    is_held: bool,
    settings: &JobSettings,
) -> DesiredCronJob {
    let name = valid.policy.name();
    let mut object = CronJob {
        metadata: ObjectMeta {
            name: Some(name.name.clone()),
            namespace: Some(name.namespace.clone()),
            labels: Some(labels(valid, Purpose::Run)),
            annotations: Some(annotations(valid)),
            owner_references: Some(vec![owner(&name.name, policy_uid)]),
            ..ObjectMeta::default()
        },
        spec: Some(spec(valid, is_held, settings)),
        status: None,
    };
    let hash = hash(&object);
    let annotations = object.metadata.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_BUILD_HASH.into(), hash.clone());
    DesiredCronJob { object, hash }
}

fn spec(valid: &ValidPolicy, is_held: bool, settings: &JobSettings) -> CronJobSpec {
    let spec = &valid.spec;
    let concurrency_policy = match spec.concurrency_policy {
        ConcurrencyPolicy::Forbid => "Forbid",
        ConcurrencyPolicy::Replace => "Replace",
    };
    CronJobSpec {
        schedule: valid.policy.schedule().expression().to_owned(),
        time_zone: Some(valid.policy.schedule().time_zone().to_owned()),
        suspend: Some(spec.suspend || is_held),
        starting_deadline_seconds: Some(spec.starting_deadline_seconds),
        concurrency_policy: Some(concurrency_policy.to_owned()),
        successful_jobs_history_limit: Some(spec.successful_jobs_history_limit),
        failed_jobs_history_limit: Some(spec.failed_jobs_history_limit),
        job_template: JobTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(labels(valid, Purpose::Run)),
                annotations: Some(annotations(valid)),
                ..ObjectMeta::default()
            }),
            spec: Some(JobSpec {
                active_deadline_seconds: Some(spec.active_deadline_seconds),
                backoff_limit: Some(spec.backoff_limit),
                // A new pod begins only when the old one has ended: at most one run at a time.
                pod_replacement_policy: Some("Failed".into()),
                pod_failure_policy: Some(pod_failure_policy()),
                template: pod::template(valid, settings, Purpose::Run),
                ..JobSpec::default()
            }),
        },
    }
}

fn pod_failure_policy() -> PodFailurePolicy {
    let exits = |action: &str, codes: &[i32]| PodFailurePolicyRule {
        action: action.into(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(CONTAINER.into()),
            operator: "In".into(),
            values: codes.to_vec(),
        }),
        ..PodFailurePolicyRule::default()
    };
    // The first: a drained node is nobody's failure, whatever the exit code.
    let disrupted = PodFailurePolicyRule {
        action: "Ignore".into(),
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".into(),
            status: "True".into(),
        }]),
        ..PodFailurePolicyRule::default()
    };
    let rules =
        vec![disrupted, exits("FailJob", &EXITS_THAT_FAIL), exits("Count", &EXITS_THAT_COUNT)];
    PodFailurePolicy { rules }
}

/// Labels of CronJob, Job and pod.
pub(super) fn labels(valid: &ValidPolicy, purpose: Purpose) -> BTreeMap<String, String> {
    let labels = [
        ("app.kubernetes.io/name", "pgsweep"),
        ("app.kubernetes.io/instance", valid.policy.name().name.as_str()),
        (LABEL_COMPONENT, purpose.component()),
        ("app.kubernetes.io/part-of", "pgsweep"),
        ("app.kubernetes.io/managed-by", "pgsweep-operator"),
        (LABEL_POLICY, valid.policy.name().name.as_str()),
        (LABEL_MODE, valid.policy.mode().as_str()),
    ];
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Annotations of CronJob, Job and pod.
pub(super) fn annotations(valid: &ValidPolicy) -> BTreeMap<String, String> {
    [
        (ANNOTATION_RULES_HASH.to_owned(), valid.policy.rules_hash().to_owned()),
        (ANNOTATION_GENERATION.to_owned(), valid.policy.generation().to_string()),
    ]
    .into()
}

/// The policy, as the owner of an object that goes with it.
pub(super) fn owner(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: format!("{GROUP}/v1alpha1"),
        kind: "CleanupPolicy".into(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// 32 hexadecimal digits of the SHA-256 of the object.
fn hash(object: &CronJob) -> String {
    let json = serde_json::to_value(object).unwrap_or(Value::Null);
    let digest = Sha256::digest(json.to_string());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::PullPolicy;
    use crate::controller::examples;

    #[test]
    fn the_cron_job_of_a_policy() {
        let desired = build(&examples::valid(), "policy-uid", false, &examples::settings());
        insta::assert_yaml_snapshot!(desired.object);
    }

    #[test]
    fn the_same_policy_gives_the_same_hash_and_any_change_another() {
        let hash =
            |valid: &ValidPolicy, settings: &JobSettings| build(valid, "u", false, settings).hash;
        let (valid, settings) = (examples::valid(), examples::settings());
        assert_eq!(hash(&valid, &settings), hash(&examples::valid(), &settings));

        let mut suspended = examples::valid();
        suspended.spec.suspend = true;
        assert_ne!(hash(&valid, &settings), hash(&suspended, &settings));
        assert_eq!(build(&valid, "u", true, &settings).object.spec, {
            build(&suspended, "u", false, &settings).object.spec
        });
        assert_ne!(hash(&valid, &settings), build(&valid, "u", true, &settings).hash);
        let pulled =
            JobSettings { image_pull_policy: Some(PullPolicy::Always), ..settings.clone() };
        assert_ne!(hash(&valid, &settings), hash(&valid, &pulled));
    }
}
