//! A database for each test, on one real Postgres.
//!
//! The server is the one that `PGSWEEP_TEST_POSTGRES` names; without it each test process starts
//! one on its first use, which ends with the process.

use std::thread;

use anyhow::{Context, Result};
use local_postgres::{LocalPostgres, Options, ServerUrl};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Decode, PgConnection, Postgres, Type};
use tokio::sync::OnceCell;

use crate::progress::say;
use crate::settings::Settings;

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
        let url = server.database(&name).to_string();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_lazy(&url)
            .context("failed to understand the URL of the tests' Postgres")?;
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

    /// A user who may log in and nothing more; returns the address with their login.
    pub async fn create_user(&self) -> Result<ServerUrl> {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let (name, password) = (format!("user_{unique}"), format!("secret-{unique}"));
        self.execute(&format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'")).await?;
        if let Ok(mut roles) = self.roles.lock() {
            roles.push(name.clone());
        }
        Ok(self.address().login(&name, &password))
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
    let postgres = OWN
        .get_or_try_init(async || {
            let options = Options::new(&settings.cache);
            tokio::task::spawn_blocking(move || LocalPostgres::start(&options))
                .await
                .context("the start of a Postgres was cut off")?
        })
        .await?;
    Ok(postgres.address().clone())
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
