//! Who may begin, and with what: lease, epoch, the run's own rows.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use policy::{ConcurrencyPolicy, Policy};
use rand::Rng as _;
use sqlx::{Postgres, Row as _, Transaction};

use super::{LEASE, Ledger, RuleProgress, superseded};
use crate::database::{Database, timestamp};
use crate::failure::{Failure, FailureKind};

/// How long a run waits for the one before it: under `Forbid` that may be at its end just now...
const FORBID_PATIENCE: Duration = Duration::from_secs(5);
/// ...and under `Replace` it has been asked to end.
const REPLACE_PATIENCE: Duration = Duration::from_mins(1);
/// The statements of one rule that may each take `statementTimeout` while it is measured.
const LONG_COUNTS: u32 = 3;

/// What came of the attempt to begin.
#[derive(Debug)]
pub enum Begun {
    /// The run may go on.
    Run(Box<Tenure>),
    /// Another run of the policy is under way.
    LockHeld,
    /// The policy is on hold, for this reason.
    Held(String),
}

/// A run that has begun, or goes on in another attempt.
#[derive(Debug)]
pub struct Tenure {
    /// Its place in the ledger.
    pub ledger: Ledger,
    /// Database time at the start of its first attempt: the `now` of all its attempts.
    pub now: Timestamp,
    /// How long ago that was.
    pub elapsed: Duration,
    /// This attempt, from 1.
    pub attempt: i32,
    /// What earlier attempts did.
    pub progress: Vec<RuleProgress>,
}

/// Begins the run, or its next attempt: at once when nobody holds the lease or this run does,
/// after a wait when another run does.
pub async fn begin(
    database: &mut Database,
    policy: &Policy,
    run_id: &str,
) -> Result<Begun, Failure> {
    let patience = match policy.concurrency() {
        ConcurrencyPolicy::Forbid => FORBID_PATIENCE,
        ConcurrencyPolicy::Replace => REPLACE_PATIENCE,
    };
    let since = Instant::now();
    loop {
        let lease = match try_begin(database, policy, run_id).await {
            Ok(Some(begun)) => return Ok(begun),
            Ok(None) => "held",
            // A batch of the run before, or its end, is in the way.
            Err(failure) if failure.kind == FailureKind::Contention => "locked",
            Err(failure) => return Err(failure.while_doing("beginning in the ledger")),
        };
        if since.elapsed() >= patience {
            return Ok(Begun::LockHeld);
        }
        tracing::debug!(lease, "another run of the policy is under way, waiting for its end");
        let pause = Duration::from_millis(rand::rng().random_range(150..450));
        tokio::time::sleep(pause.min(patience.saturating_sub(since.elapsed()))).await;
    }
}

/// `None` while another run holds the lease.
async fn try_begin(
    database: &mut Database,
    policy: &Policy,
    run_id: &str,
) -> Result<Option<Begun>, Failure> {
    let longest_batch = policy.longest_batch().duration();
    let name = policy.name().to_string();
    let mut transaction = database.begin_ledger(longest_batch).await?;
    let lease = lock_lease(&mut transaction, &name).await?;
    if lease.taken_by.is_some_and(|holder| holder != run_id) {
        transaction.rollback().await?;
        return Ok(None);
    }
    if lease.held_rules_hash.as_deref() == Some(policy.rules_hash()) {
        transaction.rollback().await?;
        return Ok(Some(Begun::Held(lease.held_reason)));
    }
    // A hold for other rules than these ends with them.
    end_hold(&mut transaction, &name).await?;
    let epoch = raise_epoch(&mut transaction, &name).await?;
    take_lease(&mut transaction, &name, run_id, longest_measuring(policy)).await?;
    close_abandoned(&mut transaction, &name, run_id).await?;
    let (now, elapsed, attempt) = enter_run(&mut transaction, policy, run_id, epoch).await?;
    let ledger = Ledger { policy: name, run_id: run_id.to_owned(), epoch, attempt, longest_batch };
    enter_rules(&mut transaction, policy, &ledger).await?;
    let progress = ledger.progress(&mut transaction).await?;
    transaction.commit().await?;
    Ok(Some(Begun::Run(Box::new(Tenure { ledger, now, elapsed, attempt, progress }))))
}

/// While a run measures its rules in one read-only snapshot, it cannot renew its lease.
fn longest_measuring(policy: &Policy) -> Duration {
    let execution = policy.execution();
    let counts =
        u32::try_from(policy.rules().len()).unwrap_or(u32::MAX).saturating_mul(LONG_COUNTS);
    let longest = execution.statement_timeout.duration().saturating_mul(counts);
    LEASE + longest.min(execution.max_duration.duration())
}

struct Lease {
    /// Whose it is, unless it is over.
    taken_by: Option<String>,
    held_rules_hash: Option<String>,
    held_reason: String,
}

async fn lock_lease(
    transaction: &mut Transaction<'_, Postgres>,
    policy: &str,
) -> Result<Lease, Failure> {
    sqlx::query("INSERT INTO pgsweep.leases (policy) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(policy)
        .persistent(false)
        .execute(&mut **transaction)
        .await?;
    let row = sqlx::query(
        "SELECT
           CASE WHEN expires_at > clock_timestamp() THEN holder END AS taken_by,
           CASE WHEN held_since IS NOT NULL THEN held_rules_hash END AS held_rules_hash,
           held_reason
         FROM pgsweep.leases
         WHERE policy = $1
         FOR UPDATE",
    )
    .bind(policy)
    .persistent(false)
    .fetch_one(&mut **transaction)
    .await?;
    Ok(Lease {
        taken_by: row.try_get("taken_by")?,
        held_rules_hash: row.try_get("held_rules_hash")?,
        held_reason: row.try_get("held_reason")?,
    })
}

/// Waits for a batch that holds the old epoch; after this none of them can commit any more.
async fn raise_epoch(
    transaction: &mut Transaction<'_, Postgres>,
    policy: &str,
) -> Result<i64, Failure> {
    let epoch = sqlx::query_scalar(
        "INSERT INTO pgsweep.policies AS policies (policy, epoch)
         VALUES ($1, 1)
         ON CONFLICT (policy) DO UPDATE SET epoch = policies.epoch + 1
         RETURNING epoch",
    )
    .bind(policy)
    .persistent(false)
    .fetch_one(&mut **transaction)
    .await?;
    Ok(epoch)
}

async fn take_lease(
    transaction: &mut Transaction<'_, Postgres>,
    policy: &str,
    run_id: &str,
    lease: Duration,
) -> Result<(), Failure> {
    sqlx::query(
        "UPDATE pgsweep.leases
         SET holder = $2,
             expires_at = clock_timestamp() + CAST($3 AS interval)
         WHERE policy = $1",
    )
    .bind(policy)
    .bind(run_id)
    .bind(format!("{} ms", lease.as_millis()))
    .persistent(false)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Nobody else will close them: their Job is over, or it would hold the lease.
async fn close_abandoned(
    transaction: &mut Transaction<'_, Postgres>,
    policy: &str,
    run_id: &str,
) -> Result<(), Failure> {
    let abandoned: Vec<String> = sqlx::query_scalar(
        "UPDATE pgsweep.runs
         SET ended_at = clock_timestamp(),
             result = 'Failed',
             stop_reason = 'Error',
             message = 'the run was cut off without a word; the next one found it'
         WHERE policy = $1
           AND run_id <> $2
           AND ended_at IS NULL
         RETURNING run_id",
    )
    .bind(policy)
    .bind(run_id)
    .persistent(false)
    .fetch_all(&mut **transaction)
    .await?;
    if !abandoned.is_empty() {
        super::close::count(transaction, policy, &abandoned).await?;
    }
    Ok(())
}

async fn enter_run(
    transaction: &mut Transaction<'_, Postgres>,
    policy: &Policy,
    run_id: &str,
    epoch: i64,
) -> Result<(Timestamp, Duration, i32), Failure> {
    let row = sqlx::query(
        "INSERT INTO pgsweep.runs AS runs (policy, run_id, epoch, generation, rules_hash, attempts, started_at)
         VALUES ($1, $2, $3, $4, $5, 1, clock_timestamp())
         ON CONFLICT (policy, run_id) DO UPDATE
         SET epoch = excluded.epoch,
             attempts = runs.attempts + 1,
             ended_at = NULL,
             result = NULL,
             stop_reason = NULL,
             message = '',
             report = NULL
         RETURNING
           attempts,
           rules_hash,
           CAST(started_at AS text) AS started_at,
           CAST(extract(epoch FROM clock_timestamp() - started_at) AS double precision) AS elapsed",
    )
    .bind(policy.name().to_string())
    .bind(run_id)
    .bind(epoch)
    .bind(policy.generation())
    .bind(policy.rules_hash())
    .persistent(false)
    .fetch_one(&mut **transaction)
    .await?;
    if row.try_get::<&str, _>("rules_hash")? != policy.rules_hash() {
        let message =
            "this run id is that of a run with other rules; a run has an id of its own (--job-uid)";
        return Err(Failure::wrong("", message));
    }
    let now = timestamp(row.try_get("started_at")?)?;
    let elapsed: f64 = row.try_get("elapsed")?;
    let elapsed = Duration::try_from_secs_f64(elapsed.max(0.0)).unwrap_or_default();
    Ok((now, elapsed, row.try_get("attempts")?))
}

async fn enter_rules(
    transaction: &mut Transaction<'_, Postgres>,
    policy: &Policy,
    ledger: &Ledger,
) -> Result<(), Failure> {
    let names: Vec<_> = policy.rules().iter().map(policy::Rule::name).collect();
    let actions: Vec<_> = policy.rules().iter().map(|rule| rule.action().kind().as_str()).collect();
    sqlx::query(include_str!("rules.sql"))
        .bind(&ledger.policy)
        .bind(&ledger.run_id)
        .bind(policy.rules_hash())
        .bind(names)
        .bind(actions)
        .persistent(false)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

impl Ledger {
    /// Goes on over a new connection after the old one was lost: raises the run's own epoch, so
    /// that nothing that was under way on the old one can still commit, and returns what was
    /// committed. Fails when another run, or another attempt of this one, took over meanwhile.
    pub async fn rejoin(&mut self, database: &mut Database) -> Result<Vec<RuleProgress>, Failure> {
        let mut transaction = database.begin_ledger(self.longest_batch).await?;
        // In the order of `begin`, so that the two cannot wait for each other.
        let lease = lock_lease(&mut transaction, &self.policy).await?;
        if lease.taken_by.is_some_and(|holder| holder != self.run_id) {
            return Err(superseded());
        }
        // By the run's own row: an earlier `rejoin` may have been committed unheard.
        let epoch: Option<i64> = sqlx::query_scalar(
            "UPDATE pgsweep.policies AS policies
             SET epoch = policies.epoch + 1
             FROM pgsweep.runs AS runs
             WHERE policies.policy = $1
               AND runs.policy = $1
               AND runs.run_id = $2
               AND runs.attempts = $3
               AND runs.epoch = policies.epoch
             RETURNING policies.epoch",
        )
        .bind(&self.policy)
        .bind(&self.run_id)
        .bind(self.attempt)
        .persistent(false)
        .fetch_optional(&mut *transaction)
        .await?;
        let epoch = epoch.ok_or_else(superseded)?;
        sqlx::query("UPDATE pgsweep.runs SET epoch = $3 WHERE policy = $1 AND run_id = $2")
            .bind(&self.policy)
            .bind(&self.run_id)
            .bind(epoch)
            .persistent(false)
            .execute(&mut *transaction)
            .await?;
        take_lease(&mut transaction, &self.policy, &self.run_id, LEASE).await?;
        let progress = self.progress(&mut transaction).await?;
        transaction.commit().await?;
        self.epoch = epoch;
        Ok(progress)
    }
}

impl Ledger {
    /// Frees the lease alone, where the run could not be closed.
    pub async fn free(&self, database: &mut Database) -> Result<(), Failure> {
        free(database, &self.policy, &self.run_id).await
    }
}

/// Ends a lease that nothing else could end, so that the next run need not wait.
pub async fn free(database: &mut Database, policy: &str, run_id: &str) -> Result<(), Failure> {
    let mut transaction = database.begin_ledger(Duration::ZERO).await?;
    sqlx::query(
        "UPDATE pgsweep.leases
         SET holder = NULL, expires_at = NULL
         WHERE policy = $1 AND holder = $2",
    )
    .bind(policy)
    .bind(run_id)
    .persistent(false)
    .execute(&mut *transaction)
    .await?;
    Ok(transaction.commit().await?)
}

/// Takes a policy off hold; whether it was on hold.
pub async fn release(database: &mut Database, policy: &str) -> Result<bool, Failure> {
    let mut transaction = database.begin_ledger(Duration::ZERO).await?;
    let released = end_hold(&mut transaction, policy).await?;
    transaction.commit().await?;
    Ok(released)
}

async fn end_hold(
    transaction: &mut Transaction<'_, Postgres>,
    policy: &str,
) -> Result<bool, Failure> {
    let ended = sqlx::query(
        "UPDATE pgsweep.leases
         SET held_since = NULL, held_rules_hash = NULL, held_reason = ''
         WHERE policy = $1 AND held_since IS NOT NULL",
    )
    .bind(policy)
    .persistent(false)
    .execute(&mut **transaction)
    .await?;
    Ok(ended.rows_affected() > 0)
}
