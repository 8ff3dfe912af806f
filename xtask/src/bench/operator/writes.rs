//! What the operator wrote, by the API server's own audit log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::process::Bench;

/// Longer than anything waits that is to be written.
const QUIET: Duration = Duration::from_secs(5);

/// The writes since a moment.
pub struct Writes<'a> {
    bench: &'a Bench,
    from: u64,
}

impl<'a> Writes<'a> {
    /// From now on.
    pub fn since_now(bench: &'a Bench) -> Result<Self> {
        let log = std::fs::metadata(bench.cluster.audit_log()).context("there is no audit log")?;
        Ok(Self { bench, from: log.len() })
    }

    /// Waits until the operator has told of all that it did: nothing is written for a while.
    pub async fn wait_for_quiet(bench: &'a Bench) -> Result<()> {
        loop {
            let writes = Self::since_now(bench)?;
            tokio::time::sleep(QUIET).await;
            if writes.count()? == 0 {
                return Ok(());
            }
        }
    }

    /// How many there were.
    pub fn count(&self) -> Result<usize> {
        Ok(self.by_kind()?.values().sum())
    }

    /// How many of each kind there were.
    pub fn kinds(&self) -> Result<String> {
        let kinds = self.by_kind()?;
        let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        Ok(kinds.join(", "))
    }

    fn by_kind(&self) -> Result<BTreeMap<String, usize>> {
        let mut file = File::open(self.bench.cluster.audit_log())?;
        file.seek(SeekFrom::Start(self.from))?;
        let user = self.bench.login.user();
        let mut kinds = BTreeMap::new();
        for line in BufReader::new(file).lines() {
            let line = line?;
            if !line.contains(user) {
                continue;
            }
            let entry: Value = serde_json::from_str(&line)?;
            let reads = ["get", "list", "watch"].map(Value::from).contains(&entry["verb"]);
            let lease = entry["objectRef"]["resource"] == "leases";
            if entry["user"]["username"] == user && !reads && !lease {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let resource = text(&entry["objectRef"]["resource"]);
                *kinds.entry(format!("{} {resource}", text(&entry["verb"]))).or_default() += 1;
            }
        }
        Ok(kinds)
    }
}
