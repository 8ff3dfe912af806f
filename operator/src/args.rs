//! Flags of the operator: all of its configuration, read once, in `main`.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};
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
    fn pull_policies_are_kubernetes_words() {
        for policy in PullPolicy::value_variants() {
            assert_eq!(PullPolicy::from_str(policy.as_str(), false), Ok(*policy));
        }
    }
}
