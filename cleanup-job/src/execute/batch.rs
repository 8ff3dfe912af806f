//! One batch: a transaction that holds the fence, changes rows, and counts itself in the ledger.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use policy::{Execution, Locked, Moment, QualifiedTable, Statement, Step};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row as _, Transaction};

use crate::database::fetch;
use crate::failure::{Failure, FailureKind};
use crate::ledger::{BatchRecord, Fingerprint};
use crate::run::session::Session;

/// What a batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Rows that were looked at; none: the pass through the table has ended.
    pub seen: i64,
    /// Rows that were changed.
    pub changed: i64,
    /// Rows that hold the conditions and were not changed: a trigger kept them.
    pub kept: i64,
    /// Where it ended.
    pub place: Vec<String>,
    /// How long its begin took, before any row was looked for.
    pub begun: Duration,
}

/// What all batches of a rule have in common.
pub struct Task {
    /// The rule.
    pub step: Step,
    /// The tables that the rule reads or changes.
    pub tables: Vec<QualifiedTable>,
    /// What they looked like when the rule was planned.
    pub fingerprint: Fingerprint,
    /// How gently rows go; its time of a batch is shared out among the statements of one.
    pub execution: Execution,
    /// Database time at the start of the run.
    pub now: Timestamp,
    /// The run.
    pub run_id: String,
}

/// Which rows one batch is about.
#[derive(Clone, Copy)]
pub struct Portion<'a> {
    /// How many rows at the most.
    pub limit: i64,
    /// Where the last batch ended; `None` at the start of the table.
    pub after: Option<&'a [String]>,
    /// Rows that could not be changed so far.
    pub failed: i64,
}

impl Task {
    fn moment<'a>(&'a self, portion: Portion<'a>) -> Moment<'a> {
        Moment {
            now: self.now,
            limit: portion.limit,
            after: portion.after.unwrap_or_default(),
            run_id: &self.run_id,
            ..Moment::default()
        }
    }
}

/// A place as the ledger keeps it: how the rows are found, then the key of the last one.
fn recorded(step: &Step, place: &[String]) -> Vec<String> {
    std::iter::once(step.strategy().as_str().to_owned()).chain(place.iter().cloned()).collect()
}

/// The place that an earlier batch of the same rule recorded, unless its rows were found in
/// another order.
pub fn resumed(step: &Step, recorded: &[String]) -> Option<Vec<String>> {
    let (strategy, place) = recorded.split_first()?;
    let fits = strategy == step.strategy().as_str() && place.len() == step.order().len();
    fits.then(|| place.to_vec())
}

/// Changes one batch and commits it; on an error nothing has changed, unless the connection was
/// lost: the ledger knows then.
pub async fn change(
    session: &mut Session<'_>,
    task: &Task,
    portion: Portion<'_>,
) -> Result<Batch, Failure> {
    let since = Instant::now();
    let mut fenced = session.batch(&task.execution).await?;
    let begun = since.elapsed();
    let batch = if task.step.locks_first() {
        change_locked(fenced.transaction(), task, portion).await?
    } else {
        change_at_once(fenced.transaction(), task, portion).await?
    };
    if batch.seen == 0 {
        fenced.rollback().await?;
        return Ok(batch);
    }
    let record = BatchRecord {
        rule: task.step.rule(),
        affected: batch.changed,
        failed: portion.failed + batch.kept,
        skipped_locked: 0,
        place: &recorded(&task.step, &batch.place),
        tables: &task.tables,
        fingerprint: task.fingerprint,
    };
    fenced.commit(&record).await?;
    Ok(Batch { begun, ..batch })
}

/// The place of the first row of the batch, where a batch of one could not be done: what the rule
/// goes on from. Changes nothing; `None` where there is no such row any more.
pub async fn first_place(
    session: &mut Session<'_>,
    task: &Task,
    portion: Portion<'_>,
) -> Result<Option<Vec<String>>, Failure> {
    let mut fenced = session.batch(&task.execution).await?;
    let statement = task.step.lock_batch(portion.after.is_some());
    let moment = Moment { limit: 1, ..task.moment(portion) };
    let row = one(fenced.transaction(), &statement, moment).await?;
    let seen: i64 = row.try_get("seen")?;
    let place = place(&row, &task.step, LOCK_COLUMNS)?;
    fenced.rollback().await?;
    Ok((seen > 0).then_some(place))
}

/// How many columns stand before the place: of a statement that changes, and of one that locks.
const CHANGE_COLUMNS: usize = 5;
const LOCK_COLUMNS: usize = 3;

async fn change_at_once(
    transaction: &mut Transaction<'_, Postgres>,
    task: &Task,
    portion: Portion<'_>,
) -> Result<Batch, Failure> {
    let statement = task.step.change_batch(portion.after.is_some());
    let row = one(transaction, &statement, task.moment(portion)).await?;
    let (changed, kept) = changed(&task.step, &row)?;
    let place = place(&row, &task.step, CHANGE_COLUMNS)?;
    Ok(Batch { seen: row.try_get("seen")?, changed, kept, place, ..Batch::default() })
}

/// Locks the rows, then what belongs to them, and changes those that a statement that begins only
/// then still finds due.
async fn change_locked(
    transaction: &mut Transaction<'_, Postgres>,
    task: &Task,
    portion: Portion<'_>,
) -> Result<Batch, Failure> {
    let step = &task.step;
    let moment = task.moment(portion);
    let row = one(transaction, &step.lock_batch(portion.after.is_some()), moment).await?;
    let seen: i64 = row.try_get("seen")?;
    let place = place(&row, step, LOCK_COLUMNS)?;
    let mut locked: (Vec<String>, Vec<String>) = (row.try_get("tables")?, row.try_get("rows")?);
    for statement in step.lock_partners() {
        if locked.1.is_empty() {
            break;
        }
        let row = one(transaction, &statement, holding(moment, &locked)).await?;
        locked = (row.try_get("tables")?, row.try_get("rows")?);
    }
    if locked.1.is_empty() {
        return Ok(Batch { seen, place, ..Batch::default() });
    }
    let row = one(transaction, &step.change_locked(), holding(moment, &locked)).await?;
    let (changed, kept) = changed(step, &row)?;
    Ok(Batch { seen, changed, kept, place, ..Batch::default() })
}

fn holding<'a>(moment: Moment<'a>, locked: &'a (Vec<String>, Vec<String>)) -> Moment<'a> {
    let (tables, rows) = locked;
    Moment { locked: Locked { tables, rows }, ..moment }
}

/// Rows that were changed, and rows that a trigger kept; or why the batch must be undone.
fn changed(step: &Step, row: &PgRow) -> Result<(i64, i64), Failure> {
    let (held, changed, stuck): (i64, i64, i64) =
        (row.try_get("held")?, row.try_get("changed")?, row.try_get("stuck")?);
    if stuck > 0 {
        return Err(rule_failure(format!(
            "DoesNotConverge: the update leaves the rule's own conditions true on {stuck} rows, so it would never end; \
             have it set a column that a condition looks at"
        )));
    }
    let inserted: Option<i64> = row.try_get("inserted")?;
    if let Some(inserted) = inserted.filter(|inserted| *inserted != changed) {
        return Err(rule_failure(format!(
            "{changed} rows would go and only {inserted} be inserted by archive or emit: a trigger or a rule of that table keeps them out; nothing of this batch was changed"
        )));
    }
    // Without such a trigger it was the app: it wrote the row between the statement's snapshot and
    // its lock. The next pass or the next run meets the row as it is now.
    let kept = if step.may_be_refused() { held - changed } else { 0 };
    Ok((changed, kept))
}

fn rule_failure(message: String) -> Failure {
    Failure { kind: FailureKind::Rule, sql_state: String::new(), message }
}

fn place(row: &PgRow, step: &Step, before: usize) -> Result<Vec<String>, Failure> {
    let mut place = Vec::new();
    for column in 0..step.order().len() {
        place.extend(row.try_get::<Option<String>, _>(before + column)?);
    }
    Ok(place)
}

async fn one(
    transaction: &mut Transaction<'_, Postgres>,
    statement: &Statement,
    moment: Moment<'_>,
) -> Result<PgRow, Failure> {
    let row = fetch(transaction, statement, moment).await?;
    row.ok_or_else(|| Failure::unavailable("the database's answer has no row"))
}
