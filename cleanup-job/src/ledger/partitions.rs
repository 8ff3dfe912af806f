//! Partitions that were detached, until they are dropped or attached again. The row of one is
//! written in the transaction that detaches it, so none is ever lost.

use jiff::Timestamp;
use policy::{Identifier, Partition, PartitionBound, QualifiedTable, Step};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row as _, Transaction};

use super::Ledger;
use crate::failure::Failure;

/// A table that was a partition until a run detached it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// The table.
    pub partition: Partition,
    /// The run that detached it.
    pub run_id: String,
    /// The rows that this run has counted for it.
    pub counted: i64,
    /// Whether it was counted again while nobody could write into it.
    pub verified: bool,
    /// Whether it was kept for as long as the rule wants.
    pub is_over: bool,
}

/// What became of a detached table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits.
    Detached,
    /// It was dropped.
    Dropped,
    /// It is a partition again.
    Attached,
    /// Somebody else dropped, renamed or moved it.
    Gone,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Detached => "Detached",
            Self::Dropped => "Dropped",
            Self::Attached => "Attached",
            Self::Gone => "Gone",
        }
    }
}

impl Ledger {
    /// The tables that the rule has detached and that wait for something: to be verified, or, those
    /// that were detached before `kept_since`, to be dropped.
    pub async fn detached(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        step: &Step,
        kept_since: Option<Timestamp>,
    ) -> Result<Vec<Detached>, Failure> {
        let rows = sqlx::query(
            "SELECT
               CAST(table_oid AS bigint) AS table_oid, schema_name, table_name, bound, run_id, counted_rows, verified,
               COALESCE(detached_at <= CAST($5 AS timestamptz), FALSE) AS is_over
             FROM pgsweep.partitions
             WHERE policy = $1
               AND rule = $2
               AND parent_schema = $3
               AND parent_name = $4
               AND state = 'Detached'
             ORDER BY detached_at, table_oid",
        )
        .bind(&self.policy)
        .bind(step.rule())
        .bind(step.table().schema.as_str())
        .bind(step.table().name.as_str())
        .bind(kept_since.map(|since| since.to_string()))
        .persistent(false)
        .fetch_all(&mut **transaction)
        .await?;
        let all: Vec<_> = rows.iter().map(detached).collect::<Result<_, _>>()?;
        let waits = |table: &Detached| table.is_over || !table.verified;
        Ok(all.into_iter().flatten().filter(waits).collect())
    }

    /// Keeps in mind what this transaction has just detached; false when that is another table than
    /// the one that was looked at.
    pub async fn note_detached(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        step: &Step,
        partition: &Partition,
        counted: i64,
    ) -> Result<bool, Failure> {
        let noted = sqlx::query(include_str!("note_detached.sql"))
            .bind(&self.policy)
            .bind(step.rule())
            .bind(&self.run_id)
            .bind(step.table().schema.as_str())
            .bind(step.table().name.as_str())
            .bind(partition.oid)
            .bind(partition.table.schema.as_str())
            .bind(partition.table.name.as_str())
            .bind(partition.bound.to_string())
            .bind(counted)
            .persistent(false)
            .execute(&mut **transaction)
            .await?;
        Ok(noted.rows_affected() == 1)
    }

    /// What a detached table is now, as far as the catalog knows.
    pub async fn standing(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        partition: &Partition,
    ) -> Result<State, Failure> {
        let is_partition: Option<bool> = sqlx::query_scalar(
            "SELECT c.relispartition
             FROM pg_class AS c
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE c.oid = CAST($1 AS oid)
               AND n.nspname = CAST($2 AS name)
               AND c.relname = CAST($3 AS name)",
        )
        .bind(partition.oid)
        .bind(partition.table.schema.as_str())
        .bind(partition.table.name.as_str())
        .persistent(false)
        .fetch_optional(&mut **transaction)
        .await?;
        Ok(match is_partition {
            None => State::Gone,
            Some(true) => State::Attached,
            Some(false) => State::Detached,
        })
    }

    /// Writes what became of a detached table, and what it was counted for, where that was
    /// verified just now.
    pub async fn settle(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        partition: &Partition,
        (state, verified): (State, Option<i64>),
    ) -> Result<(), Failure> {
        sqlx::query(
            "UPDATE pgsweep.partitions
             SET state = $3,
                 settled_at = CASE WHEN $3 <> 'Detached' THEN clock_timestamp() END,
                 counted_rows = COALESCE($4, counted_rows),
                 verified = verified OR $4 IS NOT NULL
             WHERE policy = $1
               AND table_oid = CAST($2 AS oid)
               AND state = 'Detached'",
        )
        .bind(&self.policy)
        .bind(partition.oid)
        .bind(state.as_str())
        .bind(verified)
        .persistent(false)
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }
}

/// `None` for a row that no version of ours has written.
fn detached(row: &PgRow) -> Result<Option<Detached>, sqlx::Error> {
    let (schema, name): (String, String) =
        (row.try_get("schema_name")?, row.try_get("table_name")?);
    let bound = PartitionBound::parse(row.try_get("bound")?);
    let (Ok(schema), Ok(name), Some(bound)) =
        (Identifier::parse(&schema), Identifier::parse(&name), bound)
    else {
        return Ok(None);
    };
    let table = QualifiedTable { schema, name };
    let oid = row.try_get("table_oid")?;
    Ok(Some(Detached {
        partition: Partition { table, oid, bound, detach_pending: false },
        run_id: row.try_get("run_id")?,
        counted: row.try_get("counted_rows")?,
        verified: row.try_get("verified")?,
        is_over: row.try_get("is_over")?,
    }))
}
