//! What the ledger remembers, for people.

use std::time::Duration;

use policy::{ActionKind, Mode, RuleOutcome, RunReport, RunResult, StopReason};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, Row as _, Transaction};

use super::Ledger;
use crate::database::{Database, timestamp};
use crate::failure::Failure;

/// Which runs are asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// `namespace/name`.
    pub policy: Option<String>,
    /// All policies of a namespace.
    pub namespace: Option<String>,
    /// How they ended.
    pub result: Option<RunResult>,
    /// Begun within this time.
    pub since: Option<Duration>,
    /// At most so many, the newest.
    pub limit: i64,
}

/// One run of the ledger.
#[derive(Clone, Debug)]
pub struct PastRun {
    /// `namespace/name` of its policy.
    pub policy: String,
    /// UID of its Job.
    pub run_id: String,
    /// Database time at the start of its first attempt.
    pub started_at: String,
    /// How it stands.
    pub state: State,
}

/// How a run stands.
#[derive(Clone, Debug)]
pub enum State {
    /// It ended and said this.
    Ended(Box<RunReport>),
    /// It holds the lease.
    UnderWay,
    /// It neither ended nor holds the lease: its Job's next attempt or the policy's next run ends it.
    CutOff,
}

/// Runs that pass the filter, newest first.
pub async fn past_runs(database: &mut Database, filter: &Filter) -> Result<Vec<PastRun>, Failure> {
    let mut transaction = database.begin_reading().await?;
    let since = filter.since.map(|since| format!("{} ms", since.as_millis()));
    let rows = sqlx::query(include_str!("history.sql"))
        .bind(&filter.policy)
        .bind(&filter.namespace)
        .bind(filter.result.map(RunResult::as_str))
        .bind(since)
        .bind(filter.limit)
        .persistent(false)
        .fetch_all(&mut *transaction)
        .await?;
    let mut runs = Vec::new();
    for row in rows {
        runs.push(past_run(&mut transaction, &row).await?);
    }
    transaction.commit().await?;
    Ok(runs)
}

async fn past_run(
    transaction: &mut Transaction<'_, Postgres>,
    row: &PgRow,
) -> Result<PastRun, Failure> {
    let policy = row.try_get("policy")?;
    let run_id = row.try_get("run_id")?;
    let started_at = timestamp(row.try_get("started_at")?)?.to_string();
    let report: Option<Json<RunReport>> = row.try_get("report")?;
    let state = match report {
        Some(Json(report)) => State::Ended(Box::new(report)),
        None if row.try_get("ended")? => {
            State::Ended(Box::new(report_for(transaction, row, &started_at).await?))
        }
        None if row.try_get("holds_lease")? => State::UnderWay,
        None => State::CutOff,
    };
    Ok(PastRun { policy, run_id, started_at, state })
}

/// The report of a run that was cut off, and found by the next.
async fn report_for(
    transaction: &mut Transaction<'_, Postgres>,
    row: &PgRow,
    started_at: &str,
) -> Result<RunReport, Failure> {
    let ledger = Ledger {
        policy: row.try_get("policy")?,
        run_id: row.try_get("run_id")?,
        epoch: row.try_get("epoch")?,
        attempt: row.try_get("attempts")?,
        longest_batch: Duration::ZERO,
    };
    let rules = rules(transaction, &ledger).await?;
    Ok(RunReport {
        policy: ledger.policy,
        generation: row.try_get("generation")?,
        rules_hash: row.try_get("rules_hash")?,
        run_id: ledger.run_id,
        epoch: ledger.epoch,
        warnings: Vec::new(),
        mode: Mode::Enforce,
        result: RunResult::Failed,
        stop_reason: StopReason::Error,
        message: row.try_get("message")?,
        start_time: started_at.to_owned(),
        duration_seconds: row.try_get("seconds")?,
        attempts: ledger.attempt,
        rules,
        totals: None,
        earlier: Vec::new(),
        truncated: false,
    })
}

/// What is known of the rules of a run that could not report.
async fn rules(
    transaction: &mut Transaction<'_, Postgres>,
    ledger: &Ledger,
) -> Result<Vec<RuleOutcome>, Failure> {
    let progress = ledger.progress(transaction).await?;
    let outcomes = progress.into_iter().map(|rule| {
        let (matched, matched_is_estimate) = rule.matched.unwrap_or_default();
        RuleOutcome {
            name: rule.rule,
            action: ActionKind::parse(&rule.action),
            matched,
            matched_is_estimate,
            affected: rule.affected,
            remaining: (matched - rule.affected).max(0),
            oldest_overdue_seconds: 0,
            failed: rule.failed,
            batches: rule.batches,
            skipped_locked: rule.skipped_locked,
            strategy: None,
            stop_reason: None,
            sql_state: String::new(),
            message: String::new(),
            warnings: Vec::new(),
        }
    });
    Ok(outcomes.collect())
}
