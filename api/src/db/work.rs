//! The pool, and the transaction of a request. Settings live in the transaction, so that a pooler may stand
//! between.

mod connections;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub use self::connections::in_time;
use self::connections::{Connection, Connections, SIGN, timed_out};

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[NOW];

/// How long the server lets a transaction of ours wait for our next statement.
const IDLE: &str = "5s";
/// How long the start waits for all connections.
const OPENING_ALL: Duration = Duration::from_secs(5);
/// How long work that no client waits for stands in the queue. Those before it are gone long before that.
const PATIENTLY: Duration = Duration::from_secs(5);
/// How long the end waits for work that is being undone, and then for goodbyes.
const CLOSING: Duration = Duration::from_millis(500);

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

/// The connections of this process.
pub struct Database {
    connections: Arc<Connections>,
    /// One for each connection; requests queue here, and whoever gives up leaves the queue.
    places: Arc<Semaphore>,
    size: u32,
    patience: Duration,
    beginning: Duration,
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
    /// How long the server may take to begin work: as long as somebody waits for it.
    pub beginning: Duration,
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
        let prepare = like.prepare.then_some(begin_brief);
        let places = usize::try_from(like.connections).unwrap_or(usize::MAX);
        Self {
            connections: Arc::new(Connections::new(options, prepare)),
            places: Arc::new(Semaphore::new(places)),
            size: like.connections,
            patience: like.patience,
            beginning: like.beginning,
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
                && let Ok(connection) = self.connections.open().await
            {
                lacking -= 1;
                self.connections.give(connection);
            }
        };
        // Those that are still lacking come when they are needed.
        let _ = timeout(OPENING_ALL, all).await;
        lacking
    }

    /// Begins the work of a request. It is undone unless it is committed.
    pub async fn begin(&self) -> Result<Work, sqlx::Error> {
        self.begin_by(self.begin, self.patience).await
    }

    /// Begins work that counts: it may take nearly as long as a request.
    pub async fn begin_long(&self) -> Result<Work, sqlx::Error> {
        self.begin_by(self.begin_long, self.patience).await
    }

    /// Begins work that no client waits for.
    pub async fn begin_patiently(&self) -> Result<Work, sqlx::Error> {
        self.begin_by(self.begin_patiently, PATIENTLY).await
    }

    async fn begin_by(&self, begin: &'static str, patience: Duration) -> Result<Work, sqlx::Error> {
        let place = Arc::clone(&self.places).acquire_owned();
        // That others are at work is what a request waits for so long, and no longer. A database or a machine
        // that is slow to begin is no crowd: the time of the request is its limit.
        let place = timeout(patience, place).await;
        let place = place.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let place = place.map_err(|_| sqlx::Error::PoolClosed)?;
        let (connections, beginning) = (Arc::clone(&self.connections), self.beginning);
        // In a task of its own: who gives up leaves behind a connection that is open, and no transaction.
        let work = tokio::spawn(async move {
            let connection = connections.take().await?;
            let open = Open { connection, connections, _place: place };
            let mut work = Work { open: Some(open), now: Timestamp::UNIX_EPOCH };
            let started = timeout(beginning, work.start(begin)).await;
            if started.is_err() {
                // Nothing is to be undone where nobody answers.
                work.open = None;
            }
            started.map_err(timed_out)??;
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
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        let idle = self.connections.count();
        let open = self.size.saturating_sub(free) + u32::try_from(idle).unwrap_or_default();
        (open, idle)
    }

    /// Whether all connections are at work.
    pub fn is_crowded(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Whether work began within the last seconds: a database that is asked by many does answer.
    pub fn began_lately(&self) -> bool {
        self.connections.began_lately()
    }

    /// Closes every connection, those at work as soon as that is done, and waits no longer than a moment.
    pub async fn close(&self) {
        let _ = timeout(CLOSING, self.places.acquire_many(self.size)).await;
        self.places.close();
        let _ = timeout(CLOSING, self.connections.close()).await;
    }
}

/// A transaction, and the database's time at its begin: the time by which everything in it is judged.
///
/// It is our own, since the driver's takes two ways to the server and back to begin.
pub struct Work {
    /// Until it ends.
    open: Option<Open>,
    /// Database time.
    pub now: Timestamp,
}

struct Open {
    connection: Connection,
    /// Where it goes after the transaction.
    connections: Arc<Connections>,
    /// Given back after the connection.
    _place: OwnedSemaphorePermit,
}

impl Open {
    /// After the end of its transaction.
    fn give_back(self) {
        let Self { connection, connections, _place } = self;
        connections.give(connection);
    }

    /// A connection of which nobody knows what it is in the midst of is not used again.
    async fn undo(mut self) {
        let undone = sqlx::raw_sql("ROLLBACK").execute(&mut self.connection.postgres);
        if matches!(timeout(SIGN, undone).await, Ok(Ok(_))) {
            self.give_back();
        }
    }
}

impl Work {
    /// Sends what begins it, whose answer is the time.
    async fn start(&mut self, begin: &'static str) -> Result<(), sqlx::Error> {
        let row = sqlx::raw_sql(begin).fetch_one(self.connection()).await?;
        let now = Timestamp::from_microsecond(row.try_get(0)?);
        self.now = now.map_err(|error| sqlx::Error::Decode(error.into()))?;
        if let Some(open) = &self.open {
            open.connections.began();
        }
        Ok(())
    }

    /// What statements run on.
    pub fn connection(&mut self) -> &mut PgConnection {
        match &mut self.open {
            Some(open) => &mut open.connection.postgres,
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
