//! The events of a policy. Their names follow from what they tell, so that
//! telling it twice, after a restart too, makes one event. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use policy::{CleanupPolicyStatus, GROUP, Mode, RunResult, condition, reason};
use sha2::{Digest as _, Sha256};

use super::conditions::find;
use super::run::FinishedRun;
use super::words::{cut, summary};
use crate::controller::apply::{AppliedCronJob, Change};
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

/// Everything that `status` says and the status before it did not.
pub fn drafts(
    observed: &Observed,
    status: &CleanupPolicyStatus,
    applied: &Resources<Applied>,
    runs: &[FinishedRun],
) -> Vec<EventDraft> {
    let mut drafts = Vec::new();
    drafts.extend(cron_job_draft(observed, applied));
    drafts.extend(ready_draft(observed, status));
    drafts.extend(runs.iter().map(run_draft));
    drafts
}

fn cron_job_draft(observed: &Observed, applied: &Resources<Applied>) -> Option<EventDraft> {
    let AppliedCronJob::Current { reference, change } = &applied.cron_job else { return None };
    let known = observed.policy.status.cron_job_ref.as_ref();
    let is_new = known.is_none_or(|known| known.uid != reference.uid);
    let name = &reference.name;
    let (reason, note) = match change {
        // Also after a stop between the CronJob and the status that should have told of it.
        _ if is_new => ("CronJobCreated", format!("created CronJob {name}")),
        Some(Change::Updated) => {
            ("CronJobUpdated", format!("updated CronJob {name} to the policy"))
        }
        Some(Change::Corrected) => {
            let note = format!("undid an edit of CronJob {name}: the policy is where to make it");
            ("DriftCorrected", note)
        }
        Some(Change::Created) | None => return None,
    };
    let key = format!("{}/{}", reference.uid, if is_new { 0 } else { reference.generation });
    Some(EventDraft { reason, is_warning: false, action: "Apply", note, key })
}

fn ready_draft(observed: &Observed, status: &CleanupPolicyStatus) -> Option<EventDraft> {
    let now = find(&status.conditions, condition::READY)?;
    let reason = [
        reason::INVALID_SPEC,
        reason::INVALID_SCHEDULE,
        reason::SECRET_MISSING,
        reason::NAME_CONFLICT,
    ]
    .into_iter()
    .find(|reason| *reason == now.reason)?;
    let before = find(&observed.policy.status.conditions, condition::READY);
    let told =
        before.is_some_and(|before| before.reason == now.reason && before.message == now.message);
    // What stood before tells one Secret that went missing from the next; unlike the time of this
    // moment it is the same until the status is stored.
    let since = before.map(|before| before.last_transition_time.0.to_string()).unwrap_or_default();
    let key = format!("{}/{since}/{}", observed.policy.generation, now.message);
    let note = now.message.clone();
    (!told).then_some(EventDraft { reason, is_warning: true, action: "Check", note, key })
}

fn run_draft(run: &FinishedRun) -> EventDraft {
    let status = &run.status;
    let (reason, is_warning) = match (status.result, run.reason) {
        (_, reason::DEADLINE_EXCEEDED) => ("RunDeadlineExceeded", true),
        (RunResult::Succeeded, _) if status.mode == Mode::DryRun => ("DryRunCompleted", false),
        (RunResult::Succeeded, _) => ("RunSucceeded", false),
        (RunResult::PartiallySucceeded, _) => ("RunPartiallySucceeded", true),
        (RunResult::Skipped, _) => ("RunSkipped", false),
        (RunResult::Aborted, _) => ("RunAborted", true),
        (RunResult::Failed, _) => ("RunFailed", true),
    };
    let summary = summary(status.mode, &status.rules, status.duration_seconds);
    let note = match status.result {
        // A report that could not be read has no rules to sum up.
        RunResult::Succeeded if !status.rules.is_empty() => summary,
        RunResult::PartiallySucceeded if status.message != summary => {
            format!("{summary}; {}", status.message)
        }
        _ => status.message.clone(),
    };
    let note = format!("Job {}: {note}", status.job_name);
    EventDraft { reason, is_warning, action: "Run", note, key: status.uid.clone() }
}

#[cfg(test)]
mod tests;
