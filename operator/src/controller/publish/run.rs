//! From a finished Job and what its pods left behind to one finished run. Pure.
//!
//! The report may be missing, cut or wrong: then the Job's own condition and
//! the exit code say what they can.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use policy::{RuleOutcome, RunReport, RunResult, RunStatus, StopReason, Totals, reason};

use super::words;
use crate::controller::observe::{
    Container, Ending, ObservedJob, ObservedPod, Termination, Verdict,
};

/// A pod's last word may reach us after its Job's: so long it is waited for.
const REPORT_PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// A finished run, with what the status does not keep of it.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedRun {
    pub status: RunStatus,
    /// Reason of `LastRunSucceeded`.
    pub reason: &'static str,
    pub ended: Timestamp,
    pub totals: Option<Totals>,
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

/// A Job that has ended, judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Judged {
    Finished(Box<FinishedRun>),
    /// Its pod may still tell more; look again after this.
    AwaitReport(Duration),
}

/// Judges a Job that has ended; `None` while it runs.
pub fn judge(job: &ObservedJob, pods: &[Arc<ObservedPod>], now: Timestamp) -> Option<Judged> {
    let ending = job.ending.as_ref()?;
    let own = || pods.iter().filter(|pod| pod.job_uid == job.uid).map(|pod| &pod.container);
    let still_open = own().any(|container| !matches!(container, Container::Terminated(_)));
    let last = own()
        .filter_map(|container| match container {
            Container::Terminated(termination) => Some(termination),
            Container::Waiting { .. } | Container::Running => None,
        })
        .max_by_key(|termination| termination.finished_at);
    if last.is_none() || still_open {
        let left = REPORT_PATIENCE.saturating_sub(now.duration_since(ending.time));
        if let Ok(left) = Duration::try_from(left)
            && !left.is_zero()
        {
            return Some(Judged::AwaitReport(left));
        }
    }
    Some(Judged::Finished(Box::new(finished(job, ending, last))))
}

fn finished(job: &ObservedJob, ending: &Ending, last: Option<&Termination>) -> FinishedRun {
    let report = last.and_then(|last| serde_json::from_str::<RunReport>(&last.message).ok());
    let conclusion = match &report {
        Some(report) => by_report(job, ending, report),
        None => by_exit(job, ending, last),
    };
    let job_took = job.start_time.map(|start| ending.time.duration_since(start).as_secs_f64());
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
        message: conclusion.message,
        rows_matched: count(RunReport::rows_matched),
        rows_affected: count(RunReport::rows_affected),
        rows_remaining: count(RunReport::rows_remaining),
        oldest_overdue_seconds: count(RunReport::oldest_overdue_seconds),
        start_time,
        duration_seconds: report
            .as_ref()
            .map(|report| report.duration_seconds)
            .or(job_took)
            .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
            .unwrap_or(0.0),
        attempts: job.attempts.max(1),
        rules: within_schema(rules),
    };
    let totals = report.and_then(|report| report.totals);
    FinishedRun { status, reason: conclusion.reason, ended: ending.time, totals }
}

/// A status that breaks its own schema could never be written.
fn within_schema(mut rules: Vec<RuleOutcome>) -> Vec<RuleOutcome> {
    rules.truncate(32);
    for rule in &mut rules {
        rule.warnings.truncate(16);
        if rule.sql_state.chars().count() > 5 {
            rule.sql_state.clear();
        }
        rule.message = words::cut(&rule.message, 4096);
    }
    rules
}

struct Conclusion {
    result: RunResult,
    stop_reason: StopReason,
    reason: &'static str,
    message: String,
}

fn by_report(job: &ObservedJob, ending: &Ending, report: &RunReport) -> Conclusion {
    let failed = match &ending.verdict {
        Verdict::Complete => None,
        Verdict::Failed { reason } => Some(reason.as_str()),
    };
    let said = match (report.result, failed) {
        // Kubernetes knows of a later attempt, of which there is no report.
        (RunResult::Succeeded | RunResult::Skipped, Some(_)) => RunResult::Failed,
        (result, _) => result,
    };
    let reason = match (said, failed) {
        (_, Some("DeadlineExceeded")) => reason::DEADLINE_EXCEEDED,
        (_, Some("BackoffLimitExceeded")) => reason::BACKOFF_LIMIT_EXCEEDED,
        (RunResult::Aborted, _) => reason::SAFETY_ABORT,
        (RunResult::Failed, _) => by_sql_state(report),
        (RunResult::PartiallySucceeded, Some(_)) => reason::RULES_FAILED,
        (RunResult::PartiallySucceeded, None) if report.rules.iter().any(has_failed) => {
            reason::RULES_FAILED
        }
        _ if report.rows_matched() == 0 && report.rows_affected() == 0 => reason::NOTHING_TO_DO,
        _ => reason::SUCCEEDED,
    };
    let said = if reason == reason::DEADLINE_EXCEEDED { RunResult::Failed } else { said };
    let summary = words::summary(report.mode, &report.rules, report.duration_seconds);
    let message = match (failed, report.message.as_str()) {
        (Some("DeadlineExceeded"), _) => format!("{DEADLINE}; {summary}"),
        (Some("BackoffLimitExceeded"), "") => gave_up(job),
        (Some("BackoffLimitExceeded"), message) => format!("{}: {message}", gave_up(job)),
        (_, "") => summary,
        (_, message) => message.to_owned(),
    };
    let message = words::cut(&message, 4096);
    Conclusion { result: said, stop_reason: report.stop_reason, reason, message }
}

const DEADLINE: &str = "Kubernetes ended the Job at its activeDeadlineSeconds";

/// All attempts that `backoffLimit` allows have failed.
fn gave_up(job: &ObservedJob) -> String {
    match job.attempts {
        ..=1 => "gave up after 1 attempt (backoffLimit)".to_owned(),
        several => format!("gave up after {several} attempts (backoffLimit)"),
    }
}

fn has_failed(rule: &RuleOutcome) -> bool {
    rule.failed > 0 || !rule.sql_state.is_empty() || rule.stop_reason == Some(StopReason::Error)
}

/// PostgreSQL documentation, appendix A: class 28 is about who comes in, class 42 and 3F about
/// what is there.
fn by_sql_state(report: &RunReport) -> &'static str {
    let of_rules = report.rules.iter().map(|rule| rule.sql_state.as_str());
    // A report that was shortened has the code in its message only.
    let of_message = report.message.split("SQLSTATE ").skip(1).filter_map(|rest| rest.get(..5));
    let mut states = of_rules.chain(of_message).filter(|state| !state.is_empty());
    match states.next() {
        Some("42501") => reason::PERMISSION_DENIED,
        Some(state) if state.starts_with("28") => reason::PERMISSION_DENIED,
        // A table without a primary key.
        Some("55000") => reason::SCHEMA_MISMATCH,
        Some(state) if state.starts_with("42") || state.starts_with("3F") => {
            reason::SCHEMA_MISMATCH
        }
        Some(_) | None => reason::FAILED,
    }
}

fn by_exit(job: &ObservedJob, ending: &Ending, last: Option<&Termination>) -> Conclusion {
    let conclude = |result, stop_reason, reason, message: &str| Conclusion {
        result,
        stop_reason,
        reason,
        message: message.to_owned(),
    };
    let failed = |stop_reason, reason, message: &str| {
        conclude(RunResult::Failed, stop_reason, reason, message)
    };
    let Verdict::Failed { reason: verdict } = &ending.verdict else {
        let message =
            "the Job completed; its report could not be read, so its row counts are unknown";
        return conclude(RunResult::Succeeded, StopReason::Drained, reason::SUCCEEDED, message);
    };
    match verdict.as_str() {
        "DeadlineExceeded" => {
            return failed(StopReason::Cancelled, reason::DEADLINE_EXCEEDED, DEADLINE);
        }
        "BackoffLimitExceeded" => {
            let how = last.map(how_it_ended).unwrap_or_default();
            let message = gave_up(job) + &how;
            return failed(StopReason::Error, reason::BACKOFF_LIMIT_EXCEEDED, &message);
        }
        _ => {}
    }
    match last.map(|last| last.exit_code) {
        Some(3) => {
            let message = "a guard stopped the run before any row changed; see the log of the Job";
            conclude(RunResult::Aborted, StopReason::BlastRadius, reason::SAFETY_ABORT, message)
        }
        Some(11) => {
            let message = "some rules, or some rows, could not be done; see the log of the Job";
            let partly = RunResult::PartiallySucceeded;
            conclude(partly, StopReason::Error, reason::RULES_FAILED, message)
        }
        _ => {
            let how = last.map_or_else(|| format!(" ({verdict})"), how_it_ended);
            let message = format!("the Job failed{how}; see its log");
            failed(StopReason::Error, reason::FAILED, &message)
        }
    }
}

fn how_it_ended(last: &Termination) -> String {
    let meaning = match (last.exit_code, last.reason.as_str()) {
        (2, _) => "the policy, the schema, a privilege or the connection is wrong",
        (10, _) => "the database was away",
        (143, _) => "it was asked to end",
        (_, "OOMKilled") => "it used more memory than its limit",
        (_, _) => return format!(": exit code {}", last.exit_code),
    };
    format!(": exit code {}, {meaning}", last.exit_code)
}

#[cfg(test)]
mod tests;
