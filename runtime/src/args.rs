//! Flags that every binary takes, in one spelling.

use clap::Args;

use crate::log::Format;

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
