//! `cargo xtask cluster up|down`: a Kubernetes that stays, for working with it by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use tests::cluster::{Cluster, Options};
use tests::settings::{self, Settings};

/// What is done with it.
#[derive(Subcommand)]
pub enum Action {
    /// Starts it and prints how to use it
    Up,
    /// Stops the one that `up` started
    Down,
}

/// Does it.
pub fn run(action: &Action) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
    runtime.block_on(async {
        match action {
            Action::Up => up().await,
            Action::Down => down().await,
        }
    })
}

async fn up() -> Result<()> {
    let record = record()?;
    if let Ok(state) = fs::read_to_string(&record)
        && let Ok(cluster) = Cluster::attach(Path::new(&state))
    {
        println!("It runs already.");
        return print_usage(&cluster);
    }
    let cluster = Cluster::start(Options::from_environment()?).await?;
    print_usage(&cluster)?;
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

fn print_usage(cluster: &Cluster) -> Result<()> {
    let mut usage = String::new();
    writeln!(usage, "export KUBECONFIG={}", cluster.kubeconfig().display())?;
    writeln!(usage, "export PATH={}:$PATH", cluster.bin_dir().display())?;
    writeln!(usage, "export {}={}", settings::CLUSTER, cluster.state().display())?;
    println!(
        "It runs until `cargo xtask cluster down`. To use it, and to run tests on it:\n\n{usage}"
    );
    Ok(())
}
