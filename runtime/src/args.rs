//! Flags that every binary takes, in one spelling.

use std::io::Write as _;

use clap::Args;

use crate::exit::Exit;
use crate::log::{self, Format};

/// How the process logs; flatten it into the flags of a binary.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// What is logged: a level (error, warn, info, debug, trace), or directives such as
    /// `info,kube=debug`.
    #[arg(
        long,
        env = "PGSWEEP_LOG_LEVEL",
        default_value = "info",
        value_name = "FILTER",
        global = true
    )]
    pub log_level: String,

    /// How it is logged: `auto` writes for people on a terminal and JSON lines elsewhere.
    #[arg(long, env = "PGSWEEP_LOG_FORMAT", default_value = "auto", global = true)]
    pub log_format: Format,
}

impl LogArgs {
    /// Starts the log of a program that speaks to a database, or says on stderr why it cannot.
    /// `program` is the name of its crate, as directives have it.
    pub fn start(&self, program: &str) -> Result<(), Exit> {
        // The driver logs what the server says, and that can be a row.
        let filter = format!("{},sqlx=off,sqlx_core=off,sqlx_postgres=off", self.log_level);
        log::init(&filter, self.log_format).map_err(|error| {
            let _ = writeln!(
                std::io::stderr(),
                "{error}: --log-level is a level such as info, or directives such as {program}=debug"
            );
            Exit::Wrong
        })
    }
}
