//! Who an operator is to the API server: the chart's ServiceAccount, with the chart's permissions.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::Cluster;
use crate::chart::{self, NAMESPACE, RELEASE};

/// What of the chart is applied: who the operator is, what it may do, what it works on.
const KINDS: [&str; 6] = [
    "CustomResourceDefinition",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
];

/// An account, and where it logs in.
#[derive(Debug, Clone)]
pub struct Login {
    user: String,
    token: String,
    server: String,
    authority: PathBuf,
}

impl Login {
    /// Applies the CRD and the account that the chart renders with these values (`name=value`),
    /// and logs in as it.
    pub async fn of_chart(cluster: &Cluster, values: &[&str]) -> Result<Self> {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE},
        });
        apply(cluster, &[namespace]).await?;
        let objects = rendered(cluster, values).await?;
        ensure!(!objects.is_empty(), "the chart renders no account");
        apply(cluster, &objects).await?;
        let established =
            ["wait", "--for", "condition=Established", "crd/cleanuppolicies.pgsweep.dev"];
        cluster.kubectl(established).await?;
        chart::owners_are_known(cluster).await?;

        let account = objects.iter().find(|object| object["kind"] == "ServiceAccount");
        let account = account.and_then(|object| object["metadata"]["name"].as_str());
        let account = account.context("the chart renders no ServiceAccount")?;
        let arguments = ["create", "token", account, "--namespace", NAMESPACE, "--duration", "24h"];
        Ok(Self {
            user: format!("system:serviceaccount:{NAMESPACE}:{account}"),
            token: cluster.kubectl(arguments).await?.trim().to_owned(),
            server: format!("https://{}:6443", cluster.node_address()),
            authority: cluster.state().join("pki/ca.crt"),
        })
    }

    /// Its name, as the audit log has it.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What it proves itself by.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A kubeconfig to the API server, or to the proxy of this URL.
    pub fn kubeconfig(&self, proxy: Option<&str>) -> Result<NamedTempFile> {
        let cluster = match proxy {
            Some(url) => json!({"server": url}),
            None => json!({"server": self.server, "certificate-authority": self.authority}),
        };
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "operator"}}],
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "operator", "user": {"token": self.token}}],
        });
        let mut file = NamedTempFile::new().context("failed to make a kubeconfig")?;
        // JSON is YAML.
        file.write_all(text.to_string().as_bytes()).context("failed to write a kubeconfig")?;
        Ok(file)
    }
}

async fn rendered(cluster: &Cluster, values: &[&str]) -> Result<Vec<Value>> {
    let chart = chart::folder().display().to_string();
    let mut arguments = vec!["template", RELEASE, &chart, "--namespace", NAMESPACE];
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    let text = cluster.helm(arguments).await.context("failed to render the chart")?;
    let objects: Vec<Value> =
        serde_saphyr::from_multiple(&text).context("the chart renders no YAML")?;
    let is_wanted = |object: &Value| KINDS.iter().any(|kind| object["kind"] == *kind);
    Ok(objects.into_iter().filter(is_wanted).collect())
}

/// By the server, since the CRD is too large for an annotation of `kubectl apply`.
async fn apply(cluster: &Cluster, objects: &[Value]) -> Result<()> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let arguments = ["apply", "--server-side", "--filename", "-"];
    cluster.kubectl_with_input(arguments, &list.to_string()).await?;
    Ok(())
}
