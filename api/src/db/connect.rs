//! From the URL and the CA to a connection. Both say all: nothing of the environment or of a file at
//! home adds to them, and no connection has less TLS than was asked for (ADR 10).
//!
//! No word of a URL is ever repeated: where it is written wrongly, any part of it may be a part of the
//! password.

use std::time::{Duration, Instant};

use pem::{EncodeConfig, LineEnding, Pem};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use tokio_util::sync::CancellationToken;
use url::Url;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use super::failure::{Failure, FailureKind};

/// What the server and its logs know us by.
const PROGRAM: &str = "session-api";
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest that one try may take.
const ATTEMPT: Duration = Duration::from_secs(10);

const UNREADABLE: &str = "the database URL cannot be read; it should look like postgres://user:password@host:5432/database?sslmode=verify-full, with special characters of the password percent-encoded";

/// Where the database is, who logs in, and whom the connection trusts. Holds the password.
pub struct Address {
    options: PgConnectOptions,
    unverified: bool,
}

impl Address {
    /// Reads the URL, and the CA of `--database-ca`: PEM, or the path of a file.
    pub fn parse(url: &str, ca: Option<&str>) -> Result<Self, Failure> {
        let parsed = Url::parse(url).map_err(|_| Failure::wrong(UNREADABLE))?;
        let complete = matches!(parsed.scheme(), "postgres" | "postgresql")
            && parsed.host_str().is_some_and(|host| !host.is_empty())
            && !parsed.username().is_empty()
            && parsed.path().len() > 1;
        if !complete {
            return Err(Failure::wrong(UNREADABLE));
        }
        let trust = Trust::new(ssl_mode(&parsed)?.as_deref(), ca)?;
        let mut bare = parsed.clone();
        bare.set_query(None);
        let options: PgConnectOptions =
            bare.as_str().parse().map_err(|_| Failure::wrong(UNREADABLE))?;
        // Each field that the driver would fill from its environment is set here.
        let mut options = options
            .port(parsed.port().unwrap_or(5432))
            .ssl_mode(trust.mode)
            .ssl_root_cert_from_pem(trust.authorities.into_bytes())
            .application_name(PROGRAM)
            .statement_cache_capacity(0)
            .extra_float_digits(None)
            .disable_statement_logging();
        if parsed.password().is_none() {
            options = options.password("");
        }
        refuse_environment()?;
        Ok(Self { options, unverified: trust.unverified })
    }

    /// Connects, and tries again while the database is away.
    pub async fn connect(
        &self,
        patience: Duration,
        cancelled: &CancellationToken,
    ) -> Result<PgConnection, Failure> {
        if self.unverified {
            tracing::warn!(
                "the server is not verified, and the connection is encrypted only where the server can; \
                 give a CA (--database-ca) or say in the URL what is wanted, such as sslmode=verify-full"
            );
        }
        let begun = Instant::now();
        loop {
            let attempt = tokio::time::timeout(ATTEMPT, self.options.connect());
            let failure = tokio::select! {
                attempt = attempt => match attempt {
                    Ok(Ok(connection)) => return Ok(connection),
                    Ok(Err(error)) => Failure::from(error),
                    Err(_) => Failure::unavailable("the database cannot be reached: timed out"),
                },
                () = cancelled.cancelled() => return Err(asked_to_end()),
            };
            if failure.kind != FailureKind::Unavailable || begun.elapsed() + PAUSE > patience {
                return Err(failure);
            }
            tracing::warn!(error = %failure, "database not reached yet, trying again");
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = cancelled.cancelled() => return Err(asked_to_end()),
            }
        }
    }
}

fn asked_to_end() -> Failure {
    Failure::unavailable("asked to end while connecting")
}

/// The one option that is taken. Others would change what is connected to, or how.
fn ssl_mode(url: &Url) -> Result<Option<String>, Failure> {
    let mut mode = None;
    for (key, value) in url.query_pairs() {
        match key.as_ref() {
            "sslmode" => mode = Some(value.into_owned()),
            _ => {
                return Err(Failure::wrong(
                    "the database URL has an option other than sslmode; leave it out, and give the CA by --database-ca",
                ));
            }
        }
    }
    Ok(mode)
}

/// What the driver takes from its environment and lets nobody take back.
fn refuse_environment() -> Result<(), Failure> {
    let defaults = PgConnectOptions::new_without_pgpass();
    let shown = defaults.clone().host("host").username("user").database("database").to_url_lossy();
    let mut shown = shown.query_pairs();
    if defaults.get_options().is_some() || shown.any(|(key, _)| key == "sslcert" || key == "sslkey")
    {
        return Err(Failure::wrong(
            "PGOPTIONS, PGSSLCERT or PGSSLKEY is set and would change the connection; unset it: the database URL alone says how to connect",
        ));
    }
    Ok(())
}

/// Whom a connection trusts.
#[derive(Debug)]
struct Trust {
    mode: PgSslMode,
    /// As PEM; empty where no certificate is checked.
    authorities: String,
    unverified: bool,
}

impl Trust {
    fn new(mode: Option<&str>, ca: Option<&str>) -> Result<Self, Failure> {
        let ca = ca.map(authorities).transpose()?;
        let weak = |mode| Self { mode, authorities: String::new(), unverified: false };
        let verified = |mode, authorities| Self { mode, authorities, unverified: false };
        Ok(match (mode, ca) {
            (None, None) => Self { unverified: true, ..weak(PgSslMode::Prefer) },
            (Some("disable"), None) => weak(PgSslMode::Disable),
            // The driver takes `allow` for `disable`.
            (Some("allow" | "prefer"), None) => weak(PgSslMode::Prefer),
            (Some("require"), None) => weak(PgSslMode::Require),
            (Some("verify-ca"), Some(ca)) => verified(PgSslMode::VerifyCa, ca),
            (None | Some("verify-full"), Some(ca)) => verified(PgSslMode::VerifyFull, ca),
            // A public authority signs for anybody: without the name its word is worth nothing.
            (Some("verify-ca" | "verify-full"), None) => verified(PgSslMode::VerifyFull, public()),
            (Some("disable" | "allow" | "prefer" | "require"), Some(_)) => {
                return Err(Failure::wrong(
                    "a CA is given, but sslmode of the database URL is weaker than verify-ca and would not use it; write sslmode=verify-full, or leave sslmode out",
                ));
            }
            (Some(_), _) => {
                return Err(Failure::wrong("sslmode of the database URL is none that libpq knows"));
            }
        })
    }
}

/// The certificates of a PEM text or of a file. The path is not repeated: it is whatever a Secret holds.
fn authorities(given: &str) -> Result<String, Failure> {
    let text = if given.contains("-----BEGIN") {
        given.to_owned()
    } else {
        std::fs::read_to_string(given).map_err(|_| {
            Failure::wrong(
                "the CA of the database is neither PEM (it would begin with -----BEGIN) nor a file that can be read",
            )
        })?
    };
    match pem::parse_many(&text) {
        Ok(found) if !found.is_empty() && found.iter().all(|pem| pem.tag() == "CERTIFICATE") => {
            Ok(text)
        }
        _ => Err(Failure::wrong("the CA of the database holds no certificate, or something else")),
    }
}

/// The authorities of the web, at the version that this binary was built with.
fn public() -> String {
    let certificates: Vec<Pem> = TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|certificate| Pem::new("CERTIFICATE", certificate.as_ref()))
        .collect();
    pem::encode_many_config(&certificates, EncodeConfig::new().set_line_ending(LineEnding::LF))
}

#[cfg(test)]
mod tests;
