//! From what happened to the report and the exit code. Pure.

use std::time::Duration;

use jiff::Timestamp;
use policy::{Mode, Plan, Policy, RuleOutcome, RunReport, RunResult, SchemaProblem, StopReason};

use crate::execute::Done;
use crate::exit::Exit;
use crate::failure::FailureKind;
use crate::measure::Held;
use crate::output;
use crate::preflight::Refusal;

/// Why a run ended before its first row.
pub enum Ending {
    /// Something was wrong.
    Refused(Refusal),
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
    max_rows_per_run: i64,
    /// Rows that a run would handle within its caps.
    due: i64,
    incomplete: bool,
    unavailable: bool,
}

/// The report of a policy that was not run: it is wrong, or another one of the same call is.
pub fn not_run(policy: String, mode: Mode, result: RunResult, message: String) -> RunReport {
    RunReport {
        policy,
        generation: 0,
        rules_hash: String::new(),
        run_id: String::new(),
        epoch: 0,
        mode,
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
            stop_reason: StopReason::Drained,
            attempts: 1,
            rules: rules.collect(),
            ..not_run(policy.name().to_string(), policy.mode(), RunResult::Succeeded, String::new())
        };
        Self {
            report,
            max_rows_per_run: policy.limits().max_rows_per_run,
            due: 0,
            incomplete: false,
            unavailable: false,
        }
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
            rule.warnings = step.warnings().into_iter().map(str::to_owned).collect();
            let capped = held.rows > step.max_rows();
            rule.stop_reason =
                Some(if capped { StopReason::RowLimit } else { StopReason::Drained });
            self.due += held.rows.min(step.max_rows());
        }
        self.due = self.due.min(self.max_rows_per_run);
    }

    /// The rules were carried out; `left` is what they still hold, where that could be counted.
    pub fn executed(&mut self, done: &[Done], left: &[Option<Held>]) {
        for ((rule, done), left) in self.report.rules.iter_mut().zip(done).zip(left) {
            self.incomplete |= done.kept > 0 || done.failure.is_some();
            let failure = done.failure.as_ref();
            self.unavailable |= failure.is_some_and(|it| it.kind == FailureKind::Unavailable);
            rule.affected = done.affected;
            rule.batches = done.batches;
            match left {
                Some(left) => {
                    rule.remaining = left.rows;
                    rule.oldest_overdue_seconds = left.overdue_seconds;
                }
                None => rule.remaining = (rule.matched - rule.affected).max(0),
            }
            rule.failed = done.kept;
            let stop = stop_reason(rule, done);
            if let Some(failure) = &done.failure {
                rule.sql_state.clone_from(&failure.sql_state);
            }
            rule.message = message(rule, done, stop);
            rule.stop_reason = Some(stop);
        }
    }

    /// Every step was taken.
    pub fn conclude(&mut self) -> Exit {
        if self.report.mode == Mode::DryRun {
            self.report.message = format!(
                "a dry run: {} rows would be handled, none was changed",
                output::grouped(self.due)
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
            _ if self.incomplete && self.nothing_worked() => (RunResult::Failed, Exit::Incomplete),
            _ if self.incomplete => (RunResult::PartiallySucceeded, Exit::Incomplete),
            _ => (RunResult::PartiallySucceeded, Exit::Done),
        };
        self.report.result = result;
        self.report.message = self.sentence(stop);
        exit
    }

    fn nothing_worked(&self) -> bool {
        let worked = |rule: &RuleOutcome| {
            matches!(rule.stop_reason, Some(StopReason::Drained | StopReason::RowLimit))
        };
        self.report.rows_affected() == 0 && !self.report.rules.iter().any(worked)
    }

    fn sentence(&self, stop: StopReason) -> String {
        let failed = self.report.rules.iter().find(|rule| {
            let stop = rule.stop_reason;
            !rule.sql_state.is_empty()
                || matches!(stop, Some(StopReason::Error | StopReason::BlastRadius))
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
            Ending::Refused(Refusal::Failed(failure)) => {
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
            Ending::Refused(Refusal::Schema(problems)) => {
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
                rule.sql_state.clone_from(&first.sql_state);
            }
        }
        let all: Vec<_> = problems.iter().map(SchemaProblem::to_string).collect();
        self.report.message = all.join("; ");
    }

    /// The finished report.
    pub fn into_report(mut self, took: Duration) -> RunReport {
        self.report.duration_seconds = (took.as_secs_f64() * 1000.0).round() / 1000.0;
        self.report
    }
}

/// Why a rule ended, by what it did and what it still holds.
fn stop_reason(rule: &RuleOutcome, done: &Done) -> StopReason {
    match done.stop {
        StopReason::RowLimit if rule.remaining == 0 => StopReason::Drained,
        StopReason::Drained if done.kept > 0 => StopReason::Error,
        // Both passes met every row that was free.
        StopReason::Drained if rule.remaining > 0 => StopReason::Blocked,
        stop => stop,
    }
}

fn message(rule: &mut RuleOutcome, done: &Done, stop: StopReason) -> String {
    if stop == StopReason::Blocked {
        rule.skipped_locked = rule.remaining;
    }
    match (&done.failure, stop) {
        (Some(failure), _) => failure.message.clone(),
        (None, StopReason::Error) if done.kept > 0 => format!("a trigger kept {} rows", done.kept),
        (None, StopReason::Error) => "not begun: an earlier rule ended the run".to_owned(),
        (None, StopReason::Blocked) => {
            "other transactions held these rows during both passes, or another rule made them due; the next run tries again".to_owned()
        }
        (None, _) => String::new(),
    }
}

/// Which stop reason of its rules a run takes over: what ended it before what merely limited it.
fn weight(stop: StopReason) -> u8 {
    match stop {
        StopReason::Drained => 0,
        StopReason::Blocked => 1,
        StopReason::RowLimit => 2,
        StopReason::TimeBudget => 3,
        StopReason::LockTimeout | StopReason::BlastRadius => 4,
        StopReason::Error => 5,
        StopReason::Cancelled => 6,
        StopReason::ReplicaLag | StopReason::LockHeld | StopReason::Held => 7,
    }
}
