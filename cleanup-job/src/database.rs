//! The database: connecting, the settings of a transaction, and the one place
//! where a [`Statement`] becomes a query.
//!
//! Everything is set inside a transaction, nothing in the session, and no
//! statement is prepared by name: so it works through a pooler that hands each
//! transaction to another server connection.

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use policy::{Execution, Moment, Statement, Value};
use rand::Rng as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Postgres, Transaction};
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, FailureKind};

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

/// Options of a URL that are taken.
const URL_OPTIONS: [&str; 8] =
    ["sslmode", "host", "hostaddr", "port", "dbname", "user", "password", "application_name"];
/// Options that libpq knows and that have no meaning here, since our own limits hold: left out.
const URL_OPTIONS_WITHOUT_MEANING: [&str; 3] =
    ["connect_timeout", "target_session_attrs", "channel_binding"];
/// Options that libpq knows and that are refused by name. No other word of a URL is repeated: it
/// may be a part of a password.
const URL_OPTIONS_REFUSED: [&str; 8] = [
    "options",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "passfile",
    "service",
    "client_encoding",
    "gssencmode",
];

impl Database {
    /// Connects, and tries again with jitter until `patience` has passed: a new
    /// pod is sometimes let through to the database late.
    pub async fn connect(
        url: &str,
        patience: Duration,
        cancelled: &CancellationToken,
    ) -> Result<Self, Failure> {
        let options = options(url)?;
        let begin = Instant::now();
        let mut pause = Duration::from_millis(250);
        loop {
            let attempt = tokio::time::timeout(
                Duration::from_secs(10).min(patience.max(Duration::from_secs(1))),
                options.connect(),
            );
            let failure = tokio::select! {
                attempt = attempt => match attempt {
                    Ok(Ok(connection)) => return Ok(Self { connection }),
                    Ok(Err(error)) => Failure::from(error),
                    Err(_) => Failure::unavailable("the database cannot be reached: timed out"),
                },
                () = cancelled.cancelled() => {
                    return Err(Failure::unavailable("asked to end while connecting"));
                }
            };
            let failure = failure.while_doing("connecting");
            if failure.kind != FailureKind::Unavailable || begin.elapsed() + pause > patience {
                return Err(failure);
            }
            tracing::warn!(error = %failure, "database not reached yet, trying again");
            let jitter = rand::rng().random_range(0.5..1.5);
            tokio::select! {
                () = tokio::time::sleep(pause.mul_f64(jitter)) => {}
                () = cancelled.cancelled() => return Err(failure),
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Begins a transaction and pins every setting that a role, a database or a
    /// pooler could have set otherwise.
    pub async fn begin(
        &mut self,
        purpose: Purpose,
        execution: &Execution,
    ) -> Result<Transaction<'_, Postgres>, Failure> {
        let (begin, statement_timeout, lock_timeout) = match purpose {
            // Reading holds nobody up: it waits for a locked table as long as it may take.
            Purpose::Measure => (
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                execution.statement_timeout,
                execution.statement_timeout,
            ),
            Purpose::Change => (
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
                execution.batch_timeout,
                execution.lock_timeout,
            ),
        };
        let mut transaction = self.connection.begin_with(begin).await?;
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
                    set_config('idle_in_transaction_session_timeout', '5s', TRUE),
                    set_config('statement_timeout', $1, TRUE),
                    set_config('lock_timeout', $2, TRUE)",
        )
        .bind(format!("{}ms", statement_timeout.as_millis()))
        .bind(format!("{}ms", lock_timeout.as_millis()))
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

const UNREADABLE_URL: &str = "the database URL cannot be read; it should look like postgres://user:password@host:5432/database?sslmode=require, with special characters of the password percent-encoded";

fn options(url: &str) -> Result<PgConnectOptions, Failure> {
    let refused = |message: String| Failure::wrong("", message);
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        let message = "the database URL must begin with postgres:// or postgresql://";
        return Err(refused(message.to_owned()));
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut kept = Vec::new();
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let key = option.split('=').next().unwrap_or_default();
        if URL_OPTIONS.contains(&key) {
            kept.push(option);
        } else if URL_OPTIONS_REFUSED.contains(&key) {
            return Err(refused(format!(
                "the database URL has the option {key}, which is not taken"
            )));
        } else if !URL_OPTIONS_WITHOUT_MEANING.contains(&key) {
            return Err(refused(UNREADABLE_URL.to_owned()));
        }
    }
    let options = PgConnectOptions::from_str(&format!("{base}?{}", kept.join("&")))
        // The parser's own words could quote the URL, and with it the password.
        .map_err(|_| refused(UNREADABLE_URL.to_owned()))?;
    if options.get_database().is_none() {
        return Err(refused("the database URL names no database".to_owned()));
    }
    Ok(options
        .application_name("pgsweep")
        .statement_cache_capacity(0)
        .extra_float_digits(None)
        .disable_statement_logging())
}

/// Runs a statement of the policy crate that returns at most one row.
pub async fn fetch(
    transaction: &mut Transaction<'_, Postgres>,
    statement: &Statement,
    moment: Moment<'_>,
) -> Result<Option<PgRow>, sqlx::Error> {
    // Built by `policy::sql` alone, from quoted names and bound values.
    let mut query = sqlx::query(AssertSqlSafe(statement.text.clone()));
    for value in statement.values(moment) {
        query = match value {
            Value::Text(text) => query.bind(text),
            Value::Texts(texts) => query.bind(texts),
            Value::Integer(integer) => query.bind(integer),
        };
    }
    query.persistent(false).fetch_optional(&mut **transaction).await
}

/// The database's clock.
pub async fn now(transaction: &mut Transaction<'_, Postgres>) -> Result<Timestamp, Failure> {
    let text: String = sqlx::query_scalar("SELECT CAST(now() AS text)")
        .persistent(false)
        .fetch_one(&mut **transaction)
        .await?;
    text.parse()
        .map_err(|_| Failure::wrong("", "the database's clock shows no time that can be read"))
}

/// Whether the server only follows another: it takes no change.
pub async fn is_standby(transaction: &mut Transaction<'_, Postgres>) -> Result<bool, Failure> {
    let sql = "SELECT pg_is_in_recovery()";
    Ok(sqlx::query_scalar(sql).persistent(false).fetch_one(&mut **transaction).await?)
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
