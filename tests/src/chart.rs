//! The operator, installed as a user installs it: the release images, and the chart by Helm.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::cluster::Namespace;
use crate::settings::Settings;
use crate::{Cluster, checkout, command, job, tools, wait};

/// Namespace of the operator.
pub const NAMESPACE: &str = "pgsweep-system";
/// Name of the release; the Deployment is `<release>-operator`.
pub const RELEASE: &str = "pgsweep";
/// Name of the Lease by which its replicas agree on who leads.
pub const LEASE: &str = "pgsweep-operator";
/// How a test writes a policy: unknown fields are refused, as `kubectl` has it.
pub const STRICT: &str = "fieldManager=test&fieldValidation=Strict";

const PATIENCE: Duration = Duration::from_mins(1);

/// Installs the chart on the tests' cluster, once for all tests; the images must be on its node,
/// as `cargo xtask test` puts them there.
pub async fn installed(cluster: &Cluster) -> Result<()> {
    // One test at a time, over all test processes; the others find it done.
    let path = cluster.state().join("chart-installed");
    let lock = File::create(cluster.state().join("chart.lock")).context("failed to make a lock")?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await?;
    let _lock = lock.context("failed to lock the installation of the chart")?;
    if path.exists() {
        return Ok(());
    }
    make_namespace(cluster, NAMESPACE).await?;
    let chart = folder();
    helm(cluster, &["upgrade", "--install", RELEASE], &chart, &["--take-ownership"])
        .await
        .context("failed to install the chart")?;
    owners_are_known(cluster).await?;
    File::create(path).context("failed to note that the chart is installed")?;
    Ok(())
}

/// Waits until admission knows the kind of policies, of which it learns within half a minute: before
/// that nobody may make an object that names one as an owner which must not go before it.
pub async fn owners_are_known(cluster: &Cluster) -> Result<()> {
    // Who may set the finalizers of everything, as we do, is not looked at.
    let somebody = "somebody";
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": somebody, "namespace": NAMESPACE},
        "subjects": [{"apiGroup": group, "kind": "User", "name": somebody}],
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "edit"},
    });
    let bind = ["apply", "--server-side", "--filename", "-"];
    cluster.kubectl_with_input(bind, &binding.to_string()).await?;
    let owner = json!({
        "apiVersion": "pgsweep.dev/v1alpha1", "kind": "CleanupPolicy", "name": "none",
        "uid": "00000000-0000-4000-8000-000000000000", "blockOwnerDeletion": true,
    });
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "owned", "namespace": NAMESPACE, "ownerReferences": [owner]},
    });
    let judge = ["create", "--dry-run=server", "--as", somebody, "--filename", "-"];
    wait::until("admission to know the kind of policies", PATIENCE, async || {
        let refused = cluster.kubectl_with_input(judge, &object.to_string()).await.err();
        // It is known where it is not allowed, which is the right answer to somebody.
        let is_judged = |error: anyhow::Error| format!("{error:#}").contains("set finalizers on");
        Ok(refused.is_none_or(is_judged).then_some(()))
    })
    .await
}

/// Runs Helm with a chart in the operator's namespace, and returns when all of it is ready.
pub async fn helm(
    cluster: &Cluster,
    verb: &[&str],
    chart: &Path,
    arguments: &[&str],
) -> Result<String> {
    let chart = chart.display().to_string();
    let wait = ["--namespace", NAMESPACE, "--wait", "--timeout", "2m"];
    let chart = [chart.as_str()];
    cluster.helm(verb.iter().chain(&chart).chain(&wait).chain(arguments)).await
}

/// Makes a namespace that takes only pods that need nothing, unless it is there.
pub async fn make_namespace(cluster: &Cluster, name: &str) -> Result<()> {
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    });
    cluster.kubectl_with_input(["apply", "--filename", "-"], &namespace.to_string()).await?;
    Ok(())
}

/// Puts the images of the release on the node of a cluster of the test's own: the files that
/// `cargo xtask test` has made for the shared one.
pub async fn load_images(cluster: &Cluster) -> Result<()> {
    let program = job::binary("pgsweep-operator")?;
    let target = program.ancestors().nth(2).context("a binary has a folder")?;
    for name in ["pgsweep", "pgsweep-operator"] {
        let file = format!("images/{name}-{}.tar", env!("CARGO_PKG_VERSION"));
        cluster.load_image(&target.join(file)).await?;
    }
    Ok(())
}

/// The chart of this checkout.
#[must_use]
pub fn folder() -> PathBuf {
    checkout::root().join("charts/pgsweep")
}

/// What `helm template` makes of the chart with these arguments: without a cluster, under the name
/// and in the namespace that the tests install it.
pub async fn rendered(arguments: &[&str]) -> Result<Vec<Value>> {
    let cache = Settings::get()?.cache.clone();
    let helm = tokio::task::spawn_blocking(move || tools::helm(&cache)).await??;
    let mut command = Command::new(helm);
    command.args(["template", RELEASE]).arg(folder()).args(["--namespace", NAMESPACE]);
    command.args(arguments);
    let text = command::run_async(command, None).await?;
    serde_saphyr::from_multiple(&text).context("failed to read what helm printed")
}

/// The metrics of the operator that leads, as Prometheus reads them, through the API server. The
/// Service would answer from any replica, and only the leader shows policies.
pub async fn metrics(cluster: &Cluster) -> Result<String> {
    let (_, metrics) = find_leader(cluster).await?;
    Ok(metrics)
}

/// The name of the pod whose operator leads.
pub async fn leader(cluster: &Cluster) -> Result<String> {
    let (pod, _) = find_leader(cluster).await?;
    Ok(pod)
}

/// The metrics of one of the operator's pods.
pub async fn metrics_of(cluster: &Cluster, pod: &str) -> Result<String> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/metrics");
    cluster.kubectl(["get", "--raw", &path]).await
}

/// The pod that the Lease names, and its metrics, once they say that it leads: one that was killed
/// holds the Lease for a while longer.
async fn find_leader(cluster: &Cluster) -> Result<(String, String)> {
    let here = ["--namespace", NAMESPACE];
    wait::until("an operator to lead", PATIENCE, async || {
        let lease = cluster.get(["lease", LEASE].iter().chain(&here)).await?;
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        // `POD_` and something random.
        let Some((pod, _)) = holder.rsplit_once('_') else { return Ok(None) };
        let metrics = metrics_of(cluster, pod).await?;
        let leads = metric(&metrics, "pgsweep_operator_leader", &[]) > 0.5;
        Ok(leads.then(|| (pod.to_owned(), metrics)))
    })
    .await
}

/// The value of the one series of this name that has all these labels; 0 where there is none.
#[must_use]
pub fn metric(metrics: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted: Vec<_> =
        labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    let line = metrics.lines().find(|line| {
        let ours = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        ours && wanted.iter().all(|label| line.contains(label))
    });
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
}

/// The condition of this type, or null.
#[must_use]
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// Where the API server has the policies of a namespace.
#[must_use]
pub fn policies(namespace: &Namespace<'_>) -> String {
    format!("/apis/pgsweep.dev/v1alpha1/namespaces/{}/cleanuppolicies", namespace.name())
}

/// Has the API server judge a policy without keeping it: what it would store, or why it refuses it.
pub async fn judge(namespace: &Namespace<'_>, policy: &Value) -> Result<Result<Value, String>> {
    let path = format!("{}?dryRun=All&{STRICT}", policies(namespace));
    namespace.api().ask(Method::POST, &path, Some(policy)).await
}

/// A policy that runs by hand or by `runNow` only, unless its schedule is changed.
#[must_use]
pub fn sweep(rules: &Value) -> Value {
    json!({
        "apiVersion": "pgsweep.dev/v1alpha1",
        "kind": "CleanupPolicy",
        "metadata": {"name": "codes"},
        "spec": {
            "schedule": "0 0 29 2 *",
            "mode": "Enforce",
            "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "uri"}}},
            "limits": {"maxPercentOfTable": 100},
            "backoffLimit": 0,
            "rules": rules,
        },
    })
}

/// One rule: what expired in `codes` an hour ago is deleted.
#[must_use]
pub fn delete_old() -> Value {
    json!([{
        "name": "delete-old",
        "table": {"schema": "public", "name": "codes"},
        "where": [{"column": "expires_at", "operator": "OlderThan", "age": "1h"}],
        "action": {"delete": {}},
    }])
}
