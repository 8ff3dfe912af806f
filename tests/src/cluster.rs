//! A real Kubernetes of one node, started here: every component is a process of this machine.
//!
//! It runs in a network and a mount namespace and in cgroups of its own, so several can run at
//! once, nothing of it shows on the host but one network link, and all of it is gone when its
//! processes are. It must never touch the host's iptables, mounts, kernel settings or images.
//!
//! Its state folder says all about it: `kubeconfig`, `log/`, `audit.log`, `bin/kubectl`.

mod api;
mod certificates;
mod client;
mod component;
mod configuration;
mod fault;
mod leash;
mod namespace;
mod process;
mod sandbox;
mod site;
mod start;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use api::Api;
pub use component::Component;
pub use namespace::Namespace;
pub use process::Process;

use crate::settings::Settings;
use crate::tools::{Kubernetes, Tools};
use leash::Leash;
use site::{Record, Site};

/// The node's name.
pub const NODE: &str = "node";

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where tools and state are kept.
    pub cache: PathBuf,
    /// The version of all components.
    pub kubernetes: Kubernetes,
    /// Whether the audit log keeps what is sent and stored, for [`crate::audit`]: it costs time that
    /// is not to be measured.
    pub is_judged: bool,
}

impl Options {
    /// What the environment says of it.
    pub fn from_environment() -> Result<Self> {
        let Settings { cache, kubernetes, audit, .. } = Settings::get()?;
        let (cache, kubernetes) = (cache.clone(), *kubernetes);
        Ok(Self { cache, kubernetes, is_judged: audit.is_some() })
    }
}

/// A running cluster. Dropping it stops it, unless it was started by somebody else.
#[derive(Debug)]
pub struct Cluster {
    site: Site,
    tools: Tools,
    keeper: Process,
    /// Only the one who started it holds it.
    leash: Option<Leash>,
}

impl Cluster {
    /// Starts a cluster and returns when its node is ready: in seconds, but the first time on a
    /// machine in minutes, since Kubernetes is built then.
    pub async fn start(options: Options) -> Result<Self> {
        blocking(move || start::start(&options)).await
    }

    /// Uses a cluster that somebody else started, by its state folder.
    pub fn attach(state: &Path) -> Result<Self> {
        let site = Site::open(state)?;
        let Record { keeper, tools, .. } = site.record()?;
        let keeper = keeper.filter(Process::is_alive).with_context(|| {
            format!("the cluster of {} does not run (any more): start it anew", state.display())
        })?;
        Ok(Self { site, tools, keeper, leash: None })
    }

    /// The state folders of all clusters that run under a cache folder.
    pub fn running(cache: &Path) -> Result<Vec<PathBuf>> {
        let sites = Site::all(cache)?.into_iter().filter(Site::is_in_use);
        Ok(sites.map(|site| site.folder().to_path_buf()).collect())
    }

    /// Lets the cluster go on after this process; returns its state folder, by which
    /// [`Cluster::attach`] finds it to use it and to stop it.
    pub fn detach(mut self) -> Result<PathBuf> {
        let record = Record { owner: None, keeper: Some(self.keeper), tools: self.tools.clone() };
        self.site.write(&record)?;
        let leash = self.leash.take().context("only who started a cluster can detach it")?;
        leash.release()?;
        Ok(self.site.folder().to_path_buf())
    }

    /// Stops it and removes every trace, whoever started it; fails when something is left.
    pub async fn stop(mut self) -> Result<()> {
        let (leash, site) = (self.leash.take(), self.site.clone());
        blocking(move || match leash {
            Some(leash) => leash.end(),
            None => site.stop(),
        })
        .await
    }

    /// The state folder: what `PGSWEEP_TEST_CLUSTER` names.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.site.folder()
    }

    /// An administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.site.path("kubeconfig")
    }

    /// A folder with `kubectl` and `helm`, for a human's `PATH`.
    #[must_use]
    pub fn bin_dir(&self) -> PathBuf {
        self.site.path("bin")
    }

    /// Every request to the API server, a line of JSON each: who, what, which answer.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.site.path("audit.log")
    }

    /// The log of a component.
    #[must_use]
    pub fn log(&self, component: Component) -> PathBuf {
        self.site.log(component.name())
    }

    /// Where pods reach servers on the host, like a Postgres that listens on this address.
    #[must_use]
    pub fn host_address(&self) -> Ipv4Addr {
        self.site.host_address()
    }

    /// Where the host reaches the API server (port 6443) and the node.
    #[must_use]
    pub fn node_address(&self) -> Ipv4Addr {
        self.site.node_address()
    }
}

/// Runs what blocks where it does not hold up other tasks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("the work on a cluster was cut off")?
}
