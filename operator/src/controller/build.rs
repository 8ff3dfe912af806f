//! The third step: the objects that a policy should have. Pure and sync: the
//! same input always gives the same bytes, so that a hash can say "nothing to do".

mod cron_job;
mod pod;
mod preflight;
mod run_now;

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;

use super::apply::{AppliedCronJob, AppliedPreflight, Refusal};
use super::gate::{self, Gate};
use super::observe::Observed;
use super::validate::{InvalidPolicy, ValidPolicy};
use crate::args::PullPolicy;

pub use cron_job::DesiredCronJob;

/// The objects of one policy, at one stage of their way.
#[derive(Clone, Debug)]
pub struct Resources<S: Stage> {
    pub cron_job: S::CronJob,
    pub preflight: S::Preflight,
    pub run: S::Run,
    /// Whether the CronJob may run; none where that is not known, since the policy is wrong.
    pub gate: Option<Gate>,
}

/// How far the objects of a policy have come: only what is [`Applied`] can be published.
pub trait Stage {
    type CronJob;
    type Preflight;
    type Run;
}

/// As they should be.
#[derive(Clone, Debug)]
pub struct Built;

impl Stage for Built {
    type CronJob = WantedCronJob;
    type Preflight = Option<Job>;
    type Run = Option<Job>;
}

/// As the API server has them.
#[derive(Clone, Debug)]
pub struct Applied;

impl Stage for Applied {
    type CronJob = AppliedCronJob;
    type Preflight = AppliedPreflight;
    /// The `runNow` token whose Job exists now.
    type Run = Result<Option<String>, Refusal>;
}

/// What should become of the CronJob.
#[derive(Clone, Debug)]
pub enum WantedCronJob {
    /// It should be exactly this.
    Exactly(Box<DesiredCronJob>),
    /// The policy is wrong: a CronJob that exists must not run its old rules on.
    Suspended,
}

/// What all Jobs have in common, from the operator's flags.
#[derive(Clone, Debug)]
pub struct JobSettings {
    pub image: String,
    pub image_pull_policy: Option<PullPolicy>,
}

/// Builds the objects of a policy. `retry` is the first wait after a preflight that failed.
pub fn build(
    observed: &Observed,
    validated: &Result<ValidPolicy, InvalidPolicy>,
    retry: Duration,
    settings: &JobSettings,
) -> Resources<Built> {
    let Ok(valid) = validated else {
        let cron_job = WantedCronJob::Suspended;
        return Resources { cron_job, preflight: None, run: None, gate: None };
    };
    let gate = gate::judge(observed, valid, retry);
    let is_held = gate.hold.is_some();
    let desired = cron_job::build(valid, &observed.policy.uid, is_held, settings);
    let preflight = gate.begin.as_ref();
    let preflight =
        preflight.map(|next| preflight::build(valid, &observed.policy.uid, next, settings));
    let run = run_now::build(valid, &observed.policy, &desired.object).filter(|_| !is_held);
    let cron_job = WantedCronJob::Exactly(Box::new(desired));
    Resources { cron_job, preflight, run, gate: Some(gate) }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::CronJob;
    use serde_json::json;

    use super::*;
    use crate::controller::examples::{self, built};

    fn cron_job(observed: &Observed) -> CronJob {
        match built(observed).cron_job {
            WantedCronJob::Exactly(desired) => desired.object,
            WantedCronJob::Suspended => panic!("a right policy has a CronJob"),
        }
    }

    #[test]
    fn a_policy_is_held_until_its_gate_is_open_and_its_token_waits_too() {
        let suspended = |observed: &Observed| cron_job(observed).spec.expect("a spec").suspend;
        let mut new = examples::new();
        new.policy.document["spec"]["runNow"] = json!("initial");
        assert_eq!(suspended(&new), Some(true));
        assert!(built(&new).preflight.is_some() && built(&new).run.is_none());

        let mut passed = examples::observed();
        passed.policy.document["spec"]["runNow"] = json!("initial");
        assert_eq!(suspended(&passed), Some(false));
        assert!(built(&passed).preflight.is_none() && built(&passed).run.is_some());
        passed.policy.document["spec"]["suspend"] = json!(true);
        assert_eq!(suspended(&passed), Some(true));
        assert!(built(&passed).run.is_some());

        passed.policy.document["spec"]["approval"] = json!("OnRulesChange");
        assert_eq!(suspended(&passed), Some(true));
        assert!(built(&passed).run.is_none());
    }

    #[test]
    fn a_wrong_policy_has_no_gate() {
        let mut wrong = examples::observed();
        wrong.policy.document["spec"]["rules"] = json!([]);
        let built = built(&wrong);
        assert!(built.gate.is_none() && built.preflight.is_none() && built.run.is_none());
    }
}
