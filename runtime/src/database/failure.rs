//! What went wrong with the database, in our own words.
//!
//! The server's message, DETAIL, HINT and CONTEXT hold row contents, and `sqlx`
//! prints them: nothing of them may leave this module. What leaves is the
//! SQLSTATE, our sentence for it, and names of the catalog.

mod tls;

use sqlx::postgres::PgDatabaseError;
use thiserror::Error;

use crate::exit::Exit;

/// A failure, fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind it is.
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
    /// Another transaction was in the way: less at once, or later, may do.
    Contention,
    /// A statement took longer than its timeout.
    Slow,
    /// A row cannot be changed so: the database refused it, or a trigger did.
    Row,
    /// What was asked for of these rows cannot be done.
    Rule,
    /// Another process took the work over.
    Superseded,
}

impl Failure {
    /// A failure that no retry can help.
    #[must_use]
    pub fn wrong(sql_state: &str, message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Wrong, sql_state: sql_state.into(), message: message.into() }
    }

    /// The database is away, or failed for the moment.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unavailable, sql_state: String::new(), message: message.into() }
    }

    /// How the process ends when this ended it before the first change.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.kind {
            // Before the first change nothing but what was asked for, the schema or the role can be wrong.
            FailureKind::Wrong | FailureKind::Slow | FailureKind::Row | FailureKind::Rule => {
                Exit::Wrong
            }
            FailureKind::Unavailable | FailureKind::Contention => Exit::Unavailable,
            FailureKind::Superseded => Exit::Done,
        }
    }

    /// Says what we were doing.
    #[must_use]
    pub fn while_doing(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(inner) => match inner.try_downcast_ref::<PgDatabaseError>() {
                Some(inner) => from_server(inner),
                None => Failure::unavailable("the database failed"),
            },
            sqlx::Error::Tls(inner) => tls::not_begun(inner.as_ref()),
            sqlx::Error::Configuration(_) => {
                Failure::wrong("", "the database URL has a wrong option")
            }
            sqlx::Error::Io(inner) => tls::refused(inner).unwrap_or_else(|| {
                Failure::unavailable(format!(
                    "the database cannot be reached: {}",
                    io_words(inner.kind())
                ))
            }),
            sqlx::Error::PoolTimedOut => {
                Failure::unavailable("every connection to the database is at work")
            }
            sqlx::Error::Protocol(_) => {
                Failure::unavailable("the database broke the connection off")
            }
            _ => Failure::unavailable("the database's answer could not be read"),
        }
    }
}

fn io_words(kind: std::io::ErrorKind) -> &'static str {
    use std::io::ErrorKind;
    match kind {
        ErrorKind::ConnectionRefused => "connection refused",
        ErrorKind::TimedOut => "timed out",
        ErrorKind::NotFound => "no such socket",
        ErrorKind::PermissionDenied => "permission denied",
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
            "the connection was cut"
        }
        ErrorKind::UnexpectedEof => "the connection was closed",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "no route to the host",
        _ => "network or name lookup failed",
    }
}

fn from_server(error: &PgDatabaseError) -> Failure {
    let code = error.code();
    let mut message = format!("{} (SQLSTATE {code})", sentence(code));
    let names = [
        ("schema", error.schema()),
        ("table", error.table()),
        ("column", error.column()),
        ("constraint", error.constraint()),
    ];
    let names: Vec<_> = names
        .into_iter()
        .filter(|_| names_are_of_the_catalog(error))
        .filter_map(|(what, name)| name.map(|name| format!("{what} \"{name}\"")))
        .collect();
    if !names.is_empty() {
        message = format!("{message}: {}", names.join(", "));
    }
    let kind = if is_raised(error) { FailureKind::Row } else { kind(code) };
    Failure { kind, sql_state: code.to_owned(), message }
}

/// Whether a function of a user made this error: its code and its names are then that user's own
/// words, and can be a row's content.
fn is_raised(error: &PgDatabaseError) -> bool {
    error.file().is_none_or(|file| file.starts_with("pl"))
}

/// Only the server's own checks put names of the catalog into an error, and only names.
fn names_are_of_the_catalog(error: &PgDatabaseError) -> bool {
    const CHECKS: [&str; 6] = [
        "ri_triggers.c",
        "execMain.c",
        "nbtinsert.c",
        "execIndexing.c",
        "domains.c",
        "execUtils.c",
    ];
    error.file().is_some_and(|file| CHECKS.contains(&file))
}

/// Which kind an SQLSTATE is of: PostgreSQL documentation, appendix A.
fn kind(code: &str) -> FailureKind {
    match code {
        "40001" | "40P01" | "55P03" | "55006" => FailureKind::Contention,
        "57014" => FailureKind::Slow,
        "25P03" | "25P04" => FailureKind::Unavailable,
        "25006" => FailureKind::Wrong,
        _ => match code.get(..2).unwrap_or("") {
            "08" | "53" | "57" | "58" | "XX" => FailureKind::Unavailable,
            "28" | "3D" | "3F" | "42" | "22" | "0A" => FailureKind::Wrong,
            _ => FailureKind::Row,
        },
    }
}

fn sentence(code: &str) -> &'static str {
    match code {
        "28P01" => "the password of the database role is wrong",
        "28000" => "the database does not let this role in (pg_hba.conf, or no such role)",
        "3D000" => "there is no database of that name",
        "42501" => "the role lacks a privilege, or row security would hide rows from it",
        "42P01" => "a table is missing",
        "42703" => "a column is missing",
        "42804" | "42883" | "42846" => "a value or column is of a type that does not fit",
        "22P02" | "22007" | "22008" => "a value of the policy cannot be read as the column's type",
        "22003" => "a value of the policy is out of the range of the column's type",
        "0A000" => {
            "the database cannot do this here, as with a rewrite rule of the table (CREATE RULE), which must be dropped"
        }
        "25006" => "the database is read-only: a standby, or default_transaction_read_only is on",
        "23503" => "rows of another table point at these rows by a foreign key",
        "23502" => "a column would become NULL that must not be",
        "23505" => "the change would break a unique constraint",
        "23514" => "the change would break a check constraint",
        "2BP01" => "something in the database depends on it (a view, a foreign key)",
        "P0001" => "a trigger refused the change",
        "40001" | "40P01" => "other transactions were in the way (deadlock or serialization)",
        "55P03" => "another transaction held a lock for too long",
        "57014" => "a statement took longer than its timeout",
        "25P03" | "25P04" | "57P05" => {
            "the database ended the connection, since it was idle or too slow"
        }
        "57P01" | "57P02" => "the database is shutting down",
        "57P03" => "the database is starting up",
        "53300" => "the database has no connection left",
        "53100" => "the database's disk is full",
        _ => match code.get(..2).unwrap_or("") {
            "08" => "the connection to the database failed",
            "22" => "a value does not fit",
            "23" => "a constraint refused the change",
            "28" => "the database refused the role",
            "42" => "the database refused the statement",
            "53" => "the database is out of resources",
            "57" => "an operator stepped in at the database",
            _ => "the database reported an error",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_the_server_says_what_can_be_done() {
        for (codes, expected) in [
            (&["40001", "40P01", "55P03", "55006"][..], FailureKind::Contention),
            (&["57014"], FailureKind::Slow),
            (
                &["08006", "53300", "57P01", "57P03", "58030", "XX000", "25P03", "25P04"],
                FailureKind::Unavailable,
            ),
            (
                &["28P01", "3D000", "3F000", "42501", "42P01", "22P02", "0A000", "25006"],
                FailureKind::Wrong,
            ),
            (&["23503", "23514", "P0001", "27000", "25001", "", "é"], FailureKind::Row),
        ] {
            for code in codes {
                assert_eq!(kind(code), expected, "{code}");
            }
        }
    }

    #[test]
    fn before_the_first_row_each_kind_ends_the_process_in_its_own_way() {
        for (kind, exit) in [
            (FailureKind::Wrong, Exit::Wrong),
            (FailureKind::Slow, Exit::Wrong),
            (FailureKind::Row, Exit::Wrong),
            (FailureKind::Rule, Exit::Wrong),
            (FailureKind::Unavailable, Exit::Unavailable),
            (FailureKind::Contention, Exit::Unavailable),
            (FailureKind::Superseded, Exit::Done),
        ] {
            let failure = Failure { kind, ..Failure::wrong("", "it failed") };
            assert_eq!(failure.exit(), exit, "{kind:?}");
        }
    }
}
