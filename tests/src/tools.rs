//! The programs that the test bed needs: built once, from package registries only, and kept in the
//! cache folder under a name that changes when what goes into them changes.

mod go;
mod kubernetes;
mod promtool;
mod store;
mod system;

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::checkout;

pub use kubernetes::Kubernetes;
pub use promtool::promtool;
pub(crate) use system::{MUSL, require_packages};

const CONTAINERD: go::Install = go::Install {
    name: "containerd",
    version: "2.4.2",
    about: "once on this machine, about 2 minutes",
    packages: &[
        "github.com/containerd/containerd/v2/cmd/containerd",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        "github.com/containerd/containerd/v2/cmd/ctr",
    ],
};
const HELM: go::Install = go::Install {
    name: "helm",
    version: "4.3.1",
    about: "once on this machine, about 2 minutes",
    packages: &["helm.sh/helm/v4/cmd/helm"],
};

/// Everything that a cluster runs, ready to be started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tools {
    /// Every Kubernetes component and `kubectl` in one file.
    pub kubernetes: PathBuf,
    /// The folder with `containerd`, its shim and `ctr`.
    pub containerd: PathBuf,
    /// The cluster's name server.
    pub coredns: PathBuf,
    /// Helm.
    pub helm: PathBuf,
    /// The first process of every pod.
    pub pause: PathBuf,
    /// The folder with the CNI plugins.
    pub cni: PathBuf,
}

impl Tools {
    /// Builds what the cache does not have yet, and installs what the system lacks.
    pub fn prepare(cache: &Path, kubernetes: Kubernetes) -> Result<Self> {
        require_packages(&system::NODE)?;
        Ok(Self {
            pause: pause(cache)?,
            helm: helm(cache)?,
            containerd: CONTAINERD.build(cache)?,
            coredns: coredns().build(cache)?,
            kubernetes: kubernetes.build(cache)?,
            cni: system::cni_plugins()?,
        })
    }
}

/// The pause program; see `tests/kubernetes/pause`.
pub fn pause(cache: &Path) -> Result<PathBuf> {
    own("pause", "once on this machine, a few seconds").build(cache)
}

/// The name server; see `tests/kubernetes/coredns`.
fn coredns() -> go::Module {
    own("coredns", "once on this machine, about 2 minutes")
}

fn own(program: &'static str, about: &'static str) -> go::Module {
    go::Module {
        program,
        title: format!("building {program}"),
        about,
        link_flags: go::LINK_SMALL.to_owned(),
        source: sources().join(program),
    }
}

/// Helm's newest major version.
pub fn helm(cache: &Path) -> Result<PathBuf> {
    Ok(HELM.build(cache)?.join("helm"))
}

/// Whether this machine has what the tools are built with.
#[must_use]
pub fn can_build() -> bool {
    go::is_installed()
}

/// What a test bed is made of, and whether the cache has it: what is not there the first start
/// builds.
pub fn inventory(cache: &Path) -> Result<Vec<(String, bool)>> {
    let mut found = Vec::new();
    for version in Kubernetes::ALL {
        found.push((format!("Kubernetes {version}"), version.is_built(cache)?));
    }
    for program in [CONTAINERD, HELM] {
        found.push((program.to_string(), program.is_built(cache)));
    }
    found.push(("coredns".to_owned(), coredns().is_built(cache)?));
    found.push(("promtool".to_owned(), promtool::is_there(cache)));
    Ok(found)
}

/// The Go modules of the test bed, in this checkout.
fn sources() -> PathBuf {
    checkout::root().join("tests/kubernetes")
}
