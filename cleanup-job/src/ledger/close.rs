//! The end of a run: one transaction that holds the fence alone.

use policy::{EarlierRun, RunReport, RunResult, StopReason, Totals, Value};
use sqlx::{Connection as _, Postgres, Row as _, Transaction};

use super::{Ledger, RuleProgress, superseded};
use crate::database::{Database, timestamp};
use crate::failure::{Failure, FailureKind};

/// The transaction that closes a run. While it is open no batch of the run can commit any more, so
/// the counts it gives are final. Dropped, it changes nothing.
pub struct Closing<'a> {
    transaction: Transaction<'a, Postgres>,
    ledger: &'a Ledger,
    progress: Vec<RuleProgress>,
    reported: bool,
}

/// What a rule ends with beyond what its batches have recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleEnd {
    /// Name of the rule.
    pub rule: String,
    /// Whether its passes are complete, so that the next run begins from the start.
    pub drained: bool,
    /// Rows that could not be changed.
    pub failed: i64,
    /// Rows that the app held.
    pub skipped_locked: i64,
}

impl Ledger {
    /// Begins the end of the run. Fails when another run took over.
    pub async fn closing<'a>(&'a self, database: &'a mut Database) -> Result<Closing<'a>, Failure> {
        let mut transaction = database.begin_ledger(self.longest_batch).await?;
        let own: Option<i64> = sqlx::query_scalar(
            "SELECT epoch
             FROM pgsweep.policies
             WHERE policy = $1 AND epoch = $2
             FOR UPDATE",
        )
        .bind(&self.policy)
        .bind(self.epoch)
        .persistent(false)
        .fetch_optional(&mut *transaction)
        .await?;
        if own.is_none() {
            return Err(superseded());
        }
        let progress = self.progress(&mut transaction).await?;
        let reported = sqlx::query_scalar(
            "SELECT reported
             FROM pgsweep.runs
             WHERE policy = $1 AND run_id = $2",
        )
        .bind(&self.policy)
        .bind(&self.run_id)
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await?;
        Ok(Closing { transaction, ledger: self, progress, reported })
    }

    /// Whether a `Closing` whose commit nobody heard of was committed: asked when another run has
    /// begun since.
    pub async fn is_closed(&self, database: &mut Database) -> Result<bool, Failure> {
        let mut transaction = database.begin_ledger(self.longest_batch).await?;
        let closed = sqlx::query_scalar(
            "SELECT EXISTS (
               SELECT FROM pgsweep.runs
               WHERE policy = $1 AND run_id = $2 AND epoch = $3 AND report IS NOT NULL
             )",
        )
        .bind(&self.policy)
        .bind(&self.run_id)
        .bind(self.epoch)
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(closed)
    }
}

impl Closing<'_> {
    /// What each rule has done, finally.
    pub fn progress(&self) -> &[RuleProgress] {
        &self.progress
    }

    /// Writes a row of the user's about the run, once over all its attempts. What the database
    /// refuses undoes only that row and is returned.
    pub async fn write_row(
        &mut self,
        text: &str,
        values: Vec<Value>,
    ) -> Result<Option<Failure>, Failure> {
        if self.reported {
            return Ok(None);
        }
        let mut attempt = self.transaction.begin().await?;
        match crate::database::query(text, values).execute(&mut *attempt).await {
            Ok(_) => {
                attempt.commit().await?;
                self.reported = true;
                Ok(None)
            }
            Err(error) => {
                let failure = Failure::from(error);
                if failure.kind == FailureKind::Unavailable {
                    return Err(failure);
                }
                attempt.rollback().await?;
                Ok(Some(failure))
            }
        }
    }

    /// Writes how the run ended, frees the lease, and adds to the report what the ledger knows of
    /// the policy: totals and earlier runs.
    pub async fn commit(
        mut self,
        report: &mut RunReport,
        rules: &[RuleEnd],
    ) -> Result<(), Failure> {
        let (policy, run_id) = (&self.ledger.policy, &self.ledger.run_id);
        let transaction = &mut self.transaction;
        settle(transaction, policy, run_id, rules).await?;
        sqlx::query(
            "UPDATE pgsweep.runs
             SET ended_at = clock_timestamp(), result = $3, stop_reason = $4, message = $5, reported = $6
             WHERE policy = $1 AND run_id = $2",
        )
        .bind(policy)
        .bind(run_id)
        .bind(report.result.as_str())
        .bind(report.stop_reason.as_str())
        .bind(&report.message)
        .bind(self.reported)
        .persistent(false)
        .execute(&mut **transaction)
        .await?;
        let own = std::slice::from_ref(run_id);
        report.totals = Some(count(transaction, policy, own).await?);
        report.earlier = earlier(transaction, policy, run_id).await?;
        keep_report(transaction, policy, run_id, report).await?;
        sqlx::query(include_str!("prune.sql"))
            .bind(policy)
            .persistent(false)
            .execute(&mut **transaction)
            .await?;
        sqlx::query(
            "UPDATE pgsweep.leases
             SET holder = NULL, expires_at = NULL
             WHERE policy = $1 AND holder = $2",
        )
        .bind(policy)
        .bind(run_id)
        .persistent(false)
        .execute(&mut **transaction)
        .await?;
        Ok(self.transaction.commit().await?)
    }
}

async fn settle(
    transaction: &mut Transaction<'_, Postgres>,
    policy: &str,
    run_id: &str,
    rules: &[RuleEnd],
) -> Result<(), Failure> {
    let names: Vec<&str> = rules.iter().map(|rule| rule.rule.as_str()).collect();
    let drained: Vec<bool> = rules.iter().map(|rule| rule.drained).collect();
    let failed: Vec<i64> = rules.iter().map(|rule| rule.failed).collect();
    let skipped: Vec<i64> = rules.iter().map(|rule| rule.skipped_locked).collect();
    sqlx::query(include_str!("settle.sql"))
        .bind(policy)
        .bind(run_id)
        .bind(names)
        .bind(drained)
        .bind(failed)
        .bind(skipped)
        .persistent(false)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Brings the totals of a policy up to what these of its runs hold now.
pub async fn count(
    transaction: &mut Transaction<'_, Postgres>,
    policy: &str,
    runs: &[String],
) -> Result<Totals, Failure> {
    let row = sqlx::query(include_str!("count.sql"))
        .bind(policy)
        .bind(runs)
        .persistent(false)
        .fetch_one(&mut **transaction)
        .await?;
    Ok(Totals {
        runs: row.try_get("runs")?,
        failures: row.try_get("failures")?,
        rows_affected: row.try_get("rows_affected")?,
    })
}

/// The last five runs before this one that have ended, newest first.
async fn earlier(
    transaction: &mut Transaction<'_, Postgres>,
    policy: &str,
    run_id: &str,
) -> Result<Vec<EarlierRun>, Failure> {
    let rows = sqlx::query(
        "SELECT
           run_id,
           result,
           stop_reason,
           CAST(started_at AS text) AS started_at,
           CAST(extract(epoch FROM ended_at - started_at) AS double precision) AS seconds,
           counted_rows
         FROM pgsweep.runs
         WHERE policy = $1 AND run_id <> $2 AND ended_at IS NOT NULL
         ORDER BY started_at DESC
         LIMIT 5",
    )
    .bind(policy)
    .bind(run_id)
    .persistent(false)
    .fetch_all(&mut **transaction)
    .await?;
    let earlier = rows.iter().map(|row| {
        let seconds: f64 = row.try_get("seconds")?;
        Ok(EarlierRun {
            run_id: row.try_get("run_id")?,
            result: RunResult::parse(row.try_get("result")?).unwrap_or(RunResult::Failed),
            stop_reason: StopReason::parse(row.try_get("stop_reason")?)
                .unwrap_or(StopReason::Error),
            start_time: timestamp(row.try_get("started_at")?)?.to_string(),
            duration_seconds: (seconds * 1000.0).round() / 1000.0,
            affected: row.try_get("counted_rows")?,
        })
    });
    earlier.collect()
}

async fn keep_report(
    transaction: &mut Transaction<'_, Postgres>,
    policy: &str,
    run_id: &str,
    report: &RunReport,
) -> Result<(), Failure> {
    sqlx::query("UPDATE pgsweep.runs SET report = $3 WHERE policy = $1 AND run_id = $2")
        .bind(policy)
        .bind(run_id)
        .bind(sqlx::types::Json(report))
        .persistent(false)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
