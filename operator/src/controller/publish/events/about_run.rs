//! Events of runs. Pure.

use policy::{Mode, RunResult, event, reason};

use super::EventDraft;
use crate::controller::publish::run::FinishedRun;
use crate::controller::publish::words::summary;

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
