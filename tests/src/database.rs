//! A database for each test, on one real Postgres.
//!
//! The server is the one that `PGSWEEP_TEST_POSTGRES` names; without it each test process starts
//! one on its first use, which ends with the process. [`server_of`] has a server of each version in
//! the same way.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use local_postgres::{LocalPostgres, Options, ServerUrl, Version};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Decode, PgConnection, Postgres, Type};
use tokio::sync::OnceCell;

use crate::progress::say;
use crate::settings::{self, Settings};
use crate::{skip, wait};

/// What `pgsweep` calls itself.
const PGSWEEP: &str = "pgsweep";
/// Enough for a test with two parties; a server has to do for many tests at once.
const CONNECTIONS: u32 = 5;

/// A database that is dropped, with its roles, when this is.
#[derive(Debug)]
pub struct Database {
    server: ServerUrl,
    name: String,
    pool: PgPool,
    roles: std::sync::Mutex<Vec<String>>,
}

impl Database {
    /// An empty database on the shared server.
    pub async fn create() -> Result<Self> {
        Self::create_on(&shared_server().await?).await
    }

    /// An empty database on another server, given by its superuser's URL.
    pub async fn create_on(server: &ServerUrl) -> Result<Self> {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        administer(server, &[format!("CREATE DATABASE {name}")])
            .await
            .context("failed to create a test's database")?;
        let options: PgConnectOptions = server
            .database(&name)
            .to_string()
            .parse()
            .context("failed to understand the URL of the tests' Postgres")?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_lazy_with(options.application_name("test"));
        Ok(Self { server: server.clone(), name, pool, roles: std::sync::Mutex::default() })
    }

    /// The URL, as the server's superuser.
    #[must_use]
    pub fn url(&self) -> String {
        self.address().to_string()
    }

    /// The address, to make URLs of other users and for other networks from: pods reach the
    /// server under `cluster.host_address()`.
    #[must_use]
    pub fn address(&self) -> ServerUrl {
        self.server.database(&self.name)
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connections to it, as the server's superuser.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Runs SQL, also several statements.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&self.pool)
            .await
            .with_context(|| format!("failed to run: {sql}"))?;
        Ok(())
    }

    /// The one value that a query returns, like `scalar::<i64>("SELECT count(*) FROM …")`.
    pub async fn scalar<T>(&self, sql: &str) -> Result<T>
    where
        T: for<'row> Decode<'row, Postgres> + Type<Postgres> + Send + Unpin,
    {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&self.pool)
            .await
            .with_context(|| format!("failed to run: {sql}"))
    }

    /// Waits until the server has done with every run: a backend notices late that its client was
    /// killed, and ends what it is doing first.
    pub async fn left_by_runs(&self) -> Result<()> {
        let runs = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = '{PGSWEEP}'"
        );
        wait::until("the server to be done with a run", Duration::from_secs(20), async || {
            Ok((self.scalar::<i64>(&runs).await? == 0).then_some(()))
        })
        .await
    }

    /// A user who may log in and nothing more; returns the address with their login.
    pub async fn create_user(&self) -> Result<ServerUrl> {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let (name, password) = (format!("user_{unique}"), format!("secret-{unique}"));
        self.execute(&format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'")).await?;
        self.owns_role(&name);
        Ok(self.address().login(&name, &password))
    }

    /// Drops this role with the database.
    pub fn owns_role(&self, name: &str) {
        if let Ok(mut roles) = self.roles.lock() {
            roles.push(name.to_owned());
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // FORCE: a test that failed may have left connections. Roles go after what they own.
        let mut statements = vec![format!("DROP DATABASE {} WITH (FORCE)", self.name)];
        if let Ok(roles) = self.roles.get_mut() {
            statements.extend(roles.drain(..).map(|role| format!("DROP ROLE {role}")));
        }
        let server = self.server.clone();
        // A thread of its own: a test's runtime cannot be blocked on from within.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(administer(&server, &statements))
        });
        match dropped.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => say(&format!("failed to drop database {}: {error:#}", self.name)),
            Err(_) => say(&format!("failed to drop database {}: the attempt panicked", self.name)),
        }
    }
}

/// The server that all tests share.
pub async fn shared_server() -> Result<ServerUrl> {
    // Held for the life of the process; the server's watchdog ends it after that.
    static OWN: OnceCell<LocalPostgres> = OnceCell::const_new();
    let settings = Settings::get()?;
    if let Some(url) = &settings.postgres {
        return ServerUrl::parse(url);
    }
    let postgres = OWN.get_or_try_init(|| start(Options::new(&settings.cache))).await?;
    Ok(postgres.address().clone())
}

/// The server of one version that all tests share, or nothing where the test is to be skipped: it
/// has then said why, and how to enable it.
pub async fn server_of(version: Version) -> Result<Option<ServerUrl>> {
    static OWN: [OnceCell<LocalPostgres>; Version::ALL.len()] =
        [const { OnceCell::const_new() }; Version::ALL.len()];
    let settings = Settings::get()?;
    if let Some((_, url)) = settings.postgres_of.iter().find(|(given, _)| *given == version) {
        return Ok(Some(ServerUrl::parse(url)?));
    }
    let place = Version::ALL.iter().position(|known| *known == version);
    let own = place.and_then(|place| OWN.get(place)).context("every version has a place")?;
    let options = Options { version: Some(version), ..Options::new(&settings.cache) };
    match own.get_or_try_init(|| start(options)).await {
        Ok(postgres) => Ok(Some(postgres.address().clone())),
        Err(error) => skip(&without(version, &error)),
    }
}

/// Why a version is not here, with the ways to have it.
pub(crate) fn without(version: Version, error: &anyhow::Error) -> String {
    let variable = settings::postgres_of(version);
    format!("{error:#}; or name a server of {version} by {variable}=<its superuser's URL>")
}

async fn start(options: Options) -> Result<LocalPostgres> {
    tokio::task::spawn_blocking(move || LocalPostgres::start(&options))
        .await
        .context("the start of a Postgres was cut off")?
}

async fn administer(server: &ServerUrl, statements: &[String]) -> Result<()> {
    let mut connection = PgConnection::connect(&server.database("postgres").to_string())
        .await
        .context("failed to connect to the tests' Postgres as its superuser")?;
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement.clone()))
            .execute(&mut connection)
            .await
            .with_context(|| format!("failed to run: {statement}"))?;
    }
    connection.close().await.context("failed to leave the tests' Postgres")
}
