//! The ledger: schema `pgsweep` of the database that is cleaned. It says what runs did, and keeps
//! two runs of one policy apart.
//!
//! Every statement on our own tables is in this module, and all of them are constants. The fence is
//! the epoch of a policy: a run begins by raising it, each batch holds it by its own epoch first
//! ([`Ledger::hold`]) and counts itself last ([`Ledger::record`]), in the transaction that changes
//! the rows. So a batch commits before its successor begins, or not at all, and what is counted is
//! what was committed. The lease only decides who may begin; losing it harms nothing.

pub mod begin;
pub mod close;
pub mod history;
pub mod install;
pub mod partitions;

use std::time::Duration;

use policy::QualifiedTable;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row as _, Transaction};

use crate::database::Database;
use crate::failure::{Failure, FailureKind};
use crate::measure::Held;

/// How long a run may be silent before another may begin.
const LEASE: Duration = Duration::from_secs(30);

/// The place of a run in the ledger: what it writes its progress under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    policy: String,
    run_id: String,
    epoch: i64,
    attempt: i32,
    /// The longest that a batch of the policy, or of the run before, may hold the fence.
    longest_batch: Duration,
}

/// What one rule has done so far, over all attempts of its run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleProgress {
    /// Name of the rule.
    pub rule: String,
    /// What happens to its rows.
    pub action: String,
    /// What it held when it was first measured; `None` before that.
    pub matched: Option<(i64, bool)>,
    /// Rows that were changed.
    pub affected: i64,
    /// Committed batches.
    pub batches: i64,
    /// Rows that could not be changed.
    pub failed: i64,
    /// Rows that the app held.
    pub skipped_locked: i64,
    /// Where the last batch ended, in this run or the one before; `None` to begin at the start.
    pub place: Option<Vec<String>>,
    /// What the tables looked like when `place` was recorded: it means nothing to others.
    pub fingerprint: Option<Fingerprint>,
}

/// What the tables of a rule look like: which they are, their columns, their triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(i64);

/// What one batch is recorded by.
#[derive(Clone, Copy, Debug)]
pub struct BatchRecord<'a> {
    /// Name of the rule.
    pub rule: &'a str,
    /// Rows that this batch changed.
    pub affected: i64,
    /// Rows that the rule could not change, so far.
    pub failed: i64,
    /// Rows that the app held, so far.
    pub skipped_locked: i64,
    /// Where the batch ended.
    pub place: &'a [String],
    /// The tables that the rule reads or changes.
    pub tables: &'a [QualifiedTable],
    /// What they looked like when the rule was planned.
    pub fingerprint: Fingerprint,
}

impl RuleProgress {
    /// That of the rule of this name.
    #[must_use]
    pub fn of<'a>(rule: &str, recorded: &'a [Self]) -> Option<&'a Self> {
        recorded.iter().find(|it| it.rule == rule)
    }

    /// Where to begin on tables of that fingerprint.
    #[must_use]
    pub fn place_for(&self, fingerprint: Fingerprint) -> Option<Vec<String>> {
        self.place.clone().filter(|_| self.fingerprint == Some(fingerprint))
    }
}

impl Ledger {
    /// The epoch of the run.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// The run.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The first statement of a batch: holds the epoch row, shared, until the end of the
    /// transaction, and returns the number of the server process that does. A plain read would let
    /// this batch commit after its successor began.
    pub async fn hold(&self, transaction: &mut Transaction<'_, Postgres>) -> Result<i32, Failure> {
        let process: Option<i32> = sqlx::query_scalar(
            "SELECT pg_backend_pid()
             FROM pgsweep.policies
             WHERE policy = $1 AND epoch = $2
             FOR SHARE",
        )
        .bind(&self.policy)
        .bind(self.epoch)
        .persistent(false)
        .fetch_optional(&mut **transaction)
        .await?;
        process.ok_or_else(superseded)
    }

    /// The last statement of a batch: counts it, renews the lease, and fails when a table of the
    /// rule is not what it was; the batch must then be rolled back.
    pub async fn record(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        batch: &BatchRecord<'_>,
    ) -> Result<(), Failure> {
        let (schemas, names) = split(batch.tables);
        let sql = concat!(
            include_str!("ledger/record.sql"),
            include_str!("ledger/fingerprint.sql"),
            include_str!("ledger/record_end.sql")
        );
        let row = sqlx::query(sql)
            .bind(&self.policy)
            .bind(&self.run_id)
            .bind(batch.rule)
            .bind(batch.affected)
            .bind(batch.failed)
            .bind(batch.skipped_locked)
            .bind(batch.place)
            .bind(batch.fingerprint.0)
            .bind(schemas)
            .bind(names)
            .persistent(false)
            .fetch_one(&mut **transaction)
            .await?;
        if row.try_get::<i64, _>("recorded")? != 1 {
            return Err(Failure::wrong(
                "",
                "the ledger lost this run's rows while it was under way",
            ));
        }
        if row.try_get("unchanged")? { Ok(()) } else { Err(schema_changed(batch)) }
    }

    /// Keeps the lease while no batch does: in a pause, or before something that may take as long as
    /// `longest`. Fails when another run took over.
    pub async fn renew(&self, database: &mut Database, longest: Duration) -> Result<(), Failure> {
        let mut transaction = database.begin_ledger(self.longest_batch).await?;
        let renewed = sqlx::query(
            "UPDATE pgsweep.leases
             SET expires_at = clock_timestamp() + CAST($4 AS interval)
             WHERE policy = $1
               AND holder = $2
               AND EXISTS (SELECT FROM pgsweep.policies WHERE policy = $1 AND epoch = $3)",
        )
        .bind(&self.policy)
        .bind(&self.run_id)
        .bind(self.epoch)
        .bind(format!("{} ms", (LEASE + longest).as_millis()))
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        if renewed.rows_affected() == 0 { Err(superseded()) } else { Ok(()) }
    }

    /// Keeps what the rules held when the run first measured them, and returns that: the first
    /// attempt's numbers, also in a later one.
    pub async fn measured(
        &self,
        database: &mut Database,
        held: &[Held],
    ) -> Result<Vec<RuleProgress>, Failure> {
        let mut transaction = database.begin_ledger(self.longest_batch).await?;
        self.hold(&mut transaction).await?;
        let rows: Vec<i64> = held.iter().map(|held| held.rows).collect();
        let estimates: Vec<bool> = held.iter().map(|held| held.is_estimate).collect();
        sqlx::query(
            "UPDATE pgsweep.run_rules AS rules
             SET matched = held.matched, matched_is_estimate = held.is_estimate
             FROM unnest(CAST($3 AS bigint[]), CAST($4 AS boolean[])) WITH ORDINALITY AS held (matched, is_estimate, position)
             WHERE rules.policy = $1
               AND rules.run_id = $2
               AND rules.position = held.position
               AND rules.matched IS NULL",
        )
        .bind(&self.policy)
        .bind(&self.run_id)
        .bind(rows)
        .bind(estimates)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
        // While it measured, nobody could renew it: see `begin`.
        sqlx::query(
            "UPDATE pgsweep.leases
             SET expires_at = clock_timestamp() + CAST('30 seconds' AS interval)
             WHERE policy = $1 AND holder = $2",
        )
        .bind(&self.policy)
        .bind(&self.run_id)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
        let progress = self.progress(&mut transaction).await?;
        transaction.commit().await?;
        Ok(progress)
    }

    /// What each rule has done so far, in their order.
    async fn progress(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
    ) -> Result<Vec<RuleProgress>, Failure> {
        let rows = sqlx::query(
            "SELECT rule, action, matched, matched_is_estimate, affected, batches, failed, skipped_locked, place, fingerprint
             FROM pgsweep.run_rules
             WHERE policy = $1 AND run_id = $2
             ORDER BY position",
        )
        .bind(&self.policy)
        .bind(&self.run_id)
        .persistent(false)
        .fetch_all(&mut **transaction)
        .await?;
        Ok(rows.iter().map(rule_progress).collect::<Result<_, _>>()?)
    }
}

/// What `tables` look like now.
pub async fn look(
    transaction: &mut Transaction<'_, Postgres>,
    tables: &[QualifiedTable],
) -> Result<Fingerprint, Failure> {
    let (schemas, names) = split(tables);
    let sql = concat!(
        include_str!("ledger/look.sql"),
        include_str!("ledger/fingerprint.sql"),
        ")\nSELECT value FROM fingerprint"
    );
    let value: Option<i64> = sqlx::query_scalar(sql)
        .bind(schemas)
        .bind(names)
        .persistent(false)
        .fetch_one(&mut **transaction)
        .await?;
    Ok(Fingerprint(value.unwrap_or_default()))
}

fn split(tables: &[QualifiedTable]) -> (Vec<&str>, Vec<&str>) {
    tables.iter().map(|table| (table.schema.as_str(), table.name.as_str())).unzip()
}

fn rule_progress(row: &PgRow) -> Result<RuleProgress, sqlx::Error> {
    let matched: Option<i64> = row.try_get("matched")?;
    let is_estimate: bool = row.try_get("matched_is_estimate")?;
    Ok(RuleProgress {
        rule: row.try_get("rule")?,
        action: row.try_get("action")?,
        matched: matched.map(|matched| (matched, is_estimate)),
        affected: row.try_get("affected")?,
        batches: row.try_get("batches")?,
        failed: row.try_get("failed")?,
        skipped_locked: row.try_get("skipped_locked")?,
        place: row.try_get("place")?,
        fingerprint: row.try_get::<Option<i64>, _>("fingerprint")?.map(Fingerprint),
    })
}

fn superseded() -> Failure {
    Failure {
        kind: FailureKind::Superseded,
        sql_state: String::new(),
        message: "another run of this policy took over; what was done is done".to_owned(),
    }
}

fn schema_changed(batch: &BatchRecord<'_>) -> Failure {
    let tables: Vec<_> = batch.tables.iter().map(QualifiedTable::plain).collect();
    Failure {
        kind: FailureKind::Rule,
        sql_state: String::new(),
        message: format!(
            "SchemaChanged: {} was altered or exchanged while the run was under way, so the batch was rolled back; \
             the next run plans anew",
            tables.join(" or ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(rule: &str) -> RuleProgress {
        let place = Some(vec!["Keyset".to_owned(), "7".to_owned()]);
        let fingerprint = Some(Fingerprint(1));
        RuleProgress { rule: rule.to_owned(), place, fingerprint, ..RuleProgress::default() }
    }

    #[test]
    fn a_rule_goes_on_from_its_own_progress() {
        let recorded = [progress("a"), progress("b")];
        assert_eq!(RuleProgress::of("b", &recorded), Some(&recorded[1]));
        assert_eq!(RuleProgress::of("c", &recorded), None);
    }

    #[test]
    fn a_place_means_nothing_on_tables_that_look_otherwise() {
        let progress = progress("a");
        assert_eq!(progress.place_for(Fingerprint(1)), progress.place);
        assert_eq!(progress.place_for(Fingerprint(2)), None);
        let unknown = RuleProgress { fingerprint: None, ..progress };
        assert_eq!(unknown.place_for(Fingerprint(1)), None);
    }
}
