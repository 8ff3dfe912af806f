//! The command line. Every flag has an environment variable, so that a pod
//! template and a shell say the same.

use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Gives ephemeral rows in Postgres an end of life.
#[derive(Debug, Parser)]
#[command(
    name = "pgsweep",
    version,
    about = "Gives ephemeral rows in Postgres an end of life, by CleanupPolicy files",
    after_help = "Begin with `pgsweep validate -f policy.yaml`, look with `pgsweep plan`, count with `pgsweep run --dry-run`, and then run."
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
    /// Check policies without a database: every problem with its field path, and the next runs
    Validate(ValidateArgs),
    /// Show the SQL of every rule; with a database also what it would find
    #[command(after_help = crate::exit::HELP)]
    Plan(PlanArgs),
    /// Run policies once
    #[command(after_help = crate::exit::HELP)]
    Run(RunArgs),
}

/// Where policies come from.
#[derive(Debug, clap::Args)]
pub struct PolicyArgs {
    /// A file with one or more policies; repeatable; `-` is standard input
    #[arg(short, long = "file", env = "PGSWEEP_FILE", value_name = "FILE")]
    pub files: Vec<String>,

    /// The policy itself, as JSON or YAML, where no file is named: how the operator hands it to a Job
    #[arg(long, env = "PGSWEEP_POLICY", hide_env_values = true, value_name = "TEXT")]
    pub policy: Option<String>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// One JSON object for each policy
    Json,
    /// One YAML document for each policy
    Yaml,
}

/// `pgsweep validate`
#[derive(Debug, clap::Args)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub policies: PolicyArgs,

    /// How the result is printed
    #[arg(short, long, env = "PGSWEEP_OUTPUT", value_enum, default_value = "table")]
    pub output: Output,
}

/// `pgsweep plan`
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub policies: PolicyArgs,

    /// The database to look at; without it the SQL is shown as far as it is known
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

    /// How the result is printed
    #[arg(short, long, env = "PGSWEEP_OUTPUT", value_enum, default_value = "table")]
    pub output: Output,
}

/// `pgsweep run`
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub policies: PolicyArgs,

    /// The database to clean, in place of the policy's Secret
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

    /// Only count, in a read-only transaction, whatever the policy's mode is
    #[arg(long, env = "PGSWEEP_DRY_RUN", value_parser = clap::builder::FalseyValueParser::new())]
    pub dry_run: bool,

    /// How long to try to connect
    #[arg(long, env = "PGSWEEP_CONNECT_TIMEOUT", default_value = "60s", value_name = "DURATION", value_parser = duration)]
    pub connect_timeout: Duration,

    /// How the report is printed
    #[arg(short, long, env = "PGSWEEP_OUTPUT", value_enum, default_value = "table")]
    pub output: Output,

    /// UID of the Job; a random id elsewhere
    #[arg(long, env = "PGSWEEP_JOB_UID", value_name = "UID")]
    pub job_uid: Option<String>,

    /// A file for the short report [default: /dev/termination-log where that exists]
    #[arg(long, env = "PGSWEEP_TERMINATION_LOG", value_name = "FILE")]
    pub termination_log: Option<std::path::PathBuf>,
}

fn duration(text: &str) -> Result<Duration, policy::AgeProblem> {
    policy::Age::parse(text).map(policy::Age::duration)
}
