//! The Job of a new `runNow` token: one token, one Job, by its name.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use policy::ANNOTATION_RUN_NOW;
use sha2::{Digest as _, Sha256};

use crate::controller::observe::ObservedPolicy;
use crate::controller::validate::ValidPolicy;

/// The Job of the token, unless there is none or it has had its run. Its owner, the CronJob, is
/// known only when that has been applied.
pub(super) fn build(
    valid: &ValidPolicy,
    observed: &ObservedPolicy,
    cron_job: &CronJob,
) -> Option<Job> {
    let token = valid.spec.run_now.as_str();
    if token.is_empty() || token == observed.status.last_run_now {
        return None;
    }
    let template = cron_job.spec.as_ref()?.job_template.clone();
    let mut metadata = template.metadata.unwrap_or_default();
    metadata
        .annotations
        .get_or_insert_default()
        .insert(ANNOTATION_RUN_NOW.into(), token.to_owned());
    let metadata = ObjectMeta {
        name: Some(name(observed, token)),
        namespace: Some(observed.name.namespace.clone()),
        ..metadata
    };
    Some(Job { metadata, spec: template.spec, status: None })
}

/// The same until the status has the token, so that one token makes one Job; another when the
/// token comes back after a different one, and for a policy of the same name that is made later.
fn name(observed: &ObservedPolicy, token: &str) -> String {
    let digest =
        Sha256::digest(format!("{}/{}/{token}", observed.uid, observed.status.last_run_now));
    let digits: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-r{digits}", observed.name.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::build::cron_job;
    use crate::controller::examples;

    fn job(token: &str, last: &str) -> Option<Job> {
        let (mut valid, mut observed) = (examples::valid(), examples::policy());
        valid.spec.run_now = token.into();
        observed.status.last_run_now = last.into();
        let desired = cron_job::build(&valid, &observed.uid, false, &examples::settings());
        build(&valid, &observed, &desired.object)
    }

    #[test]
    fn only_a_new_token_makes_a_job() {
        for (token, last, makes) in [
            ("", "", false),
            ("", "a", false),
            ("a", "a", false),
            ("a", "", true),
            ("b", "a", true),
        ] {
            assert_eq!(job(token, last).is_some(), makes, "{token:?} after {last:?}");
        }
    }

    #[test]
    fn the_job_is_the_cron_jobs_with_a_name_and_a_mark_of_its_own() {
        let made = job("initial", "").expect("a Job");
        let name = made.metadata.name.clone().expect("a name");
        assert!(name.starts_with("codes-r") && name.len() == "codes-r".len() + 8, "{name}");
        assert_eq!(job("initial", "").expect("a Job").metadata.name, Some(name.clone()));
        // The token comes back after another one: that is one more run.
        assert_ne!(job("initial", "other").expect("a Job").metadata.name, Some(name.clone()));
        assert_ne!(job("again", "").expect("a Job").metadata.name, Some(name));
        let annotations = made.metadata.annotations.expect("annotations");
        assert_eq!(annotations["pgsweep.dev/run-now"], "initial");
        assert!(made.spec.expect("a spec").pod_failure_policy.is_some());
    }

    #[test]
    fn the_longest_name_fits_a_label() {
        let mut observed = examples::policy();
        observed.name.name = "x".repeat(policy::MAX_POLICY_NAME);
        let name = name(&observed, "t");
        assert!(name.len() <= 63, "{}", name.len());
    }
}
