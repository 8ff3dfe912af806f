//! What the chart renders is taken by a real API server, for each scenario under `ci/`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::chart;
use tests::cluster::{Cluster, Namespace};

/// Of the Prometheus operator's kinds, no more than that they exist.
const MONITORING: [(&str, &str); 2] =
    [("ServiceMonitor", "servicemonitors"), ("PrometheusRule", "prometheusrules")];

#[tokio::test]
async fn the_api_server_takes_every_object_of_every_scenario() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    chart::installed(&cluster).await?;
    install_monitoring(&cluster).await?;
    cluster
        .with_namespace("scenarios", async |namespace| {
            // The pod of `helm test` is refused without it, and it is not there by a dry run.
            namespace.kubectl(["create", "serviceaccount", "pgsweep-test"]).await?;
            for scenario in scenarios()? {
                try_scenario(namespace, &scenario)
                    .await
                    .with_context(|| scenario.display().to_string())?;
            }
            Ok(())
        })
        .await
}

fn scenarios() -> Result<Vec<PathBuf>> {
    let folder = chart::folder().join("ci");
    let entries = folder.read_dir().with_context(|| format!("cannot list {}", folder.display()))?;
    let paths: Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths?;
    paths.sort();
    Ok(paths)
}

async fn try_scenario(namespace: &Namespace<'_>, scenario: &std::path::Path) -> Result<()> {
    let values = scenario.to_string_lossy();
    let objects = chart::rendered(&["--namespace", namespace.name(), "--values", &values]).await?;
    assert!(!objects.is_empty());
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    // Helm owns what the tests' own release has installed for the whole cluster.
    let arguments =
        ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename", "-"];
    namespace.cluster().kubectl_with_input(arguments, &list.to_string()).await?;
    Ok(())
}

async fn install_monitoring(cluster: &Cluster) -> Result<()> {
    for (kind, plural) in MONITORING {
        let name = format!("{plural}.monitoring.coreos.com");
        cluster
            .kubectl_with_input(
                ["apply", "--server-side", "--filename", "-"],
                &monitoring(kind, plural).to_string(),
            )
            .await?;
        cluster.kubectl(["wait", "--for", "condition=Established", &format!("crd/{name}")]).await?;
    }
    Ok(())
}

fn monitoring(kind: &str, plural: &str) -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.monitoring.coreos.com")},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

/// Neither replicas without an election, nor the other way round.
#[tokio::test]
async fn replicas_and_leader_election_come_together() -> Result<()> {
    if !tests::tools::can_build() {
        tests::skip::<()>("Helm is built with Go: install Go")?;
        return Ok(());
    }
    for (replicas, budgets) in [("1", 0), ("2", 1)] {
        let replicas = format!("replicas={replicas}");
        let objects = chart::rendered(&["--set", &replicas]).await?;
        let of_kind = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).count();
        assert_eq!(of_kind("PodDisruptionBudget"), budgets);
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment");
        let deployment = deployment.context("the chart has a Deployment")?;
        let environment = deployment.pointer("/spec/template/spec/containers/0/env");
        let environment = environment.and_then(Value::as_array).context("it has variables")?;
        let value = |name: &str| environment.iter().find(|variable| variable["name"] == name);
        assert_eq!(
            value("PGSWEEP_LEASE_NAMESPACE").context("a Lease has a namespace")?["value"],
            chart::NAMESPACE
        );
        assert_eq!(
            value("PGSWEEP_LEASE_NAME").context("a Lease has a name")?["value"],
            chart::LEASE
        );
        let identity = value("PGSWEEP_IDENTITY").context("a holder has a name")?;
        assert_eq!(identity["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name");
        assert_eq!(deployment["spec"]["strategy"]["type"], "RollingUpdate");
    }
    Ok(())
}
