//! The command line. Every flag has an environment variable, so that a pod
//! template and a shell say the same.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use policy::{Identifier, IdentifierProblem, Policy, RunResult, SecretKeyRef};
use runtime::database::address::Address;

use crate::failure::Failure;

/// What the server and its logs know us by.
const PROGRAM: &str = "pgsweep";
/// Where kubelet looks for it, unless the container says otherwise.
const DEFAULT_TERMINATION_LOG: &str = "/dev/termination-log";

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
    /// Show past runs, from the ledger in the database
    #[command(after_help = HISTORY_HELP)]
    History(HistoryArgs),
    /// Make the ledger in a database, or print the SQL for whoever may
    #[command(after_help = INIT_HELP)]
    Init(InitArgs),
    /// Take policies off hold, so that their next run goes on
    #[command(after_help = RELEASE_HELP)]
    Release(ReleaseArgs),
}

const HISTORY_HELP: &str = "\
The ledger is schema pgsweep of the database that is cleaned: each run that may change rows is in it
(a dry run is not), newest first. SELECT on its tables is all that this command needs.

  pgsweep history --database-url postgres://… --policy shop/sessions
  pgsweep history --result Failed --since 7d -o json     an array of reports";

const INIT_HELP: &str = "\
A run makes the ledger (schema pgsweep) by itself when its role may create schemas. Where it may not,
run this once as a role that may, or hand the printed SQL to whoever owns the database. Either may be
done again: what is there stays.

  pgsweep init --print --role cleaner -f policy.yaml     the ledger, the role, and its least privileges
  pgsweep init --database-url postgres://owner@…         makes the ledger
  pgsweep init --database-url … --role cleaner           makes the role too, and grants";

const RELEASE_HELP: &str = "\
A policy is put on hold when rows that it archived were given back: its next run would take them
again. Until it is released, or its rules change, its runs end as Skipped with the stop reason Held.";

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

    #[command(flatten)]
    pub connect: ConnectArgs,

    /// How the result is printed
    #[arg(short, long, env = "PGSWEEP_OUTPUT", value_enum, default_value = "table")]
    pub output: Output,

    #[command(flatten)]
    pub job: JobArgs,
}

impl PlanArgs {
    /// Whether a database is asked: in a Job always, where a Secret without a URL is a problem to be
    /// told.
    pub fn asks_a_database(&self) -> bool {
        self.connect.names_a_database() || self.job.uid().is_some()
    }
}

/// `pgsweep run`
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub policies: PolicyArgs,

    #[command(flatten)]
    pub connect: ConnectArgs,

    /// Only count, in a read-only transaction, whatever the policy's mode is
    #[arg(long, env = "PGSWEEP_DRY_RUN", value_parser = clap::builder::FalseyValueParser::new())]
    pub dry_run: bool,

    /// How the report is printed
    #[arg(short, long, env = "PGSWEEP_OUTPUT", value_enum, default_value = "table")]
    pub output: Output,

    #[command(flatten)]
    pub job: JobArgs,
}

/// The Job that a run or a plan is made in.
#[derive(Debug, clap::Args)]
pub struct JobArgs {
    /// UID of the Job; a run elsewhere has a random id
    #[arg(long, env = "PGSWEEP_JOB_UID", value_name = "UID")]
    job_uid: Option<String>,

    /// A file for the short report [default: /dev/termination-log where that exists]
    #[arg(long, env = "PGSWEEP_TERMINATION_LOG", value_name = "FILE")]
    termination_log: Option<PathBuf>,
}

impl JobArgs {
    /// UID of the Job; none elsewhere.
    pub fn uid(&self) -> Option<&str> {
        self.job_uid.as_deref().filter(|uid| !uid.is_empty())
    }

    /// The file for the short report, where there is one.
    pub fn termination_log(&self) -> Option<&Path> {
        let default = Path::new(DEFAULT_TERMINATION_LOG);
        let named = self.termination_log.as_deref().filter(|path| !path.as_os_str().is_empty());
        named.or_else(|| default.exists().then_some(default))
    }
}

/// How a database is reached.
#[derive(Debug, clap::Args)]
pub struct ConnectArgs {
    /// The database that is cleaned, in place of the policy's Secret; `plan` shows the SQL as far as
    /// it is known without one
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

    /// Whether there is a URL at all.
    fn names_a_database(&self) -> bool {
        self.database_url.as_deref().is_some_and(|url| !url.is_empty())
    }

    /// The same for one policy: in a Job a failure names the keys of its Secrets.
    pub fn address_for(&self, policy: &Policy, job: &JobArgs) -> Result<Address, Failure> {
        let address = self.address();
        if job.uid().is_none() {
            return address;
        }
        address.map_err(|failure| {
            let database = policy.database();
            let sources = [Some(&database.url_from), database.ca_from.as_ref()];
            let keys = sources.into_iter().flatten().map(|source| {
                let SecretKeyRef { name, key } = &source.secret_key_ref;
                format!("Secret {name}, key {key}")
            });
            failure.while_doing(&format!("reading {}", keys.collect::<Vec<_>>().join(" and ")))
        })
    }
}

/// `pgsweep history`
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,

    /// Runs of this policy alone
    #[arg(long, env = "PGSWEEP_HISTORY_POLICY", value_name = "NAMESPACE/NAME")]
    pub policy: Option<String>,

    /// Runs of the policies of this namespace
    #[arg(long, env = "PGSWEEP_HISTORY_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Runs that ended so
    #[arg(long, env = "PGSWEEP_HISTORY_RESULT", value_name = "RESULT", value_parser = run_result())]
    pub result: Option<RunResult>,

    /// Runs that began within this time, such as 7d
    #[arg(long, env = "PGSWEEP_HISTORY_SINCE", value_name = "DURATION", value_parser = duration)]
    pub since: Option<Duration>,

    /// At most so many, the newest
    #[arg(long, env = "PGSWEEP_HISTORY_LIMIT", default_value = "20", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,

    /// How they are printed; json is one array of reports
    #[arg(short, long, env = "PGSWEEP_OUTPUT", value_enum, default_value = "table")]
    pub output: Output,
}

/// `pgsweep init`
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,

    /// Print the SQL and connect to nothing
    #[arg(long, env = "PGSWEEP_INIT_PRINT", value_parser = clap::builder::FalseyValueParser::new())]
    pub print: bool,

    /// The role that runs will use: made where it is missing, and given its least privileges
    #[arg(long, env = "PGSWEEP_ROLE", value_name = "NAME", value_parser = identifier)]
    pub role: Option<Identifier>,

    #[command(flatten)]
    pub policies: PolicyArgs,
}

/// `pgsweep release`
#[derive(Debug, clap::Args)]
pub struct ReleaseArgs {
    #[command(flatten)]
    pub policies: PolicyArgs,

    #[command(flatten)]
    pub connect: ConnectArgs,
}

fn run_result() -> impl TypedValueParser<Value = RunResult> {
    const RESULTS: [RunResult; 4] = [
        RunResult::Succeeded,
        RunResult::PartiallySucceeded,
        RunResult::Failed,
        RunResult::Aborted,
    ];
    PossibleValuesParser::new(RESULTS.map(RunResult::as_str))
        .map(|word| RunResult::parse(&word).unwrap_or(RunResult::Failed))
}

fn identifier(text: &str) -> Result<Identifier, IdentifierProblem> {
    Identifier::parse(text)
}

fn duration(text: &str) -> Result<Duration, policy::AgeProblem> {
    policy::Age::parse(text).map(policy::Age::duration)
}
