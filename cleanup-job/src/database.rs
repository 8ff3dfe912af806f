//! The database: the settings of a transaction, and the one place where a
//! [`Statement`] becomes a query. How it is reached is in `runtime::database`.
//!
//! Everything is set inside a transaction, nothing in the session, and no
//! statement is prepared by name: so it works through a pooler that hands each
//! transaction to another server connection.

use std::time::Duration;

use jiff::Timestamp;
use policy::{Execution, Moment, Statement, Value};
use runtime::database::address::Address;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, Postgres, Row as _, Transaction};
use tokio_util::sync::CancellationToken;

use crate::execute::Positions;
use crate::failure::Failure;

/// One connection.
pub struct Database {
    connection: PgConnection,
}

/// What a transaction is for; it decides its settings.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// Counting and checking, in one read-only snapshot.
    Measure,
    /// Changing one batch.
    Change,
}

/// How long the server lets a transaction of ours wait for our next statement: a process that is
/// frozen in the middle of a batch holds its locks no longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a look into the ledger may take.
const READING_PATIENCE: Duration = Duration::from_secs(30);

/// What a transaction may wait for.
struct Patience {
    /// For a statement, its waits included.
    statement: Duration,
    /// For a lock. Shorter than that for a statement, or the server would report a statement that
    /// was slow where a lock was in the way, and what passes would look like what is wrong.
    lock: Duration,
}

impl Patience {
    /// Half of it for locks.
    fn halved(statement: Duration) -> Self {
        Self { statement, lock: statement / 2 }
    }
}

impl Database {
    /// Connects, and tries again until `patience` has passed.
    pub async fn connect(
        address: &Address,
        patience: Duration,
        cancelled: &CancellationToken,
    ) -> Result<Self, Failure> {
        let connection = runtime::database::connect(address, patience, cancelled).await?;
        Ok(Self { connection })
    }

    /// Begins a transaction and pins every setting that a role, a database or a
    /// pooler could have set otherwise.
    pub async fn begin(
        &mut self,
        purpose: Purpose,
        execution: &Execution,
    ) -> Result<Transaction<'_, Postgres>, Failure> {
        let (begin, patience) = match purpose {
            // Reading holds nobody up: it can wait long for a locked table.
            Purpose::Measure => (
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                Patience::halved(execution.statement_timeout.duration()),
            ),
            Purpose::Change => (
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
                Patience {
                    statement: execution.batch_timeout.duration(),
                    lock: execution.lock_timeout.duration(),
                },
            ),
        };
        self.begin_pinned(begin, patience).await
    }

    /// Begins a transaction on the ledger. It may have to wait for a batch of another run to end,
    /// and when the process of that run is frozen, for the server to give that up: see
    /// `idle_in_transaction_session_timeout`.
    pub async fn begin_ledger(
        &mut self,
        longest_batch: Duration,
    ) -> Result<Transaction<'_, Postgres>, Failure> {
        let lock = longest_batch + IDLE_TIMEOUT + Duration::from_secs(3);
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
        self.begin_pinned(begin, Patience { statement: 2 * lock, lock }).await
    }

    /// Begins a transaction that only reads, on a standby too.
    pub async fn begin_reading(&mut self) -> Result<Transaction<'_, Postgres>, Failure> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        self.begin_pinned(begin, Patience::halved(READING_PATIENCE)).await
    }

    async fn begin_pinned(
        &mut self,
        begin: &'static str,
        patience: Patience,
    ) -> Result<Transaction<'_, Postgres>, Failure> {
        let transaction = self.connection.begin_with(begin).await.map_err(Failure::from);
        let mut transaction = match transaction {
            // A standby does not even begin to write.
            Err(failure) if failure.sql_state == "0A000" => return Err(standby()),
            transaction => transaction?,
        };
        sqlx::query(
            "SELECT set_config('search_path', 'pg_catalog', TRUE),
                    set_config('timezone', 'UTC', TRUE),
                    set_config('datestyle', 'ISO, YMD', TRUE),
                    set_config('intervalstyle', 'postgres', TRUE),
                    set_config('bytea_output', 'hex', TRUE),
                    set_config('extra_float_digits', '3', TRUE),
                    set_config('quote_all_identifiers', 'off', TRUE),
                    set_config('row_security', 'off', TRUE),
                    set_config('client_min_messages', 'error', TRUE),
                    set_config('application_name', 'pgsweep', TRUE),
                    set_config('statement_timeout', $1, TRUE),
                    set_config('lock_timeout', $2, TRUE),
                    set_config('idle_in_transaction_session_timeout', $3, TRUE)",
        )
        .bind(format!("{}ms", patience.statement.as_millis()))
        .bind(format!("{}ms", patience.lock.as_millis()))
        .bind(format!("{}ms", IDLE_TIMEOUT.as_millis()))
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction)
    }

    /// Closes the connection politely.
    pub async fn close(self) {
        // The work is done and counted; a server that does not hear the goodbye loses nothing.
        let _ = self.connection.close().await;
    }
}

/// Runs a statement of the policy crate that returns at most one row.
pub async fn fetch(
    transaction: &mut Transaction<'_, Postgres>,
    statement: &Statement,
    moment: Moment<'_>,
) -> Result<Option<PgRow>, sqlx::Error> {
    query(&statement.text, statement.values(moment)).fetch_optional(&mut **transaction).await
}

/// A query of a text that `policy` has built, from quoted names and bound values alone.
pub fn query(text: &str, values: Vec<Value>) -> Query<'static, Postgres, PgArguments> {
    let mut query = sqlx::query(AssertSqlSafe(text.to_owned()));
    for value in values {
        query = match value {
            Value::Text(text) => query.bind(text),
            Value::Texts(texts) => query.bind(texts),
            Value::Integer(integer) => query.bind(integer),
        };
    }
    query.persistent(false)
}

/// The database's clock.
pub async fn now(transaction: &mut Transaction<'_, Postgres>) -> Result<Timestamp, Failure> {
    let text: String = sqlx::query_scalar("SELECT CAST(now() AS text)")
        .persistent(false)
        .fetch_one(&mut **transaction)
        .await?;
    timestamp(&text)
}

/// A `timestamptz` as the server writes it.
pub fn timestamp(text: &str) -> Result<Timestamp, Failure> {
    text.parse()
        .map_err(|_| Failure::wrong("", "the database's clock shows no time that can be read"))
}

/// Ends the statement of a server process of ours, where it still runs: its connection was given up.
pub async fn cancel(database: &mut Database, process: i32) -> Result<(), Failure> {
    let mut transaction = database.begin_ledger(Duration::ZERO).await?;
    // The number may meanwhile be another's: only a process of this role and program is asked.
    sqlx::query(
        "SELECT pg_cancel_backend(pid)
         FROM pg_stat_activity
         WHERE pid = $1
           AND usename = current_user
           AND application_name = 'pgsweep'
           AND xact_start IS NOT NULL",
    )
    .bind(process)
    .persistent(false)
    .execute(&mut *transaction)
    .await?;
    Ok(transaction.commit().await?)
}

/// What is said of a server that only follows another.
pub fn standby() -> Failure {
    Failure::wrong("25006", "the database is a standby, which takes no change; name the primary")
}

/// Whether the server only follows another: it takes no change.
pub async fn is_standby(transaction: &mut Transaction<'_, Postgres>) -> Result<bool, Failure> {
    let sql = "SELECT pg_is_in_recovery()";
    Ok(sqlx::query_scalar(sql).persistent(false).fetch_one(&mut **transaction).await?)
}

/// How far the replicas are: those that replay the log, not those that decode it.
pub async fn replica_positions(database: &mut Database) -> Result<Positions, Failure> {
    let mut transaction = database.begin_reading().await?;
    let row = sqlx::query(
        "SELECT CAST(pg_current_wal_lsn() - CAST('0/0' AS pg_lsn) AS bigint) AS written,
                CAST(min(replay_lsn) - CAST('0/0' AS pg_lsn) AS bigint) AS replayed,
                CAST(COALESCE(max(extract(epoch FROM replay_lag)), 0) AS double precision) AS lag,
                count(*) FILTER (WHERE state IS NULL) AS hidden
         FROM pg_stat_replication AS replica
         WHERE (state IS NULL OR state IN ('streaming', 'catchup'))
           AND NOT EXISTS (
             SELECT
             FROM pg_replication_slots AS slot
             WHERE slot.active_pid = replica.pid AND slot.slot_type = 'logical'
           )",
    )
    .persistent(false)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Positions {
        written: row.try_get("written")?,
        replayed: row.try_get("replayed")?,
        lag: row.try_get("lag")?,
        hidden: row.try_get("hidden")?,
    })
}

/// Gives up sooner on locks, until the end of the transaction or savepoint: for a check that
/// would hold the app up while it waits.
pub async fn limit_lock_wait(
    transaction: &mut Transaction<'_, Postgres>,
    execution: &Execution,
) -> Result<(), Failure> {
    sqlx::query("SELECT set_config('lock_timeout', $1, TRUE)")
        .bind(format!("{}ms", execution.lock_timeout.as_millis()))
        .persistent(false)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
