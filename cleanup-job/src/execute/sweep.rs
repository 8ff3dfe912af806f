//! One rule on its way through its table, batch by batch.

mod pause;
mod trouble;
mod whole;

use std::time::{Duration, Instant};

use policy::{Step, StopReason, Strategy};
use tokio_util::sync::CancellationToken;

use super::batch::{self, Batch, Portion, Task};
use super::pace::Pace;
use super::{Context, Done};
use crate::database::Purpose;
use crate::failure::{Failure, FailureKind, with_hint};
use crate::ledger::{Fingerprint, RuleProgress};
use crate::measure;

use trouble::Trouble;

/// A batch this small that is still too slow is slow by how its rows are found.
const TOO_SLOW_AT: i64 = 50;
/// How long a running batch may go on after the process was asked to end.
const GRACE: Duration = Duration::from_millis(1500);
/// How long to wait before a replica is looked at again.
const LAG_PAUSE: Duration = Duration::from_millis(500);

/// One rule under way.
pub struct Sweep<'a, 'b, 'c> {
    context: &'a mut Context<'b, 'c>,
    task: Task,
    /// How many rows the rule may have changed at its end, over all attempts.
    cap: i64,
    /// How many earlier attempts have changed.
    earlier: i64,
    pace: Pace,
    place: Option<Vec<String>>,
    second_pass: bool,
    whole: whole::Whole,
    trouble: Trouble,
    began: Instant,
    /// When the ledger last heard of the run.
    heard: Instant,
    done: Done,
}

impl<'a, 'b, 'c> Sweep<'a, 'b, 'c> {
    /// A rule that begins, or goes on from where an earlier run or attempt ended.
    pub fn new(
        context: &'a mut Context<'b, 'c>,
        step: &Step,
        before: &RuleProgress,
        fingerprint: Fingerprint,
        left_of_run: i64,
    ) -> Self {
        let task = Task {
            step: step.clone(),
            tables: step.tables(),
            fingerprint,
            execution: context.execution.for_statements(step.statements_of_a_batch()),
            now: context.now,
            run_id: context.session.run_id().to_owned(),
        };
        let place = before.place_for(fingerprint);
        Self {
            cap: step.max_rows().min(before.affected + left_of_run),
            earlier: before.affected,
            pace: Pace::new(&task.execution, step.weight()),
            place: place.and_then(|place| batch::resumed(step, &place)),
            second_pass: false,
            whole: whole::Whole::default(),
            trouble: Trouble::default(),
            began: Instant::now(),
            heard: Instant::now(),
            done: Done::nothing(StopReason::Drained, before),
            context,
            task,
        }
    }

    /// Two passes at the most: the second, from the start, for rows that the app held during the
    /// first, or that lie before the place where an earlier run or attempt had ended. A pass has
    /// ended when a batch sees nothing, never when it sees less than it asked for.
    pub async fn run(mut self) -> Done {
        loop {
            let next = match self.must_stop().await {
                Ok(Some(stop)) => {
                    self.done.stop = stop;
                    return self.done;
                }
                Ok(None) => match self.task.step.strategy() {
                    Strategy::Partition => self.next_partition().await,
                    Strategy::Keyset | Strategy::PrimaryKey => self.next().await,
                },
                Err(failure) => Err(failure),
            };
            match next {
                Ok(Next::Batch) => {}
                Ok(Next::End) => return self.done,
                Err(failure) => return self.failed(failure),
            }
        }
    }

    /// One more batch, or what is to be done about the one that could not be done.
    async fn next(&mut self) -> Result<Next, Failure> {
        let limit = self.pace.size().min(self.left()).min(self.rows_a_second());
        let begin = Instant::now();
        match self.batch_or_grace(limit).await {
            Ok(batch) if batch.seen == 0 => self.end_of_pass().await,
            Ok(batch) => {
                self.trouble = Trouble::default();
                self.heard = Instant::now();
                self.count(&batch);
                self.pace.took(limit, begin.elapsed(), batch.begun);
                self.place = Some(batch.place);
                if self.pace.finds_slowly() && self.task.step.strategy() == Strategy::Keyset {
                    self.go_by_primary_key();
                }
                self.keep_below_rate().await?;
                Ok(Next::Batch)
            }
            Err(failure) if self.context.cancelled.is_cancelled() => Err(failure),
            Err(failure) => {
                match failure.kind {
                    FailureKind::Unavailable => self.recover(failure).await?,
                    FailureKind::Contention => self.make_way(failure, limit).await?,
                    FailureKind::Slow => self.hurry(failure, limit).await?,
                    FailureKind::Row => self.isolate(failure, limit).await?,
                    FailureKind::Wrong | FailureKind::Rule | FailureKind::Superseded => {
                        return Err(failure);
                    }
                }
                Ok(Next::Batch)
            }
        }
    }

    async fn end_of_pass(&mut self) -> Result<Next, Failure> {
        if self.second_pass || self.place.is_none() {
            return Ok(Next::End);
        }
        // A walk through the whole table is not worth it for nothing. What was left behind was then
        // only looked at: no due row is left that could not be changed.
        if self.task.step.strategy() == Strategy::PrimaryKey && !self.anything_due().await? {
            self.done.failed = 0;
            self.done.fault = None;
            return Ok(Next::End);
        }
        self.second_pass = true;
        self.done.failed = 0;
        self.done.fault = None;
        self.place = None;
        Ok(Next::Batch)
    }

    async fn anything_due(&mut self) -> Result<bool, Failure> {
        let execution = self.context.execution;
        let mut snapshot = self.context.session.database.begin(Purpose::Measure, execution).await?;
        match measure::count_up_to(&mut snapshot, &self.task.step, self.context.now, 1).await {
            Ok(count) => {
                snapshot.commit().await?;
                Ok(count > 0)
            }
            // Not known in time: the second pass will tell.
            Err(failure) if failure.kind == FailureKind::Slow => Ok(true),
            Err(failure) => Err(failure),
        }
    }

    /// The app holds something that the batch needs: a smaller one, later, may do. One row that is
    /// held for long is left for the second pass.
    async fn make_way(&mut self, failure: Failure, limit: i64) -> Result<(), Failure> {
        if limit > 1 {
            self.pace.halve(limit);
            return self.back_off(0).await;
        }
        if let Some(tries) = self.trouble.try_again() {
            return self.back_off(tries).await;
        }
        if !self.trouble.may_leave_behind() {
            return Err(failure);
        }
        self.pass_over(failure).await
    }

    /// The batch took too long: a smaller one may do, or rows that are found in another way.
    async fn hurry(&mut self, failure: Failure, limit: i64) -> Result<(), Failure> {
        if limit <= TOO_SLOW_AT && self.task.step.strategy() == Strategy::Keyset {
            self.go_by_primary_key();
            return Ok(());
        }
        if limit > 1 {
            self.pace.halve(limit);
            return Ok(());
        }
        // One row, and late: the server may be busy.
        if let Some(tries) = self.trouble.try_again() {
            return self.back_off(tries).await;
        }
        self.isolate(failure, limit).await
    }

    /// From now on, and from the start.
    fn go_by_primary_key(&mut self) {
        tracing::info!(
            rule.name = self.task.step.rule(),
            "no index leads to the rows that are due: the rule goes through its table by the primary key"
        );
        self.task.step = self.task.step.clone().by_primary_key();
        self.pace.restart(&self.task.execution);
        self.place = None;
        self.second_pass = false;
    }

    /// A row of the batch cannot be changed: it is looked for by halves, and left behind.
    async fn isolate(&mut self, failure: Failure, limit: i64) -> Result<(), Failure> {
        if limit > 1 {
            self.pace.halve(limit);
            return Ok(());
        }
        self.done.failed += 1;
        if trouble::is_hopeless(self.done.failed, self.done.affected - self.earlier) {
            return Err(failure);
        }
        self.done.fault.get_or_insert_with(|| failure.clone());
        self.pass_over(failure).await
    }

    /// Goes on behind the row that a batch of one could not change.
    async fn pass_over(&mut self, failure: Failure) -> Result<(), Failure> {
        let portion = Portion { limit: 1, after: self.place.as_deref(), failed: self.done.failed };
        // Where it is gone, the next batch sees what is there.
        let place = batch::first_place(self.context.session, &self.task, portion).await?;
        if let Some(place) = place {
            tracing::debug!(rule.name = self.task.step.rule(), error = %failure, "row left behind");
            self.place = Some(place);
        }
        Ok(())
    }

    /// Goes on over a new connection from what the ledger has: whether the last batch was
    /// committed, nobody may have heard.
    async fn recover(&mut self, failure: Failure) -> Result<(), Failure> {
        if !self.trouble.may_recover() {
            return Err(failure);
        }
        tracing::warn!(error = %failure, "the connection was lost in mid-run, connecting again");
        let recorded = self.context.session.recover(self.context.deadline).await?;
        if let Some(own) = RuleProgress::of(self.task.step.rule(), &recorded) {
            self.done.affected = own.affected;
            self.done.batches = own.batches;
            let place = own.place_for(self.task.fingerprint);
            self.place = place.and_then(|place| batch::resumed(&self.task.step, &place));
        }
        // The place may be of the first pass: the second must then begin at the start again.
        self.second_pass = false;
        Ok(())
    }

    /// Why no further batch begins, if none does. Waits for a replica that is too far behind.
    async fn must_stop(&mut self) -> Result<Option<StopReason>, Failure> {
        let mut waited = false;
        loop {
            if self.context.cancelled.is_cancelled() {
                return Ok(Some(StopReason::Cancelled));
            }
            if Instant::now() >= self.context.deadline {
                let reason = if waited { StopReason::ReplicaLag } else { StopReason::TimeBudget };
                return Ok(Some(reason));
            }
            // What is detached is counted, and waits to be dropped all the same.
            if self.left() <= 0 && self.task.step.strategy() != Strategy::Partition {
                return Ok(Some(StopReason::RowLimit));
            }
            let lag = &mut self.context.lag;
            match lag.is_too_long(&mut self.context.session.database).await {
                Ok(false) => return Ok(None),
                Ok(true) if !waited => {
                    let behind = lag.behind().as_secs_f64();
                    tracing::warn!(
                        rule.name = self.task.step.rule(),
                        lag_seconds = behind,
                        "a replica is too far behind: waiting"
                    );
                    waited = true;
                }
                Ok(true) => {}
                // The batch meets the same, and recovers.
                Err(failure) if failure.kind == FailureKind::Unavailable => return Ok(None),
                Err(failure) => return Err(failure),
            }
            self.pause(LAG_PAUSE).await?;
        }
    }

    fn left(&self) -> i64 {
        self.cap - self.done.affected
    }

    /// A batch, but no longer than a short grace once the process was asked to end. A batch that
    /// is left alone is never committed by us: its transaction ends with the connection.
    async fn batch_or_grace(&mut self, limit: i64) -> Result<Batch, Failure> {
        let cancelled = self.context.cancelled.clone();
        let portion = Portion { limit, after: self.place.as_deref(), failed: self.done.failed };
        tokio::select! {
            batch = batch::change(self.context.session, &self.task, portion) => return batch,
            () = out_of_grace(cancelled) => {}
        }
        self.context.session.abandon();
        Err(given_up())
    }

    fn count(&mut self, batch: &Batch) {
        self.done.affected += batch.changed;
        self.done.failed += batch.kept;
        self.done.batches += 1;
        self.context.progress.add(batch.changed);
        tracing::debug!(
            rule.name = self.task.step.rule(),
            rows.seen = batch.seen,
            rows.changed = batch.changed,
            "batch committed"
        );
    }

    fn failed(mut self, failure: Failure) -> Done {
        self.done.stop = match failure.kind {
            _ if self.context.cancelled.is_cancelled() => StopReason::Cancelled,
            FailureKind::Contention => StopReason::LockTimeout,
            FailureKind::Superseded => StopReason::LockHeld,
            _ => StopReason::Error,
        };
        if !matches!(self.done.stop, StopReason::Cancelled | StopReason::LockHeld) {
            self.done.failure = Some(with_hint(failure, "execution.batchTimeout"));
        }
        self.done
    }
}

/// Ends a short grace after the process was asked to end.
async fn out_of_grace(cancelled: CancellationToken) {
    cancelled.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

fn given_up() -> Failure {
    let message = "the batch was given up, uncommitted, since the run was asked to end";
    Failure { kind: FailureKind::Slow, sql_state: String::new(), message: message.to_owned() }
}

/// What became of an attempt at a batch.
enum Next {
    /// The rule goes on.
    Batch,
    /// Its last pass has ended.
    End,
}
