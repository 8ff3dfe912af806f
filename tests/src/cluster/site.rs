//! The place of one cluster: its number, and from it its addresses, its names and its folder.
//!
//! Clusters of several processes live side by side; the number is what keeps them apart.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::command::run;
use crate::progress::say;
use crate::tools::Tools;

/// Ends a cluster; see the file.
pub const STOP: &str = include_str!("stop.sh");

/// Where a cluster is.
#[derive(Debug, Clone)]
pub struct Site {
    number: u8,
    folder: PathBuf,
}

/// What others must know to use a cluster that they did not start: a file in its folder.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// The process whose end is the end of the cluster; none once the cluster is on its own.
    pub owner: Option<Process>,
    /// The process that holds the namespaces; none while the cluster is being started.
    pub keeper: Option<Process>,
    pub tools: Tools,
}

/// The part of a record that says whether a cluster lives: one of another checkout may have other
/// tools, and must not be taken for dead.
#[derive(Deserialize)]
struct Life {
    owner: Option<Process>,
    keeper: Option<Process>,
}

impl Site {
    /// Takes the next free number, after removing what runs that died have left.
    pub fn claim(cache: &Path, tools: &Tools) -> Result<Self> {
        let clusters = parent(cache)?;
        // Held until the record says who owns the new folder.
        let lock =
            File::create(clusters.join("lock")).context("failed to create the clusters' lock")?;
        lock.lock().context("failed to lock the clusters' folder")?;
        for site in Self::all(cache)? {
            if !site.is_in_use() {
                say(&format!("removing what a dead run left in {}", site.folder.display()));
                site.stop()?;
            }
        }
        // Never the number of a cluster that ended just now: what still clears up after it goes by
        // its name, and would take the new one for the old.
        let last_path = clusters.join("last");
        let last = fs::read_to_string(&last_path).ok().and_then(|text| text.trim().parse().ok());
        let last: u8 = last.unwrap_or(0);
        let numbers =
            (1..=u8::MAX).map(|step| last.wrapping_add(step)).filter(|number| *number > 0);
        for number in numbers {
            let site = Self { number, folder: clusters.join(number.to_string()) };
            // Another cache folder may have a cluster of this number on the same machine.
            let taken = Path::new("/sys/class/net").join(site.name()).exists();
            if !taken && !site.folder.exists() {
                fs::create_dir(&site.folder)
                    .with_context(|| format!("failed to create {}", site.folder.display()))?;
                let owner = Some(Process::own()?);
                site.write(&Record { owner, keeper: None, tools: tools.clone() })?;
                fs::write(&last_path, number.to_string())
                    .with_context(|| format!("failed to write {}", last_path.display()))?;
                return Ok(site);
            }
        }
        bail!("all 255 numbers of clusters are taken; see {}", clusters.display())
    }

    /// The site of a cluster that exists.
    pub fn open(folder: &Path) -> Result<Self> {
        let number = folder.file_name().and_then(|name| name.to_str()?.parse().ok());
        let number =
            number.with_context(|| format!("{} is no cluster's state folder", folder.display()))?;
        Ok(Self { number, folder: folder.to_path_buf() })
    }

    /// The sites of all clusters under a cache folder, running or not.
    pub fn all(cache: &Path) -> Result<Vec<Self>> {
        let clusters = parent(cache)?;
        let entries = fs::read_dir(&clusters)
            .with_context(|| format!("failed to list {}", clusters.display()))?;
        let mut sites = Vec::new();
        for entry in entries {
            let path =
                entry.with_context(|| format!("failed to list {}", clusters.display()))?.path();
            if path.is_dir() {
                sites.push(Self::open(&path)?);
            }
        }
        sites.sort_by_key(|site| site.number);
        Ok(sites)
    }

    /// The name of its link, its cgroup, and the prefix of its containers.
    pub fn name(&self) -> String {
        format!("pgsweep-{}", self.number)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file or folder under the state folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A component's log.
    pub fn log(&self, program: &str) -> PathBuf {
        self.folder.join("log").join(format!("{program}.log"))
    }

    /// The host, as the cluster sees it.
    pub fn host_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 87, self.number, 1)
    }

    /// The node, as the host sees it.
    pub fn node_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 87, self.number, 2)
    }

    pub fn write(&self, record: &Record) -> Result<()> {
        let text =
            serde_json::to_string_pretty(record).context("failed to write a cluster's record")?;
        let path = self.path("cluster.json");
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
    }

    pub fn record(&self) -> Result<Record> {
        self.read()
    }

    /// Whether somebody owns it, or it runs on its own.
    pub fn is_in_use(&self) -> bool {
        let Ok(record) = self.read::<Life>() else { return false };
        match record.owner {
            Some(owner) => owner.is_alive(),
            None => record.keeper.is_some_and(|keeper| keeper.is_alive()),
        }
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T> {
        let path = self.path("cluster.json");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}: is the cluster up?", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Ends the cluster and removes every trace of it.
    pub fn stop(&self) -> Result<()> {
        run(Command::new("sh").args(["-c", STOP, "stop", "now", &self.name()]).arg(&self.folder))
            .with_context(|| format!("failed to remove the cluster of {}", self.folder.display()))?;
        Ok(())
    }
}

fn parent(cache: &Path) -> Result<PathBuf> {
    let hidden = ["/run", "/var/lib", "/var/log"];
    ensure!(
        !hidden.iter().any(|folder| cache.starts_with(folder)),
        "a cluster cannot keep its state in {}, since it hides that folder from its programs; name \
         another one by PGSWEEP_CACHE",
        cache.display()
    );
    let clusters = cache.join("clusters");
    fs::create_dir_all(&clusters)
        .with_context(|| format!("failed to create {}", clusters.display()))?;
    Ok(clusters)
}
