//! `session-api`: creates the sessions that policies clean up.
//!
//! `session-api migrate` makes and upgrades the schema, its roles and the partitions ahead;
//! `session-api serve` answers requests; `session-api statements` prints its SQL. It deletes nothing, and
//! calls no Kubernetes API.

mod admin;
mod after_hours;
mod analytics;
mod answer;
mod args;
mod audit;
mod billing;
mod body;
mod client;
mod code;
mod db;
mod event;
mod exit;
mod group;
mod invite;
mod join_code;
mod keep;
mod limit;
mod listen;
mod metrics;
mod migrate;
mod openapi;
mod participant;
mod presence;
mod probe;
mod problem;
mod query;
mod router;
mod serve;
mod session;
mod state;
mod token;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let Args { command, log } = Args::parse();
    if let Err(exit) = log.start("session_api") {
        return exit.into();
    }
    let ended = runtime::shutdown::token();
    let exit = match command {
        Command::Migrate(args) => migrate::migrate(&args, ended).await,
        Command::Serve(args) => serve::serve(args, ended).await,
        Command::Statements => print(&statements()),
        Command::Openapi => print(&format!("{:#}\n", openapi::document())),
    };
    exit.into()
}

/// Every statement of the server, each under the module that runs it.
fn statements() -> String {
    let mut text = String::new();
    for (module, statements) in db::PREPARED.iter().chain(db::PLANNED_EACH_TIME) {
        for sql in *statements {
            text.push_str(&format!("-- {module}\n{}\n;\n", sql.trim()));
        }
    }
    text
}

/// To standard output, where a reader that has gone is no failure of ours.
fn print(text: &str) -> exit::Exit {
    let _ = std::io::stdout().write_all(text.as_bytes());
    exit::Exit::Done
}

/// An error with all that it came from.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
