//! The third step: the objects that a policy should have. Pure and sync: the
//! same input always gives the same bytes, so that a hash can say "nothing to do".

mod cron_job;
mod pod;
mod run_now;

use k8s_openapi::api::batch::v1::Job;

use super::apply::AppliedCronJob;
use super::observe::Observed;
use super::validate::{InvalidPolicy, ValidPolicy};
use crate::args::PullPolicy;

pub use cron_job::DesiredCronJob;

/// The objects of one policy, at one stage of their way.
#[derive(Clone, Debug)]
pub struct Resources<S: Stage> {
    pub cron_job: S::CronJob,
    pub run: S::Run,
}

/// How far the objects of a policy have come: only what is [`Applied`] can be published.
pub trait Stage {
    type CronJob;
    type Run;
}

/// As they should be.
#[derive(Clone, Debug)]
pub struct Built;

impl Stage for Built {
    type CronJob = WantedCronJob;
    type Run = Option<Job>;
}

/// As the API server has them.
#[derive(Clone, Debug)]
pub struct Applied;

impl Stage for Applied {
    type CronJob = AppliedCronJob;
    /// The `runNow` token whose Job exists now.
    type Run = Option<String>;
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

/// Builds the objects of a policy.
pub fn build(
    observed: &Observed,
    validated: &Result<ValidPolicy, InvalidPolicy>,
    settings: &JobSettings,
) -> Resources<Built> {
    match validated {
        Err(_) => Resources { cron_job: WantedCronJob::Suspended, run: None },
        Ok(valid) => {
            let desired = cron_job::build(valid, &observed.policy.uid, settings);
            let run = run_now::build(valid, &observed.policy, &desired.object);
            Resources { cron_job: WantedCronJob::Exactly(Box::new(desired)), run }
        }
    }
}
