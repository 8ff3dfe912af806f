//! `session-api`: creates the sessions that policies clean up.
//!
//! So far its data: `session-api migrate` makes and upgrades the schema, its roles and the partitions
//! ahead. It deletes nothing, and calls no Kubernetes API.

mod args;
mod db;
mod exit;
mod migrate;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};
use crate::exit::Exit;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Args { command, log } = Args::parse();
    // The driver logs what the server says, and that can be a row.
    let filter = format!("{},sqlx=off,sqlx_core=off,sqlx_postgres=off", log.log_level);
    if let Err(error) = runtime::log::init(&filter, log.log_format) {
        let _ = writeln!(
            std::io::stderr(),
            "{error}: --log-level is a level such as info, or directives such as api=debug"
        );
        return Exit::Wrong.into();
    }
    let exit = match command {
        Command::Migrate(args) => migrate::migrate(&args, runtime::shutdown::token()).await,
    };
    exit.into()
}
