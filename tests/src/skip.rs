//! A test that this machine cannot run says so in one line and passes; in CI it fails.

use std::fs::OpenOptions;
use std::io::Write;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::cluster::{Cluster, Options};
use crate::machine;
use crate::progress::say;
use crate::settings::{CLUSTER, Settings};

/// The cluster that the tests share, or nothing where the test is to be skipped.
pub async fn cluster() -> Result<Option<Cluster>> {
    match &Settings::get()?.cluster {
        Some(state) => Ok(Some(Cluster::attach(state)?)),
        None => skip(&why_no_cluster()),
    }
}

/// A cluster of the test's own, for tests that break one, or nothing where the test is to be
/// skipped. It runs beside the shared one.
pub async fn own_cluster() -> Result<Option<Cluster>> {
    if Settings::get()?.cluster.is_none() {
        return skip(&why_no_cluster());
    }
    if let Some(obstacle) = machine::cluster_obstacle() {
        return skip(obstacle);
    }
    Ok(Some(Cluster::start(Options::from_environment()?).await?))
}

/// Skips the test that calls it, and says why and how to enable it.
pub fn skip<T>(reason: &str) -> Result<Option<T>> {
    let settings = Settings::get()?;
    let test = thread::current().name().unwrap_or("a test").to_owned();
    if settings.ci {
        bail!("{test} cannot run, which CI=true does not allow: {reason}");
    }
    let line = format!("skipped {test}: {reason}");
    say(&line);
    if let Some(path) = &settings.skips {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            // One write: tests of other processes append at the same time.
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .with_context(|| format!("failed to note the skipped test in {}", path.display()))?;
    }
    Ok(None)
}

fn why_no_cluster() -> String {
    match machine::cluster_obstacle() {
        Some(obstacle) => obstacle.to_owned(),
        None => format!(
            "{CLUSTER} names no cluster; run `cargo xtask test`, or `cargo xtask cluster up` first"
        ),
    }
}
