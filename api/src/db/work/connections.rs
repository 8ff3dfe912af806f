//! Connections: how one is opened, where those wait that have nothing to do, and what they tell of the database.
//!
//! The driver has a pool. It would try for seconds to open what is refused, ask the server for a sign of life after each
//! work, and wait without an end for a host that is gone.

use std::io;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runtime::database::failure::Failure;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::Notify;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::db::statement;

/// How long a connection may take to open. That is longer than a request waits: it is then there for the
/// next one, where attempts that are given up again and again would open none on a busy machine.
const OPENING: Duration = Duration::from_secs(10);
/// Nobody tries to open one for so long after that failed: a database that just starts is not held up by all who wait
/// for it, and they are told so at once.
const REFUSED: Duration = Duration::from_millis(250);
/// Where no new one is to be had, one of those at work is waited for so long: where the database takes fewer of them
/// than there are places, they are enough for as much as it can do.
const GIVEN_BACK: Duration = Duration::from_millis(100);
/// A connection that was at work just now is there still: to ask it would be a way to the server and back for
/// each request.
const TRUSTED: Duration = Duration::from_secs(1);
/// How long the server may take for a sign of life, or to undo a transaction. A host that is gone without a farewell
/// never answers.
pub const SIGN: Duration = Duration::from_secs(2);
/// A connection is replaced then, so that nothing that gathers in it stays for ever.
const LIFETIME: Duration = Duration::from_mins(30);
/// A database that began some work within so long is there.
const FRESH: Duration = Duration::from_secs(5);
/// More than are prepared: none of them is thrown out.
const STATEMENTS_KEPT: usize = 256;

/// One connection. Dropping it closes its socket.
pub struct Connection {
    /// The driver's.
    pub postgres: PgConnection,
    opened: Instant,
}

/// Those that have nothing to do.
pub struct Connections {
    options: PgConnectOptions,
    /// Where statements are prepared: what begins a transaction like those that they are for.
    prepare: Option<&'static str>,
    /// The one that worked last on top.
    resting: Mutex<Vec<Resting>>,
    given: Notify,
    refused_at: Mutex<Option<Instant>>,
    began_at: Mutex<Option<Instant>>,
}

struct Resting {
    connection: Connection,
    since: Instant,
}

impl Connections {
    /// None so far.
    pub fn new(options: PgConnectOptions, prepare: Option<&'static str>) -> Self {
        Self {
            options: options.statement_cache_capacity(STATEMENTS_KEPT),
            prepare,
            resting: Mutex::default(),
            given: Notify::new(),
            refused_at: Mutex::default(),
            began_at: Mutex::default(),
        }
    }

    /// One that is there, or else a new one.
    pub async fn take(&self) -> Result<Connection, sqlx::Error> {
        loop {
            let resting = lock(&self.resting).pop();
            let Resting { mut connection, since } = match resting {
                Some(resting) => resting,
                None => match self.open().await {
                    Ok(connection) => return Ok(connection),
                    Err(error) => {
                        timeout(GIVEN_BACK, self.given_back()).await.map_err(|_| error)?
                    }
                },
            };
            if since.elapsed() < TRUSTED {
                return Ok(connection);
            }
            match timeout(SIGN, connection.postgres.ping()).await {
                Ok(Ok(())) => return Ok(connection),
                Ok(Err(_)) => {}
                // The others have rested for longer, and each of them would be waited for as long.
                Err(_) => lock(&self.resting).clear(),
            }
        }
    }

    async fn given_back(&self) -> Resting {
        loop {
            // Before it looks: of many that were given while nobody waited only one is told of.
            let mut given = pin!(self.given.notified());
            given.as_mut().enable();
            if let Some(resting) = lock(&self.resting).pop() {
                return resting;
            }
            given.await;
        }
    }

    /// A new one.
    pub async fn open(&self) -> Result<Connection, sqlx::Error> {
        if is_within(REFUSED, &self.refused_at) {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        }
        let opened = timeout(OPENING, self.connect()).await;
        let opened = opened.map_err(timed_out).flatten();
        if opened.is_err() {
            *lock(&self.refused_at) = Some(Instant::now());
        }
        opened
    }

    async fn connect(&self) -> Result<Connection, sqlx::Error> {
        let mut postgres = PgConnection::connect_with(&self.options).await?;
        if let Some(begin) = self.prepare {
            prepare(&mut postgres, begin).await?;
        }
        Ok(Connection { postgres, opened: Instant::now() })
    }

    /// It has nothing to do any more.
    pub fn give(&self, connection: Connection) {
        if connection.opened.elapsed() < LIFETIME {
            lock(&self.resting).push(Resting { connection, since: Instant::now() });
            self.given.notify_one();
        }
    }

    /// How many have nothing to do.
    pub fn count(&self) -> usize {
        lock(&self.resting).len()
    }

    /// The server has begun some work.
    pub fn began(&self) {
        *lock(&self.began_at) = Some(Instant::now());
    }

    /// Whether it did so a moment ago.
    pub fn began_lately(&self) -> bool {
        is_within(FRESH, &self.began_at)
    }

    /// Says goodbye to the server.
    pub async fn close(&self) {
        let resting = std::mem::take(&mut *lock(&self.resting));
        for Resting { connection, .. } in resting {
            // A goodbye that is not heard loses nothing.
            let _ = connection.postgres.close().await;
        }
    }
}

/// Prepares the statements of requests on a new connection, in a transaction that begins like theirs. What cannot
/// be prepared is no reason to be without a connection: the request that needs it says what is wrong.
async fn prepare(connection: &mut PgConnection, begin: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(begin).execute(&mut *connection).await?;
    if let Err(error) = statement::prepare(connection).await {
        let failure = Failure::from(error);
        tracing::warn!(error = %failure, "a connection goes on without prepared statements");
    }
    sqlx::raw_sql("ROLLBACK").execute(connection).await?;
    Ok(())
}

/// Work that no client waits for, for so long at the most: a host that is gone without a farewell would be waited for
/// for ever.
pub async fn in_time<T>(
    longest: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout(longest, work).await.map_err(timed_out)?
}

/// What nobody answered in time.
pub fn timed_out(_: Elapsed) -> sqlx::Error {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_within(time: Duration, at: &Mutex<Option<Instant>>) -> bool {
    lock(at).is_some_and(|at| at.elapsed() < time)
}
