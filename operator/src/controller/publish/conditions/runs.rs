//! What the conditions say of the runs. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use policy::{
    ActiveRun, CleanupPolicyStatus, Mode, RunResult, RunStatus, StopReason, Trigger, condition,
    reason,
};

use super::{Saying, find, stamped};
use crate::controller::observe::{Observed, slots};
use crate::controller::publish::history::rows_left;
use crate::controller::publish::run::FinishedRun;
use crate::controller::publish::words::{grouped, rows, span, when};

/// So many Jobs a message names; who wants more has `kubectl get jobs`.
const MOST_NAMED: usize = 3;

/// Unchanged while a run is active, and by a run that was skipped.
pub(super) fn last_run_succeeded(observed: &Observed, runs: &[FinishedRun]) -> Condition {
    let kind = condition::LAST_RUN_SUCCEEDED;
    let newest = runs.iter().rev().find_map(|run| Some((run, run.succeeded()?)));
    let saying = match (newest, find(&observed.policy.status.conditions, kind)) {
        (Some((run, true)), _) => Saying::new("True", run.reason, run.status.message.clone()),
        (Some((run, false)), _) => Saying::new("False", run.reason, run.status.message.clone()),
        (None, Some(last)) => return last.clone(),
        (None, None) => Saying::new("Unknown", reason::NEVER_RUN, "no run has finished yet"),
    };
    stamped(observed, kind, saying)
}

/// Whether a run is under way, and which.
pub(super) fn running(observed: &Observed, status: &CleanupPolicyStatus) -> Condition {
    let named: Vec<_> = status.active.iter().take(MOST_NAMED).map(under_way).collect();
    let more = status.active.len().saturating_sub(MOST_NAMED);
    let saying = match (named.as_slice(), more) {
        ([], _) => Saying::new("False", reason::IDLE, "no run is under way"),
        (_, 0) => Saying::new("True", reason::JOB_ACTIVE, named.join("; ")),
        (_, more) => {
            let message = format!("{}; and {more} more", named.join("; "));
            Saying::new("True", reason::JOB_ACTIVE, message)
        }
    };
    stamped(observed, condition::RUNNING, saying)
}

fn under_way(run: &ActiveRun) -> String {
    let why = match run.trigger {
        Trigger::Schedule => "by the schedule",
        Trigger::RunNow => "by runNow",
        Trigger::Manual => "by hand",
    };
    match slots::time(run.start_time.as_deref()) {
        Some(start) => format!("Job {} began at {}, {why}", run.job_name, when(start)),
        None => format!("Job {} is there, {why}", run.job_name),
    }
}

/// By the newest run that came to its end and could change rows; absent before that.
pub(super) fn backlog_drained(
    observed: &Observed,
    status: &CleanupPolicyStatus,
    runs: &[FinishedRun],
) -> Option<Condition> {
    let kind = condition::BACKLOG_DRAINED;
    let Some(run) = runs.iter().rev().find(|run| tells_backlog(run)) else {
        return find(&observed.policy.status.conditions, kind).cloned();
    };
    let saying = backlog(&run.status, &status.history);
    Some(stamped(observed, kind, saying))
}

fn tells_backlog(run: &FinishedRun) -> bool {
    let came_to_its_end =
        matches!(run.status.result, RunResult::Succeeded | RunResult::PartiallySucceeded);
    came_to_its_end && run.status.mode == Mode::Enforce && !run.status.rules.is_empty()
}

fn backlog(run: &RunStatus, history: &[policy::HistoryEntry]) -> Saying {
    let job = &run.job_name;
    // A run that came to its end has counted.
    let remaining = run.rows_remaining.unwrap_or_default();
    if remaining == 0 {
        return Saying::new("True", reason::DRAINED, format!("Job {job} left no row that was due"));
    }
    let mut left = format!("{} that are due were left by Job {job}", rows(remaining));
    if run.oldest_overdue_seconds > 0 {
        left = format!("{left}, the oldest since {}", span(run.oldest_overdue_seconds));
    }
    let newest: Vec<_> = rows_left(history).take(4).collect();
    if let [last, third, second, first] = newest.as_slice()
        && first < second
        && second < third
        && third < last
    {
        let counts = [first, second, third, last].map(|count| grouped(*count)).join(", ");
        let message = format!(
            "{left}; more rows come in than go: after the last runs {counts} were left; raise its \
             caps or its budget, or run it more often"
        );
        return Saying::new("False", reason::FALLING_BEHIND, message);
    }
    let (reason, why) = match run.stop_reason {
        StopReason::RowLimit => (reason::ROW_LIMIT_REACHED, "a cap on rows ended it"),
        StopReason::TimeBudget => (reason::TIME_BUDGET_REACHED, "execution.maxDuration ended it"),
        StopReason::ReplicaLag => (reason::ROWS_LEFT, "a replica was too far behind"),
        StopReason::LockTimeout | StopReason::Blocked => {
            (reason::ROWS_LEFT, "other transactions held them")
        }
        _ => (reason::ROWS_LEFT, "see LastRunSucceeded"),
    };
    Saying::new("False", reason, format!("{left}: {why}"))
}
