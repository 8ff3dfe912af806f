//! How a run ended, and what to say of it, by its report, or else by its Job and its pod. Pure.

use policy::{RuleOutcome, RunReport, RunResult, StopReason, reason};

use super::Remains;
use crate::controller::observe::{Ending, ObservedJob, Termination, Verdict};
use crate::controller::publish::words;

const DEADLINE: &str = "Kubernetes ended the Job at its activeDeadlineSeconds";
const DELETED: &str = "the Job was deleted while it ran";
const LOST: &str = "the Job was gone before its end was seen";
/// What comes after a loss.
const MADE_UP_FOR: &str = "the next run's report makes up for it";

pub(super) struct Conclusion {
    pub result: RunResult,
    pub stop_reason: StopReason,
    pub reason: &'static str,
    pub message: String,
}

impl Conclusion {
    fn failed(stop_reason: StopReason, reason: &'static str, message: impl Into<String>) -> Self {
        Self { result: RunResult::Failed, stop_reason, reason, message: message.into() }
    }
}

pub(super) fn conclude(ending: &Ending, remains: &Remains<'_>) -> Conclusion {
    let verdict = match &ending.verdict {
        Verdict::Complete => Ok(()),
        Verdict::Failed { reason } => Err(reason.as_str()),
        Verdict::Deleted => return by_loss(DELETED, false, remains),
        Verdict::Lost { likely_succeeded } => return by_loss(LOST, *likely_succeeded, remains),
    };
    match &remains.report {
        Some(report) => by_report(remains.job, verdict.err(), report),
        None => by_exit(verdict, remains),
    }
}

fn by_report(job: &ObservedJob, failed: Option<&str>, report: &RunReport) -> Conclusion {
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
    let summary = summary(report);
    let message = match (failed, report.message.as_str()) {
        (Some("DeadlineExceeded"), _) => format!("{DEADLINE}; {summary}"),
        (Some("BackoffLimitExceeded"), "") => gave_up(job),
        (Some("BackoffLimitExceeded"), message) => format!("{}: {message}", gave_up(job)),
        (_, "") => summary,
        (_, message) => message.to_owned(),
    };
    Conclusion { result: said, stop_reason: report.stop_reason, reason, message }
}

fn summary(report: &RunReport) -> String {
    words::summary(report.mode, &report.rules, report.duration_seconds)
}

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

/// The Job has no word of its own: its pod may have.
fn by_loss(what: &str, likely_succeeded: bool, remains: &Remains<'_>) -> Conclusion {
    let cancelled = |message| Conclusion::failed(StopReason::Cancelled, reason::FAILED, message);
    match (&remains.report, &remains.never_began) {
        // It came to its end, and only its Job could not say so any more.
        (Some(report), _) if report.stop_reason != StopReason::Cancelled => {
            by_report(remains.job, None, report)
        }
        (Some(report), _) => cancelled(format!("{what}; {}", summary(report))),
        (None, Some(why)) => cancelled(never_began("the Job was deleted", why)),
        (None, None) if likely_succeeded => {
            let message = format!(
                "{LOST}, and a Job of this policy has succeeded since it began; {MADE_UP_FOR}"
            );
            let result = RunResult::Succeeded;
            let (stop_reason, reason) = (StopReason::Drained, reason::SUCCEEDED);
            Conclusion { result, stop_reason, reason, message }
        }
        (None, None) => cancelled(format!("{what}; {}", unread(remains))),
    }
}

/// Why there is no report, and what comes of it.
fn unread(remains: &Remains<'_>) -> String {
    match remains.last {
        None => {
            format!("the pod was gone before its report was read; {MADE_UP_FOR}")
        }
        Some(last) if last.message.is_empty() => format!("its pod left no report; {MADE_UP_FOR}"),
        Some(_) => format!(
            "what its pod left as report is none of this run, and is not believed; {MADE_UP_FOR}"
        ),
    }
}

fn never_began(ended: &str, why: &str) -> String {
    match why {
        "" => format!("{ended} before its pod began"),
        why => format!("{ended} before its pod began: {why}"),
    }
}

fn by_exit(verdict: Result<(), &str>, remains: &Remains<'_>) -> Conclusion {
    let Err(verdict) = verdict else {
        let message = format!("the Job completed, its row counts are unknown: {}", unread(remains));
        let result = RunResult::Succeeded;
        let (stop_reason, reason) = (StopReason::Drained, reason::SUCCEEDED);
        return Conclusion { result, stop_reason, reason, message };
    };
    match (verdict, &remains.never_began) {
        ("DeadlineExceeded", never) => {
            let message = match never {
                Some(why) => never_began(DEADLINE, why),
                None => format!("{DEADLINE}; {}", unread(remains)),
            };
            Conclusion::failed(StopReason::Cancelled, reason::DEADLINE_EXCEEDED, message)
        }
        ("BackoffLimitExceeded", _) => {
            let how = remains.last.map_or_else(|| format!("; {}", unread(remains)), how_it_ended);
            let message = gave_up(remains.job) + &how;
            Conclusion::failed(StopReason::Error, reason::BACKOFF_LIMIT_EXCEEDED, message)
        }
        _ => by_exit_code(verdict, remains),
    }
}

fn by_exit_code(verdict: &str, remains: &Remains<'_>) -> Conclusion {
    match remains.last.map(|last| last.exit_code) {
        Some(3) => Conclusion {
            result: RunResult::Aborted,
            stop_reason: StopReason::BlastRadius,
            reason: reason::SAFETY_ABORT,
            message: "a guard stopped the run before any row changed; see the log of the Job"
                .into(),
        },
        Some(11) => Conclusion {
            result: RunResult::PartiallySucceeded,
            stop_reason: StopReason::Error,
            reason: reason::RULES_FAILED,
            message: "some rules, or some rows, could not be done; see the log of the Job".into(),
        },
        _ => {
            let message = match (remains.last, &remains.never_began) {
                (Some(last), _) => format!("the Job failed{}; see its log", how_it_ended(last)),
                (None, Some(why)) => never_began(&format!("the Job failed ({verdict})"), why),
                (None, None) => format!("the Job failed ({verdict}); {}", unread(remains)),
            };
            Conclusion::failed(StopReason::Error, reason::FAILED, message)
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
