//! From what happened to the report and the exit code. Pure.

mod ending;

use std::time::Duration;

use jiff::Timestamp;
use policy::{
    Counts, Mode, Moment, Plan, Policy, RuleOutcome, RunReport, RunResult, Statement, StopReason,
    Value,
};

pub use ending::Ending;

use super::Executed;
use crate::execute::Done;
use crate::exit::Exit;
use crate::failure::FailureKind;
use crate::ledger::RuleProgress;
use crate::ledger::begin::Tenure;
use crate::ledger::close::RuleEnd;
use crate::measure::Held;
use crate::output;
use runtime::database::address::ConnectionWarning;

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
        warnings: Vec::new(),
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
            strategy: None,
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

    /// Its id in the ledger.
    pub fn run_id(&self) -> &str {
        &self.report.run_id
    }

    /// It has begun in the ledger.
    pub fn entered(&mut self, tenure: &Tenure) {
        self.report.epoch = tenure.ledger.epoch();
        self.report.attempts = tenure.attempt;
        self.recorded(&tenure.progress);
    }

    /// What all its attempts have done so far. What a rule held when it was first measured stands
    /// for all of them.
    pub fn recorded(&mut self, progress: &[RuleProgress]) {
        for (rule, recorded) in self.report.rules.iter_mut().zip(progress) {
            if let Some((matched, is_estimate)) = recorded.matched {
                rule.matched = matched;
                rule.matched_is_estimate = is_estimate;
            }
            rule.affected = recorded.affected;
            rule.batches = recorded.batches;
        }
    }

    /// What is known of the connection before it is made.
    pub fn connecting(&mut self, warnings: &[ConnectionWarning]) {
        self.report.warnings = warnings.iter().map(|it| it.as_str().to_owned()).collect();
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
            self.incomplete |= done.failed > 0 || done.failure.is_some();
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
            rule.failed = done.failed;
            let stop = stop_reason(rule, done);
            if let Some(failure) = done.failure.as_ref().or(done.fault.as_ref()) {
                rule.sql_state.clone_from(&failure.sql_state);
            }
            rule.message = message(rule, done, stop);
            rule.stop_reason = Some(stop);
        }
    }

    /// What the policy's own row about the run is filled with.
    pub fn row_values(&self, row: &Statement, now: Timestamp) -> Vec<Value> {
        let rules = self.report.rules.iter();
        let counts: Vec<_> =
            rules.map(|rule| Counts { matched: rule.matched, affected: rule.affected }).collect();
        let run_id = &self.report.run_id;
        row.values(Moment { now, run_id, counts: &counts, ..Moment::default() })
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
            StopReason::LockHeld => (RunResult::PartiallySucceeded, Exit::Done),
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

    /// What a rule that ended so has to say.
    fn noted(&self, stop: StopReason) -> Option<String> {
        let noted =
            |rule: &&RuleOutcome| rule.stop_reason == Some(stop) && !rule.message.is_empty();
        let rule = self.report.rules.iter().find(noted)?;
        Some(format!("rule {}: {}", rule.name, rule.message))
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
            (StopReason::LockHeld, _) => {
                "another run of this policy took over; what was done is done".to_owned()
            }
            (_, Some(rule)) => format!("rule {}: {}", rule.name, rule.message),
            (StopReason::RowLimit, _) => self.noted(stop).unwrap_or_else(|| {
                "a cap on rows was reached; the rest waits for the next run".to_owned()
            }),
            (StopReason::TimeBudget, _) => {
                "execution.maxDuration has passed; the rest waits for the next run".to_owned()
            }
            (StopReason::ReplicaLag, _) => {
                "a replica was further behind than execution.maxReplicaLag until execution.maxDuration had passed; the rest waits for the next run"
                    .to_owned()
            }
            (StopReason::Blocked, _) => {
                "the app still holds some of the rows; the next run tries again".to_owned()
            }
            _ => String::new(),
        }
    }

    /// How long it has taken, over all attempts.
    pub fn took(&mut self, took: Duration) {
        self.report.duration_seconds = (took.as_secs_f64() * 1000.0).round() / 1000.0;
    }

    /// What the ledger keeps of each rule's end.
    pub fn rule_ends(&self, drained: impl Iterator<Item = bool>) -> Vec<RuleEnd> {
        let end = |(rule, drained): (&RuleOutcome, bool)| RuleEnd {
            rule: rule.name.clone(),
            drained,
            failed: rule.failed,
            skipped_locked: rule.skipped_locked,
        };
        self.report.rules.iter().zip(drained).map(end).collect()
    }

    /// The report, for the ledger to complete.
    pub fn report_mut(&mut self) -> &mut RunReport {
        &mut self.report
    }

    /// The finished report.
    pub fn into_report(self) -> RunReport {
        self.report
    }
}

impl Executed {
    /// Takes the counts that were committed.
    pub fn recount(&mut self, recorded: &[RuleProgress]) {
        for (done, recorded) in self.done.iter_mut().zip(recorded) {
            done.affected = recorded.affected;
            done.batches = recorded.batches;
        }
    }
}

/// Why a rule ended, by what it did and what it still holds.
fn stop_reason(rule: &RuleOutcome, done: &Done) -> StopReason {
    match done.stop {
        StopReason::RowLimit if rule.remaining == 0 => StopReason::Drained,
        StopReason::Drained if done.failed > 0 => StopReason::Error,
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
        (None, StopReason::Error) if done.failed > 0 => match &done.fault {
            Some(fault) => format!("{} could not be changed: {fault}", rows(done.failed)),
            None => format!("a trigger kept {}", rows(done.failed)),
        },
        (None, StopReason::Error) => "not begun: an earlier rule ended the run".to_owned(),
        (None, StopReason::Blocked) => {
            "other transactions held these rows during both passes, or another rule made them due; the next run tries again".to_owned()
        }
        (None, _) => done.note.clone(),
    }
}

fn rows(count: i64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
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
