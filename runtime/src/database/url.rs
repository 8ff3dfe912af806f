//! The database URL in its parts, as libpq reads it. Pure; takes an allow-list of options.
//!
//! No word of a URL is ever repeated: where it is written wrongly, any part of it may be a part of
//! the password.

use std::net::{IpAddr, Ipv6Addr};

use super::failure::Failure;

/// A URL in its parts. What it leaves out is not filled in from anywhere.
pub struct Url {
    /// Who logs in.
    pub user: String,
    /// Empty where the URL has none: then the server must let the user in without.
    pub password: String,
    /// Where the server is.
    pub place: Place,
    /// Its port.
    pub port: u16,
    /// The database on it.
    pub database: String,
    /// How much TLS is asked for.
    pub ssl_mode: Option<SslMode>,
    /// A file of certificates, or `system`.
    pub ssl_root_cert: Option<String>,
    /// Whether `channel_binding=require` stands there.
    pub binds_channel: bool,
}

/// Where a server is.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// A host, by its name or its number.
    Host(String),
    /// A host by its number, with the name that it also has.
    NamedAddress { name: String, address: IpAddr },
    /// The folder of a Unix socket on this machine.
    Socket(String),
}

/// The words of `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

const DEFAULT_PORT: u16 = 5432;

/// Options that are taken.
const OPTIONS: [&str; 9] = [
    "sslmode",
    "sslrootcert",
    "channel_binding",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
];
/// Options that libpq knows and that have no meaning here, since our own settings hold: left out.
const WITHOUT_MEANING: [&str; 12] = [
    "application_name",
    "fallback_application_name",
    "connect_timeout",
    "target_session_attrs",
    "load_balance_hosts",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "sslcompression",
    "sslsni",
];
/// Options that libpq knows and that would change what is connected to, or how: refused by name.
const REFUSED: [&str; 20] = [
    "options",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcrl",
    "sslcrldir",
    "sslcertmode",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "ssl",
    "passfile",
    "service",
    "servicefile",
    "client_encoding",
    "gssencmode",
    "gssdelegation",
    "requirepeer",
    "require_auth",
    "replication",
];

const UNREADABLE: &str = "the database URL cannot be read; it should look like postgres://user:password@host:5432/database?sslmode=verify-full, with special characters of the password percent-encoded";

fn refused(message: impl Into<String>) -> Failure {
    Failure::wrong("", message)
}

fn unreadable() -> Failure {
    refused(UNREADABLE)
}

/// Parts that have been found so far; an option stands before what the URL says in its own place.
#[derive(Default)]
struct Found {
    user: Option<String>,
    password: Option<String>,
    host: Option<String>,
    address: Option<IpAddr>,
    port: Option<u16>,
    database: Option<String>,
    ssl_mode: Option<SslMode>,
    ssl_root_cert: Option<String>,
    binds_channel: bool,
}

impl Url {
    /// Takes a URL apart.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        // A Secret that was made from a file or by `echo` ends with a line break.
        let url = url.trim();
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or_else(|| {
            refused("the database URL must begin with postgres:// or postgresql://")
        })?;
        if rest.chars().any(char::is_control) {
            return Err(unreadable());
        }
        let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = base.split_once('/').unwrap_or((base, ""));
        let (login, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let mut found = Found {
            user: filled(decoded(user)?),
            password: filled(decoded(password)?),
            database: filled(decoded(database)?),
            ..Found::default()
        };
        found.read_host(host)?;
        found.read_options(query)?;
        found.into_url()
    }
}

impl Found {
    /// `host`, `host:port`, `[address]:port` or a percent-encoded folder.
    fn read_host(&mut self, text: &str) -> Result<(), Failure> {
        refuse_several(text)?;
        let (host, port) = match text.strip_prefix('[') {
            Some(bracketed) => {
                let (address, port) = bracketed.split_once(']').ok_or_else(unreadable)?;
                address.parse::<Ipv6Addr>().map_err(|_| unreadable())?;
                match port.strip_prefix(':') {
                    Some(port) => (address, port),
                    None if port.is_empty() => (address, ""),
                    None => return Err(unreadable()),
                }
            }
            None => text.split_once(':').unwrap_or((text, "")),
        };
        self.host = filled(decoded(host)?);
        self.port = self::port(port)?;
        Ok(())
    }

    fn read_options(&mut self, query: &str) -> Result<(), Failure> {
        let mut seen = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').ok_or_else(unreadable)?;
            let Some(known) = OPTIONS.iter().chain(&WITHOUT_MEANING).find(|known| **known == key)
            else {
                let named = REFUSED.iter().find(|named| **named == key);
                return Err(named.map_or_else(unreadable, |named| {
                    refused(format!("the database URL has the option {named}, which is not taken"))
                }));
            };
            if seen.contains(known) {
                return Err(refused(format!("the database URL has the option {known} twice")));
            }
            seen.push(*known);
            self.read_option(known, decoded(value)?)?;
        }
        Ok(())
    }

    fn read_option(&mut self, key: &str, value: String) -> Result<(), Failure> {
        match key {
            "sslmode" => self.ssl_mode = Some(ssl_mode(&value)?),
            "sslrootcert" => self.ssl_root_cert = Some(value),
            "channel_binding" => self.binds_channel = value == "require",
            "host" => {
                refuse_several(&value)?;
                self.host = filled(value).or(self.host.take());
            }
            "hostaddr" => {
                refuse_several(&value)?;
                let no_address = "hostaddr of the database URL is no IP address";
                self.address = Some(value.parse().map_err(|_| refused(no_address))?);
            }
            "port" => self.port = port(&value)?.or(self.port),
            "dbname" => self.database = filled(value),
            "user" => self.user = filled(value),
            "password" => self.password = filled(value),
            _ => {}
        }
        Ok(())
    }

    fn into_url(self) -> Result<Url, Failure> {
        let missing = |what: &str| refused(format!("the database URL names no {what}"));
        let place = match (self.host, self.address) {
            (Some(folder), None) if folder.starts_with('/') => Place::Socket(folder),
            (Some(name), _) if !is_host(&name) => return Err(unreadable()),
            (Some(host), None) => Place::Host(host),
            (None, Some(address)) => Place::Host(address.to_string()),
            (Some(name), Some(address)) => Place::NamedAddress { name, address },
            (None, None) => return Err(missing("host")),
        };
        Ok(Url {
            user: self.user.ok_or_else(|| missing("user"))?,
            password: self.password.unwrap_or_default(),
            place,
            port: self.port.unwrap_or(DEFAULT_PORT),
            database: self.database.ok_or_else(|| missing("database"))?,
            ssl_mode: self.ssl_mode,
            ssl_root_cert: self.ssl_root_cert,
            binds_channel: self.binds_channel,
        })
    }
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn refuse_several(hosts: &str) -> Result<(), Failure> {
    if hosts.contains(',') {
        let message = "the database URL names several hosts; name one that always leads to the primary, such as its Service";
        return Err(refused(message));
    }
    Ok(())
}

/// Names and numbers; anything else is a URL that was taken apart in the wrong place.
fn is_host(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
        || host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

/// Empty is not given.
fn port(text: &str) -> Result<Option<u16>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    // A `+` would be taken for a part of a number, and a zero for any port.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(Some(port)),
        _ => Err(unreadable()),
    }
}

fn ssl_mode(word: &str) -> Result<SslMode, Failure> {
    Ok(match word {
        "disable" => SslMode::Disable,
        "allow" => SslMode::Allow,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => {
            let words = "disable, allow, prefer, require, verify-ca or verify-full";
            return Err(refused(format!("sslmode of the database URL must be one of {words}")));
        }
    })
}

/// Percent-decodes; `+` stays itself, as in libpq.
fn decoded(text: &str) -> Result<String, Failure> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = rest else { return Err(unreadable()) };
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(unreadable);
        let value = digit(*high)? * 16 + digit(*low)?;
        bytes.push(u8::try_from(value).map_err(|_| unreadable())?);
        rest = after;
    }
    // The protocol ends a text at its first NUL.
    if bytes.contains(&0) {
        return Err(unreadable());
    }
    String::from_utf8(bytes).map_err(|_| unreadable())
}

#[cfg(test)]
mod tests;
