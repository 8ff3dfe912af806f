//! What the rules hold before any row changes, and what they still hold at the end.

pub mod partitions;

use jiff::Timestamp;
use policy::{Execution, Mode, Moment, Plan, Step, Strategy};
use sqlx::{Connection as _, Postgres, Row as _, Transaction};

use crate::database::{fetch, limit_lock_wait};
use crate::failure::{Failure, FailureKind, with_hint};
use crate::ledger::{self, Fingerprint};
use crate::preflight::Answer;

/// What one rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Rows, exact up to the cap of the rule plus one.
    pub rows: i64,
    /// True when `rows` is the planner's estimate.
    pub is_estimate: bool,
    /// For how many seconds the oldest of them has been due.
    pub overdue_seconds: i64,
}

/// Measures every rule of the plan, in its order.
pub async fn held(
    transaction: &mut Transaction<'_, Postgres>,
    plan: &Plan,
    now: Timestamp,
) -> Result<Vec<Held>, Failure> {
    let mut held = Vec::new();
    for step in plan.steps() {
        held.push(held_by(transaction, step, now).await.map_err(|failure| told(failure, step))?);
    }
    Ok(held)
}

/// What the tables of each rule look like, for a run that changes rows: a batch compares.
pub async fn fingerprints(
    transaction: &mut Transaction<'_, Postgres>,
    mode: Mode,
    plan: &Plan,
) -> Result<Vec<Fingerprint>, Failure> {
    let mut fingerprints = Vec::new();
    if mode == Mode::Enforce {
        for step in plan.steps() {
            fingerprints.push(ledger::look(transaction, &step.tables()).await?);
        }
    }
    Ok(fingerprints)
}

/// What is left of each rule at the end: counted up to a bound, never guessed.
pub async fn left(
    transaction: &mut Transaction<'_, Postgres>,
    plan: &Plan,
    now: Timestamp,
) -> Result<Vec<Held>, Failure> {
    let mut left = Vec::new();
    for step in plan.steps() {
        let bound = step.counted_up_to().saturating_add(1);
        if step.strategy() == Strategy::Partition {
            left.push(partitions::held(transaction, step, now, (bound, false)).await?);
            continue;
        }
        let rows = count(transaction, &step.count_matched(), now, bound).await?;
        let overdue_seconds = if rows == 0 { 0 } else { overdue(transaction, step, now).await? };
        left.push(Held { rows, is_estimate: false, overdue_seconds });
    }
    Ok(left)
}

/// Measures one rule again when its turn comes, and lets its guard speak: for a rule that an
/// earlier one has fed.
pub async fn guard_again(
    transaction: &mut Transaction<'_, Postgres>,
    step: &Step,
    now: Timestamp,
) -> Result<Option<String>, Failure> {
    let held = held_by(transaction, step, now).await?;
    guard(transaction, step, held, now).await
}

async fn held_by(
    transaction: &mut Transaction<'_, Postgres>,
    step: &Step,
    now: Timestamp,
) -> Result<Held, Failure> {
    let cap = step.counted_up_to();
    if step.strategy() == Strategy::Partition {
        return partitions::held(transaction, step, now, (cap.saturating_add(1), true)).await;
    }
    let counted = count(transaction, &step.count_matched(), now, cap.saturating_add(1)).await?;
    let is_estimate = counted > cap;
    let rows = if is_estimate {
        estimate(transaction, &step.estimate_matched(), now).await?.max(counted)
    } else {
        counted
    };
    let overdue_seconds = if rows == 0 { 0 } else { overdue(transaction, step, now).await? };
    Ok(Held { rows, is_estimate, overdue_seconds })
}

/// The first rule, if any, that holds more of its table than its guard allows, with the
/// sentence that says so.
pub async fn guard_verdict(
    transaction: &mut Transaction<'_, Postgres>,
    plan: &Plan,
    held: &[Held],
    now: Timestamp,
) -> Result<Option<(usize, String)>, Failure> {
    for (index, (step, held)) in plan.steps().iter().zip(held).enumerate() {
        let verdict = guard(transaction, step, *held, now).await;
        if let Some(message) = verdict.map_err(|failure| told(failure, step))? {
            return Ok(Some((index, message)));
        }
    }
    Ok(None)
}

async fn guard(
    transaction: &mut Transaction<'_, Postgres>,
    step: &Step,
    held: Held,
    now: Timestamp,
) -> Result<Option<String>, Failure> {
    let Some(demanded) = step.rows_demanded_by_guard(held.rows) else { return Ok(None) };
    let (rule, table, percent) = (step.rule(), step.table().plain(), step.max_percent_of_table());
    let way_out = format!(
        "if that is meant, set limits.maxPercentOfTable of rule {rule} to 100 for one run; nothing was changed"
    );
    if held.is_estimate && !step.table_is_analysed() {
        return Ok(Some(format!(
            "rule {rule} holds more than {} rows of {table}, and the table was never analysed, so their share is not known (ANALYZE it); {way_out}",
            step.max_rows()
        )));
    }
    let rows = if held.is_estimate {
        estimate(transaction, &step.estimate_table(), now).await?
    } else {
        count(transaction, &step.count_table(), now, demanded).await?
    };
    if rows >= demanded {
        return Ok(None);
    }
    #[expect(clippy::cast_precision_loss, reason = "a share in a message, to one decimal")]
    let share = held.rows as f64 * 100.0 / rows.max(1) as f64;
    let rows_held = held.rows;
    Ok(Some(format!(
        "rule {rule} holds {rows_held} of the {rows} rows of {table}, {share:.1} %, and the guard allows {percent} %; {way_out}"
    )))
}

/// How many rows one rule holds now, counted up to `limit`.
pub async fn count_up_to(
    transaction: &mut Transaction<'_, Postgres>,
    step: &Step,
    now: Timestamp,
    limit: i64,
) -> Result<i64, Failure> {
    count(transaction, &step.count_matched(), now, limit).await
}

async fn count(
    transaction: &mut Transaction<'_, Postgres>,
    statement: &policy::Statement,
    now: Timestamp,
    limit: i64,
) -> Result<i64, Failure> {
    let row = fetch(transaction, statement, Moment { now, limit, ..Moment::default() }).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get(0))?)
}

async fn estimate(
    transaction: &mut Transaction<'_, Postgres>,
    statement: &policy::Statement,
    now: Timestamp,
) -> Result<i64, Failure> {
    let row = fetch(transaction, statement, Moment { now, ..Moment::default() }).await?;
    let Some(row) = row else { return Ok(0) };
    let plan: serde_json::Value = row.try_get(0)?;
    let rows = plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_f64);
    #[expect(clippy::cast_possible_truncation, reason = "an estimate; `as` saturates")]
    Ok(rows.unwrap_or(0.0) as i64)
}

async fn overdue(
    transaction: &mut Transaction<'_, Postgres>,
    step: &Step,
    now: Timestamp,
) -> Result<i64, Failure> {
    let Some(statement) = step.oldest_overdue() else { return Ok(0) };
    let mut attempt = transaction.begin().await?;
    match count(&mut attempt, &statement, now, 1).await {
        Ok(seconds) => {
            attempt.commit().await?;
            Ok(seconds)
        }
        // Good to know, but no reason to end a run.
        Err(failure) if failure.kind == FailureKind::Slow => {
            attempt.rollback().await?;
            tracing::warn!(
                rule.name = step.rule(),
                "how long the oldest row has been due could not be told in time"
            );
            Ok(0)
        }
        Err(failure) => Err(failure),
    }
}

/// Has the database read or plan a statement, and leaves no lock behind.
pub async fn ask(
    transaction: &mut Transaction<'_, Postgres>,
    execution: &Execution,
    statement: &policy::Statement,
    now: Timestamp,
) -> Result<Answer, Failure> {
    let mut attempt = transaction.begin().await?;
    limit_lock_wait(&mut attempt, execution).await?;
    let moment = Moment { now, limit: execution.batch_size, ..Moment::default() };
    let asked = fetch(&mut attempt, statement, moment).await;
    attempt.rollback().await?;
    let plan = asked?.and_then(|row| row.try_get(0).ok());
    Ok(plan.map_or(Answer::Nothing, Answer::Plan))
}

fn told(failure: Failure, step: &Step) -> Failure {
    let what = format!("rule {} on {}", step.rule(), step.table().plain());
    with_hint(failure, "execution.statementTimeout").while_doing(&what)
}
