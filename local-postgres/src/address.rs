//! A server's URL in its parts, so that user, host and database can be exchanged.

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context, Result};

/// `postgresql://user:password@host:port/database?parameters`.
///
/// `Debug` hides the login, `Display` does not: it is there to be handed to a program.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    login: Option<String>,
    host: String,
    database: String,
    parameters: Option<String>,
}

impl ServerUrl {
    /// Takes a URL apart.
    pub fn parse(url: &str) -> Result<Self> {
        let rest = url
            .strip_prefix("postgresql://")
            .or_else(|| url.strip_prefix("postgres://"))
            .context("a server's URL starts with postgresql://")?;
        let (rest, parameters) = match rest.split_once('?') {
            Some((rest, parameters)) => (rest, Some(parameters.to_owned())),
            None => (rest, None),
        };
        let (authority, database) = rest.split_once('/').unwrap_or((rest, "postgres"));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login.to_owned()), host),
            None => (None, authority),
        };
        Ok(Self { login, host: host.to_owned(), database: database.to_owned(), parameters })
    }

    /// A server whose place is not known yet.
    pub(crate) fn of_user(user: &str, password: &str) -> Self {
        let (host, database) = ("localhost".to_owned(), "postgres".to_owned());
        Self { login: None, host, database, parameters: None }.login(user, password)
    }

    /// The same server, another database.
    #[must_use]
    pub fn database(&self, name: &str) -> Self {
        Self { database: encode(name), ..self.clone() }
    }

    /// The same server, another user.
    #[must_use]
    pub fn login(&self, user: &str, password: &str) -> Self {
        Self { login: Some(format!("{}:{}", encode(user), encode(password))), ..self.clone() }
    }

    /// The same server under another of its addresses (a name or a number), on the same port.
    #[must_use]
    pub fn host(&self, host: &str) -> Self {
        let host = match self.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Self { host, ..self.clone() }
    }

    /// What answers at another address and port: a proxy before the server, or its copy.
    #[must_use]
    pub fn at(&self, place: SocketAddr) -> Self {
        Self { host: place.to_string(), ..self.clone() }
    }

    /// With parameters such as `sslmode=require`, instead of those that it has.
    #[must_use]
    pub fn parameters(&self, parameters: &str) -> Self {
        let parameters = (!parameters.is_empty()).then(|| parameters.to_owned());
        Self { parameters, ..self.clone() }
    }

    /// Host and port as the URL has them.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.host
    }

    /// User and password, where the URL names both.
    #[must_use]
    pub fn credentials(&self) -> Option<(String, String)> {
        let (user, password) = self.login.as_ref()?.split_once(':')?;
        Some((decode(user), decode(password)))
    }

    /// The port, where the URL names one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.host.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "postgresql://")?;
        if let Some(login) = &self.login {
            write!(formatter, "{login}@")?;
        }
        write!(formatter, "{}/{}", self.host, self.database)?;
        self.parameters.iter().try_for_each(|parameters| write!(formatter, "?{parameters}"))
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ServerUrl({}/{})", self.host, self.database)
    }
}

/// Percent-encodes everything that could mean something in a URL.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().fold(String::new(), |encoded, byte| {
        if plain(byte) {
            encoded + &char::from(byte).to_string()
        } else {
            encoded + &format!("%{byte:02X}")
        }
    })
}

/// The other way round; what is no code stays as it is.
fn decode(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        let rest = if code.is_some() { part.get(2..).unwrap_or_default() } else { part };
        bytes.push(code.unwrap_or(b'%'));
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_can_be_exchanged() {
        let url =
            ServerUrl::parse("postgres://me:secret@localhost:5433/app?sslmode=disable").unwrap();
        assert_eq!(
            url.database("a/b").host("10.0.0.1").login("you", "p@ss").to_string(),
            "postgresql://you:p%40ss@10.0.0.1:5433/a%2Fb?sslmode=disable"
        );
    }

    #[test]
    fn what_is_missing_stays_missing() {
        let url = ServerUrl::parse("postgresql://localhost").unwrap();
        assert_eq!(url.host("db").to_string(), "postgresql://db/postgres");
        assert_eq!(url.parameters("").to_string(), "postgresql://localhost/postgres");
        let there = url.at(([127, 0, 0, 1], 6432).into()).parameters("sslmode=require");
        assert_eq!(there.to_string(), "postgresql://127.0.0.1:6432/postgres?sslmode=require");
    }

    #[test]
    fn credentials_are_read_as_they_were_given() {
        let url = ServerUrl::parse("postgresql://localhost").unwrap();
        assert_eq!(url.credentials(), None);
        let login = url.login("me", "50% of: ü").credentials();
        assert_eq!(login, Some(("me".to_owned(), "50% of: ü".to_owned())));
    }

    #[test]
    fn debug_hides_the_login() {
        let url = ServerUrl::parse("postgresql://me:secret@localhost/app").unwrap();
        assert_eq!(format!("{url:?}"), "ServerUrl(localhost/app)");
    }
}
