//! Ends other than having taken every step.

use policy::{RunResult, SchemaProblem, StopReason};

use super::Outcome;
use crate::exit::Exit;
use crate::failure::{Failure, FailureKind};
use crate::preflight::Refusal;

/// Why a run ended before its first row.
pub enum Ending {
    /// Something was wrong.
    Refused(Refusal),
    /// The role lacks privileges on the ledger, and perhaps more.
    NotGranted {
        /// The sentence that says so.
        message: String,
        /// What is wrong with the tables of the rules.
        problems: Vec<SchemaProblem>,
    },
    /// The process was asked to end.
    Cancelled,
    /// Another run of the policy is under way.
    LockHeld,
    /// The policy is on hold in the ledger, for this reason.
    Held(String),
    /// A guard stopped it at this rule.
    Guarded {
        /// Index of the rule.
        rule: usize,
        /// The sentence that says so.
        message: String,
    },
}

impl Outcome {
    /// The run ended before its first row, in this attempt.
    pub fn end(&mut self, ending: Ending, cancelled: bool) -> Exit {
        match ending {
            // The database that was not reached in time is not what ended this run.
            Ending::Refused(Refusal::Failed(_)) if cancelled => self.end_cancelled(),
            Ending::Refused(Refusal::Failed(failure)) => self.end_with_failure(&failure),
            Ending::Cancelled => self.end_cancelled(),
            Ending::LockHeld => {
                let message = "another run of this policy is under way, or its rows in the ledger are locked; this one changed nothing";
                self.skip(StopReason::LockHeld, message.to_owned())
            }
            Ending::Held(reason) => {
                let reason = if reason.is_empty() { reason } else { format!(" ({reason})") };
                let message = format!(
                    "the policy is on hold{reason} until `pgsweep release`, or until its rules change; nothing was changed"
                );
                self.skip(StopReason::Held, message)
            }
            Ending::Refused(Refusal::Schema(problems)) => {
                self.end_with_schema_problems(&problems);
                Exit::Wrong
            }
            Ending::NotGranted { message, problems } => {
                self.end_with_failure(&Failure::wrong("42501", message.clone()));
                if !problems.is_empty() {
                    self.end_with_schema_problems(&problems);
                    self.report.message = format!("{}; {message}", self.report.message);
                }
                Exit::Wrong
            }
            Ending::Guarded { rule, message } => {
                self.report.result = RunResult::Aborted;
                self.report.stop_reason = StopReason::BlastRadius;
                self.stop_rules(StopReason::BlastRadius);
                if let Some(rule) = self.report.rules.get_mut(rule) {
                    rule.message.clone_from(&message);
                }
                self.report.message = message;
                Exit::Guarded
            }
        }
    }

    fn end_with_failure(&mut self, failure: &Failure) -> Exit {
        let stop = match failure.kind {
            FailureKind::Superseded => return self.superseded(failure),
            FailureKind::Contention => StopReason::LockTimeout,
            _ => StopReason::Error,
        };
        self.report.result = RunResult::Failed;
        self.report.stop_reason = stop;
        self.report.message.clone_from(&failure.message);
        for rule in &mut self.report.rules {
            rule.sql_state.clone_from(&failure.sql_state);
        }
        self.stop_rules(stop);
        failure.exit()
    }

    fn end_cancelled(&mut self) -> Exit {
        self.report.result = RunResult::PartiallySucceeded;
        self.report.stop_reason = StopReason::Cancelled;
        "the run was asked to end before its first row".clone_into(&mut self.report.message);
        self.stop_rules(StopReason::Cancelled);
        Exit::Terminated
    }

    fn skip(&mut self, stop: StopReason, message: String) -> Exit {
        self.report.result = RunResult::Skipped;
        self.report.stop_reason = stop;
        self.report.message = message;
        self.stop_rules(stop);
        Exit::Done
    }

    fn stop_rules(&mut self, stop: StopReason) {
        for rule in &mut self.report.rules {
            rule.stop_reason = Some(stop);
        }
    }

    /// Another run took over before this one was closed: the ledger counts what it did, and it is
    /// not for this one to say more.
    pub fn superseded(&mut self, failure: &Failure) -> Exit {
        self.report.result = RunResult::PartiallySucceeded;
        self.report.stop_reason = StopReason::LockHeld;
        self.report.message.clone_from(&failure.message);
        Exit::Done
    }

    /// The database refused the user's row about the run; all else is done.
    pub fn row_refused(&mut self, failure: &Failure) -> Exit {
        if self.report.result == RunResult::Succeeded {
            self.report.result = RunResult::PartiallySucceeded;
            self.report.stop_reason = StopReason::Error;
        }
        let message = format!("the report row: {failure}");
        if self.report.message.is_empty() {
            self.report.message = message;
        } else {
            self.report.message = format!("{}; {message}", self.report.message);
        }
        Exit::Incomplete
    }

    /// The ledger could not be reached at the end: what was done is done and counted there, but a
    /// later attempt must close the run.
    pub fn not_closed(&mut self, failure: &Failure, exit: Exit) -> Exit {
        tracing::error!(error = %failure, "the run could not be closed in the ledger");
        match exit {
            Exit::Terminated | Exit::Wrong | Exit::Guarded => exit,
            Exit::Done | Exit::Unavailable | Exit::Incomplete => {
                if self.report.result != RunResult::Failed {
                    self.report.result = RunResult::Failed;
                    self.report.stop_reason = StopReason::Error;
                    self.report.message = format!("closing the run in the ledger: {failure}");
                }
                Exit::Unavailable
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
}
