//! The pool, and the transaction of a request. Settings live in the transaction, so that a pooler may stand
//! between.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};

/// How long the server lets a transaction of ours wait for our next statement.
const IDLE: &str = "5s";

const BEGIN: &str = "
SELECT
  now(),
  set_config('search_path', 'pg_catalog', TRUE),
  set_config('timezone', 'UTC', TRUE),
  set_config('client_min_messages', 'error', TRUE),
  set_config('statement_timeout', $1, TRUE),
  set_config('idle_in_transaction_session_timeout', $2, TRUE)";

/// The connections of this process.
pub struct Database {
    pool: PgPool,
    statement_timeout: String,
}

/// What a pool is made of.
pub struct PoolSize {
    /// How many connections there are at the most.
    pub connections: u32,
    /// How long a request waits for one.
    pub patience: Duration,
}

impl Database {
    /// A pool that connects when it is first asked.
    pub fn new(options: PgConnectOptions, size: &PoolSize, statement_timeout: Duration) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(size.connections)
            .acquire_timeout(size.patience)
            .connect_lazy_with(options);
        Self { pool, statement_timeout: format!("{}ms", statement_timeout.as_millis()) }
    }

    /// Begins the work of a request. It is undone unless it is committed.
    pub async fn begin(&self) -> Result<Work, sqlx::Error> {
        self.begin_for(&self.statement_timeout).await
    }

    /// Begins work that no client waits for.
    pub async fn begin_patiently(&self) -> Result<Work, sqlx::Error> {
        self.begin_for("30s").await
    }

    async fn begin_for(&self, statement_timeout: &str) -> Result<Work, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let (now, ..): (jiff_sqlx::Timestamp, String, String, String, String, String) =
            sqlx::query_as(BEGIN)
                .bind(statement_timeout)
                .bind(IDLE)
                .persistent(false)
                .fetch_one(&mut *transaction)
                .await?;
        Ok(Work { transaction, now: now.into() })
    }

    /// Connections that are open, and those of them that have nothing to do.
    pub fn connections(&self) -> (u32, usize) {
        (self.pool.size(), self.pool.num_idle())
    }

    /// Closes every connection when its work is done.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A transaction, and the database's time at its begin: the time by which everything in it is judged.
pub struct Work {
    transaction: Transaction<'static, Postgres>,
    /// Database time.
    pub now: Timestamp,
}

impl Work {
    /// What statements run on.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Makes it last.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}
