//! The whole next status of a policy, and what is to be told beside it. Pure:
//! the same observation always gives the same status, so a comparison says
//! whether there is anything to write.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use policy::{ActiveRun, CleanupPolicyStatus, HistoryEntry};

use super::conditions::conditions;
use super::events::{EventDraft, drafts};
use super::run::{FinishedRun, Judged, judge};
use crate::controller::apply::{AppliedCronJob, AppliedPreflight};
use crate::controller::build::{Applied, Resources};
use crate::controller::index::LINGER;
use crate::controller::observe::{Observed, ObservedJob};
use crate::controller::validate::{InvalidPolicy, ValidPolicy};

/// However quiet it is, a policy is looked at this often.
const RESYNC: Duration = Duration::from_mins(10);
/// The bounds of the status's own schema.
const MOST_ACTIVE: usize = 16;
const MOST_COUNTED: usize = 256;
const MOST_HISTORY: usize = 30;
/// Of `spec.historyLimit`, while the spec cannot be read.
const DEFAULT_HISTORY: usize = 10;

/// What is to be told about a policy.
#[derive(Clone, Debug)]
pub struct Publication {
    pub status: CleanupPolicyStatus,
    pub events: Vec<EventDraft>,
    /// Runs that this status counts for the first time, oldest first.
    pub runs: Vec<FinishedRun>,
    /// When to look again, if nothing happens before.
    pub look_again: Duration,
}

/// Works out what is to be told.
pub fn publication(
    observed: &Observed,
    validated: &Result<ValidPolicy, InvalidPolicy>,
    applied: &Resources<Applied>,
) -> Publication {
    let Harvest { runs, counted, await_report } = harvest(observed);
    let mut status = observed.policy.status.clone();
    status.observed_generation = Some(observed.policy.generation);
    if let (Ok(valid), AppliedCronJob::Current { .. }) = (validated, &applied.cron_job) {
        valid.policy.rules_hash().clone_into(&mut status.rules_hash);
        valid.policy.schedule().expression().clone_into(&mut status.effective_schedule);
    }
    match &applied.cron_job {
        AppliedCronJob::Current { reference, .. } => status.cron_job_ref = Some(reference.clone()),
        AppliedCronJob::Suspended(reference) => status.cron_job_ref.clone_from(reference),
        AppliedCronJob::Refused(_) => {}
    }
    if let Ok(Some(token)) = &applied.run {
        status.last_run_now.clone_from(token);
    }
    let turn = record_gate(&mut status, applied, &observed.policy.uid);
    let last_schedule_time =
        observed.cron_job.as_ref().and_then(|cron_job| cron_job.last_schedule_time);
    if let Some(time) = last_schedule_time {
        status.last_schedule_time = Some(time.to_string());
    }
    let next = next_run(observed, validated, applied);
    status.next_schedule_time = next.map(|time| time.to_string());
    status.active = active(observed);
    status.counted_jobs = counted;
    for run in &runs {
        record(&mut status, run);
    }
    status.history.truncate(history_limit(validated));
    status.conditions = conditions(observed, validated, applied, &runs);
    let events = drafts(observed, &status, applied, &runs);
    let linger = observed.has_gone.then_some(LINGER);
    let look_again = look_again(observed.now, next, await_report).min(linger.unwrap_or(RESYNC));
    let look_again = look_again.min(turn.unwrap_or(RESYNC));
    Publication { status, events, runs, look_again }
}

struct Harvest {
    runs: Vec<FinishedRun>,
    counted: Vec<String>,
    await_report: Option<Duration>,
}

/// Judges each Job that has ended and is not counted yet. Only the newest are looked at, so that
/// the list of those that are counted stays within its bound.
fn harvest(observed: &Observed) -> Harvest {
    let mut ended: Vec<_> =
        observed.jobs.iter().filter_map(|job| Some((job.ending.as_ref()?.time, job))).collect();
    ended.sort_by(|(one, left), (other, right)| (one, &left.uid).cmp(&(other, &right.uid)));
    let newest = ended.split_off(ended.len().saturating_sub(MOST_COUNTED));

    let known: BTreeSet<_> = observed.policy.status.counted_jobs.iter().collect();
    let mut harvest = Harvest { runs: Vec::new(), counted: Vec::new(), await_report: None };
    for (_, job) in newest {
        if known.contains(&job.uid) {
            harvest.counted.push(job.uid.clone());
            continue;
        }
        // Runs are counted in the order of their end: who ended later waits, too.
        if harvest.await_report.is_some() {
            continue;
        }
        match judge(job, &observed.pods, observed.now) {
            Some(Judged::Finished(run)) => {
                harvest.counted.push(job.uid.clone());
                harvest.runs.push(*run);
            }
            Some(Judged::AwaitReport(wait)) => {
                harvest.await_report = Some(wait);
            }
            None => {}
        }
    }
    harvest.counted.sort_unstable();
    harvest
}

fn record(status: &mut CleanupPolicyStatus, run: &FinishedRun) {
    match run.succeeded() {
        Some(true) => {
            status.consecutive_failures = 0;
            status.last_success_time = Some(run.ended.to_string());
        }
        Some(false) => {
            status.consecutive_failures = status.consecutive_failures.saturating_add(1);
        }
        None => {}
    }
    let entry = HistoryEntry {
        job_name: run.status.job_name.clone(),
        uid: run.status.uid.clone(),
        trigger: Some(run.status.trigger),
        is_unreported: false,
        result: run.status.result,
        stop_reason: run.status.stop_reason,
        rows_affected: run.status.rows_affected,
        rows_remaining: run.status.rows_remaining,
        start_time: run.status.start_time.clone(),
        duration_seconds: run.status.duration_seconds,
    };
    status.history.insert(0, entry);
    status.totals = run.totals.or(status.totals);
    status.last_run = Some(run.status.clone());
}

/// What is known of the preflight now, and when to look at it again. Of a policy that is wrong what
/// was known stays: the same rules may come back.
fn record_gate(
    status: &mut CleanupPolicyStatus,
    applied: &Resources<Applied>,
    policy_uid: &str,
) -> Option<Duration> {
    let gate = applied.gate.as_ref()?;
    status.plan.clone_from(&gate.plan);
    match &applied.preflight {
        AppliedPreflight::Begun { uid } => status.preflight = gate.preflight(Some(uid)),
        AppliedPreflight::NotAsked
        | AppliedPreflight::WaitsForTurn
        | AppliedPreflight::Refused(_) => status.preflight = gate.preflight(None),
    }
    if applied.preflight == AppliedPreflight::WaitsForTurn {
        // Those that wait do not all come back together.
        let spread = policy_uid.bytes().fold(0_u64, |sum, byte| sum.wrapping_add(byte.into())) % 6;
        return Some(Duration::from_secs(3 + spread));
    }
    gate.look_again
}

fn history_limit(validated: &Result<ValidPolicy, InvalidPolicy>) -> usize {
    let limit = validated.as_ref().ok().map(|valid| valid.spec.history_limit);
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(DEFAULT_HISTORY);
    limit.clamp(1, MOST_HISTORY)
}

fn active(observed: &Observed) -> Vec<ActiveRun> {
    let running = observed.jobs.iter().filter(|job| job.ending.is_none());
    let mut active: Vec<_> = running.map(|job| active_run(job)).collect();
    active.sort_by(|one, other| {
        (&one.start_time, &one.job_name).cmp(&(&other.start_time, &other.job_name))
    });
    active.truncate(MOST_ACTIVE);
    active
}

fn active_run(job: &ObservedJob) -> ActiveRun {
    ActiveRun {
        job_name: job.name.clone(),
        uid: job.uid.clone(),
        trigger: job.trigger(),
        start_time: job.start_time.map(|time| time.to_string()),
    }
}

fn next_run(
    observed: &Observed,
    validated: &Result<ValidPolicy, InvalidPolicy>,
    applied: &Resources<Applied>,
) -> Option<Timestamp> {
    let valid = validated.as_ref().ok().filter(|valid| !valid.spec.suspend)?;
    let AppliedCronJob::Current { .. } = applied.cron_job else { return None };
    applied.gate.as_ref().filter(|gate| gate.hold.is_none())?;
    valid.policy.schedule().after(observed.now)
}

fn look_again(now: Timestamp, next: Option<Timestamp>, await_report: Option<Duration>) -> Duration {
    // A second later, so that the Job of the slot is likely there and one write tells both.
    let slot = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
    let slot = slot.map(|slot| slot + Duration::from_secs(1));
    [slot, await_report].into_iter().flatten().fold(RESYNC, Duration::min)
}

#[cfg(test)]
mod tests;
