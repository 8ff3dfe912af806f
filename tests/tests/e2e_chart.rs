//! The life of a release, as Helm's users know it: install, test, upgrade, roll back, uninstall,
//! install again. On a cluster of its own, since there is one release a cluster.

use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::{chart, wait};

const PATIENCE: Duration = Duration::from_mins(2);
const SHOP: &str = "shop";
const BAKERY: &str = "bakery";
const HERE: [&str; 2] = ["--namespace", chart::NAMESPACE];
const CRD: &str = "cleanuppolicies.pgsweep.dev";

/// One test, so that it is one cluster: each step finds what the one before has left.
#[tokio::test]
async fn a_release_lives_through_all_that_helm_does_with_it() -> Result<()> {
    let Some(cluster) = tests::own_cluster().await? else { return Ok(()) };
    chart::load_images(&cluster).await?;
    for namespace in [chart::NAMESPACE, SHOP, BAKERY] {
        chart::make_namespace(&cluster, namespace).await?;
    }
    let older = tempfile::tempdir().context("failed to make a folder")?;
    make_older_chart(older.path())?;

    installs_restricted_with_two_replicas(&cluster, older.path()).await.context("install")?;
    tests_itself(&cluster).await.context("helm test")?;
    upgrades_and_rolls_back(&cluster).await.context("upgrade")?;
    leaves_what_people_wrote(&cluster).await.context("uninstall")?;
    comes_back(&cluster).await.context("install again")?;
    keeps_to_its_namespaces(&cluster).await.context("watchNamespaces")?;
    cluster.stop().await
}

/// This chart with a CRD that lacks a column, as an older version of it would.
fn make_older_chart(folder: &Path) -> Result<()> {
    let ours = chart::folder();
    copy(&ours, folder)?;
    let crd = folder.join("files").join(format!("{CRD}.yaml"));
    let mut definition: Value = serde_saphyr::from_str(&fs::read_to_string(&crd)?)?;
    let columns = definition.pointer_mut("/spec/versions/0/additionalPrinterColumns");
    columns.and_then(Value::as_array_mut).context("the CRD has columns")?.remove(0);
    // JSON is YAML.
    fs::write(&crd, definition.to_string())?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

async fn installs_restricted_with_two_replicas(cluster: &Cluster, older: &Path) -> Result<()> {
    let notes = chart::helm(cluster, &["install", chart::RELEASE], older, &[]).await?;
    assert!(notes.contains("which of its 2 replicas leads"), "{notes}");
    let deployment = deployment(cluster).await?;
    assert_eq!(deployment["status"]["readyReplicas"], 2);
    // No uid of ours, so that OpenShift may give one of its own.
    let text = deployment.to_string();
    assert!(!text.contains("runAsUser") && !text.contains("fsGroup"), "{text}");
    cluster.get(["poddisruptionbudget", "pgsweep-operator"].iter().chain(&HERE)).await?;
    assert_eq!(columns(cluster).await?, ours()? - 1);

    let policy = chart::sweep(&chart::delete_old());
    apply(cluster, SHOP, &policy).await?;
    follows(cluster, SHOP, "0 0 29 2 *").await
}

/// It passes while an operator leads, and fails when none does.
async fn tests_itself(cluster: &Cluster) -> Result<()> {
    let passed = helm_test(cluster, "2m").await?;
    assert!(passed.contains("Succeeded"), "{passed}");
    let scale = ["scale", "deployment/pgsweep-operator", "--replicas"];
    cluster.kubectl(scale.iter().chain(&["0"]).chain(&HERE)).await?;
    wait::until("the operator to be gone", PATIENCE, async || {
        let pods = ["pods", "--selector", "app.kubernetes.io/component=operator"];
        let pods = cluster.get(pods.iter().chain(&HERE)).await?;
        Ok((pods["items"] == json!([])).then_some(()))
    })
    .await?;
    refusal(helm_test(cluster, "15s").await)?;
    cluster.kubectl(scale.iter().chain(&["2"]).chain(&HERE)).await?;
    helm_test(cluster, "2m").await?;
    // Nothing of it stays.
    let left =
        cluster.get(["sweep,pods,roles", "-l", "app.kubernetes.io/component=test", "-A"]).await?;
    assert_eq!(left["items"], json!([]), "{left}");
    Ok(())
}

async fn helm_test(cluster: &Cluster, timeout: &str) -> Result<String> {
    cluster.helm(["test", chart::RELEASE, "--timeout", timeout].iter().chain(&HERE)).await
}

async fn upgrades_and_rolls_back(cluster: &Cluster) -> Result<()> {
    let before = cron_job(cluster, SHOP).await?;
    let values = ["--set", "stuckAfter=10m,admissionPolicy.enabled=true"];
    chart::helm(cluster, &["upgrade", chart::RELEASE], &chart::folder(), &values).await?;
    assert_eq!(variable(cluster, "PGSWEEP_STUCK_AFTER").await?, "10m");
    assert_eq!(columns(cluster).await?, ours()?);
    let admission = ["validatingadmissionpolicy", "pgsweep.pgsweep-system.pgsweep"];
    cluster.get(admission).await?;
    reschedule(cluster, SHOP, "0 1 29 2 *").await?;
    follows(cluster, SHOP, "0 1 29 2 *").await?;

    let rollback = ["rollback", chart::RELEASE, "1", "--wait", "--timeout", "2m"];
    cluster.helm(rollback.iter().chain(&HERE)).await?;
    assert_eq!(variable(cluster, "PGSWEEP_STUCK_AFTER").await?, "5m");
    refusal(cluster.get(admission).await)?;
    reschedule(cluster, SHOP, "0 2 29 2 *").await?;
    follows(cluster, SHOP, "0 2 29 2 *").await?;
    assert_eq!(cron_job(cluster, SHOP).await?["metadata"]["uid"], before["metadata"]["uid"]);

    chart::helm(cluster, &["upgrade", chart::RELEASE], &chart::folder(), &[]).await?;
    assert_eq!(columns(cluster).await?, ours()?);
    Ok(())
}

/// The policies, and the CRD that they need, stay, and so do the CronJobs: cleanups go on.
async fn leaves_what_people_wrote(cluster: &Cluster) -> Result<()> {
    let before = cron_job(cluster, SHOP).await?;
    cluster.helm(["uninstall", chart::RELEASE, "--wait"].iter().chain(&HERE)).await?;
    let ours = ["deployments,services,roles,rolebindings,serviceaccounts,poddisruptionbudgets"];
    let ours = ours.iter().chain(&["-l", "app.kubernetes.io/name=pgsweep"]).chain(&HERE);
    let left = cluster.get(ours).await?;
    assert_eq!(left["items"], json!([]), "{left}");
    let wide = ["clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/name=pgsweep"];
    let left = cluster.get(wide).await?;
    assert_eq!(left["items"], json!([]), "{left}");

    cluster.get(["crd", CRD]).await?;
    cluster.get(["sweep/codes", "--namespace", SHOP]).await?;
    let after = cron_job(cluster, SHOP).await?;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert!(after["metadata"]["deletionTimestamp"].is_null());
    Ok(())
}

/// Under its old name as if it had never gone; under another it must be told to take over.
async fn comes_back(cluster: &Cluster) -> Result<()> {
    let before = cron_job(cluster, SHOP).await?;
    let chart = chart::folder();
    chart::helm(cluster, &["install", chart::RELEASE], &chart, &[]).await?;
    reschedule(cluster, SHOP, "0 3 29 2 *").await?;
    follows(cluster, SHOP, "0 3 29 2 *").await?;
    cluster.helm(["uninstall", chart::RELEASE, "--wait"].iter().chain(&HERE)).await?;

    let stranger = refusal(chart::helm(cluster, &["install", "other"], &chart, &[]).await)?;
    assert!(stranger.contains(CRD) && stranger.contains("ownership"), "{stranger}");
    chart::helm(cluster, &["upgrade", "--install", "other"], &chart, &["--take-ownership"]).await?;
    reschedule(cluster, SHOP, "0 4 29 2 *").await?;
    follows(cluster, SHOP, "0 4 29 2 *").await?;
    assert_eq!(cron_job(cluster, SHOP).await?["metadata"]["uid"], before["metadata"]["uid"]);
    cluster.helm(["uninstall", "other", "--wait"].iter().chain(&HERE)).await?;
    Ok(())
}

async fn keeps_to_its_namespaces(cluster: &Cluster) -> Result<()> {
    let values = ["--set", "watchNamespaces={shop},userRoles.install=false", "--take-ownership"];
    let notes =
        chart::helm(cluster, &["install", chart::RELEASE], &chart::folder(), &values).await?;
    assert!(notes.contains("for the policies of: shop"), "{notes}");
    let wide = ["clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/name=pgsweep"];
    let found = cluster.get(wide).await?;
    assert_eq!(found["items"], json!([]), "{found}");
    let elsewhere = ["auth", "can-i", "list", CRD, "--namespace", BAKERY];
    let operator = "--as=system:serviceaccount:pgsweep-system:pgsweep-operator";
    refusal(cluster.kubectl(elsewhere.iter().chain(&[operator])).await)?;

    apply(cluster, BAKERY, &chart::sweep(&chart::delete_old())).await?;
    reschedule(cluster, SHOP, "0 5 29 2 *").await?;
    follows(cluster, SHOP, "0 5 29 2 *").await?;
    helm_test(cluster, "2m").await?;
    let unseen = cluster.get(["sweep/codes", "--namespace", BAKERY]).await?;
    assert!(unseen["status"].is_null(), "{unseen}");
    Ok(())
}

/// What something failed with that has to fail.
fn refusal<T: Debug>(answer: Result<T>) -> Result<String> {
    match answer {
        Ok(answer) => bail!("it did not fail: {answer:?}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

async fn apply(cluster: &Cluster, namespace: &str, policy: &Value) -> Result<()> {
    let apply = ["apply", "--namespace", namespace, "--filename", "-"];
    cluster.kubectl_with_input(apply, &policy.to_string()).await?;
    Ok(())
}

async fn reschedule(cluster: &Cluster, namespace: &str, schedule: &str) -> Result<()> {
    let patch = json!({"spec": {"schedule": schedule}}).to_string();
    let patch = ["--type", "merge", "--patch", &patch, "--namespace", namespace];
    cluster.kubectl(["patch", "sweep/codes"].iter().chain(&patch)).await?;
    Ok(())
}

async fn follows(cluster: &Cluster, namespace: &str, schedule: &str) -> Result<()> {
    wait::until("the CronJob to follow the policy", PATIENCE, async || {
        let cron_job = cron_job(cluster, namespace).await?;
        Ok((cron_job["spec"]["schedule"] == schedule).then_some(()))
    })
    .await
}

async fn cron_job(cluster: &Cluster, namespace: &str) -> Result<Value> {
    cluster.get(["cronjob/codes", "--namespace", namespace]).await
}

async fn deployment(cluster: &Cluster) -> Result<Value> {
    cluster.get(["deployment/pgsweep-operator"].iter().chain(&HERE)).await
}

async fn variable(cluster: &Cluster, name: &str) -> Result<Value> {
    let deployment = deployment(cluster).await?;
    let environment = deployment.pointer("/spec/template/spec/containers/0/env");
    let environment = environment.and_then(Value::as_array).context("it has variables")?;
    let variable = environment.iter().find(|variable| variable["name"] == name);
    Ok(variable.with_context(|| format!("{name} is set"))?["value"].clone())
}

/// How many columns the CRD of the cluster has.
async fn columns(cluster: &Cluster) -> Result<usize> {
    count_columns(&cluster.get(["crd", CRD]).await?)
}

fn ours() -> Result<usize> {
    let crd = chart::folder().join("files").join(format!("{CRD}.yaml"));
    count_columns(&serde_saphyr::from_str(&fs::read_to_string(crd)?)?)
}

fn count_columns(crd: &Value) -> Result<usize> {
    let columns = crd.pointer("/spec/versions/0/additionalPrinterColumns");
    Ok(columns.and_then(Value::as_array).context("the CRD has columns")?.len())
}
