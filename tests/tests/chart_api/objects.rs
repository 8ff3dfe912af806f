//! What the chart renders.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::sessions::chart;

use super::has_helm;

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn pods(objects: &[Value]) -> Vec<&Value> {
    ["Deployment", "Job"]
        .iter()
        .flat_map(|kind| of_kind(objects, kind))
        .map(|object| &object["spec"]["template"]["spec"])
        .collect()
}

#[tokio::test]
async fn every_pod_needs_nothing_and_holds_no_token() -> Result<()> {
    if !has_helm()? {
        return Ok(());
    }
    let objects = chart::rendered(&[]).await?;
    let pods = pods(&objects);
    assert_eq!(pods.len(), 2);
    for pod in pods {
        assert_eq!(pod["automountServiceAccountToken"], false, "{pod}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{pod}");
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(container["readOnlyRootFilesystem"], true, "{pod}");
        assert_eq!(container["capabilities"]["drop"], json!(["ALL"]), "{pod}");
    }
    Ok(())
}

/// Each pod has the URL that it works by and no other: who breaks into a replica is not the owner.
#[tokio::test]
async fn each_pod_is_given_its_own_secret_and_no_secret_is_written_out() -> Result<()> {
    if !has_helm()? {
        return Ok(());
    }
    let objects = chart::rendered(&["--set", "cleanupPolicies.enabled=true"]).await?;
    assert!(of_kind(&objects, "Secret").is_empty());
    let secrets_of = |kind: &str| -> Vec<String> {
        let text = of_kind(&objects, kind).into_iter().map(Value::to_string).collect::<String>();
        let names = ["db", "owner", "codes", "cleanup", "events"];
        let found = names.iter().filter(|name| text.contains(&format!("\"session-api-{name}\"")));
        found.map(|name| (*name).to_owned()).collect()
    };
    assert_eq!(secrets_of("Deployment"), ["db", "codes"]);
    assert_eq!(secrets_of("Job"), ["owner"]);
    assert_eq!(secrets_of("CleanupPolicy"), ["cleanup", "events"]);
    Ok(())
}

/// SIGKILL comes after the last moment at which the server ends by itself.
#[tokio::test]
async fn kubelet_waits_longer_than_the_server_drains() -> Result<()> {
    if !has_helm()? {
        return Ok(());
    }
    let values = ["--set", "drain.delaySeconds=11,drain.timeoutSeconds=30"];
    let objects = chart::rendered(&values).await?;
    let pod = pods(&objects)[0];
    assert_eq!(pod["terminationGracePeriodSeconds"], 46);
    let variable = |name: &str| -> Result<&Value> {
        let variables = pod["containers"][0]["env"].as_array().context("it has variables")?;
        let found = variables.iter().find(|variable| variable["name"] == name);
        Ok(&found.with_context(|| format!("{name} is set"))?["value"])
    };
    assert_eq!(variable("PGSWEEP_DRAIN_DELAY")?, "11s");
    assert_eq!(variable("PGSWEEP_DRAIN_TIMEOUT")?, "30s");
    Ok(())
}

#[tokio::test]
async fn phones_reach_neither_probes_nor_metrics_by_the_ingress() -> Result<()> {
    if !has_helm()? {
        return Ok(());
    }
    let values = ["--set", "ingress.enabled=true,trustedProxies=1"];
    let objects = chart::rendered(&values).await?;
    let ingress = of_kind(&objects, "Ingress");
    let paths = ingress[0].pointer("/spec/rules/0/http/paths").and_then(Value::as_array);
    let paths: Vec<_> = paths.context("it has paths")?.iter().map(|path| &path["path"]).collect();
    assert_eq!(paths, ["/api", "/problems", "/docs", "/openapi.json"]);
    Ok(())
}

/// All phones would have one address, and five tries a minute.
#[tokio::test]
async fn an_ingress_that_nobody_counts_is_refused_with_the_way_out() -> Result<()> {
    if !has_helm()? {
        return Ok(());
    }
    let refused = chart::rendered(&["--set", "ingress.enabled=true"]).await;
    let words = format!("{:#}", refused.err().context("it is refused")?);
    assert!(words.contains("Set trustedProxies to the number of proxies"), "{words}");
    Ok(())
}

/// Clients that take every place must not have kubelet start a pod again.
#[tokio::test]
async fn probes_and_prometheus_take_no_place_among_the_clients() -> Result<()> {
    if !has_helm()? {
        return Ok(());
    }
    let values = ["--set", "networkPolicy.enabled=true,serviceMonitor.enabled=true"];
    let objects = chart::rendered(&values).await?;
    let container = &pods(&objects)[0]["containers"][0];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "admin", "{probe}");
    }
    let monitor = of_kind(&objects, "ServiceMonitor")[0];
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], "admin");
    let service = of_kind(&objects, "Service")[0];
    let policy = of_kind(&objects, "NetworkPolicy")[0];
    for ports in [&service["spec"]["ports"], &policy["spec"]["ingress"][0]["ports"]] {
        let text = ports.to_string();
        assert!(text.contains("\"http\"") && text.contains("\"admin\""), "{text}");
    }
    Ok(())
}

/// A budget of one pod would hold up the drain of its node for ever.
#[tokio::test]
async fn one_replica_has_no_budget_and_two_have_one() -> Result<()> {
    if !has_helm()? {
        return Ok(());
    }
    for (replicas, budgets) in [("replicas=1", 0), ("replicas=2", 1)] {
        let objects = chart::rendered(&["--set", replicas]).await?;
        assert_eq!(of_kind(&objects, "PodDisruptionBudget").len(), budgets, "{replicas}");
    }
    Ok(())
}

/// What pulls images and finds nodes for the release does so for the pods of its policies, beside what a file asks for.
#[tokio::test]
async fn the_pods_of_policies_are_pulled_and_placed_as_those_of_the_release() -> Result<()> {
    if !has_helm()? {
        return Ok(());
    }
    let given = json!({
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "db", "operator": "Exists"}],
    });
    let fields = given.as_object().context("fields")?;
    let mut arguments = vec!["--set".to_owned(), "cleanupPolicies.enabled=true".to_owned()];
    for (field, value) in fields {
        arguments.extend(["--set-json".to_owned(), format!("{field}={value}")]);
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let objects = chart::rendered(&arguments).await?;
    let policies = of_kind(&objects, "CleanupPolicy");
    assert_eq!(policies.len(), 6);
    let of_files = chart::rendered(&["--set", "cleanupPolicies.enabled=true"]).await?;
    for (policy, of_file) in policies.into_iter().zip(of_kind(&of_files, "CleanupPolicy")) {
        let (pod, of_file) = (&policy["spec"]["podTemplate"], &of_file["spec"]["podTemplate"]);
        assert_eq!(pod["labels"], of_file["labels"], "{policy}");
        for (field, value) in fields {
            assert_eq!(&pod[field], value, "{policy}");
            assert!(of_file[field].is_null(), "{of_file}");
        }
    }
    Ok(())
}
