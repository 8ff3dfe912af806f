//! An operator that looks at some namespaces asks for nothing beyond them, and waits for those that
//! do not exist yet.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tests::cluster::Namespace;
use tests::operator::{Bed, Operator};
use tests::{chart, wait};

const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks at a namespace that is not there: the longest, and what a look takes.
const NEXT_LOOK: Duration = Duration::from_secs(40);

/// The rules of the chart's role: those of the operator, for one namespace.
fn role(rules: &Value, namespace: &str, account: &str) -> Value {
    let metadata = json!({"name": "pgsweep", "namespace": namespace});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata,
        "rules": rules,
    });
    let (home, account) = account.split_once('/').unwrap_or_default();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pgsweep"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": home}],
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]})
}

/// What the chart lets an operator do with policies.
async fn rules_of_chart(bed: &Bed) -> Result<Value> {
    let of_chart = ["clusterroles", "--selector", "app.kubernetes.io/name=pgsweep"];
    let granted = bed.cluster().get(of_chart).await?;
    let mut granted = granted["items"].as_array().into_iter().flatten();
    // Those for users have no CronJobs.
    let operators = granted.find(|role| role["rules"].to_string().contains("cronjobs"));
    Ok(operators.context("the chart has a role for the operator")?["rules"].clone())
}

/// A kubeconfig of an account that may do nothing yet.
async fn login(bed: &Bed, namespace: &Namespace<'_>) -> Result<NamedTempFile> {
    let token = namespace.kubectl(["create", "token", "default", "--duration", "1h"]).await?;
    let cluster = bed.cluster();
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "operator"}}],
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://{}:6443", cluster.node_address()),
            "certificate-authority": cluster.state().join("pki/ca.crt"),
        }}],
        "users": [{"name": "operator", "user": {"token": token.trim()}}],
    });
    let mut file = NamedTempFile::new().context("failed to make a kubeconfig")?;
    file.write_all(text.to_string().as_bytes()).context("failed to write a kubeconfig")?;
    Ok(file)
}

/// Every path that the operators of this name asked for.
fn asked(bed: &Bed, identity: &str) -> Result<Vec<String>> {
    let log = fs::read_to_string(bed.cluster().audit_log());
    let log = log.context("failed to read the audit log")?;
    let sender = format!("({identity}_");
    let entries = log.lines().filter(|line| line.contains(&sender));
    entries
        .map(|line| {
            let entry: Value = serde_json::from_str(line).context("the audit log is no JSON")?;
            Ok(entry["requestURI"].as_str().unwrap_or_default().to_owned())
        })
        .collect()
}

async fn has_cron_job(
    bed: &Bed,
    namespace: &str,
    operator: &Operator,
    timeout: Duration,
) -> Result<()> {
    let arguments = ["get", "cronjob", "codes", "--namespace", namespace];
    let made = wait::until("the CronJob", timeout, async || {
        bed.cluster().kubectl(arguments).await.map(|_| Some(()))
    });
    operator.explain(made.await)
}

async fn apply(bed: &Bed, manifest: &Value) -> Result<()> {
    bed.cluster().kubectl_with_input(["apply", "--filename", "-"], &manifest.to_string()).await?;
    Ok(())
}

fn policy(namespace: &str) -> Value {
    let mut policy = chart::sweep(&chart::delete_old());
    policy["metadata"]["namespace"] = json!(namespace);
    policy
}

/// It has a Role in each namespace, made after the namespace, and none in the cluster.
#[tokio::test]
async fn an_operator_of_some_namespaces_stays_in_them_and_waits_for_them() -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    let cluster = bed.cluster();
    let test = async |here: &Namespace<'_>, outside: &Namespace<'_>| {
        let later = format!("{}-later", here.name());
        let account = format!("{}/default", here.name());
        let login = login(bed, here).await?;
        let rules = rules_of_chart(bed).await?;
        apply(bed, &role(&rules, here.name(), &account)).await?;
        apply(bed, &policy(outside.name())).await?;

        let launch = bed.operator().watching(&format!("{},{later}", here.name()));
        let launch = launch.arguments(&["--identity", here.name()]);
        let login = login.path().to_str().context("a path")?.to_owned();
        let operator = launch.env("KUBECONFIG", &login).ready().await?;
        apply(bed, &policy(here.name())).await?;
        has_cron_job(bed, here.name(), &operator, PATIENCE).await?;
        let said = operator.said()?;
        ensure!(said.contains("does not exist, or has no Role"), "{said}");

        cluster.kubectl(["create", "namespace", &later]).await?;
        let found = async {
            apply(bed, &policy(&later)).await?;
            apply(bed, &role(&rules, &later, &account)).await?;
            has_cron_job(bed, &later, &operator, NEXT_LOOK + PATIENCE).await
        };
        let found = found.await;
        cluster.kubectl(["delete", "namespace", &later, "--wait=false"]).await?;
        found?;
        let metrics = operator.metrics().await?;
        assert!(metrics.contains(&format!("namespace=\"{later}\"")), "{metrics}");
        assert!(!metrics.contains(outside.name()), "{metrics}");

        let asked = asked(bed, here.name())?;
        assert!(asked.len() > 10, "{asked:?}");
        let inside = [here.name(), &later].map(|name| format!("/namespaces/{name}/"));
        let beyond: Vec<_> = asked
            .iter()
            .filter(|path| !inside.iter().any(|inside| path.contains(inside)))
            .collect();
        assert!(beyond.is_empty(), "{beyond:?}");
        assert!(
            cluster
                .kubectl(["get", "cronjob", "codes", "--namespace", outside.name()])
                .await
                .is_err()
        );
        Ok(())
    };
    cluster
        .with_namespace("scope", async |here| {
            cluster.with_namespace("outside", async |outside| test(here, outside).await).await
        })
        .await
}

/// Each Job and CronJob names its policy as an owner that must not go before it; admission, where it
/// is as on `OpenShift`, asks for a right that no request shows.
#[tokio::test]
async fn without_the_right_to_finalizers_no_cron_job_is_made_and_with_it_one_is() -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    bed.cluster()
        .with_namespace("scope", async |here| {
            let account = format!("{}/default", here.name());
            let login = login(bed, here).await?;
            let all = rules_of_chart(bed).await?;
            let mut less = all.clone();
            let rules = less.as_array_mut().context("a role has rules")?;
            let is_it = |rule: &Value| rule["resources"] == json!(["cleanuppolicies/finalizers"]);
            ensure!(rules.iter().any(is_it), "the chart does not grant it");
            rules.retain(|rule| !is_it(rule));
            apply(bed, &role(&less, here.name(), &account)).await?;
            let login = login.path().to_str().context("a path")?.to_owned();
            let launch = bed.operator().watching(here.name()).env("KUBECONFIG", &login);
            let operator = launch.ready().await?;

            apply(bed, &policy(here.name())).await?;
            let refused = wait::until("the refusal in the status", PATIENCE, async || {
                let sweep = here.get("sweep/codes").await?;
                let ready = chart::condition(&sweep, "Ready").clone();
                Ok((ready["reason"] == "ApplyFailed").then_some(ready))
            });
            let refused = operator.explain(refused.await)?;
            let message = refused["message"].as_str().unwrap_or_default();
            ensure!(message.contains("cannot set blockOwnerDeletion"), "{message}");
            ensure!(here.get("cronjob/codes").await.is_err(), "there is a CronJob");

            apply(bed, &role(&all, here.name(), &account)).await?;
            has_cron_job(bed, here.name(), &operator, PATIENCE).await
        })
        .await
}
