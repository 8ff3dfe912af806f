//! A Postgres of the test's own: with its settings, to be read, frozen, killed and started again.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use local_postgres::{LocalPostgres, Options, ServerUrl, Version};

use crate::settings::Settings;
use crate::{Database, database, skip};

/// A server that ends with the test. Faults of it disturb nobody else.
#[derive(Debug)]
pub struct Server {
    address: ServerUrl,
    options: Options,
    postgres: Arc<Mutex<LocalPostgres>>,
}

impl Server {
    /// A server of whatever version this machine has, with settings such as
    /// `("wal_level", "logical")`.
    pub async fn start(settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_as(options(settings)?).await
    }

    /// The same of one version, or nothing where the test is to be skipped.
    pub async fn of_version(version: Version, settings: &[(&str, &str)]) -> Result<Option<Self>> {
        let options = Options { version: Some(version), ..options(settings)? };
        match Self::start_as(options).await {
            Ok(server) => Ok(Some(server)),
            // A version that is here and does not start is the test's own failure.
            Err(error) => match database::server_of(version).await? {
                Some(_) => Err(error),
                None => Ok(None),
            },
        }
    }

    /// A server by all that `local-postgres` knows.
    pub async fn start_as(options: Options) -> Result<Self> {
        let wanted = options.clone();
        let postgres = tokio::task::spawn_blocking(move || LocalPostgres::start(&wanted))
            .await
            .context("the start of a Postgres was cut off")??;
        ensure!(postgres.log().is_some(), "a server of the test's own cannot be given by its URL");
        let address = postgres.address().clone();
        Ok(Self { address, options, postgres: Arc::new(Mutex::new(postgres)) })
    }

    /// The URL of its superuser.
    #[must_use]
    pub fn address(&self) -> &ServerUrl {
        &self.address
    }

    /// What it was started with: a replica needs the same.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// An empty database on it. It has to be dropped before the server ends.
    pub async fn database(&self) -> Result<Database> {
        Database::create_on(&self.address).await
    }

    /// What `postgres --version` says.
    pub fn version(&self) -> Result<String> {
        let postgres = self.postgres.lock().unwrap_or_else(PoisonError::into_inner);
        postgres.version().map(str::to_owned).context("a server of the test's own has a version")
    }

    /// All that it has written to its log so far; with `log_statement=all` also each statement.
    pub fn log(&self) -> Result<String> {
        let postgres = self.postgres.lock().unwrap_or_else(PoisonError::into_inner);
        let log = postgres.log().context("a server of the test's own has a log")?;
        fs::read_to_string(&log).with_context(|| format!("failed to read {}", log.display()))
    }

    /// Shuts it down cleanly, as an update of the machine does; sessions are cut off.
    pub async fn shut_down(&self) -> Result<()> {
        self.with(LocalPostgres::shut_down).await
    }

    /// Ends it with SIGKILL.
    pub async fn kill(&self) -> Result<()> {
        self.with(LocalPostgres::kill).await
    }

    /// Starts it again with its data at its address, after `shut_down` or `kill`.
    pub async fn start_again(&self) -> Result<()> {
        self.with(LocalPostgres::start_again).await
    }

    /// Shuts it down and starts it again.
    pub async fn restart(&self) -> Result<()> {
        self.shut_down().await?;
        self.start_again().await
    }

    /// Stops all of its processes where they are: connections stay, nothing answers.
    pub async fn freeze(&self) -> Result<()> {
        self.with(LocalPostgres::freeze).await
    }

    /// Lets it go on.
    pub async fn thaw(&self) -> Result<()> {
        self.with(LocalPostgres::thaw).await
    }

    /// These wait for processes, which must not hold up the test's other tasks.
    async fn with(&self, act: fn(&mut LocalPostgres) -> Result<()>) -> Result<()> {
        let postgres = Arc::clone(&self.postgres);
        tokio::task::spawn_blocking(move || {
            act(&mut postgres.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await
        .context("work on a Postgres was cut off")?
    }
}

fn options(settings: &[(&str, &str)]) -> Result<Options> {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Ok(Options { settings: settings.collect(), ..Options::new(&Settings::get()?.cache) })
}

/// Starts a server of one of these versions, the first that this machine can have.
pub(crate) async fn start_one_of(
    versions: &[Version],
    options: &Options,
) -> Result<Option<Server>> {
    let mut reasons = Vec::new();
    for version in versions {
        let options = Options { version: Some(*version), ..options.clone() };
        match Server::start_as(options).await {
            Ok(server) => return Ok(Some(server)),
            Err(error) => reasons.push(format!("{error:#}")),
        }
    }
    skip(&reasons.join("; "))
}
