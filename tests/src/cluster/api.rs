//! Requests without a `kubectl`: tests wait by looking again and again, and a process for each look
//! would be most of what they cost. What a user would type stays a `kubectl`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper::{Method, Request, header};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::Cluster;

const JSON: &str = "application/json";

/// As long as anything here may take; an API server that is frozen answers nothing at all.
const ANSWER: Duration = Duration::from_secs(30);

/// What tests look at: where the API server has it, what it calls it, and what tests may.
const KINDS: [(&str, &str, &str, &[&str]); 7] = [
    ("/apis/pgsweep.dev/v1alpha1", "cleanuppolicies", "CleanupPolicy", &["sweep"]),
    ("/apis/batch/v1", "cronjobs", "CronJob", &["cronjob"]),
    ("/apis/batch/v1", "jobs", "Job", &["job", "job.batch"]),
    ("/api/v1", "pods", "Pod", &["pod"]),
    ("/api/v1", "serviceaccounts", "ServiceAccount", &["serviceaccount"]),
    ("/apis/coordination.k8s.io/v1", "leases", "Lease", &["lease"]),
    ("/apis/events.k8s.io/v1", "events", "Event", &["events.events.k8s.io"]),
];

/// The API server as an administrator asks it. Its connections are of the runtime, and so of the
/// test, that made it.
#[derive(Clone)]
pub struct Api {
    client: Client,
}

impl Cluster {
    /// How an administrator's client reaches its API server.
    pub async fn client_config(&self) -> Result<Config> {
        let file = Kubeconfig::read_from(self.kubeconfig())
            .context("failed to read the cluster's kubeconfig")?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(file, &options).await;
        config.context("failed to use the cluster's kubeconfig")
    }

    /// A way to ask its API server.
    pub async fn api(&self) -> Result<Api> {
        let mut config = self.client_config().await?;
        config.connect_timeout = Some(ANSWER);
        // It would end a connection that has nothing to do, too, just when it may be needed again.
        config.read_timeout = None;
        let client = Client::try_from(config).context("failed to make a Kubernetes client")?;
        Ok(Api { client })
    }
}

impl Api {
    /// Sends just what it is told to, null and NUL too. What is inside is the answer, or what the
    /// API server says against the request.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Result<Value, String>> {
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, JSON)
            .body(body)
            .context("failed to build a request")?;
        let answer = tokio::time::timeout(ANSWER, self.client.request::<Value>(request)).await;
        let late = || format!("no answer to {path} within {} s", ANSWER.as_secs());
        match answer.with_context(late)? {
            Ok(answer) => Ok(Ok(answer)),
            Err(kube::Error::Api(refusal)) if (400..500).contains(&refusal.code) => {
                Ok(Err(refusal.message.clone()))
            }
            Err(error) => Err(error).with_context(|| format!("failed to ask for {path}")),
        }
    }

    /// Reads an object (`job/cleanup`), a list (`jobs`) or lists (`cronjobs,jobs`, each of its own
    /// moment) of a namespace, as `kubectl get` does.
    pub(super) async fn read(&self, namespace: &str, what: &str) -> Result<Value> {
        if let Some((kind, name)) = what.split_once('/') {
            return self.find(namespace, kind, Some(name)).await;
        }
        let mut items = Vec::new();
        for kind in what.split(',') {
            match self.find(namespace, kind, None).await?["items"].take() {
                Value::Array(found) => items.extend(found),
                _ => bail!("the API server lists no {kind}"),
            }
        }
        Ok(json!({ "kind": "List", "items": items }))
    }

    async fn find(&self, namespace: &str, what: &str, name: Option<&str>) -> Result<Value> {
        let known = KINDS.iter().find(|(_, list, _, names)| *list == what || names.contains(&what));
        let (root, list, kind, _) = known.with_context(|| format!("where is {what}?"))?;
        let name = name.map(|name| format!("/{name}")).unwrap_or_default();
        let path = format!("{root}/namespaces/{namespace}/{list}{name}");
        let found = self.ask(Method::GET, &path, None).await?;
        let mut found = found.map_err(anyhow::Error::msg)?;
        // Which the API server says once for all of them.
        for item in found["items"].as_array_mut().into_iter().flatten() {
            item["kind"] = json!(kind);
        }
        Ok(found)
    }
}
