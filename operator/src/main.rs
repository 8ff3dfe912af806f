//! `pgsweep-operator`: see [`args::Args`] for what it does, and
//! [`controller`] for how.

mod args;
mod backoff;
mod controller;
mod metrics;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::CommandFactory as _;
use clap::error::ErrorKind;
use kube::{Client, Config};
use policy::PolicyName;
use runtime::admin::{Admin, Readiness};

use args::{Args, Task, VerifyArgs};
use controller::{Context, JobSettings, chain};
use metrics::Metrics;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Longer than a watch lives (290 s), so that a quiet one is not taken for a dead one.
const READ_TIMEOUT: Duration = Duration::from_mins(5);
/// The client logs each failed request that we log, too, where it is handled.
const LOGGED_BY_US: &str = "kube_client::client::builder=off";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let Args { job_image, job_image_pull_policy, listen, concurrency, log: _ } = args;
    use_tls()?;
    let shutdown = runtime::shutdown::token();

    let mut config = Config::infer().await.context("failed to find the cluster")?;
    // It tries up to 15 times, for minutes; the controller knows better when to try again.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    let client = Client::try_from(config).context("failed to set up the Kubernetes client")?;

    let registry = runtime::metrics::registry().context("failed to set up the metrics")?;
    let metrics = Metrics::new(&registry).context("failed to register the metrics")?;
    let readiness = Readiness::default();
    let of_policies = metrics.clone();
    let more = move |page: &mut String| of_policies.write_policies(page, controller::now());
    let admin = Admin::bind(listen, registry, more, readiness.clone()).await?;
    let settings = JobSettings { image: job_image, image_pull_policy: job_image_pull_policy };
    let context = Context { client, settings, metrics, concurrency };
    tokio::try_join!(
        async { admin.serve(shutdown.clone()).await.map_err(anyhow::Error::from) },
        async { Ok(controller::run(context, readiness, shutdown.clone()).await?) },
    )?;
    Ok(())
}

async fn verify(args: VerifyArgs) -> anyhow::Result<()> {
    let VerifyArgs { namespace, policy: name, reason, timeout, log: _ } = args;
    use_tls()?;
    let client = Client::try_default().await.context("failed to set up the Kubernetes client")?;
    let policy = PolicyName { namespace, name };
    let said = verify::verify(client, policy.clone(), reason, timeout).await?;
    tracing::info!(policy.namespace, policy.name, "{policy} says {said}");
    Ok(())
}

fn use_tls() -> anyhow::Result<()> {
    let provider = rustls::crypto::ring::default_provider();
    provider.install_default().map_err(|_| anyhow!("a TLS provider was installed before ours"))
}
