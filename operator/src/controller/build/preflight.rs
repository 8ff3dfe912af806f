//! The Job that looks at the database before the first run of new rules. It
//! belongs to the policy and not to its CronJob: history limits and `Forbid` pass it over.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use policy::{ANNOTATION_ATTEMPT, ANNOTATION_GENERATION};

use super::JobSettings;
use super::cron_job::{annotations, labels, owner};
use super::pod::{self, Purpose};
use crate::controller::gate::Attempt;
use crate::controller::validate::ValidPolicy;

/// Longer than the connect retry and any `execution.statementTimeout` of sense: a pod that waits
/// for its Secret has as long to get it.
const DEADLINE_SECONDS: i64 = 600;
/// Its log is the whole plan, with the SQL.
const KEPT_SECONDS: i32 = 3600;

pub(super) fn build(
    valid: &ValidPolicy,
    policy_uid: &str,
    attempt: &Attempt,
    settings: &JobSettings,
) -> Job {
    let name = valid.policy.name();
    let mut annotations = annotations(valid);
    annotations.insert(ANNOTATION_GENERATION.into(), attempt.generation.to_string());
    annotations.insert(ANNOTATION_ATTEMPT.into(), attempt.number.to_string());
    Job {
        metadata: ObjectMeta {
            name: Some(attempt.job_name.clone()),
            namespace: Some(name.namespace.clone()),
            labels: Some(labels(valid, Purpose::Preflight)),
            annotations: Some(annotations),
            owner_references: Some(vec![owner(&name.name, policy_uid)]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            active_deadline_seconds: Some(DEADLINE_SECONDS),
            // Whether and when it is tried again is the operator's to say.
            backoff_limit: Some(0),
            ttl_seconds_after_finished: Some(KEPT_SECONDS),
            template: pod::template(valid, settings, Purpose::Preflight),
            ..JobSpec::default()
        }),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use crate::controller::examples;

    #[test]
    fn the_preflight_job_of_a_policy() {
        let job = examples::built(&examples::new()).preflight.expect("a Job");
        insta::assert_yaml_snapshot!(job);
    }
}
