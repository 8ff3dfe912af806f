//! Where a run is interrupted, and how many at once.

use std::fmt::{self, Display, Formatter};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Undisturbed;
use crate::job::Launch;
use crate::pooler::Pooler;
use crate::progress::say;
use crate::proxy::{Kind, Message, Proxy, When};
use crate::settings::Settings;
use crate::{Database, shop, wait};
use anyhow::{Context, Result, bail, ensure};
use local_postgres::ServerUrl;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

/// How many runs are interrupted at the same time.
const AT_ONCE: usize = 3;
/// For a server with much to do to notice that a client is gone.
const PATIENCE: Duration = Duration::from_mins(1);
/// After how many of them there is a word of how it goes.
const TOLD: usize = 100;

/// One moment of a run.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The message.
    pub number: usize,
    /// What has become of it.
    pub when: When,
}

/// A server, reached directly or by way of a pooler.
pub struct Site {
    server: ServerUrl,
    pooler: Option<Pooler>,
    /// To be used again: a database is slower to make than a shop.
    spare: Mutex<Vec<Database>>,
}

impl Site {
    /// Reached directly.
    #[must_use]
    pub fn new(server: ServerUrl) -> Self {
        Self { server, pooler: None, spare: Mutex::default() }
    }

    /// Reached by way of a pooler; nothing where the test is to be skipped.
    pub async fn behind_pooler(server: ServerUrl) -> Result<Option<Self>> {
        let pooler = Pooler::start(&server).await?;
        Ok(pooler.map(|pooler| Self { pooler: Some(pooler), ..Self::new(server) }))
    }

    /// Either way, as far as this machine has one.
    pub async fn both(server: ServerUrl) -> Result<Vec<Self>> {
        let pooled = Self::behind_pooler(server.clone()).await?;
        Ok(std::iter::once(Self::new(server)).chain(pooled).collect())
    }

    /// A shop on it.
    pub async fn shop(&self) -> Result<Database> {
        let spare = lock(&self.spare).pop();
        match spare {
            Some(database) => {
                database.execute("DROP SCHEMA IF EXISTS shop, witness, pgsweep CASCADE").await?;
                shop::fill(database).await
            }
            None => shop::fill(Database::create_on(&self.server).await?).await,
        }
    }

    /// A shop that is not needed any more, and that nobody is at work in.
    pub fn take_back(&self, database: Database) {
        lock(&self.spare).push(database);
    }

    /// Checks that runs have left nothing on the pooler's connections to the server that a client
    /// after them could meet.
    pub async fn check_that_nothing_is_left(&self, database: &Database) -> Result<()> {
        if self.pooler.is_none() {
            return Ok(());
        }
        let options: PgConnectOptions = self.address(database).to_string().parse()?;
        let options = options.extra_float_digits(None).statement_cache_capacity(0);
        let options = options.application_name("test");
        let mut client = PgConnection::connect_with(&options).await?;
        // The pooler itself sets what a client has told it.
        let left = sqlx::query_scalar(
            "SELECT jsonb_build_object(
               'process', pg_backend_pid(),
               'settings', (SELECT jsonb_object_agg(name, setting) FROM pg_settings
                            WHERE source = 'session' AND name NOT IN
                              ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings', 'IntervalStyle')),
               'statements', (SELECT jsonb_agg(statement) FROM pg_prepared_statements WHERE name <> ''),
               'locks', (SELECT jsonb_agg(locktype) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype NOT IN ('relation', 'virtualxid')),
               'channels', (SELECT jsonb_agg(channel) FROM pg_listening_channels() AS channel),
               'cursors', (SELECT jsonb_agg(name) FROM pg_cursors WHERE name <> ''),
               'temporary', (SELECT jsonb_agg(relname) FROM pg_class WHERE relpersistence = 't')
             )",
        );
        let mut left: Value = left.persistent(false).fetch_one(&mut client).await?;
        client.close().await?;
        let process = left["process"].take();
        let others: i64 = database
            .scalar(&format!(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND backend_type = 'client backend'
                   AND pid NOT IN (pg_backend_pid(), {process}) AND backend_start < (SELECT backend_start FROM pg_stat_activity WHERE pid = {process})
                   AND application_name <> 'test'"
            ))
            .await?;
        ensure!(others == 0, "the client got another connection than the runs");
        let clean = left.as_object().is_some_and(|left| left.values().all(Value::is_null));
        ensure!(clean, "runs have left something to the next client: {left:#}");
        Ok(())
    }

    /// How clients reach the shop.
    pub fn address(&self, database: &Database) -> ServerUrl {
        let direct = database.address();
        self.pooler.as_ref().map_or_else(|| direct.clone(), |pooler| pooler.before(&direct))
    }

    /// What a run does that nobody interrupts, and its messages.
    pub async fn undisturbed(&self) -> Result<(Undisturbed, Vec<Message>)> {
        let database = self.shop().await?;
        let proxy = Proxy::start(&self.address(&database))?;
        let launch = Launch::run(&shop::policy(), &proxy.address().to_string()).job_uid("job-1");
        let ended = launch.end().await?;
        proxy.quiet().await?;
        Ok((Undisturbed::of(&database, &ended).await?, proxy.messages()))
    }
}

/// Whether each moment is to be taken, however long it takes.
pub fn every_message() -> Result<bool> {
    Ok(Settings::get()?.every_message)
}

/// Moments at which to interrupt a run: all of them, or all that differ of the first transaction
/// of each kind, and every so many messages one of the others.
#[must_use]
pub fn moments(messages: &[Message], every: bool, stride: usize) -> Vec<Moment> {
    let all = |number: usize| When::ALL.map(|when| Moment { number, when });
    if every {
        let every: Vec<_> = messages.iter().flat_map(|message| all(message.number)).collect();
        // What is broken off half-way has still been everywhere.
        return (0..7).flat_map(|first| every.iter().skip(first).step_by(7)).copied().collect();
    }
    let mut moments: Vec<Moment> = messages
        .iter()
        .step_by(stride)
        .zip(When::ALL.into_iter().cycle())
        .map(|(message, when)| Moment { number: message.number, when })
        .collect();
    let mut seen = Vec::new();
    for transaction in transactions(messages) {
        let kind = kind(transaction);
        if seen.contains(&kind) || !writes(transaction) {
            continue;
        }
        for pair in transaction.windows(2) {
            let [before, message] = pair else { continue };
            match (before.kind, message.kind) {
                (_, Kind::Query) if message.is_commit() => moments.extend(all(message.number)),
                // Between two statements.
                (Kind::Close, Kind::Sync) | (_, Kind::Query) => {
                    moments.push(Moment { number: message.number, when: When::Answered });
                }
                _ => {}
            }
        }
        seen.push(kind);
    }
    moments
}

fn writes(transaction: &[Message]) -> bool {
    let begins = transaction.first().is_some_and(|begin| begin.text.ends_with("READ WRITE"));
    begins && transaction.last().is_some_and(Message::is_commit)
}

/// What a transaction does: the tables of the shop that it speaks of and how, or else all it says.
fn kind(transaction: &[Message]) -> Vec<&str> {
    let telling = |word: &&str| word.contains("shop") || ["DETACH", "DROP"].contains(word);
    let words = transaction.iter().flat_map(|message| message.text.split_whitespace());
    let mut told: Vec<&str> = words.filter(telling).collect();
    told.sort_unstable();
    told.dedup();
    if told.is_empty() {
        return transaction.iter().map(|message| message.text.as_str()).collect();
    }
    told
}

/// The messages of each explicit transaction.
fn transactions(messages: &[Message]) -> Vec<&[Message]> {
    let mut transactions = Vec::new();
    let mut begun = 0;
    for (index, message) in messages.iter().enumerate() {
        if message.kind != Kind::Query {
            continue;
        }
        if message.text.starts_with("BEGIN") {
            begun = index;
        } else if matches!(message.text.as_str(), "COMMIT" | "ROLLBACK") {
            transactions.extend(messages.get(begun..=index));
        }
    }
    transactions
}

/// Waits until the server works for no run any more: it notices late that a client is gone.
pub async fn server_is_done(database: &Database) -> Result<()> {
    let busy = "SELECT coalesce(string_agg(concat_ws(' ', state, wait_event, state_change - now(), left(query, 80)), '; '), '')
                FROM pg_stat_activity
                WHERE datname = current_database() AND backend_type = 'client backend'
                  AND application_name <> 'test' AND state <> 'idle'";
    let mut last = String::new();
    let done = wait::until("the server to be done with a run", PATIENCE, async || {
        last = database.scalar(busy).await?;
        Ok(last.is_empty().then_some(()))
    })
    .await;
    done.with_context(|| format!("it was at work: {last}"))
}

/// What has come of the interruptions so far.
#[derive(Debug, Default)]
struct Findings {
    done: usize,
    came: usize,
    failures: Vec<String>,
}

impl Display for Findings {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { done, came, failures } = self;
        write!(formatter, "{done} done, {came} came in time, {} with a finding", failures.len())?;
        failures.last().map_or(Ok(()), |last| write!(formatter, " (the last: {last:.500})"))
    }
}

/// Does the same at each moment, a few at once; what it returns is whether it came to that.
pub async fn at_each(
    moments: Vec<Moment>,
    interrupt: impl AsyncFn(Moment) -> Result<bool>,
) -> Result<()> {
    let begun = Instant::now();
    let total = moments.len();
    let queue = Mutex::new(moments.into_iter());
    let findings: Mutex<Findings> = Mutex::default();
    let worker = async || {
        while let Some(moment) = next(&queue) {
            let came = Box::pin(interrupt(moment)).await.with_context(|| format!("{moment:?}"));
            let mut findings = lock(&findings);
            findings.done += 1;
            match came {
                Ok(came) => findings.came += usize::from(came),
                Err(error) => findings.failures.push(format!("{error:#}")),
            }
            if findings.done.is_multiple_of(TOLD) || findings.done == total {
                say(&format!("{:?}: {findings} of {total}", begun.elapsed()));
            }
        }
    };
    let [one, two, three]: [_; AT_ONCE] = std::array::from_fn(|_| worker());
    tokio::join!(one, two, three);
    let Findings { came, failures, .. } =
        findings.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(first) = failures.first() {
        bail!("{} of {total} moments: first {first}", failures.len());
    }
    // Which message is which is not the same in each run, less so on a busy machine: the last ones
    // may not come.
    let late = total - came;
    ensure!(late <= (total / 5).max(1), "only {came} of {total} interruptions came in time");
    Ok(())
}

fn next(queue: &Mutex<impl Iterator<Item = Moment>>) -> Option<Moment> {
    lock(queue).next()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
