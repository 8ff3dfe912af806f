//! The pool, and the transaction of a request. Settings live in the transaction, so that a pooler may stand
//! between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use runtime::database::failure::Failure;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Postgres, Row as _};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::statement;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[NOW];

/// How long the server lets a transaction of ours wait for our next statement.
const IDLE: &str = "5s";

/// How long a connection may take to open. That is longer than a request waits: it is then there for the
/// next one, where attempts that are given up again and again would open none on a busy machine.
const OPENING: Duration = Duration::from_secs(10);
/// A connection that was at work just now is there still: to ask it would be a way to the server and back for
/// each request.
const TRUSTED: Duration = Duration::from_secs(1);
/// A connection is replaced then, so that nothing that gathers in it stays for ever.
const LIFETIME: Duration = Duration::from_mins(30);
/// More than are prepared: none of them is thrown out.
const STATEMENTS_KEPT: usize = 256;
/// How long the start waits for all of them.
const OPENING_ALL: Duration = Duration::from_secs(5);

/// The settings of a transaction, and its time in microseconds. One message: each way to the server and back counts.
const BEGIN: [&str; 7] = [
    "BEGIN",
    "SET LOCAL search_path TO pg_catalog",
    "SET LOCAL timezone TO 'UTC'",
    "SET LOCAL client_min_messages TO error",
    "SET LOCAL statement_timeout TO 'STATEMENT_TIMEOUT'",
    "SET LOCAL idle_in_transaction_session_timeout TO 'IDLE_TIMEOUT'",
    NOW,
];
const NOW: &str = "SELECT CAST(extract(epoch FROM now()) * 1000000 AS bigint)";

/// [`BEGIN`], made once, for as long as the process lives.
fn begin(before: &str, statement_timeout: &str) -> &'static str {
    let settings = BEGIN.join(";").replace("STATEMENT_TIMEOUT", statement_timeout);
    format!("{before}{}", settings.replace("IDLE_TIMEOUT", IDLE)).leak()
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

/// The connections of this process.
///
/// The driver's pool opens them. Those that are open wait here for their next work: it would ask the server for a
/// sign of life after each.
pub struct Database {
    pool: PgPool,
    idle: Arc<Idle>,
    /// One for each connection; requests queue here, and whoever gives up leaves the queue.
    places: Arc<Semaphore>,
    size: u32,
    patience: Duration,
    begin: &'static str,
    commit_and_begin: &'static str,
    begin_long: &'static str,
    begin_patiently: &'static str,
}

/// What a pool is made of.
pub struct Pool {
    /// How many connections there are at the most.
    pub connections: u32,
    /// How long a request waits for one.
    pub patience: Duration,
    /// How long the server works on one statement of a request.
    pub statement_timeout: Duration,
    /// Whether each connection prepares [`super::PREPARED`] under names, which a pooler between has to know of:
    /// `PgBouncer` does from 1.21 on, with `max_prepared_statements`.
    pub prepare: bool,
}

impl Database {
    /// A pool without a connection.
    pub fn new(options: PgConnectOptions, like: &Pool) -> Self {
        let brief = format!("{}ms", like.statement_timeout.as_millis());
        let begin_brief = begin("", &brief);
        let prepared = like.prepare.then_some(begin_brief);
        let pool = PgPoolOptions::new()
            .max_connections(like.connections)
            .acquire_timeout(OPENING)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    match prepared {
                        Some(begin) => prepare(connection, begin).await,
                        None => Ok(()),
                    }
                })
            })
            .connect_lazy_with(options.statement_cache_capacity(STATEMENTS_KEPT));
        let places = usize::try_from(like.connections).unwrap_or(usize::MAX);
        Self {
            pool,
            idle: Arc::default(),
            places: Arc::new(Semaphore::new(places)),
            size: like.connections,
            patience: like.patience,
            begin: begin_brief,
            commit_and_begin: begin("COMMIT;", &brief),
            begin_long: begin("", "4s"),
            begin_patiently: begin("", "30s"),
        }
    }

    /// Opens all connections, so that the first requests do not wait for theirs and are not told that there is
    /// too much to do. How many are lacking: where the database takes no more, those that are there will do.
    pub async fn open(&self) -> u32 {
        let mut lacking = self.size;
        // One after another: all at once would take the processors from the replicas that this one stands beside.
        let all = async {
            while lacking > 0
                && let Ok(connection) = self.pool.acquire().await
            {
                lacking -= 1;
                self.idle.give(connection, Instant::now());
            }
        };
        // Those that are still lacking come when they are needed.
        let _ = tokio::time::timeout(OPENING_ALL, all).await;
        lacking
    }

    /// Begins the work of a request. It is undone unless it is committed.
    pub async fn begin(&self) -> Result<Work, sqlx::Error> {
        self.begin_by(self.begin).await
    }

    /// Begins work that counts: it may take nearly as long as a request.
    pub async fn begin_long(&self) -> Result<Work, sqlx::Error> {
        self.begin_by(self.begin_long).await
    }

    /// Begins work that no client waits for.
    pub async fn begin_patiently(&self) -> Result<Work, sqlx::Error> {
        self.begin_by(self.begin_patiently).await
    }

    async fn begin_by(&self, begin: &'static str) -> Result<Work, sqlx::Error> {
        let place = Arc::clone(&self.places).acquire_owned();
        // That others are at work is what a request waits for so long, and no longer. A database or a machine
        // that is slow to begin is no crowd: the time of the request is its limit.
        let place = tokio::time::timeout(self.patience, place).await;
        let place = place.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let place = place.map_err(|_| sqlx::Error::PoolClosed)?;
        let (pool, idle) = (self.pool.clone(), Arc::clone(&self.idle));
        // In a task of its own: who gives up leaves behind a connection that is open, and no transaction.
        let work = tokio::spawn(async move {
            let (connection, opened) = match idle.take().await {
                Some(known) => known,
                None => (pool.acquire().await?, Instant::now()),
            };
            let open = Open { connection, opened, idle, _place: place };
            let mut work = Work { open: Some(open), now: Timestamp::UNIX_EPOCH };
            work.start(begin).await?;
            Ok(work)
        });
        work.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }

    /// Makes work last, and goes on with more on the same connection: whoever has come so far does not stand in
    /// the queue again.
    pub async fn commit_and_begin(&self, mut work: Work) -> Result<Work, sqlx::Error> {
        work.start(self.commit_and_begin).await?;
        Ok(work)
    }

    /// Connections that are open, and those of them that have nothing to do.
    pub fn connections(&self) -> (u32, usize) {
        (self.pool.size(), self.idle.known().len())
    }

    /// Closes every connection when its work is done.
    pub async fn close(&self) {
        self.idle.close();
        self.pool.close().await;
    }
}

/// Connections that have nothing to do, the one that worked last on top.
#[derive(Default)]
struct Idle {
    waiting: Mutex<Vec<Waiting>>,
    /// Set with the list locked. Nothing comes into it any more then: the pool waits for all that it has lent.
    is_closed: AtomicBool,
}

struct Waiting {
    connection: PoolConnection<Postgres>,
    opened: Instant,
    since: Instant,
}

impl Idle {
    fn known(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, mut connection: PoolConnection<Postgres>, opened: Instant) {
        let mut waiting = self.known();
        if self.is_closed.load(Ordering::Relaxed) || opened.elapsed() > LIFETIME {
            connection.close_on_drop();
        } else {
            waiting.push(Waiting { connection, opened, since: Instant::now() });
        }
    }

    fn close(&self) {
        let mut waiting = self.known();
        self.is_closed.store(true, Ordering::Relaxed);
        waiting.clear();
    }

    /// One that is there, and since when it is open.
    async fn take(&self) -> Option<(PoolConnection<Postgres>, Instant)> {
        loop {
            let Waiting { mut connection, opened, since } = self.known().pop()?;
            if since.elapsed() < TRUSTED || connection.ping().await.is_ok() {
                return Some((connection, opened));
            }
            connection.close_on_drop();
        }
    }
}

/// A transaction, and the database's time at its begin: the time by which everything in it is judged.
///
/// It is our own, since the pool's takes two ways to the server and back to begin.
pub struct Work {
    /// Until it ends.
    open: Option<Open>,
    /// Database time.
    pub now: Timestamp,
}

struct Open {
    connection: PoolConnection<Postgres>,
    opened: Instant,
    /// Where it goes after the transaction.
    idle: Arc<Idle>,
    /// Given back after the connection.
    _place: OwnedSemaphorePermit,
}

impl Open {
    /// After the end of its transaction.
    fn give_back(self) {
        let Self { connection, opened, idle, _place } = self;
        idle.give(connection, opened);
    }

    /// A connection of which nobody knows what it is in the midst of is not used again.
    async fn undo(mut self) {
        match sqlx::raw_sql("ROLLBACK").execute(&mut *self.connection).await {
            Ok(_) => self.give_back(),
            Err(_) => self.connection.close_on_drop(),
        }
    }
}

impl Work {
    /// Sends what begins it, whose answer is the time.
    async fn start(&mut self, begin: &'static str) -> Result<(), sqlx::Error> {
        let row = sqlx::raw_sql(begin).fetch_one(self.connection()).await?;
        let now = Timestamp::from_microsecond(row.try_get(0)?);
        self.now = now.map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(())
    }

    /// What statements run on.
    pub fn connection(&mut self) -> &mut PgConnection {
        match &mut self.open {
            Some(open) => &mut open.connection,
            None => unreachable!("only `commit` takes it, and nothing is left to ask then"),
        }
    }

    /// Makes it last.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(self.connection()).await?;
        if let Some(open) = self.open.take() {
            open.give_back();
        }
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let (Some(open), Ok(runtime)) = (self.open.take(), Handle::try_current()) {
            runtime.spawn(open.undo());
        }
    }
}
