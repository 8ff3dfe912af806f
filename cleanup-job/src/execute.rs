//! THE batch loop: the only place in the project that changes rows of a user.
//!
//! A batch is one transaction: it is committed whole or not at all, and between
//! two batches the run can stop, pause or give up. What a batch may touch is
//! decided by [`policy`] alone.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use policy::{Execution, Moment, OnRuleError, Plan, Policy, Step, StopReason};
use rand::Rng as _;
use sqlx::Row as _;
use tokio_util::sync::CancellationToken;

use crate::database::{Database, Purpose, fetch};
use crate::failure::{Failure, FailureKind};
use crate::measure;
use crate::progress::Progress;

/// Bounds of a batch, in rows.
const MIN_BATCH: i64 = 50;
const MAX_BATCH: i64 = 50_000;
/// How often in a row a batch may find others in its way before its rule gives up.
const MAX_CONTENTION: u32 = 8;
/// How long a running batch may go on after the process was asked to end.
const GRACE: Duration = Duration::from_secs(2);

/// What one rule did.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// Rows that were changed, in committed batches.
    pub affected: i64,
    /// Committed batches.
    pub batches: i64,
    /// Rows that were locked and not changed in the last pass: a trigger kept them.
    pub kept: i64,
    /// Why it ended.
    pub stop: StopReason,
    /// What went wrong.
    pub failure: Option<Failure>,
}

impl Done {
    /// A rule that has not begun.
    pub fn nothing(stop: StopReason) -> Self {
        Self { affected: 0, batches: 0, kept: 0, stop, failure: None }
    }
}

/// What the loop needs from around it.
pub struct Context<'a> {
    /// The one connection.
    pub database: &'a mut Database,
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
pub async fn execute(context: &mut Context<'_>, policy: &Policy, plan: &Plan) -> Vec<Done> {
    let mut left_of_run = policy.limits().max_rows_per_run;
    let mut all = Vec::new();
    let mut ended: Option<StopReason> = None;
    for step in plan.steps() {
        if let Some(stop) = ended {
            all.push(Done::nothing(stop));
            continue;
        }
        context.progress.begin(step.rule());
        let done = match guarded_again(context, step).await {
            Some(done) => done,
            None => Sweep::new(context, step, left_of_run).run().await,
        };
        left_of_run -= done.affected;
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

/// Lets the guard of a step speak once more that an earlier rule has fed; the step's end, if it
/// says no.
async fn guarded_again(context: &mut Context<'_>, step: &Step) -> Option<Done> {
    if !step.depends_on_earlier() {
        return None;
    }
    let execution = context.execution;
    let verdict = async {
        let mut snapshot = context.database.begin(Purpose::Measure, execution).await?;
        let verdict = measure::guard_again(&mut snapshot, step, context.now).await?;
        snapshot.commit().await.map_err(Failure::from)?;
        Ok::<_, Failure>(verdict)
    };
    let (reason, failure) = tokio::select! {
        verdict = verdict => match verdict {
            Ok(None) => return None,
            Ok(Some(message)) => {
                let kind = FailureKind::Rule;
                (StopReason::BlastRadius, Failure { kind, sql_state: String::new(), message })
            }
            Err(failure) => (StopReason::Error, failure),
        },
        // Nothing of this step has changed.
        () = context.cancelled.cancelled() => return Some(Done::nothing(StopReason::Cancelled)),
    };
    Some(Done { failure: Some(failure), ..Done::nothing(reason) })
}

/// Why no later rule begins, if none does.
fn ends_the_run(done: &Done, on_rule_error: OnRuleError) -> Option<StopReason> {
    match (&done.failure, done.stop) {
        (Some(failure), _) if failure.kind == FailureKind::Unavailable => Some(StopReason::Error),
        (Some(_), _) if on_rule_error == OnRuleError::Stop => Some(StopReason::Error),
        (_, StopReason::TimeBudget | StopReason::Cancelled) => Some(done.stop),
        _ => None,
    }
}

/// One rule on its way through its table.
struct Sweep<'a, 'b> {
    context: &'a mut Context<'b>,
    step: &'a Step,
    /// How many rows may still be changed.
    left: i64,
    size: i64,
    /// Smoothed time of a batch, in seconds.
    pace: f64,
    place: Option<Vec<String>>,
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

impl<'a, 'b> Sweep<'a, 'b> {
    fn new(context: &'a mut Context<'b>, step: &'a Step, left_of_run: i64) -> Self {
        let size = context.execution.batch_size;
        let pace = context.execution.target_batch_duration.duration().as_secs_f64();
        Self {
            context,
            step,
            left: step.max_rows().min(left_of_run),
            size,
            pace,
            place: None,
            began: Instant::now(),
            done: Done::nothing(StopReason::Drained),
        }
    }

    /// Two passes at the most: the second for rows that the app held during the first. A pass
    /// has ended when a batch sees nothing, never when it sees less than it asked for.
    async fn run(mut self) -> Done {
        let mut contention = 0;
        let mut second_pass = false;
        loop {
            if let Some(stop) = self.must_stop() {
                self.done.stop = stop;
                return self.done;
            }
            let begin = Instant::now();
            match self.batch_or_grace().await {
                Ok(batch) if batch.seen == 0 => {
                    if second_pass || self.place.is_none() {
                        return self.done;
                    }
                    second_pass = true;
                    self.done.kept = 0;
                    self.place = None;
                }
                Ok(batch) => {
                    contention = 0;
                    self.count(&batch);
                    self.adapt(begin.elapsed());
                    self.place = Some(batch.place);
                    self.keep_below_rate().await;
                }
                Err(failure) => {
                    contention += 1;
                    if !self.can_try_again(&failure, contention) {
                        return self.failed(failure);
                    }
                    self.size = (self.size / 2).max(1);
                    self.back_off(contention).await;
                }
            }
        }
    }

    fn must_stop(&self) -> Option<StopReason> {
        if self.context.cancelled.is_cancelled() {
            Some(StopReason::Cancelled)
        } else if Instant::now() >= self.context.deadline {
            Some(StopReason::TimeBudget)
        } else if self.left == 0 {
            Some(StopReason::RowLimit)
        } else {
            None
        }
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
            batch = self.batch() => batch,
            () = out_of_grace => Err(Failure {
                kind: FailureKind::Slow,
                sql_state: String::new(),
                message: "the batch was given up, uncommitted, since the run was asked to end".to_owned(),
            }),
        }
    }

    async fn batch(&mut self) -> Result<Batch, Failure> {
        let limit = self.size.min(self.left);
        let statement = self.step.change_batch(self.place.is_some());
        let after = self.place.as_deref().unwrap_or_default();
        let moment = Moment { now: self.context.now, limit, after, ..Moment::default() };
        let execution = self.context.execution;
        let mut transaction = self.context.database.begin(Purpose::Change, execution).await?;
        let row = fetch(&mut transaction, &statement, moment).await?;
        let mut batch = Batch { seen: 0, changed: 0, place: Vec::new() };
        let mut stuck = 0;
        if let Some(row) = row {
            batch.seen = row.try_get(0)?;
            batch.changed = row.try_get("changed")?;
            stuck = row.try_get("stuck")?;
            for column in 0..self.step.order().len() {
                batch.place.extend(row.try_get::<Option<String>, _>(column + 5)?);
            }
        }
        if stuck > 0 {
            transaction.rollback().await?;
            return Err(does_not_converge(stuck));
        }
        transaction.commit().await?;
        Ok(batch)
    }

    fn count(&mut self, batch: &Batch) {
        self.left -= batch.changed;
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

    /// Steers the size of a batch towards its target duration: at most 1.3 times larger, at
    /// least half as large, by the smoothed time of the last ones (`docs/adr/0006`).
    fn adapt(&mut self, took: Duration) {
        let target = self.context.execution.target_batch_duration.duration().as_secs_f64();
        self.pace = 0.6 * self.pace + 0.4 * took.as_secs_f64();
        let factor = (target / self.pace.max(0.000_1)).clamp(0.5, 1.3);
        let least = MIN_BATCH.min(self.context.execution.batch_size);
        let most = MAX_BATCH.max(self.context.execution.batch_size);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "at most 50,000 rows"
        )]
        let size = (self.size as f64 * factor).ceil() as i64;
        self.size = size.clamp(least, most);
    }

    async fn keep_below_rate(&self) {
        let rate = self.context.execution.max_rows_per_second;
        if rate == 0 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate, not a count")]
        let due = self.done.affected as f64 / rate as f64;
        let pause = Duration::from_secs_f64(due).saturating_sub(self.began.elapsed());
        self.pause(pause).await;
    }

    async fn back_off(&self, contention: u32) {
        let base = self.context.execution.lock_timeout.duration() * (1 << contention.min(5));
        let jitter = rand::rng().random_range(0.5..1.5);
        self.pause(base.min(Duration::from_secs(2)).mul_f64(jitter)).await;
    }

    /// Waits outside any transaction; ends early when the run must end.
    async fn pause(&self, pause: Duration) {
        let left = self.context.deadline.saturating_duration_since(Instant::now());
        tokio::select! {
            () = tokio::time::sleep(pause.min(left)) => {}
            () = self.context.cancelled.cancelled() => {}
        }
    }

    fn can_try_again(&self, failure: &Failure, contention: u32) -> bool {
        let passing = matches!(failure.kind, FailureKind::Contention | FailureKind::Slow);
        passing && contention < MAX_CONTENTION && !self.context.cancelled.is_cancelled()
    }

    fn failed(mut self, failure: Failure) -> Done {
        self.done.stop = match failure.kind {
            _ if self.context.cancelled.is_cancelled() => StopReason::Cancelled,
            FailureKind::Contention => StopReason::LockTimeout,
            _ => StopReason::Error,
        };
        if self.done.stop != StopReason::Cancelled {
            self.done.failure = Some(failure.with_hint("execution.batchTimeout"));
        }
        self.done
    }
}
