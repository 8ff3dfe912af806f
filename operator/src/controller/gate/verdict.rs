//! From a Preflight Job and what its pod left behind to one verdict. Pure.
//!
//! A report is believed only if it is this Job's, about these rules. What no
//! report says is tried again: an edit cannot mend it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use policy::{PlanStatus, PreflightProblem, PreflightReport, RulePlan};

use crate::controller::observe::{
    Container, ObservedJob, ObservedPod, REPORT_PATIENCE, Termination, Verdict as JobVerdict,
};
use crate::controller::publish::words::cut;
use crate::controller::validate::ValidPolicy;

/// Of `pgsweep plan`: all is well; a guard would stop a run; the database is away.
const EXIT_DONE: i32 = 0;
const EXIT_GUARD: i32 = 3;
const EXIT_AWAY: i32 = 10;
/// The bounds of the status's own schema.
const MOST_RULES: usize = 32;
const MOST_NAMES: usize = 16;
const LONGEST_TABLE: usize = 256;
const LONGEST_VERDICT: usize = 4096;
const LONGEST_MESSAGE: usize = 8000;

/// What a Preflight Job says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Nothing yet.
    UnderWay,
    /// It has ended, and its pod may still tell why; look again after this.
    AwaitReport(Duration),
    /// The rules can run. Without a plan where the report could not be read.
    Passed { time: Timestamp, plan: Option<Box<PlanStatus>> },
    /// They cannot.
    Failed { time: Timestamp, message: String, may_pass: bool },
}

/// Judges a Preflight Job of the present rules.
pub(super) fn verdict(
    job: &ObservedJob,
    pods: &[Arc<ObservedPod>],
    valid: &ValidPolicy,
    now: Timestamp,
) -> Verdict {
    let Some(ending) = &job.ending else { return Verdict::UnderWay };
    let time = ending.time;
    let own = || pods.iter().filter(|pod| pod.job_uid == job.uid).map(|pod| &pod.container);
    let still_open = own().any(|container| !matches!(container, Container::Terminated(_)));
    let last = own()
        .filter_map(|container| match container {
            Container::Terminated(termination) => Some(termination),
            Container::Waiting { .. } | Container::Running => None,
        })
        .max_by_key(|termination| termination.finished_at);
    if last.is_none() || still_open {
        let left = REPORT_PATIENCE.saturating_sub(now.duration_since(time));
        if let Ok(left) = Duration::try_from(left)
            && !left.is_zero()
        {
            return Verdict::AwaitReport(left);
        }
    }
    let report = last.and_then(|last| believable(last, job, valid));
    let is_done = match last {
        Some(last) => matches!(last.exit_code, EXIT_DONE | EXIT_GUARD),
        None => ending.verdict == JobVerdict::Complete,
    };
    match report {
        Some(report) if report.problems.is_empty() && is_done => {
            Verdict::Passed { time, plan: Some(Box::new(plan(report, valid))) }
        }
        Some(report) if !report.problems.is_empty() => {
            let is_away = last.is_some_and(|last| last.exit_code == EXIT_AWAY);
            let may_pass = is_away || report.problems.iter().any(|problem| problem.may_pass);
            Verdict::Failed { time, message: sentence(&report.problems), may_pass }
        }
        None if is_done => Verdict::Passed { time, plan: None },
        _ => Verdict::Failed { time, message: without_report(job, last), may_pass: true },
    }
}

fn believable(
    last: &Termination,
    job: &ObservedJob,
    valid: &ValidPolicy,
) -> Option<PreflightReport> {
    let report: PreflightReport = serde_json::from_str(&last.message).ok()?;
    let policy = &valid.policy;
    let is_ours = report.policy == policy.name().to_string()
        && report.rules_hash == policy.rules_hash()
        && report.mode == policy.mode()
        && report.run_id == job.uid;
    is_ours.then_some(report)
}

/// Every problem, with its rule and its stable name.
fn sentence(problems: &[PreflightProblem]) -> String {
    let problem = |problem: &PreflightProblem| {
        let PreflightProblem { name, rule, message, .. } = problem;
        let rule = if rule.is_empty() { String::new() } else { format!("rule {rule}: ") };
        match message.as_str() {
            "" => format!("{rule}{name}"),
            message => format!("{rule}{message} ({name})"),
        }
    };
    let all: Vec<_> = problems.iter().map(problem).collect();
    cut(&all.join("; "), LONGEST_MESSAGE)
}

fn without_report(job: &ObservedJob, last: Option<&Termination>) -> String {
    let deadline = job.ending.as_ref().is_some_and(|ending| {
        matches!(&ending.verdict, JobVerdict::Failed { reason } if reason == "DeadlineExceeded")
    });
    let how = match last {
        None if deadline => {
            "its pod had not started when the Job met its activeDeadlineSeconds".to_owned()
        }
        None => "nothing is left of its pod".to_owned(),
        Some(_) if deadline => "the Job met its activeDeadlineSeconds".to_owned(),
        Some(last) => match (last.exit_code, last.reason.as_str()) {
            (EXIT_AWAY, _) => "the database was away".to_owned(),
            (_, "OOMKilled") => "it used more memory than its limit".to_owned(),
            (code, _) => format!("it ended with exit code {code} and left no report"),
        },
    };
    format!("the preflight could not be made: {how}; see Job {}", job.name)
}

/// The plan as the status keeps it: within its own schema, and with what a report that had to be
/// short left to the policy.
fn plan(report: PreflightReport, valid: &ValidPolicy) -> PlanStatus {
    let mut rules = report.rules;
    rules.truncate(MOST_RULES);
    for rule in &mut rules {
        complete(rule, valid);
    }
    let verdict = cut(&report.verdict, LONGEST_VERDICT);
    let mut warnings = report.warnings;
    warnings.truncate(MOST_NAMES);
    let (rules_hash, mode) = (report.rules_hash, report.mode);
    PlanStatus { rules_hash, mode, time: report.time, verdict, rules, warnings }
}

fn complete(plan: &mut RulePlan, valid: &ValidPolicy) {
    let rule = valid.policy.rules().iter().find(|rule| rule.name() == plan.name);
    if let Some(rule) = rule {
        plan.table = rule.table().plain();
        plan.action = Some(rule.action().kind());
    }
    plan.table = cut(&plan.table, LONGEST_TABLE);
    for names in [&mut plan.indexes, &mut plan.warnings, &mut plan.advice] {
        names.truncate(MOST_NAMES);
    }
}

#[cfg(test)]
mod tests;
