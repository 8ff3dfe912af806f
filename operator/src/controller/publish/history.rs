//! Runs, taken into the status: the newest, its failures in a row, the history
//! and the totals. Pure.
//!
//! A report names the five runs before it, by the ledger's word. With that it
//! makes up for reports that were never read, and for runs that came and went
//! while the operator was away.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use policy::{CleanupPolicyStatus, EarlierRun, HistoryEntry, RunResult, RunStatus, StopReason};

use super::run::FinishedRun;
use crate::controller::observe::slots::time;

/// What else is known when a run is counted.
pub struct Surroundings<'a> {
    /// UIDs of the Jobs that are there: each is judged by its own end.
    pub jobs: &'a BTreeSet<&'a str>,
    /// When the policy was made: runs before that are of another one of its name.
    pub policy_created: Option<Timestamp>,
}

/// What the reports of later runs say of those that were never read themselves, while both are
/// counted at once; oldest first.
pub fn learn(runs: &mut [FinishedRun]) {
    for index in 1..runs.len() {
        let (before, from) = runs.split_at_mut(index);
        for earlier in from.first().into_iter().flat_map(|run| &run.earlier) {
            let unread =
                before.iter_mut().find(|run| run.is_unreported && run.status.uid == earlier.run_id);
            if let Some(run) = unread {
                run.amend(earlier);
            }
        }
    }
}

/// Counts a run.
pub fn record(status: &mut CleanupPolicyStatus, run: &FinishedRun, around: &Surroundings<'_>) {
    make_up_for(status, run, around);
    match run.succeeded() {
        Some(true) => {
            status.consecutive_failures = 0;
            status.last_success_time = Some(run.ended.to_string());
            let without_rules = RunStatus { rules: Vec::new(), ..run.status.clone() };
            status.last_successful_run = Some(without_rules);
        }
        Some(false) => {
            status.consecutive_failures = status.consecutive_failures.saturating_add(1);
        }
        None => {}
    }
    status.history.insert(0, entry(run));
    status.totals = run.totals.or(status.totals);
    status.last_run = Some(run.status.clone());
}

/// Takes a Job to a run that is in the history already, told by a later run's report.
pub fn adopt(status: &mut CleanupPolicyStatus, run: &FinishedRun) -> bool {
    let known = status.history.iter_mut().find(|entry| entry.uid == run.status.uid);
    let Some(known) = known else { return false };
    known.job_name.clone_from(&run.status.job_name);
    known.trigger = Some(run.status.trigger);
    true
}

fn entry(run: &FinishedRun) -> HistoryEntry {
    let status = &run.status;
    HistoryEntry {
        job_name: status.job_name.clone(),
        uid: status.uid.clone(),
        trigger: Some(status.trigger),
        is_unreported: run.is_unreported,
        result: status.result,
        stop_reason: status.stop_reason,
        rows_affected: status.rows_affected,
        rows_remaining: status.rows_remaining,
        start_time: status.start_time.clone(),
        duration_seconds: status.duration_seconds,
    }
}

fn make_up_for(status: &mut CleanupPolicyStatus, run: &FinishedRun, around: &Surroundings<'_>) {
    let known_until = known_until(status).max(around.policy_created);
    let mut new_failures = 0_i32;
    let mut has_changed = false;
    // Oldest first.
    for earlier in run.earlier.iter().rev() {
        let known = status.history.iter_mut().find(|entry| entry.uid == earlier.run_id);
        match known {
            Some(entry) if entry.is_unreported => amend(entry, earlier),
            Some(_) => continue,
            None => {
                let start = time(Some(&earlier.start_time));
                let is_old = start.is_none() || start <= known_until;
                if is_old || around.jobs.contains(earlier.run_id.as_str()) {
                    continue;
                }
                let entry = of_ledger(earlier);
                new_failures += i32::from(succeeded(&entry) == Some(false));
                status.history.insert(0, entry);
            }
        }
        has_changed = true;
    }
    if has_changed {
        let known = status.consecutive_failures.saturating_add(new_failures);
        status.consecutive_failures = failures_in_a_row(&status.history).unwrap_or(known);
        let newest = status.history.iter().find(|entry| succeeded(entry) == Some(true));
        let newest = newest.and_then(end);
        if newest > time(status.last_success_time.as_deref()) {
            status.last_success_time = newest.map(|time| time.to_string());
        }
    }
}

/// The start of the newest run whose time is the database's, like those of `earlier`.
fn known_until(status: &CleanupPolicyStatus) -> Option<Timestamp> {
    let reported = status.history.iter().filter(|entry| !entry.is_unreported);
    let newest = reported.filter_map(|entry| time(entry.start_time.as_deref())).max();
    let last_run = status.last_run.as_ref().and_then(|run| time(run.start_time.as_deref()));
    newest.or(last_run)
}

fn amend(entry: &mut HistoryEntry, earlier: &EarlierRun) {
    entry.is_unreported = false;
    entry.result = earlier.result;
    entry.stop_reason = earlier.stop_reason;
    entry.rows_affected = earlier.affected;
    entry.start_time = Some(earlier.start_time.clone());
    entry.duration_seconds = length(earlier.duration_seconds);
}

fn of_ledger(earlier: &EarlierRun) -> HistoryEntry {
    let mut entry = HistoryEntry {
        job_name: String::new(),
        uid: earlier.run_id.clone(),
        trigger: None,
        is_unreported: false,
        result: earlier.result,
        stop_reason: earlier.stop_reason,
        rows_affected: 0,
        rows_remaining: None,
        start_time: None,
        duration_seconds: 0.0,
    };
    amend(&mut entry, earlier);
    entry
}

fn length(seconds: f64) -> f64 {
    if seconds.is_finite() && seconds >= 0.0 { seconds } else { 0.0 }
}

fn end(entry: &HistoryEntry) -> Option<Timestamp> {
    let took = SignedDuration::try_from_secs_f64(entry.duration_seconds).ok()?;
    time(entry.start_time.as_deref())?.checked_add(took).ok()
}

/// As [`FinishedRun::succeeded`], by what the history keeps.
fn succeeded(entry: &HistoryEntry) -> Option<bool> {
    match entry.result {
        RunResult::Skipped => None,
        RunResult::Succeeded => Some(true),
        RunResult::PartiallySucceeded => {
            Some(!matches!(entry.stop_reason, StopReason::Error | StopReason::Cancelled))
        }
        RunResult::Failed | RunResult::Aborted => Some(false),
    }
}

/// `None` where the history does not go back to the last success.
fn failures_in_a_row(history: &[HistoryEntry]) -> Option<i32> {
    let mut failures = 0;
    for entry in history {
        match succeeded(entry) {
            Some(true) => return Some(failures),
            Some(false) => failures += 1,
            None => {}
        }
    }
    None
}

/// Rows that were left by the newest runs that tell, newest first.
pub fn rows_left(history: &[HistoryEntry]) -> impl Iterator<Item = i64> {
    // One that only the ledger knows tells of no rows that are left.
    let telling = history.iter().filter(|entry| {
        let came_to_its_end =
            matches!(entry.result, RunResult::Succeeded | RunResult::PartiallySucceeded);
        came_to_its_end && entry.trigger.is_some() && !entry.is_unreported
    });
    telling.filter_map(|entry| entry.rows_remaining)
}

#[cfg(test)]
mod tests;
