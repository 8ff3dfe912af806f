//! What a rule that drops partitions holds: the rows of those that can go as a whole.

use jiff::Timestamp;
use policy::{Identifier, Moment, Partition, PartitionBound, QualifiedTable, Statement, Step};
use sqlx::{Postgres, Row as _, Transaction};

use super::{Held, estimate};
use crate::database::fetch;
use crate::failure::Failure;

/// A partition all of whose range is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The partition.
    pub partition: Partition,
    /// For how many seconds.
    pub overdue_seconds: i64,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Its rows.
    pub rows: i64,
    /// Those of them that are not due, though its range is: they keep the others.
    pub survivors: i64,
}

/// The partitions of a rule all of whose range is due, the oldest first.
pub async fn due(
    transaction: &mut Transaction<'_, Postgres>,
    step: &Step,
    now: Timestamp,
) -> Result<Vec<Due>, Failure> {
    let Some(statement) = step.due_partitions() else { return Ok(Vec::new()) };
    let row = fetch(transaction, &statement, Moment { now, ..Moment::default() }).await?;
    let row = row.ok_or_else(|| Failure::unavailable("the database's answer has no row"))?;
    let column = |name| row.try_get::<Vec<String>, _>(name);
    let names = column("schemas")?.into_iter().zip(column("names")?);
    let identities = column("oids")?.into_iter().zip(column("bounds")?);
    let states = column("pending")?.into_iter().zip(column("overdue")?);
    let mut due = Vec::new();
    for (((schema, name), (oid, bound)), (pending, overdue)) in names.zip(identities).zip(states) {
        let (Ok(schema), Ok(name), Ok(oid), Some(bound)) = (
            Identifier::parse(&schema),
            Identifier::parse(&name),
            oid.parse(),
            PartitionBound::parse(&bound),
        ) else {
            continue;
        };
        let table = QualifiedTable { schema, name };
        let partition = Partition { table, oid, bound, detach_pending: pending == "t" };
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds; `as` saturates")]
        let overdue_seconds = overdue.parse::<f64>().unwrap_or(0.0) as i64;
        due.push(Due { partition, overdue_seconds });
    }
    Ok(due)
}

/// What a rule holds, exact up to `bound` rows. Beyond it, with `estimated`, what the planner
/// expects.
pub async fn held(
    transaction: &mut Transaction<'_, Postgres>,
    step: &Step,
    now: Timestamp,
    (bound, estimated): (i64, bool),
) -> Result<Held, Failure> {
    let mut held = Held { rows: 0, is_estimate: false, overdue_seconds: 0 };
    let due = due(transaction, step, now).await?;
    for Due { partition, overdue_seconds } in &due {
        if held.rows >= bound {
            break;
        }
        let moment = Moment { now, limit: bound - held.rows, ..Moment::default() };
        // Whoever may read the table may count its partitions through it, but for one that it
        // hides.
        let through_table = step.count_range_up_to(&partition.bound);
        let statement = through_table
            .filter(|_| !partition.detach_pending)
            .unwrap_or_else(|| step.count_partition_up_to(&partition.table));
        let counted = count(transaction, &statement, moment).await?;
        if counted.survivors == 0 && counted.rows > 0 {
            if held.rows == 0 {
                held.overdue_seconds = *overdue_seconds;
            }
            held.rows += counted.rows;
        }
    }
    if estimated && held.rows >= bound {
        let mut expected = 0;
        for Due { partition, .. } in &due {
            if let Some(statement) = step.estimate_range(&partition.bound) {
                expected += estimate(transaction, &statement, now).await?;
            }
        }
        held.rows = held.rows.max(expected);
        held.is_estimate = true;
    }
    Ok(held)
}

/// Counts what a partition holds.
pub async fn count(
    transaction: &mut Transaction<'_, Postgres>,
    statement: &Statement,
    moment: Moment<'_>,
) -> Result<Rows, Failure> {
    let row = fetch(transaction, statement, moment).await?;
    let row = row.ok_or_else(|| Failure::unavailable("the database's answer has no row"))?;
    Ok(Rows { rows: row.try_get("rows")?, survivors: row.try_get("survivors")? })
}
