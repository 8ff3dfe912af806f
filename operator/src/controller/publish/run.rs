//! From a finished Job and what its pods left behind to one finished run. Pure.
//!
//! The report may be missing, cut, wrong or another's: then the Job's own
//! condition and the exit code say what they can.

mod conclusion;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use policy::{
    EarlierRun, PolicyName, RuleOutcome, RunReport, RunResult, RunStatus, StopReason, Totals,
    reason,
};

use super::words;
use crate::controller::observe::{
    Container, Ending, ObservedJob, ObservedPod, REPORT_PATIENCE, Termination, Verdict,
};

/// The longest message of a run; nobody reads more.
const LONGEST_MESSAGE: usize = 4096;

/// A finished run, with what the status does not keep of it.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedRun {
    pub status: RunStatus,
    /// Reason of `LastRunSucceeded`.
    pub reason: &'static str,
    pub ended: Timestamp,
    /// It left no report that could be read, though it may have changed rows.
    pub is_unreported: bool,
    pub totals: Option<Totals>,
    /// What its report says of the runs before it, newest first.
    pub earlier: Vec<EarlierRun>,
}

impl FinishedRun {
    /// Whether it did what it should; `None` for a run that was skipped.
    pub fn succeeded(&self) -> Option<bool> {
        match self.status.result {
            RunResult::Skipped => None,
            _ => Some(matches!(self.reason, reason::SUCCEEDED | reason::NOTHING_TO_DO)),
        }
    }
}

impl FinishedRun {
    /// Takes the ledger's word, as a later report has it, for that of its own.
    pub fn amend(&mut self, told: &EarlierRun) {
        let status = &mut self.status;
        self.is_unreported = false;
        status.result = told.result;
        status.stop_reason = told.stop_reason;
        status.rows_affected = told.affected;
        status.start_time = Some(told.start_time.clone());
        status.duration_seconds = told.duration_seconds.max(0.0);
        self.reason = match told.result {
            RunResult::Skipped => reason::NOTHING_TO_DO,
            RunResult::Succeeded if told.affected == 0 => reason::NOTHING_TO_DO,
            RunResult::PartiallySucceeded
                if matches!(told.stop_reason, StopReason::Error | StopReason::Cancelled) =>
            {
                reason::RULES_FAILED
            }
            RunResult::Succeeded | RunResult::PartiallySucceeded => reason::SUCCEEDED,
            RunResult::Aborted => reason::SAFETY_ABORT,
            RunResult::Failed => match self.reason {
                reason::DEADLINE_EXCEEDED | reason::BACKOFF_LIMIT_EXCEEDED => self.reason,
                _ => reason::FAILED,
            },
        };
        let rows = words::grouped(told.affected);
        let took = words::duration(told.duration_seconds);
        status.message = format!(
            "changed {rows} rows; took {took}; its own report was not read, the next run's told this"
        );
    }
}

/// A Job that has ended, judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Judged {
    Finished(Box<FinishedRun>),
    /// Its pod may still tell more; look again after this.
    AwaitReport(Duration),
}

/// What Jobs are judged by.
#[derive(Clone, Copy)]
pub struct Court<'a> {
    pub policy: &'a PolicyName,
    pub pods: &'a [Arc<ObservedPod>],
    /// What was said last of Jobs that do not begin.
    pub stuck: Option<&'a str>,
    pub now: Timestamp,
}

/// What the pods of a Job left behind.
struct Remains<'a> {
    /// How the newest of them ended.
    last: Option<&'a Termination>,
    /// What was to be read there, if it is this very run's.
    report: Option<RunReport>,
    /// Why no pod of it ever began, as far as anybody said; `None` where one did, or nobody knows.
    never_began: Option<String>,
    job: &'a ObservedJob,
    now: Timestamp,
}

impl Court<'_> {
    /// Judges a Job that has ended; `None` while it runs.
    pub fn judge(&self, job: &ObservedJob) -> Option<Judged> {
        let ending = job.ending.as_ref()?;
        if let Some(wait) = self.wait(job, ending) {
            return Some(Judged::AwaitReport(wait));
        }
        Some(Judged::Finished(Box::new(finished(job, ending, self.remains(job)))))
    }

    fn own(&self, job: &ObservedJob) -> impl Iterator<Item = &ObservedPod> {
        self.pods.iter().filter(|pod| pod.job_uid == job.uid).map(Arc::as_ref)
    }

    fn last(&self, job: &ObservedJob) -> Option<&Termination> {
        let ended = self.own(job).filter_map(|pod| match &pod.container {
            Container::Terminated(termination) => Some(termination),
            Container::Waiting { .. } | Container::Running => None,
        });
        ended.max_by_key(|termination| termination.finished_at)
    }

    /// How long a pod may still come to its last word, or its news to us.
    fn wait(&self, job: &ObservedJob, ending: &Ending) -> Option<Duration> {
        let mut open = self
            .own(job)
            .filter(|pod| !matches!(pod.container, Container::Terminated(_)))
            .peekable();
        let until = match &ending.verdict {
            Verdict::Complete | Verdict::Failed { .. } => {
                let is_told = self.last(job).is_some() && open.peek().is_none();
                ending.time.checked_add(REPORT_PATIENCE).ok().filter(|_| !is_told)?
            }
            // The Job's end is ours to find out: what counts is how long its pod has to end. One
            // that is not being deleted yet is, as soon as the garbage collector comes by.
            Verdict::Deleted | Verdict::Lost { .. } => {
                let deleted = ending.verdict == Verdict::Deleted;
                let ends = open.filter_map(|pod| match pod.deletion {
                    Some(deletion) => deletion.checked_add(REPORT_PATIENCE).ok(),
                    None => self.now.checked_add(REPORT_PATIENCE).ok().filter(|_| deleted),
                });
                ends.max()?
            }
        };
        let left = Duration::try_from(until.duration_since(self.now)).ok()?;
        (!left.is_zero()).then_some(left)
    }

    fn remains<'a>(&'a self, job: &'a ObservedJob) -> Remains<'a> {
        let last = self.last(job);
        let report = last.and_then(|last| serde_json::from_str::<RunReport>(&last.message).ok());
        let policy = self.policy.to_string();
        let report = report.filter(|report| report.run_id == job.uid && report.policy == policy);
        Remains { last, report, never_began: self.never_began(job), job, now: self.now }
    }

    fn never_began(&self, job: &ObservedJob) -> Option<String> {
        let mut own = self.own(job).peekable();
        let is_waiting = |pod: &ObservedPod| matches!(pod.container, Container::Waiting { .. });
        let has_none = own.peek().is_none();
        let failed = job.ending.as_ref().is_some_and(|ending| {
            matches!(ending.verdict, Verdict::Failed { .. } | Verdict::Deleted)
        });
        let never = if has_none { failed && job.attempts == 0 } else { own.all(is_waiting) };
        never.then(|| {
            let said = self.stuck.and_then(|said| words::why_stuck(said, &job.name));
            said.unwrap_or_default().to_owned()
        })
    }
}

fn finished(job: &ObservedJob, ending: &Ending, remains: Remains<'_>) -> FinishedRun {
    let conclusion = conclusion::conclude(ending, &remains);
    let Remains { report, never_began, now, .. } = remains;
    let ended = match ending.verdict {
        Verdict::Complete | Verdict::Failed { .. } => ending.time,
        Verdict::Deleted | Verdict::Lost { .. } => now,
    };
    let job_took = job.start_time.map(|start| ended.duration_since(start).as_secs_f64());
    let start_time = match &report {
        Some(report) if !report.start_time.is_empty() => Some(report.start_time.clone()),
        _ => job.start_time.map(|time| time.to_string()),
    };
    let rules = report.as_ref().map(|report| report.rules.clone()).unwrap_or_default();
    let count = |count: fn(&RunReport) -> i64| report.as_ref().map_or(0, count);
    let status = RunStatus {
        job_name: job.name.clone(),
        uid: job.uid.clone(),
        trigger: job.trigger(),
        mode: report.as_ref().map_or(job.mode, |report| report.mode),
        result: conclusion.result,
        stop_reason: conclusion.stop_reason,
        message: words::cut(&conclusion.message, LONGEST_MESSAGE),
        rows_matched: count(RunReport::rows_matched),
        rows_affected: count(RunReport::rows_affected),
        rows_remaining: report.as_ref().and_then(RunReport::rows_remaining),
        oldest_overdue_seconds: count(RunReport::oldest_overdue_seconds),
        start_time,
        duration_seconds: report
            .as_ref()
            .map(|report| report.duration_seconds)
            .or(job_took)
            .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
            .unwrap_or(0.0),
        attempts: if never_began.is_some() { job.attempts } else { job.attempts.max(1) },
        rules: within_schema(rules),
    };
    let is_unreported = report.is_none() && never_began.is_none();
    let (totals, earlier) =
        report.map(|report| (report.totals, report.earlier)).unwrap_or_default();
    FinishedRun { status, reason: conclusion.reason, ended, is_unreported, totals, earlier }
}

/// A status that breaks its own schema could never be written.
fn within_schema(mut rules: Vec<RuleOutcome>) -> Vec<RuleOutcome> {
    rules.truncate(32);
    for rule in &mut rules {
        rule.warnings.truncate(16);
        if rule.sql_state.chars().count() > 5 {
            rule.sql_state.clear();
        }
        rule.message = words::cut(&rule.message, LONGEST_MESSAGE);
    }
    rules
}

#[cfg(test)]
mod tests;
