//! What the process is asked to do: to operate, which is its work, or to verify that one does.

use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use runtime::args::LogArgs;

use crate::args::{Args, duration};

/// One of the two.
#[derive(Debug)]
pub enum Task {
    Operate(Args),
    Verify(VerifyArgs),
}

/// Waits for what the operator says of one policy, and ends with 0 when it does: what `helm test`
/// runs, in a pod of its own.
#[derive(Parser, Clone, Debug)]
#[command(name = "verify")]
pub struct VerifyArgs {
    /// Namespace of the policy.
    #[arg(long, env = "PGSWEEP_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: String,

    /// Name of the policy.
    #[arg(long, env = "PGSWEEP_POLICY", value_name = "NAME")]
    pub policy: String,

    /// The reasons of its condition `Ready` that are awaited, separated by commas.
    #[arg(
        long,
        env = "PGSWEEP_REASON",
        value_name = "REASONS",
        value_delimiter = ',',
        required = true
    )]
    pub reason: Vec<String>,

    /// How long to wait.
    #[arg(
        long,
        env = "PGSWEEP_TIMEOUT",
        value_name = "DURATION",
        default_value = "2m",
        value_parser = duration
    )]
    pub timeout: Duration,

    #[command(flatten)]
    pub log: LogArgs,
}

impl Task {
    /// Reads the command line and the environment; ends the process where they are wrong.
    pub fn parse() -> Self {
        let matches = Self::command().get_matches();
        let task = match matches.subcommand() {
            Some((_, matches)) => VerifyArgs::from_arg_matches(matches).map(Task::Verify),
            None => Args::from_arg_matches(&matches).map(Task::Operate),
        };
        task.unwrap_or_else(|error| error.exit())
    }

    /// How the process logs.
    pub fn log(&self) -> &LogArgs {
        match self {
            Task::Operate(args) => &args.log,
            Task::Verify(args) => &args.log,
        }
    }

    /// What the operator demands, `verify` does not.
    fn command() -> clap::Command {
        Args::command().subcommand_negates_reqs(true).subcommand(VerifyArgs::command())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Task::command().debug_assert();
    }

    #[test]
    fn to_verify_takes_nothing_of_what_the_operator_needs() {
        let line = "pgsweep-operator verify --namespace a --policy b --reason C,D";
        let matches = Task::command().try_get_matches_from(line.split(' ')).unwrap();
        let (_, matches) = matches.subcommand().unwrap();
        let args = VerifyArgs::from_arg_matches(matches).unwrap();
        assert_eq!(args.reason, ["C", "D"]);
        assert_eq!(args.timeout, Duration::from_mins(2));
        assert!(Task::command().try_get_matches_from(["pgsweep-operator"]).is_err());
    }
}
