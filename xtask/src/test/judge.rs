//! What is judged when all tests have run: what the API servers of all their clusters wrote down.

use std::path::Path;

use anyhow::{Result, bail};
use tests::audit;
use tests::audit::namespaces::Namespaces;
use tests::audit::permissions::{Grant, Permissions, granted};
use tests::audit::truth::History;
use tests::chart;
use tests::cluster::Cluster;

/// The operator's account, as the chart names it.
const ACCOUNT: &str = "pgsweep-operator";

/// Prints what is found; it is an error where there is anything. Permissions are joined with what was
/// asked for only after the `whole` suite: a part of it does not use all of them.
pub async fn judge(cluster: &Cluster, folder: &Path, whole: bool) -> Result<()> {
    let mut clusters = audit::collected(folder).await?;
    clusters.push(audit::logs(cluster)?);
    let mut permissions = Permissions::new(chart::NAMESPACE, ACCOUNT);
    let mut namespaces = Namespaces::default();
    let (mut lies, mut judged, mut excused) = (Vec::new(), 0, 0);
    for paths in &clusters {
        let mut history = History::default();
        audit::read(paths, |entry| {
            permissions.add(&entry);
            namespaces.add(&entry);
            history.add(&entry);
        })?;
        let verdict = history.judge();
        lies.extend(verdict.lies);
        judged += verdict.judged;
        excused += verdict.excused;
    }
    let clusters = clusters.len();
    println!(
        "status: {judged} states with Ready=True in {clusters} clusters, {excused} of them while \
         somebody else had changed the CronJob"
    );
    let mut findings = told("a status that was not true", &lies);
    println!("namespaces: {} requests about one", namespaces.requests());
    findings += told("a request about one namespace that names another", &namespaces.findings());
    println!("permissions: {} kinds of request", permissions.kinds());
    if whole {
        let grants = all_granted().await?;
        println!("permissions: {} granted, in two ways to install", grants.len());
        findings += told("permissions", &permissions.findings(&grants));
    }
    if findings > 0 {
        bail!("{findings} finding(s) in what the API servers wrote down");
    }
    Ok(())
}

/// With a `ClusterRole`, and with `Role`s in some namespaces.
async fn all_granted() -> Result<Vec<Grant>> {
    let mut grants = Vec::new();
    for values in [&[][..], &["--set", "watchNamespaces={watched}"][..]] {
        grants.extend(granted(&chart::rendered(values).await?, ACCOUNT));
    }
    grants.sort();
    grants.dedup();
    Ok(grants)
}

fn told(what: &str, findings: &[String]) -> usize {
    for finding in findings {
        println!("{what}: {finding}");
    }
    findings.len()
}
