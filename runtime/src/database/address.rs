//! From the URL and the CA to what the driver is told: all of it, so that nothing of the
//! environment or of a file at home decides which database it is.

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use super::failure::Failure;
use super::trust::Trust;
use super::url::{Place, Url};

/// Where a database is, who logs in, and whom the connection trusts. Holds the password.
pub struct Address {
    options: PgConnectOptions,
    unverified: bool,
}

/// Something about a connection that a person should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionWarning {
    /// Neither a CA nor `sslmode` was given.
    UnverifiedConnection,
}

impl ConnectionWarning {
    /// The name, in report and plan.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnverifiedConnection => "UnverifiedConnection",
        }
    }

    /// The sentence for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::UnverifiedConnection => {
                "the server is not verified, and the connection is encrypted only where the server can; give a CA (database.caFrom, --database-ca) or say in the URL what is wanted, such as sslmode=verify-full"
            }
        }
    }
}

impl Address {
    /// Reads the URL, and the CA of `--database-ca`: PEM, or the path of a file. `program` is what the
    /// server and its logs know us by.
    pub fn parse(program: &str, url: &str, ca: Option<&str>) -> Result<Self, Failure> {
        let url = Url::parse(url)?;
        let trust = Trust::new(&url, ca)?;
        let defaults = PgConnectOptions::new_without_pgpass();
        refuse_environment(&defaults)?;
        let host = match &url.place {
            Place::Host(host) | Place::Socket(host) => host.clone(),
            Place::NamedAddress { address, .. } => address.to_string(),
        };
        // Each field that the driver fills from its environment is set here.
        let options = defaults
            .host(&host)
            .port(url.port)
            .username(&url.user)
            .password(&url.password)
            .database(&url.database)
            .ssl_mode(trust.mode)
            .ssl_root_cert_from_pem(trust.authorities.into_bytes())
            .application_name(program)
            .statement_cache_capacity(0)
            .extra_float_digits(None)
            .disable_statement_logging();
        Ok(Self { options, unverified: trust.unverified })
    }

    /// What a person should know of it; said in the log too.
    pub fn announce(&self) -> Vec<ConnectionWarning> {
        let warning = self.unverified.then_some(ConnectionWarning::UnverifiedConnection);
        if let Some(warning) = warning {
            tracing::warn!(warning = warning.as_str(), "{}", warning.sentence());
        }
        warning.into_iter().collect()
    }

    /// What the driver is told. Holds the password.
    #[must_use]
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

/// What the driver takes from its environment and lets nobody take back.
fn refuse_environment(defaults: &PgConnectOptions) -> Result<(), Failure> {
    // Only these two are asked about; a user name of the system may fit no URL.
    let shown = defaults.clone().host("host").username("user").database("database").to_url_lossy();
    let mut shown = shown.query_pairs();
    if defaults.get_options().is_some() || shown.any(|(key, _)| key == "sslcert" || key == "sslkey")
    {
        return Err(Failure::wrong(
            "",
            "PGOPTIONS, PGSSLCERT or PGSSLKEY is set and would change the connection; unset it: the database URL alone says how to connect",
        ));
    }
    Ok(())
}
