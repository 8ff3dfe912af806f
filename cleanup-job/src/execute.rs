//! THE batch loop: the only place in the project that changes rows of a user.
//!
//! A batch is one transaction: it is committed whole or not at all, and between
//! two batches the run can stop, pause or give up. What a batch may touch is
//! decided by [`policy`] alone.

mod batch_size;
mod guard;
mod pause;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use policy::{Execution, Moment, OnRuleError, Plan, Policy, Step, StopReason};
use sqlx::Row as _;
use tokio_util::sync::CancellationToken;

use crate::database::fetch;
use crate::failure::{Failure, FailureKind};
use crate::ledger::{BatchRecord, Fingerprint, RuleProgress};
use crate::progress::Progress;
use crate::run::session::Session;
use batch_size::BatchSize;

/// How often in a row a batch may find others in its way before its rule gives up.
const MAX_CONTENTION: u32 = 8;
/// How long a running batch may go on after the process was asked to end.
const GRACE: Duration = Duration::from_millis(1500);
/// How often in a row a rule may lose its connection without a batch in between.
const MAX_LOSSES: u32 = 3;

/// What one rule did.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// Rows that were changed, in committed batches, over all attempts of the run.
    pub affected: i64,
    /// Committed batches, over all attempts.
    pub batches: i64,
    /// Rows that were locked and not changed in the last pass: a trigger kept them.
    pub kept: i64,
    /// Why it ended.
    pub stop: StopReason,
    /// What went wrong.
    pub failure: Option<Failure>,
}

impl Done {
    /// A rule that has not begun in this attempt; an earlier one may have done this.
    pub fn nothing(stop: StopReason, before: &RuleProgress) -> Self {
        let (affected, batches) = (before.affected, before.batches);
        Self { affected, batches, kept: 0, stop, failure: None }
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
        (Some(_), _) if on_rule_error == OnRuleError::Stop => Some(StopReason::Error),
        (_, StopReason::TimeBudget | StopReason::Cancelled) => Some(done.stop),
        _ => None,
    }
}

/// One rule on its way through its table.
struct Sweep<'a, 'b, 'c> {
    context: &'a mut Context<'b, 'c>,
    step: &'a Step,
    fingerprint: Fingerprint,
    /// How many rows the rule may have changed at its end, over all attempts.
    cap: i64,
    /// How many earlier attempts have changed.
    earlier: i64,
    size: BatchSize,
    place: Option<Vec<String>>,
    second_pass: bool,
    losses: u32,
    began: Instant,
    done: Done,
}

fn does_not_converge(rows: i64) -> Failure {
    Failure {
        kind: FailureKind::Rule,
        sql_state: String::new(),
        message: format!(
            "DoesNotConverge: the update leaves the rule's own conditions true on {rows} rows, so it would never end; \
             have it set a column that a condition looks at"
        ),
    }
}

/// What a batch did.
struct Batch {
    seen: i64,
    changed: i64,
    place: Vec<String>,
}

impl<'a, 'b, 'c> Sweep<'a, 'b, 'c> {
    fn new(
        context: &'a mut Context<'b, 'c>,
        step: &'a Step,
        before: &RuleProgress,
        fingerprint: Fingerprint,
        left_of_run: i64,
    ) -> Self {
        let size = BatchSize::new(context.execution);
        Self {
            context,
            step,
            fingerprint,
            cap: step.max_rows().min(before.affected + left_of_run),
            earlier: before.affected,
            size,
            place: before.place_for(fingerprint),
            second_pass: false,
            losses: 0,
            began: Instant::now(),
            done: Done::nothing(StopReason::Drained, before),
        }
    }

    /// Two passes at the most: the second, from the start, for rows that the app held during the
    /// first, or that lie before the place where an earlier run or attempt had ended. A pass has
    /// ended when a batch sees nothing, never when it sees less than it asked for.
    async fn run(mut self) -> Done {
        let mut contention = 0;
        loop {
            if let Some(stop) = self.must_stop() {
                self.done.stop = stop;
                return self.done;
            }
            let begin = Instant::now();
            match self.batch_or_grace().await {
                Ok(batch) if batch.seen == 0 => {
                    if self.second_pass || self.place.is_none() {
                        return self.done;
                    }
                    self.second_pass = true;
                    self.done.kept = 0;
                    self.place = None;
                }
                Ok(batch) => {
                    contention = 0;
                    self.count(&batch);
                    self.size.adapt(begin.elapsed());
                    self.place = Some(batch.place);
                    if let Err(failure) = self.keep_below_rate().await {
                        return self.failed(failure);
                    }
                }
                Err(failure) if self.can_recover(&failure) => {
                    if let Err(failure) = self.recover(&failure).await {
                        return self.failed(failure);
                    }
                }
                Err(failure) => {
                    contention += 1;
                    if !self.can_try_again(&failure, contention) {
                        return self.failed(failure);
                    }
                    self.size.halve();
                    if let Err(failure) = self.back_off(contention).await {
                        return self.failed(failure);
                    }
                }
            }
        }
    }

    fn can_recover(&self, failure: &Failure) -> bool {
        failure.kind == FailureKind::Unavailable
            && self.losses < MAX_LOSSES
            && !self.context.cancelled.is_cancelled()
    }

    /// Goes on over a new connection from what the ledger has: whether the last batch was
    /// committed, nobody may have heard.
    async fn recover(&mut self, failure: &Failure) -> Result<(), Failure> {
        self.losses += 1;
        tracing::warn!(error = %failure, "the connection was lost in mid-run, connecting again");
        let recorded = self.context.session.recover(self.context.deadline).await?;
        if let Some(own) = recorded.iter().find(|rule| rule.rule == self.step.rule()) {
            self.done.affected = own.affected;
            self.done.batches = own.batches;
            self.place = own.place_for(self.fingerprint);
        }
        // The place may be of the first pass: the second must then begin at the start again.
        self.second_pass = false;
        Ok(())
    }

    fn must_stop(&self) -> Option<StopReason> {
        if self.context.cancelled.is_cancelled() {
            Some(StopReason::Cancelled)
        } else if Instant::now() >= self.context.deadline {
            Some(StopReason::TimeBudget)
        } else if self.left() <= 0 {
            Some(StopReason::RowLimit)
        } else {
            None
        }
    }

    fn left(&self) -> i64 {
        self.cap - self.done.affected
    }

    /// A batch, but no longer than a short grace once the process was asked to end. A batch that
    /// is left alone is never committed: its transaction ends with the connection.
    async fn batch_or_grace(&mut self) -> Result<Batch, Failure> {
        let cancelled = self.context.cancelled.clone();
        let out_of_grace = async move {
            cancelled.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            batch = self.batch() => return batch,
            () = out_of_grace => {}
        }
        self.context.session.abandon();
        Err(Failure {
            kind: FailureKind::Slow,
            sql_state: String::new(),
            message: "the batch was given up, uncommitted, since the run was asked to end"
                .to_owned(),
        })
    }

    async fn batch(&mut self) -> Result<Batch, Failure> {
        let limit = self.size.rows().min(self.left());
        let statement = self.step.change_batch(self.place.is_some());
        let after = self.place.as_deref().unwrap_or_default();
        let moment = Moment { now: self.context.now, limit, after };
        let execution = self.context.execution;
        let mut fenced = self.context.session.batch(execution).await?;
        let row = fetch(fenced.transaction(), &statement, moment).await?;
        let mut batch = Batch { seen: 0, changed: 0, place: Vec::new() };
        let mut stuck = 0;
        if let Some(row) = row {
            batch.seen = row.try_get(0)?;
            batch.changed = row.try_get(1)?;
            stuck = row.try_get(2)?;
            for column in 0..self.step.key_columns() {
                batch.place.extend(row.try_get::<Option<String>, _>(column + 3)?);
            }
        }
        if stuck > 0 {
            fenced.rollback().await?;
            return Err(does_not_converge(stuck));
        }
        if batch.seen == 0 {
            fenced.rollback().await?;
            return Ok(batch);
        }
        let record = BatchRecord {
            rule: self.step.rule(),
            affected: batch.changed,
            failed: self.done.kept + batch.seen - batch.changed,
            skipped_locked: 0,
            place: &batch.place,
            tables: std::slice::from_ref(self.step.table()),
            fingerprint: self.fingerprint,
        };
        fenced.commit(&record).await?;
        Ok(batch)
    }

    fn count(&mut self, batch: &Batch) {
        self.losses = 0;
        self.done.affected += batch.changed;
        self.done.kept += batch.seen - batch.changed;
        self.done.batches += 1;
        self.context.progress.add(batch.changed);
        tracing::debug!(
            rule.name = self.step.rule(),
            rows.seen = batch.seen,
            rows.changed = batch.changed,
            "batch committed"
        );
    }

    fn can_try_again(&self, failure: &Failure, contention: u32) -> bool {
        let passing = matches!(failure.kind, FailureKind::Contention | FailureKind::Slow);
        passing && contention < MAX_CONTENTION && !self.context.cancelled.is_cancelled()
    }

    fn failed(mut self, failure: Failure) -> Done {
        self.done.stop = match failure.kind {
            _ if self.context.cancelled.is_cancelled() => StopReason::Cancelled,
            FailureKind::Contention => StopReason::LockTimeout,
            FailureKind::Superseded => StopReason::LockHeld,
            _ => StopReason::Error,
        };
        if !matches!(self.done.stop, StopReason::Cancelled | StopReason::LockHeld) {
            self.done.failure = Some(failure.with_hint("execution.batchTimeout"));
        }
        self.done
    }
}
