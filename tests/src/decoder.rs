//! An independent witness: what changed in a database, read from its WAL.
//!
//! ```no_run
//! # async fn who_was_deleted() -> anyhow::Result<()> {
//! use tests::decoder::{Decoder, Operation};
//! use tests::Server;
//!
//! let server = Server::start(&[("wal_level", "logical")]).await?;
//! let database = server.database().await?;
//! database.execute("CREATE TABLE t (id bigint); ALTER TABLE t REPLICA IDENTITY FULL").await?;
//! let mut decoder = Decoder::create(&database).await?;
//! database.execute("INSERT INTO t VALUES (1); DELETE FROM t").await?;
//! let changes = decoder.changes().await?;
//! assert_eq!(changes[1].operation, Operation::Delete);
//! assert_eq!(changes[1].old["id"], "1");
//! # Ok(()) }
//! ```
//!
//! The plugin is `test_decoding`, which each installation of Postgres has. Only a table with
//! `REPLICA IDENTITY FULL` shows whole old rows.

mod parse;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::Database;

/// How values are written, whatever the server's settings are.
const AS_WRITTEN: &str = "
    SELECT set_config('timezone', 'UTC', FALSE),
           set_config('datestyle', 'ISO, YMD', FALSE),
           set_config('intervalstyle', 'iso_8601', FALSE),
           set_config('extra_float_digits', '1', FALSE)";

/// Where a change that is a message has its text.
pub const CONTENT: &str = "content";
/// The prefix of our own messages, which nobody wants to see.
const FLUSH: &str = "decoder";

/// A row: the text of each column, as Postgres writes it. A column that is NULL is absent.
pub type Row = BTreeMap<String, String>;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A row came.
    Insert,
    /// A row is another one now.
    Update,
    /// A row went.
    Delete,
    /// All rows went.
    Truncate,
    /// Somebody called `pg_logical_emit_message`: its prefix stands for the table, its text is
    /// [`CONTENT`] of the new row.
    Message,
}

/// One change that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The number of its transaction, which its other changes share.
    pub transaction: String,
    /// Schema and table, quoted where SQL needs it, like `public.codes`.
    pub table: String,
    /// What was done.
    pub operation: Operation,
    /// The row before, of an update or delete; its key alone, or nothing, without
    /// `REPLICA IDENTITY FULL`.
    pub old: Row,
    /// The row after, of an insert or update.
    pub new: Row,
}

/// A replication slot on a database. It goes with the database.
#[derive(Debug)]
pub struct Decoder {
    connection: PgConnection,
    slot: String,
}

impl Decoder {
    /// Sees all that is committed from now on. The server needs `wal_level=logical`.
    pub async fn create(database: &Database) -> Result<Self> {
        let mut connection = PgConnection::connect(&database.url())
            .await
            .context("failed to connect for decoding")?;
        sqlx::query(AS_WRITTEN).execute(&mut connection).await?;
        let level: String = sqlx::query_scalar("SHOW wal_level").fetch_one(&mut connection).await?;
        ensure!(level == "logical", "decoding needs wal_level=logical, and the server has {level}");
        let slot = format!("test_{}", uuid::Uuid::new_v4().simple());
        sqlx::query("SELECT pg_create_logical_replication_slot($1, 'test_decoding')")
            .bind(&slot)
            .execute(&mut connection)
            .await
            .context("failed to create a replication slot")?;
        Ok(Self { connection, slot })
    }

    /// All that was committed since the last look, transaction by transaction in the order of their
    /// commits.
    pub async fn changes(&mut self) -> Result<Vec<Change>> {
        self.changes_up_to(None).await
    }

    /// The same, but ends after the transaction in which this many changes are reached, so that the
    /// witness of millions of rows needs no memory for all of them.
    pub async fn some_changes(&mut self, enough: u32) -> Result<Vec<Change>> {
        self.changes_up_to(Some(enough)).await
    }

    async fn changes_up_to(&mut self, enough: Option<u32>) -> Result<Vec<Change>> {
        self.flush().await?;
        let lines: Vec<(String, String)> = sqlx::query_as(
            "SELECT xid::text, data FROM pg_logical_slot_get_changes($1, NULL, $2,
                 'include-xids', '0', 'skip-empty-xacts', '1')",
        )
        .bind(&self.slot)
        .bind(enough.map(i64::from).map(|enough| i32::try_from(enough).unwrap_or(i32::MAX)))
        .persistent(false)
        .fetch_all(&mut self.connection)
        .await
        .context("failed to read the changes of a replication slot")?;
        let mut changes = Vec::new();
        for (transaction, line) in lines {
            let change = parse::change(&transaction, &line)
                .with_context(|| format!("failed to understand the change: {line}"))?;
            changes.extend(change);
        }
        Ok(changes)
    }

    /// A server that is not durable writes its WAL a moment after the commit, and decodes only what
    /// is written.
    async fn flush(&mut self) -> Result<()> {
        let message = "SET LOCAL synchronous_commit = on;
                       SELECT pg_logical_emit_message(TRUE, 'decoder', '')";
        let mut transaction = self.connection.begin().await?;
        sqlx::raw_sql(AssertSqlSafe(message.to_owned())).execute(&mut *transaction).await?;
        transaction.commit().await.context("failed to flush the WAL")
    }
}
