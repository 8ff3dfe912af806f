//! An operator that is started anew finds everything done, and writes nothing.
//! In a file of its own: the other tests would write meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::cluster::{Cluster, Namespace};
use tests::{Database, chart, wait};

const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::test]
async fn an_operator_that_is_restarted_writes_nothing() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    chart::installed(&cluster).await?;
    let database = Database::create().await?;
    database.execute("CREATE TABLE codes (id int PRIMARY KEY, expires_at timestamptz)").await?;
    let url = database.address().host(&cluster.host_address().to_string());
    let url = format!("--from-literal=uri={url}");
    cluster
        .with_namespace("restart", async |namespace| {
            namespace.kubectl(["create", "secret", "generic", "db", &url]).await?;
            namespace.apply(&policy().to_string()).await?;
            wait::until("the first run to be counted", PATIENCE, async || {
                let sweep = namespace.get("sweep/codes").await?;
                Ok(sweep.pointer("/status/lastRun").map(drop))
            })
            .await?;
            let before = versions(namespace).await?;
            let pod = restart(&cluster).await?;
            // Ready means that it has read everything; then it has one reconcile of each policy to
            // show what it does. Its own metric tells when that is over.
            wait::until("every policy to be reconciled", PATIENCE, async || {
                let metrics = chart::metrics(&cluster).await?;
                let done = chart::metric(
                    &metrics,
                    "pgsweep_operator_reconcile_total",
                    &[("result", "ok")],
                );
                Ok((done >= 1.0).then_some(()))
            })
            .await?;
            assert_eq!(versions(namespace).await?, before);
            let written = writes(&cluster, &pod, namespace.name())?;
            assert!(written.is_empty(), "{written:?}");
            Ok(())
        })
        .await
}

fn policy() -> Value {
    let mut policy = chart::sweep(&chart::delete_old());
    policy["spec"]["runNow"] = json!("once");
    policy
}

/// Replaces the operator's pod and returns the name of the new one, once it is ready.
async fn restart(cluster: &Cluster) -> Result<String> {
    let deployment = format!("deployment/{}-operator", chart::RELEASE);
    let here = ["--namespace", chart::NAMESPACE];
    cluster.kubectl(["rollout", "restart", &deployment].iter().chain(&here)).await?;
    cluster
        .kubectl(["rollout", "status", &deployment, "--timeout", "120s"].iter().chain(&here))
        .await?;
    let pods = cluster
        .get(["pods", "--selector", "app.kubernetes.io/component=operator"].iter().chain(&here))
        .await?;
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    let alive = pods.iter().find(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let name = alive.and_then(|pod| pod["metadata"]["name"].as_str());
    name.map(str::to_owned).context("the operator has no pod")
}

/// The version of every object of the namespace that the operator could write.
async fn versions(namespace: &Namespace<'_>) -> Result<BTreeMap<String, String>> {
    let list = namespace.get("sweep,cronjobs,jobs,events.events.k8s.io").await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().into_iter().flatten();
    // Kubelet and the controllers still write events of their own.
    let ours = items
        .filter(|item| item["kind"] != "Event" || item["regarding"]["kind"] == "CleanupPolicy");
    Ok(ours
        .map(|item| {
            let metadata = &item["metadata"];
            let name = format!("{}/{}", text(&item["kind"]), text(&metadata["name"]));
            (name, text(&metadata["resourceVersion"]))
        })
        .collect())
}

/// What this pod of the operator wrote, by the API server's own audit log: in the test's namespace,
/// or in none. Namespaces of tests that have just ended are still being taken down.
fn writes(cluster: &Cluster, pod: &str, namespace: &str) -> Result<Vec<String>> {
    let log =
        std::fs::read_to_string(cluster.audit_log()).context("failed to read the audit log")?;
    let mut writes = Vec::new();
    for line in log.lines().filter(|line| line.contains(pod)) {
        let entry: Value = serde_json::from_str(line)?;
        let by_pod = entry["user"]["extra"]["authentication.kubernetes.io/pod-name"][0] == pod;
        let reads = ["get", "list", "watch"].map(Value::from).contains(&entry["verb"]);
        let uri = entry["requestURI"].as_str().unwrap_or_default();
        let elsewhere =
            uri.contains("/namespaces/") && !uri.contains(&format!("/namespaces/{namespace}/"));
        if by_pod && !reads && !elsewhere {
            writes.push(format!("{} {uri}", entry["verb"]));
        }
    }
    Ok(writes)
}
