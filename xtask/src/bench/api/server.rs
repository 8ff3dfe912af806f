//! Databases of the session API, and the release binary on them.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use local_postgres::{LocalPostgres, ServerUrl};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tests::sessions::replica::CODE_KEYS;
use tests::sql;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The login of the replicas, and that of policies.
const LOGINS: &str = "
CREATE ROLE bench_api LOGIN PASSWORD 'bench' IN ROLE session_api;
CREATE ROLE bench_cleanup LOGIN PASSWORD 'bench' IN ROLE session_cleanup";

/// What is measured on.
pub struct Site {
    pub postgres: LocalPostgres,
    /// Where the release binaries are.
    pub programs: PathBuf,
}

impl Site {
    /// What the server does differently from how it comes, for whoever reads the figures.
    pub async fn settings(&self) -> Result<String> {
        let mut connection = PgConnection::connect(&self.postgres.url("postgres")).await?;
        let settings = "
            SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings
            WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_connections')";
        Ok(sqlx::query_scalar(settings).fetch_one(&mut connection).await?)
    }

    /// A migrated database of its own, with logins in its roles.
    pub async fn database(&self, name: &str) -> Result<Database> {
        let mut admin = PgConnection::connect(&self.postgres.url("postgres")).await?;
        for verb in ["DROP DATABASE IF EXISTS", "CREATE DATABASE"] {
            sql::execute(&mut admin, &format!("{verb} {name}")).await?;
        }
        let address = self.postgres.address().database(name);
        let migrate = Command::new(self.programs.join("session-api"))
            .arg("migrate")
            .env("DATABASE_URL", address.to_string())
            .stdin(Stdio::null())
            .output()
            .await?;
        ensure!(migrate.status.success(), "{}", String::from_utf8_lossy(&migrate.stderr));
        let logins: i64 =
            sqlx::query_scalar("SELECT count(*) FROM pg_roles WHERE rolname = 'bench_api'")
                .fetch_one(&mut admin)
                .await?;
        if logins == 0 {
            sql::execute(&mut admin, LOGINS).await?;
        }
        Ok(Database { address })
    }

    /// Starts a replica and waits until it is ready. How long that took is in it.
    pub async fn replica(&self, database: &Database, flags: &[&str]) -> Result<Replica> {
        let begun = Instant::now();
        let mut child = Command::new(self.programs.join("session-api"))
            .args(["serve", "--listen", "127.0.0.1:0", "--trusted-proxies", "1"])
            .args(["--code-keys", CODE_KEYS[0], "--log-format", "json"])
            .args(flags)
            .env("DATABASE_URL", database.url("bench_api"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start session-api")?;
        let stderr = child.stderr.take().context("session-api has a stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        let base = loop {
            let Some(line) = lines.next_line().await? else { bail!("session-api has ended") };
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if line["message"] == "listening" {
                break format!("http://{}", line["address"].as_str().unwrap_or_default());
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let replica = Replica { child, base, took: Duration::ZERO };
        replica.ready().await?;
        Ok(Replica { took: begun.elapsed(), ..replica })
    }
}

/// A migrated database.
pub struct Database {
    address: ServerUrl,
}

impl Database {
    /// As one of the logins.
    pub fn url(&self, login: &str) -> String {
        self.address.login(login, "bench").to_string()
    }

    /// The superuser's.
    pub fn owner(&self) -> String {
        self.address.to_string()
    }

    /// As the superuser.
    pub async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.owner()).await?)
    }

    /// Runs SQL as the superuser, also several statements.
    pub async fn execute(&self, statements: &str) -> Result<()> {
        sql::execute(&mut self.connect().await?, statements).await
    }
}

/// One process of the server.
pub struct Replica {
    child: Child,
    /// Where it is, as `http://127.0.0.1:1234`.
    pub base: String,
    /// From its start until it was ready.
    pub took: Duration,
}

impl Replica {
    async fn ready(&self) -> Result<()> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("{}/readyz", self.base);
        tests::wait::until("session-api to be ready", Duration::from_mins(1), async || {
            let answer = client.get(&url).send().await?;
            Ok(answer.status().is_success().then_some(()))
        })
        .await
    }

    /// Its process id.
    pub fn id(&self) -> Result<u32> {
        self.child.id().context("session-api has ended")
    }

    /// Asks it to end, and waits until it has.
    pub async fn end(mut self) -> Result<()> {
        let id = self.id()?.to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &id]).status().await?;
        ensure!(sent.success(), "cannot end session-api");
        let status = self.child.wait().await?;
        ensure!(status.success(), "session-api ended with {status}");
        Ok(())
    }
}
