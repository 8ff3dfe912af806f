//! `cargo xtask demo`: the main job in two acts. Act one needs a Postgres, which is found or
//! fetched; act two a Kubernetes, which is built where the machine can, or named by `--context`.
//!
//! It cleans up behind itself, however it ends.

mod data;
mod kubernetes;
mod show;

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use local_postgres::LocalPostgres;
use tests::cluster::{Cluster, Options};
use tests::machine;
use tests::settings::Settings;

use crate::{process, workspace};

use data::SampleDatabase;
use show::{chapter, line};

/// The policy that the demo runs.
const POLICY: &str = "examples/table-talk-sessions.yaml";

/// What `cargo xtask demo` takes.
#[derive(clap::Args)]
pub struct Args {
    /// End after act one: no Kubernetes
    #[arg(long)]
    no_cluster: bool,
    /// Use this context of your kubeconfig in place of a Kubernetes that the demo starts
    #[arg(long, value_name = "NAME", requires = "host_address", conflicts_with = "no_cluster")]
    context: Option<String>,
    /// The address of this machine under which pods of that cluster reach it
    #[arg(long, value_name = "IP", requires = "context")]
    host_address: Option<IpAddr>,
    /// Loads an image into that cluster; {} is its file: 'kind load image-archive {}'
    #[arg(long, value_name = "COMMAND", requires = "context")]
    load_image: Option<String>,
    /// Leave all running at the end, until Ctrl-C, and say how to look at it
    #[arg(long)]
    keep: bool,
}

/// Plays both acts, or the first where the machine has no Kubernetes.
pub fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
    runtime.block_on(async {
        tokio::select! {
            result = acts(args) => result,
            _ = tokio::signal::ctrl_c() => {
                line("stopping");
                Ok(())
            }
        }
    })
}

async fn acts(args: &Args) -> Result<()> {
    let settings = Settings::get()?;
    // The job is built with the cluster's address unknown, and Postgres listens where pods reach
    // it: so the cluster, where there is one to come, is started between the acts.
    act_one(settings).await?;
    if args.no_cluster {
        return Ok(());
    }
    if let (None, Some(obstacle)) = (&args.context, machine::cluster_obstacle()) {
        line(&format!("Act two needs a Kubernetes, and this machine starts none: {obstacle}"));
        line("Name one of yours with --context NAME --host-address IP.");
        return Ok(());
    }
    act_two(args, settings).await
}

async fn act_one(settings: &Settings) -> Result<()> {
    chapter("Act one: a policy against a real Postgres");
    build_job()?;
    let postgres = start_postgres(settings, &[]).await?;
    let database = SampleDatabase::fill(&postgres.url("postgres")).await?;
    database.describe().await?;
    let job = workspace::target()?.join("debug/pgsweep");
    let url = &database.url();
    for arguments in [&["run", "--dry-run"][..], &["run"], &["run"]] {
        show::command("pgsweep", arguments, POLICY);
        let mut command = process::program(&job);
        command.args(arguments).args(["--file", POLICY, "--log-level", "warn"]);
        process::run(command.env("DATABASE_URL", url))?;
    }
    database.describe().await?;
    postgres.stop()
}

async fn act_two(args: &Args, settings: &Settings) -> Result<()> {
    chapter("Act two: the same policy on Kubernetes");
    let images = build_images().await?;
    let own = match &args.context {
        Some(_) => None,
        None => Some(Cluster::start(Options::from_environment()?).await?),
    };
    let host = match (&own, args.host_address) {
        (Some(cluster), _) => IpAddr::V4(cluster.host_address()),
        (None, Some(address)) => address,
        (None, None) => anyhow::bail!("--context needs --host-address"),
    };
    let postgres = start_postgres(settings, &[host]).await?;
    let database = SampleDatabase::fill(&postgres.url("postgres")).await?;
    let target = match (&own, &args.context) {
        (Some(cluster), _) => kubernetes::Target::Own(cluster),
        (None, context) => kubernetes::Target::Context {
            name: context.clone().unwrap_or_default(),
            load: args.load_image.clone(),
            helm: tests::tools::helm(&settings.cache)?,
        },
    };
    kubernetes::play(&target, &images, &database, host).await?;
    if args.keep {
        kubernetes::explain(&target, &database);
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    }
    kubernetes::clean_up(&target).await?;
    postgres.stop()?;
    match own {
        Some(cluster) => cluster.stop().await,
        None => Ok(()),
    }
}

fn build_job() -> Result<()> {
    line("building pgsweep (about two minutes when cold)");
    process::run(&mut process::cargo(["build", "--quiet", "--locked", "--package", "cleanup-job"]))
}

async fn build_images() -> Result<Vec<tests::image::ReleaseImage>> {
    let target = workspace::target()?;
    let build = move || tests::image::build_release_images(workspace::root(), &target);
    tokio::task::spawn_blocking(build).await?
}

async fn start_postgres(settings: &Settings, also: &[IpAddr]) -> Result<LocalPostgres> {
    let mut options = local_postgres::Options::new(&settings.cache);
    options.listen_addresses.extend(also);
    let postgres = tokio::task::spawn_blocking(move || LocalPostgres::start(&options)).await??;
    line(&format!("{} ({})", postgres.version().unwrap_or("Postgres"), postgres.source()));
    Ok(postgres)
}
