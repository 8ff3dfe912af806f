//! Flags of the operator: all of its configuration, read once, in `main`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use policy::{Age, AgeProblem};
use runtime::args::LogArgs;

/// Turns each CleanupPolicy into a CronJob whose Jobs clean a Postgres database, and publishes
/// what they report: as status, events and metrics.
///
/// It finds its cluster by itself: inside a pod by the service account, elsewhere by kubeconfig
/// (KUBECONFIG, or ~/.kube/config). It reads no Secret and opens no database connection.
///
/// Every flag has an environment variable; a flag wins over it.
#[derive(Parser, Clone, Debug)]
#[command(name = "pgsweep-operator", version)]
pub struct Args {
    /// Image of `pgsweep` for the pods of the Jobs, such as registry.example/pgsweep:0.1.0.
    ///
    /// Another image here means that every CronJob is written again at the next start; a Job that
    /// runs goes on with the image that it has.
    #[arg(long, env = "PGSWEEP_JOB_IMAGE", value_name = "IMAGE")]
    pub job_image: String,

    /// When kubelet pulls that image; left out, Kubernetes decides by the image's tag.
    #[arg(long, env = "PGSWEEP_JOB_IMAGE_PULL_POLICY", value_name = "POLICY")]
    pub job_image_pull_policy: Option<PullPolicy>,

    /// Address of /live, /ready and /metrics.
    #[arg(long, env = "PGSWEEP_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// How many policies are worked on at a time.
    #[arg(
        long,
        env = "PGSWEEP_CONCURRENCY",
        value_name = "POLICIES",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    pub concurrency: u16,

    #[command(flatten)]
    pub log: LogArgs,
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
    #[arg(long, env = "PGSWEEP_REASON", value_name = "REASONS", value_delimiter = ',')]
    #[arg(required = true)]
    pub reason: Vec<String>,

    /// How long to wait.
    #[arg(
        long,
        env = "PGSWEEP_TIMEOUT",
        value_name = "DURATION",
        default_value = "2m",
        value_parser = length_of_time
    )]
    pub timeout: Duration,

    #[command(flatten)]
    pub log: LogArgs,
}

fn length_of_time(text: &str) -> Result<Duration, AgeProblem> {
    Age::parse(text).map(Age::duration)
}

/// What this process is asked to do.
#[derive(Debug)]
pub enum Task {
    Operate(Args),
    Verify(VerifyArgs),
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

    /// What the operator demands, `verify` does not.
    fn command() -> clap::Command {
        Args::command().subcommand_negates_reqs(true).subcommand(VerifyArgs::command())
    }

    /// How the process logs.
    pub fn log(&self) -> &LogArgs {
        match self {
            Task::Operate(args) => &args.log,
            Task::Verify(args) => &args.log,
        }
    }
}

/// When kubelet pulls an image, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            PullPolicy::Always => "Always",
            PullPolicy::IfNotPresent => "IfNotPresent",
            PullPolicy::Never => "Never",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Task::command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_variable() {
        let (operate, verify) = (Args::command(), VerifyArgs::command());
        for argument in operate.get_arguments().chain(verify.get_arguments()) {
            let Some(flag) = argument.get_long().filter(|flag| !["help", "version"].contains(flag))
            else {
                continue;
            };
            let variable = format!("PGSWEEP_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(argument.get_env(), Some(variable.as_ref()), "--{flag}");
        }
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

    #[test]
    fn pull_policies_are_kubernetes_words() {
        for policy in PullPolicy::value_variants() {
            assert_eq!(PullPolicy::from_str(policy.as_str(), false), Ok(*policy));
        }
    }
}
