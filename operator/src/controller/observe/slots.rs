//! Slots of the schedule that had no run, as far as that is sure. Pure.
//!
//! Kubernetes makes the Job of the newest slot only, within the starting
//! deadline, and none while a scheduled run goes on under `Forbid`:
//! <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/>.

use jiff::{SignedDuration, Timestamp};
use policy::{ConcurrencyPolicy, Schedule, Trigger};
use serde::Deserialize;
use serde_json::Value;

use super::{Observed, ObservedJob, Verdict};

/// A slot a minute for a week: the longest deadline, and the longest run.
const MOST_SLOTS: usize = 11_000;
/// So long after its deadline a slot is looked at: the news of its Job needs a moment.
const MARGIN: SignedDuration = SignedDuration::from_secs(1);
/// A Job and the next one are not made in the same instant.
const OVERLAP: SignedDuration = SignedDuration::from_secs(5);

/// What a spec says of its slots; not known to be right.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SlotsSpec {
    schedule: String,
    #[serde(default = "utc")]
    time_zone: String,
    #[serde(default = "five_minutes")]
    starting_deadline_seconds: i64,
    #[serde(default)]
    concurrency_policy: ConcurrencyPolicy,
    #[serde(default = "three")]
    successful_jobs_history_limit: usize,
    #[serde(default = "one")]
    failed_jobs_history_limit: usize,
}

fn utc() -> String {
    "Etc/UTC".to_owned()
}

fn five_minutes() -> i64 {
    300
}

fn three() -> usize {
    3
}

fn one() -> usize {
    1
}

/// What became of the slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Those that had no run, oldest first.
    pub missed: Vec<Timestamp>,
    /// The newest slot that had its Job.
    pub newest: Option<Timestamp>,
    /// When the next one may turn out to be missed.
    pub next: Option<Timestamp>,
}

/// Looks at the slots since the status last told of any. While the schedule may have changed since
/// then, or the CronJob is suspended, that is the caller's to know.
pub fn slots(observed: &Observed) -> Slots {
    let newest = newest(observed);
    let unknown = Slots { newest, ..Slots::default() };
    let status = &observed.policy.status;
    let Some(since) = time(status.slots_expected_after.as_deref()) else { return unknown };
    let spec = observed.policy.document.get("spec").unwrap_or(&Value::Null);
    let Ok(spec) = SlotsSpec::deserialize(spec) else { return unknown };
    let Ok(schedule) = Schedule::parse(&spec.schedule, &spec.time_zone) else { return unknown };

    let deadline = SignedDuration::from_secs(spec.starting_deadline_seconds.max(0));
    let seen = Seen { observed, spec: &spec, deadline };
    let last_told = time(status.last_schedule_time.as_deref());
    let first = last_told.map_or(since, |told| told.max(since));
    let newest = newest.filter(|newest| *newest > first);
    // Those that Kubernetes has passed by: it takes only the newest that is due.
    let passed_by = newest.map(|newest| {
        let before = newest.saturating_sub(SignedDuration::from_nanos(1)).unwrap_or(newest);
        schedule.between(first, before, MOST_SLOTS).times
    });
    let passed_by = passed_by.into_iter().flatten().filter(|slot| seen.was_passed_by(*slot));
    let open = newest.unwrap_or(first);
    let overdue = observed.now.saturating_sub(deadline + MARGIN).unwrap_or(observed.now);
    let late = schedule.between(open, overdue, MOST_SLOTS).times;
    let late = late.into_iter().filter(|slot| seen.is_late(*slot));
    let next = schedule.after(overdue.max(open));
    Slots {
        missed: passed_by.chain(late).collect(),
        newest: newest.or(unknown.newest),
        next: next.and_then(|next| next.checked_add(deadline + MARGIN).ok()),
    }
}

/// Whether the schedule fires at this very time.
pub fn is_slot(schedule: &Schedule, slot: Timestamp) -> bool {
    let before = slot.saturating_sub(SignedDuration::from_secs(1)).unwrap_or(slot);
    schedule.after(before) == Some(slot)
}

pub fn time(text: Option<&str>) -> Option<Timestamp> {
    text.and_then(|text| text.parse().ok())
}

fn newest(observed: &Observed) -> Option<Timestamp> {
    let by_cron_job = observed.cron_job.as_ref().and_then(|cron_job| cron_job.last_schedule_time);
    observed.jobs.iter().filter_map(|job| job.slot).chain(by_cron_job).max()
}

struct Seen<'a> {
    observed: &'a Observed,
    spec: &'a SlotsSpec,
    deadline: SignedDuration,
}

impl Seen<'_> {
    /// Whether Kubernetes surely made no Job for a slot before its newest, and could have.
    fn was_passed_by(&self, slot: Timestamp) -> bool {
        !self.has_job(slot) && self.would_have_kept(slot) && !self.is_blocked(slot)
    }

    /// Whether Kubernetes surely made no Job for a slot after its newest, and could have.
    fn is_late(&self, slot: Timestamp) -> bool {
        let last_chance = slot.saturating_add(self.deadline).unwrap_or(slot);
        !self.has_job(slot) && !self.is_blocked(last_chance)
    }

    fn has_job(&self, slot: Timestamp) -> bool {
        self.observed.jobs.iter().any(|job| job.slot == Some(slot))
    }

    /// A Job of this slot would still be there: fewer newer ones have ended than the history limits
    /// keep. Else its Job may have come and gone while nobody looked.
    fn would_have_kept(&self, slot: Timestamp) -> bool {
        let newer = |verdict: fn(&Verdict) -> bool| {
            let ended = |job: &ObservedJob| {
                let ended = job.ending.as_ref().is_some_and(|ending| verdict(&ending.verdict));
                ended && job.created.is_some_and(|created| created > slot)
            };
            self.observed.jobs.iter().filter(|job| ended(job)).count()
        };
        newer(|verdict| *verdict == Verdict::Complete) < self.spec.successful_jobs_history_limit
            && newer(|verdict| matches!(verdict, Verdict::Failed { .. }))
                < self.spec.failed_jobs_history_limit
    }

    /// Whether a scheduled run was under way, which `Forbid` does not start a second one beside.
    fn is_blocked(&self, at: Timestamp) -> bool {
        if self.spec.concurrency_policy != ConcurrencyPolicy::Forbid {
            return false;
        }
        let spans = |start: Option<Timestamp>, end: Option<Timestamp>| {
            let end = end.and_then(|end| end.checked_add(OVERLAP).ok());
            start.is_some_and(|start| start <= at) && end.is_none_or(|end| at <= end)
        };
        let by_job = self.observed.jobs.iter().any(|job| {
            let end = job.ending.as_ref().map(|ending| match ending.verdict {
                Verdict::Complete | Verdict::Failed { .. } => ending.time,
                // It went just now.
                Verdict::Deleted | Verdict::Lost { .. } => self.observed.now,
            });
            job.trigger() == Trigger::Schedule && spans(job.created, end)
        });
        by_job
            || self.observed.policy.status.history.iter().any(|run| {
                let start = time(run.start_time.as_deref());
                let took = SignedDuration::try_from_secs_f64(run.duration_seconds).ok();
                let end = start.zip(took).and_then(|(start, took)| start.checked_add(took).ok());
                run.trigger == Some(Trigger::Schedule) && end.is_some() && spans(start, end)
            })
    }
}

#[cfg(test)]
mod tests;
