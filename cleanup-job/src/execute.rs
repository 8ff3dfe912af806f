//! The rules, one after the other: which one runs, with what is left of the caps, and whether the
//! next one may. Each goes through its table in a [`sweep`], THE batch loop: the only place in the
//! project that changes rows of a user.
//!
//! A batch is one transaction: it is committed whole or not at all, and between two batches the run
//! can stop, pause or give up. What a batch may touch is decided by [`policy`] alone.

mod batch;
mod guard;
mod lag;
mod pace;
mod partitions;
mod sweep;

use std::time::Instant;

use jiff::Timestamp;
use policy::{Execution, OnRuleError, Plan, Policy, StopReason};
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, FailureKind};
use crate::ledger::{Fingerprint, RuleProgress};
use crate::progress::Progress;
use crate::run::session::Session;

pub use lag::{Positions, ReplicaLag};
use sweep::Sweep;

/// What one rule did.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// Rows that were changed, in committed batches, over all attempts of the run.
    pub affected: i64,
    /// Committed batches, over all attempts.
    pub batches: i64,
    /// Rows that the last pass could not change: a trigger, a foreign key or another constraint
    /// kept them.
    pub failed: i64,
    /// Why the first of them could not be changed, where the database said so.
    pub fault: Option<Failure>,
    /// Why it ended.
    pub stop: StopReason,
    /// What ended it early.
    pub failure: Option<Failure>,
    /// What else is to be said of its end; empty where all is said.
    pub note: String,
}

impl Done {
    /// A rule that has not begun in this attempt; an earlier one may have done this.
    pub fn nothing(stop: StopReason, before: &RuleProgress) -> Self {
        let (affected, batches) = (before.affected, before.batches);
        let note = String::new();
        Self { affected, batches, failed: 0, fault: None, stop, failure: None, note }
    }
}

/// What the loop needs from around it.
pub struct Context<'a, 'b> {
    /// The connection and the run's place in the ledger.
    pub session: &'a mut Session<'b>,
    /// What earlier attempts did, a rule each.
    pub before: &'a [RuleProgress],
    /// What the tables of each rule looked like when it was planned.
    pub fingerprints: &'a [Fingerprint],
    /// How gently rows go.
    pub execution: &'a Execution,
    /// Database time at the start of the run.
    pub now: Timestamp,
    /// What was seen of the replicas.
    pub lag: ReplicaLag,
    /// When the run must end, after the batch that is under way.
    pub deadline: Instant,
    /// Set when the process was asked to end.
    pub cancelled: &'a CancellationToken,
    /// For people.
    pub progress: &'a Progress,
}

/// Runs every step, in order. The result has one entry for each.
pub async fn execute(context: &mut Context<'_, '_>, policy: &Policy, plan: &Plan) -> Vec<Done> {
    let earlier = context.before.iter().map(|before| before.affected);
    let mut left_of_run = policy.limits().max_rows_per_run - earlier.sum::<i64>();
    let mut all = Vec::new();
    let mut ended: Option<StopReason> = None;
    let rules = plan.steps().iter().zip(context.before).zip(context.fingerprints);
    for ((step, before), fingerprint) in rules {
        if let Some(stop) = ended {
            all.push(Done::nothing(stop, before));
            continue;
        }
        context.progress.begin(step.rule());
        context.progress.add(before.affected);
        let done = match guard::again(context, step, before).await {
            Some(done) => done,
            None => Sweep::new(context, step, before, *fingerprint, left_of_run).run().await,
        };
        left_of_run -= done.affected - before.affected;
        ended = ends_the_run(&done, policy.execution().on_rule_error);
        tracing::info!(
            rule.name = step.rule(),
            rows.affected = done.affected,
            batches = done.batches,
            stop_reason = done.stop.as_str(),
            error = done.failure.as_ref().map(tracing::field::display),
            "rule ended"
        );
        all.push(done);
    }
    all
}

/// Why no later rule begins, if none does.
fn ends_the_run(done: &Done, on_rule_error: OnRuleError) -> Option<StopReason> {
    match (&done.failure, done.stop) {
        (Some(failure), _) if failure.kind == FailureKind::Unavailable => Some(StopReason::Error),
        (_, StopReason::LockHeld) => Some(StopReason::LockHeld),
        (failure, _)
            if on_rule_error == OnRuleError::Stop && (failure.is_some() || done.failed > 0) =>
        {
            Some(StopReason::Error)
        }
        (_, StopReason::TimeBudget | StopReason::Cancelled) => Some(done.stop),
        _ => None,
    }
}
