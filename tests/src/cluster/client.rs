//! `kubectl`, `helm` and images: what a test does with a cluster.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::configuration::SNAPSHOTTER;
use super::{Cluster, blocking, sandbox};
use crate::command::{run, run_async, run_reading};
use crate::tools::Kubernetes;

/// Kubernetes' own namespace in containerd.
const IMAGES: &str = "k8s.io";

impl Cluster {
    /// Runs `kubectl` as administrator and returns what it printed.
    pub async fn kubectl<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<String> {
        let mut command = self.kubectl_command();
        command.args(arguments);
        run_async(command.into(), None).await
    }

    /// Runs `kubectl` with something to read, as in `apply --filename -`.
    pub async fn kubectl_with_input<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        input: &str,
    ) -> Result<String> {
        let mut command = self.kubectl_command();
        command.args(arguments);
        run_async(command.into(), Some(input)).await
    }

    /// Runs `kubectl get … --output json` and returns the object or list.
    pub async fn get<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Value> {
        let mut command = self.kubectl_command();
        command.arg("get").args(arguments).args(["--output", "json"]);
        let text = run_async(command.into(), None).await?;
        serde_json::from_str(&text).context("failed to read what kubectl printed as JSON")
    }

    /// The version that its API server has.
    pub async fn kubernetes(&self) -> Result<Kubernetes> {
        let version: Value =
            serde_json::from_str(&self.kubectl(["get", "--raw", "/version"]).await?)
                .context("failed to read the API server's version")?;
        let said = version["gitVersion"].as_str().unwrap_or_default();
        Kubernetes::of(said)
            .with_context(|| format!("the API server is of {said}, of which there is no test bed"))
    }

    /// Runs Helm as administrator and returns what it printed.
    pub async fn helm<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<String> {
        let mut command = Command::new(&self.tools.helm);
        command.args(arguments).env("KUBECONFIG", self.kubeconfig());
        // The user's own Helm must neither be read nor be changed.
        for folder in ["CACHE", "CONFIG", "DATA"] {
            let home = self.site.path("helm").join(folder.to_lowercase());
            command.env(format!("HELM_{folder}_HOME"), home);
        }
        run_async(command.into(), None).await
    }

    /// Puts an image of an OCI layout tar on the node: pods can use it, nothing is pulled.
    pub async fn load_image(&self, tar: &Path) -> Result<()> {
        let (command, tar) = (self.import_command(), tar.to_path_buf());
        blocking(move || import(command, &tar)).await
    }

    pub(super) fn load_image_blocking(&self, tar: &Path) -> Result<()> {
        import(self.import_command(), tar)
    }

    pub(super) fn kubectl_blocking<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<String> {
        run(self.kubectl_command().args(arguments))
    }

    fn kubectl_command(&self) -> Command {
        let mut command = Command::new(self.site.path("bin/kubectl"));
        command.arg("--kubeconfig").arg(self.kubeconfig());
        command.arg("--cache-dir").arg(self.site.path("kubectl-cache"));
        command
    }

    fn import_command(&self) -> Command {
        let mut command = sandbox::inside(self.keeper, &self.tools.containerd.join("ctr"));
        command.arg("--address").arg(self.site.path("containerd.sock"));
        // `--local`: the other way knows no snapshotter but overlayfs.
        command.args(["--namespace", IMAGES, "images", "import", "--local"]);
        command.args(["--snapshotter", SNAPSHOTTER, "-"]);
        command
    }
}

/// Hands the file over open: its folder may be hidden on the node.
fn import(command: Command, tar: &Path) -> Result<()> {
    let what = || format!("failed to load the image {}", tar.display());
    let file = File::open(tar).with_context(what)?;
    run_reading(command, file).with_context(what)?;
    Ok(())
}
