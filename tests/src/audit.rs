//! What the API servers of a run of the tests wrote down, and what it proves of the operator: that it
//! has exactly the permissions which it uses, that no request about a policy names another
//! namespace, and that a status never says more than is true.
//!
//! Each cluster keeps a log of its own, which goes with it. So `stop.sh` leaves what is about the
//! operator in the folder that [`crate::settings::AUDIT`] names, and `cargo xtask test` judges all of
//! it at its end. Nothing is judged while a cluster may still write: see [`collected`].

mod entry;
pub mod namespaces;
pub mod permissions;
pub mod truth;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Cluster;
use crate::wait;

pub use entry::Entry;

/// For the last clusters of the tests to be gone.
const STOP: Duration = Duration::from_mins(2);

/// Notes that a cluster will leave its log, by the name that `stop.sh` knows it by.
pub(crate) fn expect(folder: &Path, cluster: &str) -> Result<()> {
    let path = folder.join(format!("{cluster}.running"));
    File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
    Ok(())
}

/// The logs that clusters left, once all of them are gone: one list of files for each cluster.
pub async fn collected(folder: &Path) -> Result<Vec<Vec<PathBuf>>> {
    let of_kind = |kind: &str| -> Result<Vec<PathBuf>> {
        let entries =
            fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|found| found == kind)).collect();
        paths.sort();
        Ok(paths)
    };
    wait::until("the tests' clusters to be gone", STOP, async || {
        let all_gone = of_kind("running")?.is_empty() && of_kind("taken")?.is_empty();
        Ok(all_gone.then_some(()))
    })
    .await?;
    Ok(of_kind("log")?.into_iter().map(|path| vec![path]).collect())
}

/// The log of a cluster that runs, after the ones that were put aside when they had grown too large.
pub fn logs(cluster: &Cluster) -> Result<Vec<PathBuf>> {
    let last = cluster.audit_log();
    let folder = fs::read_dir(cluster.state()).context("failed to list the cluster's folder")?;
    let paths = folder.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("audit-") && name.ends_with(".log")
        })
        .collect();
    paths.sort();
    paths.push(last);
    Ok(paths)
}

/// Reads what was done by an operator, or to a policy or CronJob, in the order of the answers.
pub fn read(paths: &[PathBuf], mut each: impl FnMut(Entry)) -> Result<()> {
    for path in paths {
        let what = || format!("failed to read the audit log {}", path.display());
        let lines = BufReader::new(File::open(path).with_context(what)?).lines();
        for line in lines {
            // The last line may be half written.
            if let Some(entry) = Entry::read(&line.with_context(what)?) {
                each(entry);
            }
        }
    }
    Ok(())
}
