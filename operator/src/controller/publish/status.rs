//! The whole next status of a policy, and what is to be told beside it. Pure:
//! the same observation always gives the same status, so a comparison says
//! whether there is anything to write.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use policy::{ActiveRun, CleanupPolicyStatus, condition};

use super::conditions::{conditions, find};
use super::events::{EventDraft, drafts};
use super::history::{Surroundings, adopt, learn, record};
use super::run::{Court, FinishedRun, Judged};
use super::schedule::{Timetable, keep_up};
use crate::controller::apply::{AppliedCronJob, AppliedPreflight};
use crate::controller::build::{Applied, Resources};
use crate::controller::index::LINGER;
use crate::controller::observe::{Observed, ObservedJob, Verdict};
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
    let Harvest { runs, counted, untold, await_report } = harvest(observed);
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
    let timetable = keep_up(&mut status, observed, validated, applied);
    status.next_schedule_time = timetable.next.map(|time| time.to_string());
    status.active = active(observed, &untold);
    status.counted_jobs = counted;
    let runs = count(&mut status, observed, runs);
    status.conditions = conditions(observed, validated, applied, &status, &runs);
    // Only now, so that a growing backlog is seen however short the history is kept.
    status.history.truncate(history_limit(validated));
    let events = drafts(observed, &status, applied, &runs, &timetable.missed);
    let look_again = look_again(observed, &timetable, [await_report, turn]);
    Publication { status, events, runs, look_again }
}

/// Takes runs into the status, oldest first, and returns those that are new to it.
fn count(
    status: &mut CleanupPolicyStatus,
    observed: &Observed,
    mut runs: Vec<FinishedRun>,
) -> Vec<FinishedRun> {
    learn(&mut runs);
    let jobs = observed.jobs.iter().map(|job| job.uid.as_str()).collect();
    let around = Surroundings { jobs: &jobs, policy_created: observed.policy.created };
    let mut new = Vec::new();
    for run in runs {
        if !adopt(status, &run) {
            record(status, &run, &around);
            new.push(run);
        }
    }
    new
}

struct Harvest {
    runs: Vec<FinishedRun>,
    counted: Vec<String>,
    /// UIDs of Jobs that have ended and wait to be counted.
    untold: BTreeSet<String>,
    await_report: Option<Duration>,
}

/// Judges each Job that has ended and is not counted yet. Only the newest are looked at, so that
/// the list of those that are counted stays within its bound.
fn harvest(observed: &Observed) -> Harvest {
    let mut ended: Vec<_> =
        observed.jobs.iter().filter_map(|job| Some((job.ending.as_ref()?.time, job))).collect();
    ended.sort_by(|(one, left), (other, right)| (one, &left.uid).cmp(&(other, &right.uid)));
    let newest = ended.split_off(ended.len().saturating_sub(MOST_COUNTED));

    let stuck = find(&observed.policy.status.conditions, condition::SCHEDULE_HEALTHY);
    let court = Court {
        policy: &observed.policy.name,
        pods: &observed.pods,
        stuck: stuck.map(|stuck| stuck.message.as_str()),
        now: observed.now,
    };
    let known: BTreeSet<_> = observed.policy.status.counted_jobs.iter().collect();
    let mut harvest = Harvest {
        runs: Vec::new(),
        counted: Vec::new(),
        untold: BTreeSet::new(),
        await_report: None,
    };
    for (_, job) in newest {
        if known.contains(&job.uid) {
            harvest.counted.push(job.uid.clone());
            continue;
        }
        // Runs are counted in the order of their end: who ended later waits, too.
        if harvest.await_report.is_some() {
            harvest.untold.insert(job.uid.clone());
            continue;
        }
        match court.judge(job) {
            Some(Judged::Finished(run)) => {
                // One that is gone for good cannot come again.
                if !is_lost(job) {
                    harvest.counted.push(job.uid.clone());
                }
                harvest.runs.push(*run);
            }
            Some(Judged::AwaitReport(wait)) => {
                harvest.untold.insert(job.uid.clone());
                harvest.await_report = Some(wait);
            }
            None => {}
        }
    }
    // A watch may be behind: what it does not name may come again.
    if !observed.is_fresh {
        let there: BTreeSet<_> = observed.jobs.iter().map(|job| &job.uid).collect();
        let room = MOST_COUNTED.saturating_sub(harvest.counted.len());
        let missing = known.difference(&there).take(room);
        harvest.counted.extend(missing.map(|uid| (*uid).clone()));
    }
    harvest.counted.sort_unstable();
    harvest
}

fn is_lost(job: &ObservedJob) -> bool {
    let verdict = job.ending.as_ref().map(|ending| &ending.verdict);
    matches!(verdict, Some(Verdict::Lost { .. }))
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

/// Runs that have not ended, or whose end is not told yet: if they go now, their UIDs are known.
fn active(observed: &Observed, untold: &BTreeSet<String>) -> Vec<ActiveRun> {
    let is_open = |job: &ObservedJob| job.ending.is_none() || untold.contains(&job.uid);
    let open = observed.jobs.iter().filter(|job| is_open(job));
    let mut active: Vec<_> = open.map(|job| active_run(job)).collect();
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

fn look_again(
    observed: &Observed,
    timetable: &Timetable,
    others: [Option<Duration>; 2],
) -> Duration {
    let until = |time: Timestamp| Duration::try_from(time.duration_since(observed.now)).ok();
    // A second later, so that the Job of the slot is likely there and one write tells both.
    let slot = timetable.next.and_then(until).map(|slot| slot + Duration::from_secs(1));
    let missed = timetable.look_again.and_then(until);
    let stuck = observed.stuck.next.and_then(until);
    let linger = observed.has_gone.then_some(LINGER);
    let all = [slot, missed, stuck, linger].into_iter().chain(others);
    all.flatten().fold(RESYNC, Duration::min)
}

#[cfg(test)]
mod tests;
