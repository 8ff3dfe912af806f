//! A namespace for each test, as strict as a careful production namespace.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::Method;
use serde_json::{Value, json};

use super::{Api, Cluster};
use crate::progress::say;
use crate::wait;

/// Pods that do not say so themselves are refused: not root, no privileges, default seccomp.
const POD_SECURITY: &str = "restricted";

/// For what the controller manager makes in a new namespace.
const PATIENCE: Duration = Duration::from_mins(1);

/// A namespace of the shared cluster, for one test.
pub struct Namespace<'a> {
    cluster: &'a Cluster,
    api: Api,
    name: String,
}

impl Cluster {
    /// Runs a test in a namespace of its own, which is deleted afterwards, also when the test
    /// fails or panics. What a failed test left there is part of the error.
    pub async fn with_namespace<T>(
        &self,
        prefix: &str,
        test: impl AsyncFnOnce(&Namespace<'_>) -> Result<T>,
    ) -> Result<T> {
        let namespace = Namespace::create(self, prefix).await?;
        match test(&namespace).await {
            Ok(value) => Ok(value),
            Err(error) => {
                let scene = namespace.describe().await;
                Err(error
                    .context(format!("in namespace {}, where there was:\n{scene}", namespace.name)))
            }
        }
    }
}

impl<'a> Namespace<'a> {
    async fn create(cluster: &'a Cluster, prefix: &str) -> Result<Self> {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("{prefix}-{}", &unique[..8]);
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": { "pod-security.kubernetes.io/enforce": POD_SECURITY },
            },
        });
        let api = cluster.api().await?;
        let made = api.ask(Method::POST, "/api/v1/namespaces", Some(&manifest)).await?;
        made.map_err(anyhow::Error::msg)?;
        let namespace = Self { cluster, api, name };
        // Without it pods are refused; the controller manager makes it a moment later.
        wait::until("the namespace's service account", PATIENCE, async || {
            namespace.get("serviceaccount/default").await.map(Some)
        })
        .await?;
        Ok(namespace)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster that it is in.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        self.cluster
    }

    /// A way to ask its cluster's API server.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Runs `kubectl` in this namespace.
    pub async fn kubectl<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<String> {
        self.cluster.kubectl(self.here(arguments)).await
    }

    /// Applies a manifest (YAML or JSON) in this namespace.
    pub async fn apply(&self, manifest: &str) -> Result<String> {
        let arguments = self.here(["apply", "--filename", "-"]);
        self.cluster.kubectl_with_input(arguments, manifest).await
    }

    /// Gets an object (`job/cleanup`), a list (`jobs`) or lists (`cronjobs,jobs`) of this namespace,
    /// without a `kubectl`.
    pub async fn get(&self, what: &str) -> Result<Value> {
        self.api.read(&self.name, what).await
    }

    /// Whether it has been deleted and nothing of it is left.
    pub async fn is_gone(&self) -> Result<bool> {
        let path = format!("/api/v1/namespaces/{}", self.name);
        Ok(self.api.ask(Method::GET, &path, None).await?.is_err())
    }

    /// Waits as `kubectl wait` does, like `wait("job/cleanup", "condition=Complete", …)`; the
    /// object must exist.
    pub async fn wait(&self, what: &str, condition: &str, timeout: Duration) -> Result<()> {
        let timeout = format!("{}s", timeout.as_secs());
        self.kubectl(["wait", what, "--for", condition, "--timeout", &timeout]).await?;
        Ok(())
    }

    fn here<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Vec<OsString> {
        let namespace = ["--namespace".into(), self.name.clone().into()];
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        namespace.into_iter().chain(arguments).collect()
    }

    /// What one would look at first after a failure.
    async fn describe(&self) -> String {
        let mut scene = String::new();
        let looks: [&[&str]; 2] = [
            &["get", "cronjobs,jobs,pods", "--output", "wide"],
            &["get", "events", "--sort-by", ".lastTimestamp"],
        ];
        for look in looks {
            scene += &self.kubectl(look).await.unwrap_or_else(|error| format!("{error:#}\n"));
        }
        let pods = self.kubectl(["get", "pods", "--output", "name"]).await.unwrap_or_default();
        for pod in pods.lines() {
            let log = self.kubectl(["logs", pod, "--all-containers", "--tail", "30"]).await;
            let log = log.unwrap_or_else(|error| format!("{error:#}"));
            scene = format!("{scene}{pod} said:\n{log}\n");
        }
        scene
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        // Blocking and brief: a panic leaves no other moment to do it.
        let deleted = self
            .cluster
            .kubectl_blocking([
                "delete",
                "namespace",
                &self.name,
                "--wait=false",
                "--ignore-not-found",
            ])
            .with_context(|| format!("failed to delete namespace {}", self.name));
        if let Err(error) = deleted {
            say(&format!("{error:#}"));
        }
    }
}
