//! The command line. Every flag has an environment variable, so that a pod template and a shell say the
//! same.

pub mod serve;

use std::time::Duration;

use clap::{Parser, Subcommand};
use policy::{Identifier, IdentifierProblem};
use runtime::database::address::Address;
use runtime::database::failure::Failure;

/// What the server and its logs know us by.
const PROGRAM: &str = "session-api";

/// Creates the sessions that policies clean up.
#[derive(Debug, Parser)]
#[command(
    name = "session-api",
    version,
    about = "The session API: sessions, codes, invites and messages, on Postgres",
    after_help = "Begin with `session-api migrate --print`, read the SQL, let `session-api migrate` run it, and then `session-api serve`."
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub log: runtime::args::LogArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make or upgrade the schema, give the roles their privileges, make partitions ahead
    #[command(after_help = migrate_help())]
    Migrate(MigrateArgs),
    /// Answer requests until SIGTERM
    #[command(after_help = serve::help())]
    Serve(serve::ServeArgs),
    /// Print every SQL statement of the server, to read or to hand to a DBA
    Statements,
    /// Print the description of every path, as `/openapi.json` has it
    Openapi,
}

const MIGRATE_HELP: &str = "\
Connect as the owner of the database, who may create roles, or have the four roles made before. It may
be run again, and by two processes at once: what is there stays, and privileges become exactly those of
this version. Migrations go forward only, each in a transaction of its own that waits half a second for
a lock and then tries again, so that it never holds up the traffic for longer.

  session-api migrate --print > schema.sql                    the SQL, to read or to hand to a DBA
  session-api migrate --database-url postgres://owner@…       the same, done at once
  GRANT session_api TO my_login;                              then let your logins into the roles

";

fn migrate_help() -> String {
    format!("{MIGRATE_HELP}{}", crate::exit::HELP)
}

/// `session-api migrate`
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,

    /// Print the SQL and connect to nothing
    #[arg(long, env = "PGSWEEP_MIGRATE_PRINT", value_parser = clap::builder::FalseyValueParser::new())]
    pub print: bool,

    #[command(flatten)]
    pub roles: RoleArgs,
}

/// How the database is reached.
#[derive(Debug, clap::Args)]
pub struct ConnectArgs {
    /// The database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,

    /// The CA that the server is verified by: PEM, or a file; then sslmode is verify-full unless the URL says verify-ca
    #[arg(
        long,
        env = "PGSWEEP_DATABASE_CA",
        hide_env_values = true,
        allow_hyphen_values = true,
        value_name = "PEM or FILE"
    )]
    pub database_ca: Option<String>,

    /// How long to try to connect
    #[arg(long, env = "PGSWEEP_CONNECT_TIMEOUT", default_value = "60s", value_name = "DURATION", value_parser = duration)]
    pub connect_timeout: Duration,
}

impl ConnectArgs {
    /// Where the database is, and by what it is trusted.
    pub fn address(&self) -> Result<Address, Failure> {
        let url = self.database_url.as_deref().unwrap_or_default();
        Address::parse(PROGRAM, url, self.database_ca.as_deref())
    }
}

/// Names of the roles. Nobody logs in as one of them: logins are made members.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Roles")]
pub struct RoleArgs {
    /// The role of the API: it deletes nothing
    #[arg(long = "api-role", env = "PGSWEEP_API_ROLE", default_value = "session_api", value_name = "NAME", value_parser = identifier)]
    pub api: Identifier,

    /// The role of policies, and of statements of the apps that clean up
    #[arg(long = "cleanup-role", env = "PGSWEEP_CLEANUP_ROLE", default_value = "session_cleanup", value_name = "NAME", value_parser = identifier)]
    pub cleanup: Identifier,

    /// The role of dashboards and billing
    #[arg(long = "readonly-role", env = "PGSWEEP_READONLY_ROLE", default_value = "session_readonly", value_name = "NAME", value_parser = identifier)]
    pub readonly: Identifier,

    /// The owner of the two tables of events, for the policy that drops their old partitions
    #[arg(long = "events-role", env = "PGSWEEP_EVENTS_ROLE", default_value = "session_events_owner", value_name = "NAME", value_parser = identifier)]
    pub events: Identifier,
}

fn identifier(text: &str) -> Result<Identifier, IdentifierProblem> {
    Identifier::parse(text)
}

fn duration(text: &str) -> Result<Duration, policy::AgeProblem> {
    policy::Age::parse(text).map(policy::Age::duration)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_flag_has_a_variable() {
        let command = Args::command();
        let subcommands = command.get_subcommands();
        let flags = subcommands.flat_map(clap::Command::get_arguments);
        let mut seen = 0;
        for flag in flags.filter(|flag| flag.get_id() != "help" && flag.get_id() != "version") {
            assert!(flag.get_env().is_some(), "{} has no variable", flag.get_id());
            seen += 1;
        }
        assert!(seen >= 20, "{seen} flags");
    }
}
