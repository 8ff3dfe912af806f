//! `cargo xtask demo`: the main job in two acts. Act one needs a Postgres, which is found or
//! fetched, and ends with the session API on it; act two a Kubernetes, which is built where the machine can, or named by `--context`.
//!
//! It cleans up behind itself, however it ends.

mod data;
mod kubernetes;
mod sessions;
mod show;
mod stage;

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use local_postgres::LocalPostgres;
use tests::settings::Settings;
use tests::{machine, progress};
use tokio::task::JoinHandle;

use crate::{process, workspace};

use data::SampleDatabase;
use sessions::SessionApi;
use show::{chapter, line};
use stage::Stage;

/// A policy of `examples/`.
struct Example {
    /// Its name and that of its file.
    name: &'static str,
    namespace: &'static str,
    /// Whether it runs as soon as it is applied.
    runs_at_once: bool,
}

impl Example {
    const fn new(name: &'static str, namespace: &'static str, runs_at_once: bool) -> Self {
        Self { name, namespace, runs_at_once }
    }

    fn file(&self) -> String {
        format!("examples/{}.yaml", self.name)
    }
}

/// The one that is shown at length.
const FIRST: Example = Example::new("table-talk-sessions", "table-talk", true);
const OTHERS: [Example; 4] = [
    Example::new("tarot-reading-sessions", "tarot", false),
    Example::new("after-hours-messages", "after-hours", false),
    Example::new("after-hours-sessions", "after-hours", false),
    Example::new("kitchen-sink", "kitchen", true),
];

/// What `cargo xtask demo` takes.
#[derive(clap::Args, Clone)]
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
    chapter("Act one: the example policies against a real Postgres");
    build_job()?;
    let obstacle = match &args.context {
        _ if args.no_cluster => Some("--no-cluster"),
        Some(_) => None,
        None => machine::cluster_obstacle(),
    };
    // What act two needs is made ready behind act one, and says nothing until that is over.
    progress::hold(true);
    let stage = obstacle.is_none().then(|| tokio::spawn(Stage::set(args.clone(), settings)));
    let postgres = start_postgres(settings, &[]).await?;
    let shown = act_one(&postgres).await;
    progress::hold(false);
    let api = shown?;
    match (stage, obstacle) {
        (Some(stage), _) => act_two(args, stage, &api).await?,
        (None, obstacle) => {
            if let Some(obstacle) = obstacle.filter(|_| !args.no_cluster) {
                line(&format!(
                    "Act two needs a Kubernetes, and this machine starts none: {obstacle}"
                ));
                line("Name one of yours with --context NAME --host-address IP.");
            }
            if args.keep {
                api.explain();
                until_interrupted().await?;
            }
        }
    }
    drop(api);
    postgres.stop()
}

async fn until_interrupted() -> Result<()> {
    line("Ctrl-C ends it");
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
}

async fn act_one(postgres: &LocalPostgres) -> Result<SessionApi> {
    line(&format!("{} ({})", postgres.version().unwrap_or("Postgres"), postgres.source()));
    line("filling the tables of examples/*.sql");
    let database = SampleDatabase::fill(&postgres.url("postgres")).await?;
    database.describe().await?;
    let job = workspace::target()?.join("debug/pgsweep");
    let run = |arguments: &[&str], example: &Example| {
        let file = example.file();
        show::command("pgsweep", arguments, &file);
        let mut command = process::program(&job);
        command.args(arguments).args(["--file", &file, "--log-level", "warn"]);
        process::run(command.env("DATABASE_URL", database.url()))
    };
    run(&["run", "--dry-run"], &FIRST)?;
    run(&["run"], &FIRST)?;
    run(&["run"], &FIRST)?;
    database.describe().await?;
    for example in &OTHERS {
        run(&["run"], example)?;
    }
    let api = SessionApi::start(&postgres.url("postgres")).await?;
    api.play(&job).await?;
    Ok(api)
}

async fn act_two(args: &Args, stage: JoinHandle<Result<Stage>>, api: &SessionApi) -> Result<()> {
    chapter("Act two: the same policies on Kubernetes");
    let stage = stage.await.context("the preparation of act two was cut off")??;
    let Stage { own, host, postgres, database, .. } = &stage;
    line(&format!("{} ({})", postgres.version().unwrap_or("Postgres"), postgres.source()));
    let target = stage.target(args);
    kubernetes::play(&target, database, *host).await?;
    if args.keep {
        kubernetes::explain(&target, database);
        api.explain();
        until_interrupted().await?;
    }
    if own.is_none() {
        kubernetes::clean_up(&target).await?;
    }
    stage.strike().await
}

fn build_job() -> Result<()> {
    line("building pgsweep (about two minutes when cold)");
    process::run(&mut process::cargo(["build", "--quiet", "--locked", "--package", "cleanup-job"]))
}

/// A Postgres of our own, which also listens on these addresses.
pub async fn start_postgres(settings: &Settings, also: &[IpAddr]) -> Result<LocalPostgres> {
    let mut options = local_postgres::Options::new(&settings.cache);
    options.listen_addresses.extend(also);
    tokio::task::spawn_blocking(move || LocalPostgres::start(&options)).await?
}
