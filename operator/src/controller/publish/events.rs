//! The events of a policy. Their names follow from what they tell, so that
//! telling it twice, after a restart too, makes one event. Pure.

mod about_policy;
mod about_preflight;
mod about_run;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use policy::{CleanupPolicyStatus, GROUP};
use sha2::{Digest as _, Sha256};

use super::run::FinishedRun;
use super::words::cut;
use crate::controller::build::{Applied, Resources};
use crate::controller::observe::{Observed, ObservedPolicy};

/// The API server refuses a longer one.
const LONGEST_NOTE: usize = 1024;
const REPORTER: &str = "pgsweep-operator";

/// An event that is not sent yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    pub reason: &'static str,
    /// Somebody should look at it.
    pub is_warning: bool,
    /// What we did when it happened.
    pub action: &'static str,
    /// One sentence for people.
    pub note: String,
    /// What makes it one event and not another, beside policy and reason.
    pub key: String,
}

impl EventDraft {
    /// The object that is sent.
    pub fn event(&self, policy: &ObservedPolicy, now: Timestamp) -> Event {
        let digest = Sha256::digest(format!("{}/{}/{}", policy.uid, self.reason, self.key));
        let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let kind = if self.is_warning { "Warning" } else { "Normal" };
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{digits}", policy.name.name)),
                namespace: Some(policy.name.namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(format!("{GROUP}/operator")),
            reporting_instance: Some(REPORTER.into()),
            action: Some(self.action.into()),
            reason: Some(self.reason.into()),
            type_: Some(kind.into()),
            note: Some(cut(&self.note, LONGEST_NOTE)),
            regarding: Some(ObjectReference {
                api_version: Some(format!("{GROUP}/v1alpha1")),
                kind: Some("CleanupPolicy".into()),
                name: Some(policy.name.name.clone()),
                namespace: Some(policy.name.namespace.clone()),
                uid: Some(policy.uid.clone()),
                ..ObjectReference::default()
            }),
            ..Event::default()
        }
    }
}

/// Everything that `status` says and the status before it did not; `missed` are the slots that it
/// counts as missed. In the order in which one reads them.
pub fn drafts(
    observed: &Observed,
    status: &CleanupPolicyStatus,
    applied: &Resources<Applied>,
    runs: &[FinishedRun],
    missed: &[Timestamp],
) -> Vec<EventDraft> {
    let mut drafts = Vec::new();
    drafts.extend(about_policy::cron_job_drafts(observed, applied));
    drafts.extend(about_policy::suspension_draft(observed));
    // Approval is asked for after the preflight that it is about.
    drafts.extend(about_preflight::preflight_drafts(observed, status));
    drafts.extend(about_policy::ready_draft(observed, status, applied));
    drafts.extend(about_policy::approved_draft(observed, status));
    drafts.extend(about_run::missed_draft(missed));
    drafts.extend(about_run::stuck_drafts(observed));
    drafts.extend(runs.iter().map(about_run::run_draft));
    drafts.extend(about_run::falling_behind_draft(observed, status, runs));
    drafts
}

#[cfg(test)]
mod tests;
