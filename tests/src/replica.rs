//! A streaming replica of a server of the test's own.

use std::time::Duration;

use anyhow::{Context, Result};
use local_postgres::{Options, ServerUrl};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::{Server, wait};

const PATIENCE: Duration = Duration::from_secs(20);

/// A standby that follows a primary and answers queries.
#[derive(Debug)]
pub struct Replica {
    server: Server,
}

impl Replica {
    /// Copies the primary and follows it.
    pub async fn start(primary: &Server) -> Result<Self> {
        let options =
            Options { standby_of: Some(primary.address().clone()), ..primary.options().clone() };
        let server = Server::start_as(options).await.context("failed to start a replica")?;
        let replica = Self { server };
        replica.catch_up_with(primary).await?;
        Ok(replica)
    }

    /// The URL of its superuser, who is the primary's.
    #[must_use]
    pub fn address(&self) -> &ServerUrl {
        self.server.address()
    }

    /// The server, to freeze, kill or restart: a frozen one confirms nothing to the primary.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Takes the WAL from the primary, but does not show what is in it.
    pub async fn pause_replay(&self) -> Result<()> {
        run(self.address(), "SELECT pg_wal_replay_pause()").await?;
        self.wait_for("a replay to pause", "SELECT pg_get_wal_replay_pause_state() = 'paused'")
            .await
    }

    /// Goes on to show it.
    pub async fn resume_replay(&self) -> Result<()> {
        run(self.address(), "SELECT pg_wal_replay_resume()").await
    }

    /// Waits until it shows all that the primary has done by now.
    pub async fn catch_up_with(&self, primary: &Server) -> Result<()> {
        // A switch of the WAL file writes what a server that is not durable still holds back.
        run(primary.address(), "SELECT pg_switch_wal()").await?;
        let place: String = ask(primary.address(), "SELECT pg_current_wal_lsn()::text").await?;
        let shown = format!("SELECT pg_last_wal_replay_lsn() >= '{place}'::pg_lsn");
        self.wait_for("a replica to catch up", &shown).await
    }

    async fn wait_for(&self, what: &str, question: &str) -> Result<()> {
        wait::until(what, PATIENCE, async || {
            Ok(ask::<bool>(self.address(), question).await?.then_some(()))
        })
        .await
    }
}

async fn run(server: &ServerUrl, sql: &str) -> Result<()> {
    let mut connection = PgConnection::connect(&server.to_string()).await?;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .with_context(|| format!("failed to run: {sql}"))?;
    Ok(connection.close().await?)
}

async fn ask<T>(server: &ServerUrl, sql: &str) -> Result<T>
where
    T: for<'row> sqlx::Decode<'row, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let mut connection = PgConnection::connect(&server.to_string()).await?;
    let answer = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(&mut connection)
        .await
        .with_context(|| format!("failed to run: {sql}"))?;
    connection.close().await?;
    Ok(answer)
}
