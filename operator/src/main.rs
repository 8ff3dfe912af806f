//! `pgsweep-operator`: see [`args::Args`] for what it does, and
//! [`controller`] for how.

mod args;
mod backoff;
mod client;
mod controller;
mod leader;
mod metrics;
mod task;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::CommandFactory as _;
use clap::error::ErrorKind;
use kube::Config;
use policy::PolicyName;
use runtime::admin::{Admin, Readiness};
use tokio_util::sync::CancellationToken;

use args::Args;
use controller::{Context, JobSettings, Limits, chain};
use leader::{Candidate, Gate, Keeper, LeaseName};
use metrics::Metrics;
use task::{Task, VerifyArgs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// kube logs each failed request that we log, too, where it is handled.
const LOGGED_BY_US: &str = "kube_client::client::builder=off,kube_runtime::watcher=off";
/// No request that the API server understands takes this long; a reconcile has three times as much.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    let task = Task::parse();
    let filter = format!("{LOGGED_BY_US},{}", task.log().log_level);
    if let Err(error) = runtime::log::init(&filter, task.log().log_format) {
        Args::command().error(ErrorKind::ValueValidation, chain(&error)).exit();
    }
    let ended = match task {
        Task::Operate(args) => run(args).await,
        Task::Verify(args) => verify(args).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        job_image,
        job_image_pull_policy,
        listen,
        concurrency,
        watch_namespaces,
        lease_namespace,
        lease_name,
        identity,
        stuck_after,
        preflight_retry,
        preflight_concurrency,
        log: _,
    } = args;
    use_tls()?;
    let shutdown = runtime::shutdown::token();

    let mut config = Config::infer().await.context("failed to find the cluster")?;
    // Of two that have the same name each would take the other's lease for its own.
    let identity = format!("{}_{:08x}", identity.unwrap_or_else(host_name), rand::random::<u32>());
    client::sign(&mut config, &identity);
    let lease = lease_namespace.map(|namespace| LeaseName { namespace, name: lease_name });
    let (gate, candidate) = election(&config, lease, identity)?;
    let client = client::client(config, &gate, PATIENCE)
        .context("failed to set up the Kubernetes client")?;

    let registry = runtime::metrics::registry().context("failed to set up the metrics")?;
    let metrics = Metrics::new(&registry).context("failed to register the metrics")?;
    let readiness = Readiness::default();
    let of_policies = metrics.clone();
    let more = move |page: &mut String| of_policies.write_policies(page, controller::now());
    let admin = Admin::bind(listen, registry, more, readiness.clone()).await?;
    let settings = JobSettings { image: job_image, image_pull_policy: job_image_pull_policy };
    let limits = Limits { concurrency, preflight_concurrency, preflight_retry, stuck_after };
    let (known, done) = (CancellationToken::new(), CancellationToken::new());
    let scope = watch_namespaces;
    let context = Context { client, gate, known: known.clone(), scope, settings, limits, metrics };

    // The lease is given back when no reconcile runs any more, also when a watch broke.
    let work = async {
        let _ends = (shutdown.clone().drop_guard(), done.clone().drop_guard());
        controller::run(context, readiness, shutdown.clone()).await
    };
    let ((), (), worked) = tokio::try_join!(
        async { admin.serve(shutdown.clone()).await.map_err(anyhow::Error::from) },
        async {
            match candidate {
                Some(candidate) => Ok(candidate.run(&known, &done).await?),
                None => Ok(()),
            }
        },
        async { Ok(work.await) },
    )?;
    Ok(worked?)
}

/// The gate of this operator, and its part in the election, where there is one.
fn election(
    config: &Config,
    lease: Option<LeaseName>,
    identity: String,
) -> anyhow::Result<(Gate, Option<Candidate>)> {
    let Some(lease) = lease else { return Ok((Gate::AlwaysOpen, None)) };
    // With connections of its own: a renewal does not queue behind the writes that it allows.
    let client = client::client(config.clone(), &Gate::AlwaysOpen, leader::PATIENCE)
        .context("failed to set up the Kubernetes client of the lease")?;
    let (keeper, gate) = Keeper::new();
    let candidate = Candidate::new(client, lease, identity, keeper, controller::now);
    Ok((gate, Some(candidate)))
}

/// As the kernel has it: in a pod, the pod's name. Only people read it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "pgsweep-operator".to_owned() } else { name.to_owned() }
}

async fn verify(args: VerifyArgs) -> anyhow::Result<()> {
    let VerifyArgs { namespace, policy: name, reason, timeout, log: _ } = args;
    use_tls()?;
    let config = Config::infer().await.context("failed to find the cluster")?;
    let client = client::client(config, &Gate::AlwaysOpen, PATIENCE)
        .context("failed to set up the Kubernetes client")?;
    let policy = PolicyName { namespace, name };
    let said = verify::verify(client, policy.clone(), reason, timeout).await?;
    tracing::info!(policy.namespace, policy.name, "{policy} says {said}");
    Ok(())
}

fn use_tls() -> anyhow::Result<()> {
    let provider = rustls::crypto::ring::default_provider();
    provider.install_default().map_err(|_| anyhow!("a TLS provider was installed before ours"))
}
