//! The programs that the test bed needs: built once, from package registries only, and kept in the
//! cache folder under a name that changes when what goes into them changes.

mod go;
mod store;
mod system;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::command::run;
use crate::progress::{Step, say};

pub(crate) use system::{MUSL, require_packages};

/// Kubernetes' newest minor version here: a folder under `tests/kubernetes`.
pub const NEWEST_KUBERNETES: &str = "1.36";

const CONTAINERD_VERSION: &str = "2.4.2";
const HELM_VERSION: &str = "4.3.1";
/// Of a Prometheus 3 its Go module has the version 0.3xx.
const PROMETHEUS_VERSION: &str = "0.316.0";

/// Everything that a cluster runs, ready to be started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tools {
    /// Every Kubernetes component and `kubectl` in one file.
    pub kubernetes: PathBuf,
    /// The folder with `containerd`, its shim and `ctr`.
    pub containerd: PathBuf,
    /// Helm.
    pub helm: PathBuf,
    /// The first process of every pod.
    pub pause: PathBuf,
    /// The folder with the CNI plugins.
    pub cni: PathBuf,
}

impl Tools {
    /// Builds what the cache does not have yet, and installs what the system lacks.
    pub fn prepare(cache: &Path, kubernetes_version: &str) -> Result<Self> {
        require_packages(&system::NODE)?;
        Ok(Self {
            pause: pause(cache)?,
            helm: helm(cache)?,
            containerd: containerd(cache)?,
            kubernetes: kubernetes(cache, kubernetes_version)?,
            cni: system::cni_plugins()?,
        })
    }
}

/// The Kubernetes components in one file; the first argument is the component's name.
pub fn kubernetes(cache: &Path, version: &str) -> Result<PathBuf> {
    let source = sources().join(version);
    let exact = go::required_version(&source, "k8s.io/kubernetes")?;
    let (major, minor) = version.split_once('.').context("a Kubernetes version is MAJOR.MINOR")?;
    let stamp =
        |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
    let mut flags = go::LINK_SMALL.to_owned();
    flags += &stamp("gitVersion", &exact);
    flags += &stamp("gitMajor", major);
    flags += &stamp("gitMinor", minor);
    go::Module {
        program: "kubernetes",
        title: format!("building Kubernetes {exact}"),
        about: "once on this machine, about 6 minutes",
        link_flags: flags,
        source,
    }
    .build(cache)
}

/// The pause program; see `tests/kubernetes/pause`.
pub fn pause(cache: &Path) -> Result<PathBuf> {
    go::Module {
        program: "pause",
        title: "building the pause program".to_owned(),
        about: "once on this machine, a few seconds",
        link_flags: go::LINK_SMALL.to_owned(),
        source: sources().join("pause"),
    }
    .build(cache)
}

/// Helm's newest major version.
pub fn helm(cache: &Path) -> Result<PathBuf> {
    let folder = go::Install {
        name: "helm",
        version: HELM_VERSION,
        about: "once on this machine, about 2 minutes",
        packages: &["helm.sh/helm/v4/cmd/helm"],
    }
    .build(cache)?;
    Ok(folder.join("helm"))
}

/// `promtool`, which tests alert rules: the one on the path, or Debian's, or one that is built.
pub fn promtool(cache: &Path) -> Result<PathBuf> {
    if let Some(installed) = system::on_path("promtool") {
        return Ok(installed);
    }
    match debian_promtool(cache) {
        Ok(program) => Ok(program),
        Err(error) if can_build() => {
            say(&format!("promtool is built, since: {error:#}"));
            built_promtool(cache)
        }
        Err(error) => Err(error).context(
            "found no promtool; install Prometheus, on Debian: apt-get install prometheus",
        ),
    }
}

fn debian_promtool(cache: &Path) -> Result<PathBuf> {
    const FILE: &str = "usr/bin/promtool";
    let folder = store::once(cache, "promtool-debian", |folder| {
        let step = Step::begin("fetching promtool", "once on this machine, a few seconds");
        let program = system::take_from_package("prometheus", FILE, folder)?;
        run(Command::new(program).arg("--version"))?;
        step.done();
        Ok(())
    })?;
    Ok(folder.join(FILE))
}

fn built_promtool(cache: &Path) -> Result<PathBuf> {
    let folder = go::Install {
        name: "promtool",
        version: PROMETHEUS_VERSION,
        about: "once on this machine, about 5 minutes",
        packages: &["github.com/prometheus/prometheus/cmd/promtool"],
    }
    .build(cache)?;
    Ok(folder.join("promtool"))
}

/// Whether this machine has what the tools are built with.
#[must_use]
pub fn can_build() -> bool {
    go::is_installed()
}

fn containerd(cache: &Path) -> Result<PathBuf> {
    go::Install {
        name: "containerd",
        version: CONTAINERD_VERSION,
        about: "once on this machine, about 2 minutes",
        packages: &[
            "github.com/containerd/containerd/v2/cmd/containerd",
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            "github.com/containerd/containerd/v2/cmd/ctr",
        ],
    }
    .build(cache)
}

/// The Go modules of the test bed, in the checkout that this crate was built from.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes")
}
