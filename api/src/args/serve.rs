//! Flags of `session-api serve`.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::HeaderValue;

use super::{ConnectArgs, duration};
use crate::db::Pool;

const SERVE_HELP: &str = "\
Connect with a login that is in the API's role (session_api), to a database that `session-api migrate` has
made. Several replicas may run side by side; they share nothing but the database and the keys of codes.

At SIGTERM /readyz says 503 at once, new connections are taken for --drain-delay more, and requests that
have begun are answered within --drain-timeout.

";

/// For `--help`.
pub fn help() -> String {
    format!("{SERVE_HELP}{}", crate::exit::HELP)
}

/// `session-api serve`
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,

    /// Address of everything, /healthz, /readyz and /metrics included
    #[arg(long, env = "PGSWEEP_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Another address of /healthz, /readyz and /metrics, where clients take no place: for probes of a cluster
    #[arg(long, env = "PGSWEEP_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,

    /// The keys of join codes, `id:hex` of 32 bytes or more, or a file of them: the one that makes codes, then another one by which codes hold too
    #[arg(long, env = "PGSWEEP_CODE_KEYS", hide_env_values = true, value_name = "KEYS or FILE")]
    pub code_keys: String,

    /// The keys of those who run the service, `id:scope:key` with the scope read or operate, or a file of them
    #[arg(long, env = "PGSWEEP_ADMIN_KEYS", hide_env_values = true, value_name = "KEYS or FILE")]
    pub admin_keys: Option<String>,

    /// Origins of web pages that may call it, such as `https://play.example`, separated by commas
    #[arg(long, env = "PGSWEEP_CORS_ORIGINS", value_name = "ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub cors_origins: Vec<HeaderValue>,

    /// How many proxies of yours stand before it and append to X-Forwarded-For; with 0 that is not read
    #[arg(long, env = "PGSWEEP_TRUSTED_PROXIES", default_value_t = 0, value_name = "COUNT")]
    pub trusted_proxies: usize,

    #[command(flatten)]
    pub pool: PoolArgs,

    #[command(flatten)]
    pub silence: SilenceArgs,

    /// How long a request may take
    #[arg(long, env = "PGSWEEP_REQUEST_TIMEOUT", default_value = "5s", value_name = "DURATION", value_parser = duration)]
    pub request_timeout: Duration,

    /// Connections of clients at once; for one more the one that rests for longest is closed, and where none rests it is told 503
    #[arg(long, env = "PGSWEEP_CONNECTIONS", default_value_t = 4096, value_name = "CONNECTIONS")]
    pub connections: usize,

    /// How long new connections are taken after SIGTERM, until everybody knows that this replica goes
    #[arg(long, env = "PGSWEEP_DRAIN_DELAY", default_value = "5s", value_name = "DURATION", value_parser = duration)]
    pub drain_delay: Duration,

    /// How long requests that have begun are waited for after that
    #[arg(long, env = "PGSWEEP_DRAIN_TIMEOUT", default_value = "20s", value_name = "DURATION", value_parser = duration)]
    pub drain_timeout: Duration,
}

/// The connections to the database.
#[derive(Debug, clap::Args)]
pub struct PoolArgs {
    /// Connections to the database
    #[arg(long, env = "PGSWEEP_POOL_SIZE", default_value_t = 16, value_name = "CONNECTIONS", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub pool_size: u32,

    /// How long a request waits for one of them, before it is told 503
    #[arg(long, env = "PGSWEEP_ACQUIRE_TIMEOUT", default_value = "100ms", value_name = "DURATION", value_parser = duration)]
    pub acquire_timeout: Duration,

    /// How long one statement may take, before its request is told 503
    #[arg(long, env = "PGSWEEP_STATEMENT_TIMEOUT", default_value = "200ms", value_name = "DURATION", value_parser = duration)]
    pub statement_timeout: Duration,

    /// Whether statements are prepared by name: false where a pooler stands between that does not know them, as PgBouncer before 1.21
    #[arg(long, env = "PGSWEEP_PREPARED_STATEMENTS", default_value_t = true, value_name = "true or false", action = clap::ArgAction::Set)]
    pub prepared_statements: bool,
}

/// How long somebody may be silent.
#[derive(Debug, clap::Args)]
pub struct SilenceArgs {
    /// How often phones are asked to say that they are there, from 15s to 2m; who is late by half of that is shown as away
    #[arg(long, env = "PGSWEEP_HEARTBEAT_INTERVAL", default_value = "30s", value_name = "DURATION", value_parser = interval)]
    pub heartbeat_interval: Duration,

    /// An invite leads to no session in which nobody was heard of for longer than that
    #[arg(long, env = "PGSWEEP_INVITE_TIMEOUT", default_value = "1h", value_name = "DURATION", value_parser = duration)]
    pub invite_timeout: Duration,
}

impl PoolArgs {
    /// The pool of requests that may take so long.
    pub fn pool(self, request_timeout: Duration) -> Pool {
        Pool {
            connections: self.pool_size,
            patience: self.acquire_timeout,
            beginning: request_timeout,
            statement_timeout: self.statement_timeout,
            prepare: self.prepared_statements,
        }
    }
}

/// Whoever is silent for five minutes is gone: more than one heartbeat has to fit into that. What was heard is written
/// down some seconds later: who is in time must not look late by these.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text).map_err(|problem| problem.to_string())?;
    let fits = (Duration::from_secs(15)..=Duration::from_mins(2)).contains(&interval);
    fits.then_some(interval).ok_or_else(|| "must be from 15s to 2m".to_owned())
}

/// An origin has no path, and `*` would be everybody.
fn origin(text: &str) -> Result<HeaderValue, &'static str> {
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_origin =
        bare.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' ', '@']));
    let value = HeaderValue::from_str(text).ok().filter(|_| is_origin);
    value.ok_or("must be an origin such as https://play.example, without a path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_comes_more_than_once_before_somebody_is_gone() {
        assert_eq!(interval("60s"), Ok(Duration::from_mins(1)));
        for wrong in ["0s", "14s", "121s", "5m", "often"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_origin_is_scheme_and_host_and_never_everybody() {
        assert!(origin("https://play.example").is_ok() && origin("http://localhost:3000").is_ok());
        for wrong in ["*", "https://*", "play.example", "https://", "https://a/b", "null"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
