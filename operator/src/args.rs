//! Flags of the operator: all of its configuration, read once, in `main`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use runtime::args::LogArgs;
use thiserror::Error;

/// Long enough for every label of Kubernetes, and every name of a namespace.
const LONGEST_LABEL: usize = 63;
const LONGEST_IDENTITY: usize = 253;
/// What waits for less would only keep the API server busy.
const SHORTEST: Duration = Duration::from_secs(1);

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

    /// The namespaces whose policies are looked at, separated by commas; left out, all of them.
    ///
    /// Then no request goes beyond them. One that does not exist yet is looked for until it does.
    #[arg(
        long,
        env = "PGSWEEP_WATCH_NAMESPACES",
        value_name = "NAMESPACES",
        default_value = "",
        hide_default_value = true
    )]
    pub watch_namespaces: Scope,

    /// The namespace of the Lease by which several operators agree on the one that works.
    ///
    /// Left out, there is no election, and this operator must be the only one.
    #[arg(long, env = "PGSWEEP_LEASE_NAMESPACE", value_name = "NAMESPACE", value_parser = label)]
    pub lease_namespace: Option<String>,

    /// The name of that Lease.
    #[arg(
        long,
        env = "PGSWEEP_LEASE_NAME",
        value_name = "NAME",
        default_value = "pgsweep-operator",
        value_parser = label
    )]
    pub lease_name: String,

    /// What the Lease, and the API server's audit log, call this operator; something random is
    /// added, since no two may have the same name [default: the host's name].
    #[arg(long, env = "PGSWEEP_IDENTITY", value_name = "NAME", value_parser = identity)]
    pub identity: Option<String>,

    /// How long a Job may wait for its pod to start before its policy says that it is stuck.
    #[arg(
        long,
        env = "PGSWEEP_STUCK_AFTER",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = duration
    )]
    pub stuck_after: Duration,

    /// How long a preflight that failed waits for its next try; each wait is twice the one
    /// before it, up to an hour.
    #[arg(
        long,
        env = "PGSWEEP_PREFLIGHT_RETRY",
        value_name = "DURATION",
        default_value = "1m",
        value_parser = duration
    )]
    pub preflight_retry: Duration,

    /// How many preflight Jobs are under way at a time.
    #[arg(
        long,
        env = "PGSWEEP_PREFLIGHT_CONCURRENCY",
        value_name = "JOBS",
        default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    pub preflight_concurrency: u16,

    #[command(flatten)]
    pub log: LogArgs,
}

/// Whose policies are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    Namespaces(BTreeSet<String>),
}

impl Scope {
    /// One entry for each watch of a kind: a namespace, or `None` for all.
    pub fn namespaces(&self) -> Vec<Option<String>> {
        match self {
            Scope::All => vec![None],
            Scope::Namespaces(names) => names.iter().cloned().map(Some).collect(),
        }
    }
}

impl FromStr for Scope {
    type Err = LabelProblem;

    fn from_str(text: &str) -> Result<Self, LabelProblem> {
        if text.trim().is_empty() {
            return Ok(Scope::All);
        }
        let names: Result<_, _> = text.split(',').map(|name| label(name.trim())).collect();
        names.map(Scope::Namespaces)
    }
}

/// Why a text is no name in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no name in Kubernetes: a-z, 0-9 and - between them, at most {LONGEST_LABEL}")]
pub struct LabelProblem(String);

fn label(text: &str) -> Result<String, LabelProblem> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let inner = !text.starts_with('-') && !text.ends_with('-');
    if (1..=LONGEST_LABEL).contains(&text.len()) && inner && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(LabelProblem(text.to_owned()))
    }
}

/// Anything that a person recognises, such as a pod's name, and that fits into a header.
fn identity(text: &str) -> Result<String, IdentityProblem> {
    let fits = (1..=LONGEST_IDENTITY).contains(&text.len());
    if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(IdentityProblem)
    }
}

/// Why a text does not name an operator.
#[derive(Clone, Copy, Debug, Error)]
#[error("must be 1 to {LONGEST_IDENTITY} letters, digits and signs of ASCII, without spaces")]
struct IdentityProblem;

pub fn duration(text: &str) -> Result<Duration, DurationProblem> {
    let duration = policy::Age::parse(text)?.duration();
    if duration < SHORTEST { Err(DurationProblem::TooShort) } else { Ok(duration) }
}

/// Why a text is no time to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DurationProblem {
    #[error(transparent)]
    Age(#[from] policy::AgeProblem),
    #[error("must be at least {} s", SHORTEST.as_secs())]
    TooShort,
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_variable() {
        for argument in Args::command().get_arguments() {
            let Some(flag) = argument.get_long().filter(|flag| !["help", "version"].contains(flag))
            else {
                continue;
            };
            let variable = format!("PGSWEEP_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(argument.get_env(), Some(variable.as_ref()), "--{flag}");
        }
    }

    #[test]
    fn namespaces_are_read_with_care() {
        let some = |names: &[&str]| {
            Ok(Scope::Namespaces(names.iter().map(|name| (*name).to_owned()).collect()))
        };
        assert_eq!("".parse(), Ok(Scope::All));
        assert_eq!(" ".parse(), Ok(Scope::All));
        assert_eq!("shop".parse(), some(&["shop"]));
        assert_eq!("shop, games,shop".parse(), some(&["games", "shop"]));
        for wrong in ["shop,", ",", "Shop", "-shop", "shop-", "shop/games", &"x".repeat(64)] {
            assert!(wrong.parse::<Scope>().is_err(), "{wrong}");
        }
        assert_eq!(Scope::All.namespaces(), [None]);
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let args = Args::try_parse_from(["pgsweep-operator", "--job-image", "pgsweep:test"])
            .expect("arguments");
        assert_eq!(args.watch_namespaces, Scope::All);
        assert_eq!((args.lease_namespace, args.identity), (None, None));
        assert_eq!(args.lease_name, "pgsweep-operator");
        assert_eq!(args.stuck_after, Duration::from_mins(5));
        assert_eq!(args.preflight_retry, Duration::from_mins(1));
        assert_eq!(args.preflight_concurrency, 16);
    }

    #[test]
    fn durations_are_humane_and_not_zero() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0s"), Err(DurationProblem::TooShort));
        assert!(duration("5 minutes").is_err());
    }

    #[test]
    fn pull_policies_are_kubernetes_words() {
        for policy in PullPolicy::value_variants() {
            assert_eq!(PullPolicy::from_str(policy.as_str(), false), Ok(*policy));
        }
    }
}
