//! The database of the session API: made by `session-api migrate`, with roles of the test's own.

pub mod chart;
pub mod replica;
pub mod schemathesis;
pub mod service;

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use local_postgres::ServerUrl;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::job::{self, Said, binary};
use crate::{Database, Version, database};

/// Names of the four roles. A server has one list of roles for all of its databases, so each test has
/// names of its own.
#[derive(Clone, Debug)]
pub struct Roles {
    /// The API's.
    pub api: String,
    /// That of policies and of the statements of apps.
    pub cleanup: String,
    /// That of dashboards.
    pub readonly: String,
    /// The owner of the tables of events.
    pub events: String,
}

impl Roles {
    /// Names that nobody else has.
    #[must_use]
    pub fn fresh() -> Self {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let name = |role: &str| format!("{role}_{unique}");
        Self {
            api: name("session_api"),
            cleanup: name("session_cleanup"),
            readonly: name("session_readonly"),
            events: name("session_events"),
        }
    }

    /// The flags that say them.
    #[must_use]
    pub fn flags(&self) -> [&str; 8] {
        [
            "--api-role",
            &self.api,
            "--cleanup-role",
            &self.cleanup,
            "--readonly-role",
            &self.readonly,
            "--events-role",
            &self.events,
        ]
    }

    /// All of them.
    #[must_use]
    pub fn names(&self) -> [&str; 4] {
        [&self.api, &self.cleanup, &self.readonly, &self.events]
    }
}

/// A migrated database.
#[derive(Debug)]
pub struct Sessions {
    /// As its superuser.
    pub database: Database,
    /// Its roles.
    pub roles: Roles,
}

impl Sessions {
    /// A new one on a server.
    pub async fn create_on(server: &ServerUrl) -> Result<Self> {
        let database = Database::create_on(server).await?;
        let roles = Roles::fresh();
        let said = migrate(&database.url(), &roles, &[]).await?;
        ensure!(said.code == Some(0), "migrate failed: {}", said.stderr);
        for role in roles.names() {
            database.owns_role(role);
        }
        Ok(Self { database, roles })
    }

    /// A connection of a login that is in `role` and sees the tables of `schema` by their plain names.
    pub async fn connect(&self, role: &str, schema: &str) -> Result<PgConnection> {
        let login = self.login(role).await?;
        let mut connection = PgConnection::connect(&login.to_string())
            .await
            .with_context(|| format!("failed to connect as a member of {role}"))?;
        let path = format!("SET search_path TO {schema}");
        sqlx::query(AssertSqlSafe(path)).execute(&mut connection).await?;
        Ok(connection)
    }

    /// A login that is in `role`.
    pub async fn login(&self, role: &str) -> Result<ServerUrl> {
        let url = self.database.create_user().await?;
        let text = url.to_string();
        let name = text.split("//").nth(1).and_then(|rest| rest.split(':').next());
        let name = name.context("a user's URL has a login")?;
        self.database.execute(&format!("GRANT {role} TO {name}")).await?;
        Ok(url)
    }
}

/// `session-api migrate` on the database of `url`.
pub async fn migrate(url: &str, roles: &Roles, arguments: &[&str]) -> Result<Said> {
    let all: Vec<_> = ["migrate"].iter().chain(&roles.flags()).chain(arguments).copied().collect();
    session_api(url, &all).await
}

/// Runs `session-api` with these arguments on the database of `url`.
pub async fn session_api(url: &str, arguments: &[&str]) -> Result<Said> {
    let output = command(url, arguments)?.output().await.context("failed to run session-api")?;
    Ok(Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).context("session-api wrote no UTF-8")?,
        stderr: String::from_utf8(output.stderr).context("session-api wrote no UTF-8")?,
    })
}

/// How `session-api` is run.
pub fn command(url: &str, arguments: &[&str]) -> Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(binary("session-api")?);
    command
        .args(arguments)
        .env("DATABASE_URL", url)
        .env(job::CONNECT_TIMEOUT, job::IN_TIME)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// Does the same on a migrated database of each version that is here.
pub async fn on_each_version(mut test: impl AsyncFnMut(&Sessions) -> Result<()>) -> Result<()> {
    for version in Version::ALL {
        let Some(server) = database::server_of(version).await? else { continue };
        let sessions = Sessions::create_on(&server).await?;
        test(&sessions).await.with_context(|| format!("on {version}"))?;
    }
    Ok(())
}
