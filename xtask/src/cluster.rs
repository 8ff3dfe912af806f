//! `cargo xtask cluster up|down`: a Kubernetes that stays, for working with it by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;
use tests::cluster::{Cluster, Options};
use tests::settings::{self, Settings};
use tests::tools::Kubernetes;

/// What is done with it.
#[derive(Subcommand)]
pub enum Action {
    /// Starts it and prints how to use it
    Up {
        /// The version, 1.33 or 1.36; else the one of `PGSWEEP_KUBERNETES`, or the newest
        #[arg(long, value_name = "VERSION")]
        kubernetes: Option<Kubernetes>,
    },
    /// Stops the one that `up` started
    Down,
}

/// Does it.
pub fn run(action: &Action) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
    runtime.block_on(async {
        match action {
            Action::Up { kubernetes } => up(*kubernetes).await,
            Action::Down => down().await,
        }
    })
}

async fn up(wanted: Option<Kubernetes>) -> Result<()> {
    let mut options = Options::from_environment()?;
    options.kubernetes = wanted.unwrap_or(options.kubernetes);
    let record = record()?;
    if let Ok(state) = fs::read_to_string(&record)
        && let Ok(cluster) = Cluster::attach(Path::new(&state))
    {
        let found = cluster.kubernetes().await?;
        ensure!(
            wanted.is_none_or(|wanted| wanted == found),
            "one of Kubernetes {found} runs already; stop it by `cargo xtask cluster down`"
        );
        println!("It runs already.");
        return print_usage(&cluster, found);
    }
    let version = options.kubernetes;
    let cluster = Cluster::start(options).await?;
    print_usage(&cluster, version)?;
    let state = cluster.detach()?;
    fs::write(&record, state.to_string_lossy().as_bytes())
        .with_context(|| format!("cannot write {}", record.display()))
}

async fn down() -> Result<()> {
    let record = record()?;
    let Ok(state) = fs::read_to_string(&record) else {
        println!("No cluster was started by `cargo xtask cluster up`.");
        return Ok(());
    };
    // One that died with the machine is gone already.
    if let Ok(cluster) = Cluster::attach(Path::new(&state)) {
        cluster.stop().await?;
        println!("stopped {state}");
    }
    fs::remove_file(&record).with_context(|| format!("cannot remove {}", record.display()))
}

/// Where `up` notes which cluster is ours: others run beside it, for tests.
fn record() -> Result<PathBuf> {
    Ok(Settings::get()?.cache.join("cluster-up"))
}

fn print_usage(cluster: &Cluster, version: Kubernetes) -> Result<()> {
    let mut usage = String::new();
    writeln!(usage, "export KUBECONFIG={}", cluster.kubeconfig().display())?;
    writeln!(usage, "export PATH={}:$PATH", cluster.bin_dir().display())?;
    writeln!(usage, "export {}={}", settings::CLUSTER, cluster.state().display())?;
    writeln!(usage, "export {}={version}", settings::KUBERNETES)?;
    println!(
        "Kubernetes {version} runs until `cargo xtask cluster down`. To use it, and to run tests on it:\n\n{usage}"
    );
    Ok(())
}
