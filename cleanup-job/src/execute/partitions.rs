//! One batch of a rule that drops partitions: a transaction that detaches one, or one that counts a
//! detached one again and drops it, keeps it, or gives it back.
//!
//! What must be slow, a count, never happens while a lock of ours is in the way of the app: before
//! the detach nothing is locked, and after it nobody but us looks at the table.

use jiff::Timestamp;
use policy::{Action, Moment, Partition, Statement, Step};
use sqlx::{Postgres, Transaction};

use super::batch::Task;
use crate::database::fetch;
use crate::failure::{Failure, FailureKind};
use crate::ledger::BatchRecord;
use crate::ledger::partitions::{Detached, State};
use crate::measure::partitions::{self as measure, Due, Rows};
use crate::run::session::{FencedBatch, Session};

/// What one batch did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It was committed; by so many rows the table has become smaller.
    Committed(i64),
    /// A detached table held rows that are not due, and is a partition again.
    GivenBack {
        /// Which.
        oid: i64,
        /// The rows that came back with it and had been counted by this run.
        taken_back: i64,
        /// The rows that are not due.
        survivors: i64,
        /// What is said of it.
        fault: Failure,
    },
    /// The oldest partition that is due has more rows than the rule may still remove.
    TooLarge(String),
    /// Nothing is left to do.
    Nothing,
}

/// Why a batch could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hindrance {
    /// Which partition was in the way; `None` where it was something else.
    pub oid: Option<i64>,
    /// The rows that stay in the table because of it.
    pub rows: i64,
    /// What is known of it.
    pub failure: Failure,
}

impl From<Failure> for Hindrance {
    fn from(failure: Failure) -> Self {
        Self { oid: None, rows: 0, failure }
    }
}

/// What a batch is about.
pub struct Scope<'a> {
    /// Partitions, by their OID, that stay for this run; more are found on the way.
    pub passed: &'a mut Vec<i64>,
    /// What was counted last, by OID: a lock that could not be had is no reason to count again.
    pub counted: &'a mut Option<(i64, Rows)>,
    /// How many rows the rule may still remove.
    pub left: i64,
    /// Rows that could not be removed so far.
    pub failed: i64,
}

enum Found {
    Detached(Detached),
    Attached(Partition, i64),
    TooLarge(Partition),
    Nothing,
}

/// Takes one step with the oldest partition that has one to go: a detached one first.
pub async fn turn(
    session: &mut Session<'_>,
    task: &Task,
    scope: Scope<'_>,
) -> Result<Turn, Hindrance> {
    let failed = scope.failed;
    let about = |partition: &Partition, rows: i64| {
        let (oid, what) = (partition.oid, format!("partition {}", partition.table.plain()));
        move |failure: Failure| {
            let failure = meanwhile(failure).while_doing(&what);
            Hindrance { oid: Some(oid), rows, failure }
        }
    };
    match find(session, task, scope).await? {
        Found::Detached(table) => {
            let hindered = about(&table.partition, 0);
            settle(session, task, &table, failed).await.map_err(hindered)
        }
        Found::Attached(partition, rows) => {
            let hindered = about(&partition, rows.max(1));
            detach(session, task, (&partition, rows), failed).await.map_err(hindered)
        }
        Found::TooLarge(partition) => Ok(Turn::TooLarge(partition.table.plain())),
        Found::Nothing => Ok(Turn::Nothing),
    }
}

/// A partition that somebody dropped, detached or attached between our look and our statement: the
/// next look sees how it is.
fn meanwhile(failure: Failure) -> Failure {
    match failure.sql_state.as_str() {
        "42P01" | "55000" => Failure { kind: FailureKind::Contention, ..failure },
        _ => failure,
    }
}

/// Looks for what is to be done, in one snapshot and without a lock.
async fn find(
    session: &mut Session<'_>,
    task: &Task,
    scope: Scope<'_>,
) -> Result<Found, Hindrance> {
    let (mut snapshot, ledger) = session.look(&task.execution).await?;
    let kept_since = kept_since(&task.step, task.now);
    let waiting = ledger.detached(&mut snapshot, &task.step, kept_since).await?;
    if let Some(table) =
        waiting.into_iter().find(|table| !scope.passed.contains(&table.partition.oid))
    {
        return Ok(Found::Detached(table));
    }
    for Due { partition, .. } in measure::due(&mut snapshot, &task.step, task.now).await? {
        if scope.passed.contains(&partition.oid) {
            continue;
        }
        let left = scope.left.max(0);
        let counted = match *scope.counted {
            Some((oid, counted)) if oid == partition.oid => counted,
            _ => count(&mut snapshot, task, &partition, left).await?,
        };
        *scope.counted = Some((partition.oid, counted));
        if counted.survivors > 0 {
            scope.passed.push(partition.oid);
        } else if counted.rows > left {
            return Ok(Found::TooLarge(partition));
        } else {
            return Ok(Found::Attached(partition, counted.rows));
        }
    }
    Ok(Found::Nothing)
}

/// Counts a partition, up to one row more than may go.
async fn count(
    snapshot: &mut Transaction<'_, Postgres>,
    task: &Task,
    partition: &Partition,
    left: i64,
) -> Result<Rows, Hindrance> {
    let moment = Moment { now: task.now, limit: left.saturating_add(1), ..Moment::default() };
    let statement = task.step.count_partition_up_to(&partition.table);
    measure::count(snapshot, &statement, moment).await.map_err(|failure| Hindrance {
        oid: Some(partition.oid),
        rows: 0,
        failure: slow_count(meanwhile(failure))
            .while_doing(&format!("counting partition {}", partition.table.plain())),
    })
}

/// A count that is too slow once will be so again: it keeps its partition, and not the others.
fn slow_count(failure: Failure) -> Failure {
    match failure.kind {
        FailureKind::Slow => Failure {
            kind: FailureKind::Wrong,
            message: format!("{}; a longer execution.statementTimeout helps", failure.message),
            ..failure
        },
        _ => failure,
    }
}

/// What was detached before this may be dropped: by the start of the run, so that no run drops
/// what it has detached itself, unless nothing is to be kept at all.
fn kept_since(step: &Step, now: Timestamp) -> Option<Timestamp> {
    match step.action() {
        Action::DropPartitions { grace_age } => now.checked_sub(grace_age.duration()).ok(),
        Action::Update(_) | Action::Delete | Action::Archive(_) => None,
    }
}

fn keeps_nothing(step: &Step) -> bool {
    matches!(step.action(), Action::DropPartitions { grace_age } if grace_age.duration().is_zero())
}

async fn detach(
    session: &mut Session<'_>,
    task: &Task,
    (partition, rows): (&Partition, i64),
    failed: i64,
) -> Result<Turn, Failure> {
    let mut fenced = session.batch(&task.execution).await?;
    let statement = task.step.detach(&partition.table, partition.detach_pending);
    run(fenced.transaction(), &statement).await?;
    let (transaction, ledger) = fenced.with_ledger();
    if !ledger.note_detached(transaction, &task.step, partition, rows).await? {
        fenced.rollback().await?;
        return Err(exchanged());
    }
    commit(fenced, task, rows, failed).await?;
    tracing::info!(
        rule.name = task.step.rule(),
        partition = partition.table.plain(),
        rows.counted = rows,
        "partition detached"
    );
    Ok(Turn::Committed(rows))
}

/// Drops a detached table, or keeps it for longer, or gives it back: decided by what it holds while
/// nobody else can reach it.
async fn settle(
    session: &mut Session<'_>,
    task: &Task,
    table: &Detached,
    failed: i64,
) -> Result<Turn, Failure> {
    let execution = task.execution.out_of_the_way();
    let is_own = table.run_id == session.run_id();
    let partition = &table.partition;
    let mut fenced = session.batch(&execution).await?;
    let (transaction, ledger) = fenced.with_ledger();
    let standing = ledger.standing(transaction, partition).await?;
    if standing != State::Detached {
        ledger.settle(transaction, partition, (standing, None)).await?;
        commit(fenced, task, 0, failed).await?;
        tracing::warn!(
            rule.name = task.step.rule(),
            partition = partition.table.plain(),
            state = ?standing,
            "a detached partition was attached, dropped or renamed by somebody else: it is left alone"
        );
        return Ok(Turn::Committed(0));
    }
    run(transaction, &Step::lock_detached(&partition.table)).await?;
    // Only now nobody can exchange it any more.
    if ledger.standing(transaction, partition).await? != State::Detached {
        fenced.rollback().await?;
        return Err(exchanged());
    }
    let statement = task.step.count_partition(&partition.table);
    let moment = Moment { now: task.now, ..Moment::default() };
    let counted = measure::count(transaction, &statement, moment).await.map_err(slow_count)?;
    if counted.survivors > 0 {
        return give_back(fenced, task, table, (counted, is_own), failed).await;
    }
    let drops = table.is_over || keeps_nothing(&task.step);
    if drops {
        run(transaction, &Step::drop_detached(&partition.table)).await?;
    }
    let state = if drops { State::Dropped } else { State::Detached };
    let verified = (!table.verified).then_some(counted.rows);
    ledger.settle(transaction, partition, (state, verified)).await?;
    // Rows that came between the first count and the detach. What somebody has taken out of a
    // detached table since is not for a later run to subtract.
    let more = verified.map_or(0, |rows| rows - table.counted);
    let more = if is_own { more } else { more.max(0) };
    commit(fenced, task, more, failed).await?;
    tracing::info!(
        rule.name = task.step.rule(),
        partition = partition.table.plain(),
        rows.counted = counted.rows,
        "{}",
        if drops { "partition dropped" } else { "detached partition is kept for its graceAge" }
    );
    Ok(Turn::Committed(more))
}

async fn give_back(
    mut fenced: FencedBatch<'_>,
    task: &Task,
    table: &Detached,
    (counted, is_own): (Rows, bool),
    failed: i64,
) -> Result<Turn, Failure> {
    let partition = &table.partition;
    let Rows { survivors, .. } = counted;
    let (transaction, ledger) = fenced.with_ledger();
    let attach = task.step.attach(&partition.table, &partition.bound);
    if let Err(failure) = run(transaction, &attach).await {
        return Err(not_attached(failure, survivors));
    }
    let taken_back = if is_own { table.counted } else { 0 };
    ledger.settle(transaction, partition, (State::Attached, is_own.then_some(0))).await?;
    commit(fenced, task, -taken_back, failed + survivors).await?;
    let message = format!(
        "the detached partition {} was attached again, since {survivors} of its rows are not due",
        partition.table.plain()
    );
    tracing::warn!(rule.name = task.step.rule(), "{message}");
    let fault = Failure { kind: FailureKind::Row, sql_state: String::new(), message };
    Ok(Turn::GivenBack { oid: partition.oid, taken_back, survivors, fault })
}

fn not_attached(failure: Failure, survivors: i64) -> Failure {
    match failure.kind {
        FailureKind::Wrong | FailureKind::Row => Failure {
            kind: FailureKind::Row,
            message: format!(
                "it was detached, holds {survivors} rows that are not due, and cannot be attached again, so it is kept as a table: {}",
                failure.message
            ),
            ..failure
        },
        _ => failure,
    }
}

fn exchanged() -> Failure {
    Failure {
        kind: FailureKind::Contention,
        sql_state: String::new(),
        message: "it was exchanged for another table meanwhile".to_owned(),
    }
}

async fn commit(
    fenced: FencedBatch<'_>,
    task: &Task,
    affected: i64,
    failed: i64,
) -> Result<(), Failure> {
    let record = BatchRecord {
        rule: task.step.rule(),
        affected,
        failed,
        skipped_locked: 0,
        place: &[],
        tables: &task.tables,
        fingerprint: task.fingerprint,
    };
    fenced.commit(&record).await
}

async fn run(
    transaction: &mut Transaction<'_, Postgres>,
    statement: &Statement,
) -> Result<(), Failure> {
    fetch(transaction, statement, Moment::default()).await?;
    Ok(())
}
