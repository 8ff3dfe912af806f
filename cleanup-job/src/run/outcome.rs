//! From what happened to the report and the exit code. Pure.

use std::time::Duration;

use jiff::Timestamp;
use policy::{Mode, Plan, Policy, RuleOutcome, RunReport, RunResult, SchemaProblem, StopReason};

use crate::execute::Done;
use crate::exit::Exit;
use crate::failure::{Failure, FailureKind};
use crate::measure::Held;

/// Why a run ended before its first row.
pub enum Ending {
    /// Something was wrong.
    Failed(Failure),
    /// The database's tables do not fit the policy.
    Schema(Vec<SchemaProblem>),
    /// The process was asked to end.
    Cancelled,
    /// A guard stopped it at this rule.
    Guarded {
        /// Index of the rule.
        rule: usize,
        /// The sentence that says so.
        message: String,
    },
}

/// What is known of a run so far.
pub struct Outcome {
    report: RunReport,
    incomplete: bool,
    unavailable: bool,
}

/// The report of a policy that was not run: it is wrong, or another one of the same call is.
pub fn not_run(policy: String, result: RunResult, message: String) -> RunReport {
    RunReport {
        policy,
        generation: 0,
        rules_hash: String::new(),
        run_id: String::new(),
        epoch: 0,
        mode: Mode::Enforce,
        result,
        stop_reason: if result == RunResult::Skipped {
            StopReason::Blocked
        } else {
            StopReason::Error
        },
        message,
        start_time: String::new(),
        duration_seconds: 0.0,
        attempts: 0,
        rules: Vec::new(),
        totals: None,
        earlier: Vec::new(),
        truncated: false,
    }
}

impl Outcome {
    /// A run that has just begun.
    pub fn new(policy: &Policy, run_id: String) -> Self {
        let rules = policy.rules().iter().map(|rule| RuleOutcome {
            name: rule.name().to_owned(),
            action: Some(rule.action().kind()),
            matched: 0,
            matched_is_estimate: false,
            affected: 0,
            remaining: 0,
            oldest_overdue_seconds: 0,
            failed: 0,
            batches: 0,
            skipped_locked: 0,
            strategy: Some(policy::Strategy::Keyset),
            stop_reason: None,
            sql_state: String::new(),
            message: String::new(),
            warnings: Vec::new(),
        });
        let report = RunReport {
            generation: policy.generation(),
            rules_hash: policy.rules_hash().to_owned(),
            run_id,
            mode: policy.mode(),
            stop_reason: StopReason::Drained,
            attempts: 1,
            rules: rules.collect(),
            ..not_run(policy.name().to_string(), RunResult::Succeeded, String::new())
        };
        Self { report, incomplete: false, unavailable: false }
    }

    /// The database was reached.
    pub fn began(&mut self, now: Timestamp) {
        self.report.start_time = now.to_string();
    }

    /// The rules were measured.
    pub fn measured(&mut self, plan: &Plan, held: &[Held]) {
        for ((rule, held), step) in self.report.rules.iter_mut().zip(held).zip(plan.steps()) {
            rule.matched = held.rows;
            rule.matched_is_estimate = held.is_estimate;
            rule.remaining = held.rows;
            rule.oldest_overdue_seconds = held.overdue_seconds;
            rule.strategy = Some(step.strategy());
        }
    }

    /// The rules were carried out; `left` is what they still hold, where that could be counted.
    pub fn executed(&mut self, done: &[Done], left: &[Option<Held>]) {
        for ((rule, done), left) in self.report.rules.iter_mut().zip(done).zip(left) {
            rule.affected = done.affected;
            rule.batches = done.batches;
            match left {
                Some(left) => {
                    rule.remaining = left.rows;
                    rule.oldest_overdue_seconds = left.overdue_seconds;
                }
                None => rule.remaining = (rule.matched - rule.affected).max(0),
            }
            let mut stop = done.stop;
            if rule.remaining == 0 && stop == StopReason::RowLimit {
                stop = StopReason::Drained;
            }
            if stop == StopReason::Drained && rule.remaining > 0 {
                // Both passes met every row that was free: these are held by the app.
                stop = StopReason::Blocked;
                rule.skipped_locked = rule.remaining;
                "other transactions held these rows during both passes, or a trigger kept them; the next run tries again"
                    .clone_into(&mut rule.message);
            }
            if let Some(failure) = &done.failure {
                rule.sql_state.clone_from(&failure.sql_state);
                rule.message.clone_from(&failure.message);
                self.incomplete = true;
                self.unavailable |= failure.kind == FailureKind::Unavailable;
            }
            rule.stop_reason = Some(stop);
        }
    }

    /// Every step was taken.
    pub fn conclude(&mut self) -> Exit {
        if self.report.mode == Mode::DryRun {
            for rule in &mut self.report.rules {
                rule.stop_reason = Some(StopReason::Drained);
            }
            self.report.message = format!(
                "a dry run: {} rows would be handled, none was changed",
                self.report.rows_matched()
            );
            return Exit::Done;
        }
        let worst = self
            .report
            .rules
            .iter()
            .filter_map(|rule| rule.stop_reason)
            .max_by_key(|stop| weight(*stop));
        let stop = worst.unwrap_or(StopReason::Drained);
        self.report.stop_reason = stop;
        let (result, exit) = match stop {
            StopReason::Drained => (RunResult::Succeeded, Exit::Done),
            StopReason::Cancelled => (RunResult::PartiallySucceeded, Exit::Terminated),
            _ if self.unavailable => (RunResult::Failed, Exit::Unavailable),
            _ if self.incomplete => (RunResult::PartiallySucceeded, Exit::Incomplete),
            _ => (RunResult::PartiallySucceeded, Exit::Done),
        };
        self.report.result = result;
        self.report.message = self.sentence(stop);
        exit
    }

    fn sentence(&self, stop: StopReason) -> String {
        let failed =
            self.report.rules.iter().find(|rule| {
                !rule.sql_state.is_empty() || rule.stop_reason == Some(StopReason::Error)
            });
        match (stop, failed) {
            (StopReason::Cancelled, _) => {
                "the run was asked to end; what was done is done, the rest waits for the next run"
                    .to_owned()
            }
            (_, Some(rule)) => format!("rule {}: {}", rule.name, rule.message),
            (StopReason::RowLimit, _) => {
                "a cap on rows was reached; the rest waits for the next run".to_owned()
            }
            (StopReason::TimeBudget, _) => {
                "execution.maxDuration has passed; the rest waits for the next run".to_owned()
            }
            (StopReason::Blocked, _) => {
                "the app still holds some of the rows; the next run tries again".to_owned()
            }
            _ => String::new(),
        }
    }

    /// The run ended before its first row.
    pub fn end(&mut self, ending: Ending) -> Exit {
        match ending {
            Ending::Failed(failure) => {
                let stop = match failure.kind {
                    FailureKind::Contention => StopReason::LockTimeout,
                    _ => StopReason::Error,
                };
                self.report.result = RunResult::Failed;
                self.report.stop_reason = stop;
                self.report.message.clone_from(&failure.message);
                for rule in &mut self.report.rules {
                    rule.sql_state.clone_from(&failure.sql_state);
                    rule.stop_reason = Some(stop);
                }
                failure.exit()
            }
            Ending::Cancelled => {
                self.report.result = RunResult::PartiallySucceeded;
                self.report.stop_reason = StopReason::Cancelled;
                "the run was asked to end before its first row"
                    .clone_into(&mut self.report.message);
                for rule in &mut self.report.rules {
                    rule.stop_reason = Some(StopReason::Cancelled);
                }
                Exit::Terminated
            }
            Ending::Schema(problems) => {
                self.end_with_schema_problems(&problems);
                Exit::Wrong
            }
            Ending::Guarded { rule, message } => {
                self.report.result = RunResult::Aborted;
                self.report.stop_reason = StopReason::BlastRadius;
                for outcome in &mut self.report.rules {
                    outcome.stop_reason = Some(StopReason::BlastRadius);
                }
                if let Some(rule) = self.report.rules.get_mut(rule) {
                    rule.message.clone_from(&message);
                }
                self.report.message = message;
                Exit::Guarded
            }
        }
    }

    fn end_with_schema_problems(&mut self, problems: &[SchemaProblem]) {
        self.report.result = RunResult::Failed;
        self.report.stop_reason = StopReason::Error;
        for rule in &mut self.report.rules {
            rule.stop_reason = Some(StopReason::Error);
            let own = problems.iter().filter(|problem| problem.rule == rule.name);
            let messages: Vec<_> = own.clone().map(|problem| problem.message.as_str()).collect();
            rule.message = messages.join("; ");
            if let Some(first) = own.clone().next() {
                first.kind.sql_state().clone_into(&mut rule.sql_state);
            }
        }
        let all: Vec<_> = problems
            .iter()
            .map(|problem| {
                format!("rule {}: {}: {}", problem.rule, problem.kind.as_str(), problem.message)
            })
            .collect();
        self.report.message = all.join("; ");
    }

    /// The finished report.
    pub fn into_report(mut self, took: Duration) -> RunReport {
        self.report.duration_seconds = (took.as_secs_f64() * 1000.0).round() / 1000.0;
        self.report
    }
}

/// Which stop reason of its rules a run takes over: what ended it before what merely limited it.
fn weight(stop: StopReason) -> u8 {
    match stop {
        StopReason::Drained => 0,
        StopReason::Blocked => 1,
        StopReason::RowLimit => 2,
        StopReason::TimeBudget => 3,
        StopReason::LockTimeout => 4,
        StopReason::Error => 5,
        StopReason::Cancelled => 6,
        StopReason::BlastRadius
        | StopReason::ReplicaLag
        | StopReason::LockHeld
        | StopReason::Held => 7,
    }
}
