//! Logs: to stderr, for people on a terminal, as JSON lines elsewhere.
//!
//! A message reads alone; what a machine wants is in fields beside it.

use std::io::{IsTerminal as _, stderr};

use clap::ValueEnum;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people when stderr is a terminal, JSON lines when it is not.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Format {
    fn is_json(self) -> bool {
        match self {
            Format::Auto => !stderr().is_terminal(),
            Format::Human => false,
            Format::Json => true,
        }
    }
}

/// Why logs could not begin.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("failed to read the log filter {filter:?}")]
    ReadFilter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Logs have begun before.
    #[error("failed to start the log")]
    Start(#[from] TryInitError),
}

/// Starts the log of the process; once, first thing in `main`.
///
/// `default_filter` is a level, or directives such as `info,kube=debug`.
pub fn init(default_filter: &str, format: Format) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(default_filter)
        .map_err(|source| LogError::ReadFilter { filter: default_filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    if format.is_json() {
        let lines = lines.json().flatten_event(true).with_current_span(true).with_span_list(false);
        lines.finish().try_init()?;
    } else {
        let lines = lines.with_ansi(stderr().is_terminal()).with_target(false).compact();
        lines.finish().try_init()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_named() {
        let error = init("info,=,=", Format::Json).expect_err("not a filter");
        assert_eq!(error.to_string(), r#"failed to read the log filter "info,=,=""#);
    }

    #[test]
    fn an_explicit_format_does_not_ask_the_terminal() {
        assert!(Format::Json.is_json());
        assert!(!Format::Human.is_json());
    }
}
