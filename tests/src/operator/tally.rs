//! How many objects were made and deleted in a namespace, by the API server's own audit log: what
//! an end state does not show.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use super::login::Login;
use crate::audit;
use crate::cluster::{Cluster, Namespace};

/// Who deletes what is in a namespace that goes.
const TAKES_DOWN: &str = "system:serviceaccount:kube-system:namespace-controller";

/// Objects by resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// CronJobs and Jobs made by whoever, and events made by the operator.
    pub created: BTreeMap<String, usize>,
    /// The same, deleted.
    pub deleted: BTreeMap<String, usize>,
}

impl Tally {
    /// Of all that was done in the namespace so far.
    pub fn of(namespace: &Namespace<'_>, login: &Login) -> Result<Self> {
        let mut tally = Self::default();
        let entries = entries(namespace.cluster(), namespace.name())?;
        // With its namespace some go one by one and some at once, as they are found.
        let is_taken_down = entries.iter().any(|entry| entry["user"]["username"] == TAKES_DOWN);
        for entry in entries {
            let resource = entry["objectRef"]["resource"].as_str().unwrap_or_default();
            let counts = match resource {
                "cronjobs" | "jobs" => true,
                "events" => entry["user"]["username"] == login.user(),
                _ => false,
            };
            let code = entry["responseStatus"]["code"].as_u64();
            if !counts || !entry["objectRef"]["subresource"].is_null() {
                continue;
            }
            // A server-side apply that makes the object is a patch.
            if code == Some(201) {
                *tally.created.entry(resource.to_owned()).or_default() += 1;
            } else if entry["verb"] == "delete" && code == Some(200) && !is_taken_down {
                *tally.deleted.entry(resource.to_owned()).or_default() += 1;
            }
        }
        Ok(tally)
    }

    /// What the operator wrote in the namespace, whether it was done or refused, in order: verb,
    /// path and status code.
    pub fn writes(namespace: &Namespace<'_>, login: &Login) -> Result<Vec<String>> {
        let all = entries(namespace.cluster(), namespace.name())?.into_iter();
        let writes = all.filter(|entry| {
            let reads = ["get", "list", "watch"].iter().any(|verb| entry["verb"] == *verb);
            entry["user"]["username"] == login.user() && !reads
        });
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(writes
            .map(|entry| {
                let code = &entry["responseStatus"]["code"];
                format!("{} {} {code}", text(&entry["verb"]), text(&entry["requestURI"]))
            })
            .collect())
    }
}

/// What was answered in the namespace, in order.
fn entries(cluster: &Cluster, namespace: &str) -> Result<Vec<Value>> {
    let mut entries = Vec::new();
    for path in audit::logs(cluster)? {
        let log = fs::read_to_string(&path)
            .with_context(|| format!("failed to read the audit log {}", path.display()))?;
        for line in log.lines().filter(|line| line.contains(namespace)) {
            // The last line may be half written.
            let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
            let dry = entry["requestURI"].as_str().is_some_and(|uri| uri.contains("dryRun="));
            let complete = entry["stage"] == "ResponseComplete";
            if entry["objectRef"]["namespace"] == namespace && complete && !dry {
                entries.push(entry);
            }
        }
    }
    Ok(entries)
}
