//! What went wrong with the database, in our own words.
//!
//! The server's message, DETAIL, HINT and CONTEXT hold row contents, and `sqlx` prints them: nothing of
//! them may leave this module. What leaves is the SQLSTATE and our sentence for it.

use thiserror::Error;

use crate::exit::Exit;

/// A failure, fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Failure {
    /// What can be done about it.
    pub kind: FailureKind,
    /// SQLSTATE; empty where the server said nothing.
    pub sql_state: String,
    /// One sentence.
    pub message: String,
}

/// What can be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// A retry cannot help.
    Wrong,
    /// The database is away, or failed for the moment.
    Unavailable,
    /// Another transaction was in the way.
    Contention,
}

impl Failure {
    /// A failure that no retry can help.
    pub fn wrong(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Wrong, sql_state: String::new(), message: message.into() }
    }

    /// The database is away, or failed for the moment.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unavailable, sql_state: String::new(), message: message.into() }
    }

    /// How the process ends because of it.
    pub fn exit(&self) -> Exit {
        match self.kind {
            FailureKind::Wrong => Exit::Wrong,
            FailureKind::Unavailable | FailureKind::Contention => Exit::Unavailable,
        }
    }

    fn of_server(code: &str) -> Self {
        Self {
            kind: kind(code),
            sql_state: code.to_owned(),
            message: format!("{} (SQLSTATE {code})", sentence(code)),
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(error) => Self::of_server(error.code().as_deref().unwrap_or("")),
            sqlx::Error::Tls(_) => {
                Self::wrong("TLS could not be begun; look at sslmode and the CA")
            }
            sqlx::Error::Configuration(_) => {
                Self::wrong("the URL or the CA of the database is wrong")
            }
            sqlx::Error::Io(error) => {
                Self::unavailable(format!("the database cannot be reached: {}", error.kind()))
            }
            sqlx::Error::Protocol(_) => Self::unavailable("the database broke the connection off"),
            _ => Self::unavailable("the database's answer could not be read"),
        }
    }
}

/// By the class of the SQLSTATE: what passes by itself, and what does not.
fn kind(code: &str) -> FailureKind {
    match code {
        "40001" | "40P01" | "55P03" => FailureKind::Contention,
        // A statement that was cancelled or took too long.
        "57014" => FailureKind::Unavailable,
        _ => match code.get(..2) {
            Some("08" | "53" | "57" | "58" | "XX") => FailureKind::Unavailable,
            _ => FailureKind::Wrong,
        },
    }
}

fn sentence(code: &str) -> &'static str {
    match code {
        "28P01" | "28000" => "the database refused the login",
        "3D000" => "there is no such database",
        "42501" => "the role lacks a privilege",
        "40P01" | "40001" => "another transaction was in the way",
        "55P03" => "a lock was not free in time",
        "57014" => "the statement was cancelled, or took too long",
        "42P06" | "42P07" | "42710" | "42723" => "something of that name is there already",
        _ => match code.get(..2) {
            Some("53") => "the database has no room, memory or connection left",
            Some("57") => "the database is starting or stopping",
            Some("42") => "the schema is not what it should be",
            _ => "the database refused",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        use FailureKind::{Contention, Unavailable, Wrong};
        let kinds = ["55P03", "57P03", "42501", "28P01", "08006", "53300", ""].map(kind);
        assert_eq!(kinds, [Contention, Unavailable, Wrong, Wrong, Unavailable, Unavailable, Wrong]);
        assert_eq!(Failure::of_server("55P03").exit(), Exit::Unavailable);
        assert_eq!(Failure::of_server("42501").exit(), Exit::Wrong);
    }
}
