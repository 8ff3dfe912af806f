//! The versions of Postgres that tests run on.

use std::fmt;

/// A major version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// PostgreSQL 15, the oldest; only where it is installed.
    V15,
    /// PostgreSQL 17; its wheel has TLS.
    V17,
    /// PostgreSQL 18, the newest; its wheel has no TLS.
    V18,
}

impl Version {
    /// All of them, the oldest first.
    pub const ALL: [Self; 3] = [Self::V15, Self::V17, Self::V18];

    /// As Postgres counts.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::V15 => 15,
            Self::V17 => 17,
            Self::V18 => 18,
        }
    }

    /// Finds it in what `postgres --version` says.
    #[must_use]
    pub fn of(said: &str) -> Option<Self> {
        let number = said.split_once("(PostgreSQL) ")?.1.split(|c: char| !c.is_ascii_digit());
        let number = number.into_iter().next()?.parse().ok()?;
        Self::ALL.into_iter().find(|version| version.number() == number)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PostgreSQL {}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_names_its_version() {
        assert_eq!(Version::of("postgres (PostgreSQL) 15.18 (Debian 1)"), Some(Version::V15));
        assert_eq!(Version::of("postgres (PostgreSQL) 18beta1"), Some(Version::V18));
        assert_eq!(Version::of("postgres (PostgreSQL) 16.2"), None);
        assert_eq!(Version::of("something else"), None);
    }
}
