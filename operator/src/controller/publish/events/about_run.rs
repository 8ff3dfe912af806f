//! Events of runs. Pure.

use jiff::Timestamp;
use policy::{CleanupPolicyStatus, Mode, RunResult, condition, event, reason};

use super::EventDraft;
use crate::controller::observe::Observed;
use crate::controller::publish::conditions::find;
use crate::controller::publish::run::FinishedRun;
use crate::controller::publish::words::{MOST_STUCK, names_job, stuck, summary, when};

/// One event a run, with the most telling reason.
pub(super) fn run_draft(run: &FinishedRun) -> EventDraft {
    let status = &run.status;
    let (reason, is_warning) = match (status.result, run.reason) {
        (_, reason::DEADLINE_EXCEEDED) => (event::RUN_DEADLINE_EXCEEDED, true),
        (RunResult::Succeeded, _) if status.mode == Mode::DryRun => {
            (event::DRY_RUN_COMPLETED, false)
        }
        (RunResult::Succeeded, _) => (event::RUN_SUCCEEDED, false),
        (RunResult::PartiallySucceeded, _) => (event::RUN_PARTIALLY_SUCCEEDED, true),
        (RunResult::Skipped, _) => (event::RUN_SKIPPED, false),
        (RunResult::Aborted, _) => (event::RUN_ABORTED, true),
        (RunResult::Failed, reason::PERMISSION_DENIED) => (event::PERMISSION_DENIED, true),
        (RunResult::Failed, _) => (event::RUN_FAILED, true),
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

/// One for all slots that were missed at once, named by the first of them: if this is told again,
/// since the status could not be written, more may have come, but that one stays.
pub(super) fn missed_draft(missed: &[Timestamp]) -> Option<EventDraft> {
    let (first, last) = (missed.first()?, missed.last()?);
    let which = match missed.len() {
        1 => format!("the run of {} never came", when(*first)),
        several => {
            format!(
                "{several} runs never came, from that of {} to that of {}",
                when(*first),
                when(*last)
            )
        }
    };
    let note = format!(
        "{which}: Kubernetes made no Job within startingDeadlineSeconds; does kube-controller-manager work?"
    );
    let key = first.to_string();
    Some(EventDraft { reason: event::RUN_MISSED, is_warning: true, action: "Watch", note, key })
}

/// One for each Job that the condition tells of, when it turns out to be stuck.
pub(super) fn stuck_drafts(observed: &Observed) -> impl Iterator<Item = EventDraft> + use<'_> {
    let before = find(&observed.policy.status.conditions, condition::SCHEDULE_HEALTHY);
    let is_told = move |name: &str| before.is_some_and(|before| names_job(&before.message, name));
    let told = observed.stuck.jobs.iter().take(MOST_STUCK);
    told.filter(move |job| !is_told(&job.name)).map(|job| EventDraft {
        reason: event::JOB_STUCK,
        is_warning: true,
        action: "Watch",
        note: stuck(job),
        key: job.uid.clone(),
    })
}

/// When it begins.
pub(super) fn falling_behind_draft(
    observed: &Observed,
    status: &CleanupPolicyStatus,
    runs: &[FinishedRun],
) -> Option<EventDraft> {
    let kind = condition::BACKLOG_DRAINED;
    let now = find(&status.conditions, kind)?;
    let before = find(&observed.policy.status.conditions, kind);
    let is_new = now.reason == reason::FALLING_BEHIND
        && before.is_none_or(|before| before.reason != reason::FALLING_BEHIND);
    let run = runs.last().filter(|_| is_new)?;
    let (note, key) = (now.message.clone(), run.status.uid.clone());
    Some(EventDraft { reason: event::FALLING_BEHIND, is_warning: true, action: "Run", note, key })
}
