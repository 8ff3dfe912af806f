//! `pgsweep`: validates, plans and runs `CleanupPolicy` files against Postgres.
//!
//! The same binary runs in a Job and on a laptop:
//! `load → validate → plan → execute → report`. It never calls the Kubernetes API.

mod args;
mod catalog;
mod database;
mod execute;
mod exit;
mod failure;
mod history;
mod init;
mod ledger;
mod load;
mod measure;
mod output;
mod plan;
mod preflight;
mod progress;
mod release;
mod run;
mod validate;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Args { command, log } = Args::parse();
    if let Err(exit) = log.start("pgsweep") {
        return exit.into();
    }
    let exit = match command {
        Command::Validate(args) => validate::validate(&args),
        Command::Plan(args) => plan::plan(&args, runtime::shutdown::token()).await,
        Command::History(args) => history::history(&args).await,
        Command::Init(args) => init::init(&args).await,
        Command::Release(args) => release::release(&args).await,
        Command::Run(args) => run::run(&args, runtime::shutdown::token()).await,
    };
    exit.into()
}
