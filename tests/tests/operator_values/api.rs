//! The API server as a client sees it that sends just what it is told to, null and NUL too: `kubectl`
//! drops some of that, and takes long for each object.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tests::api_proxy::ApiProxy;
use tests::cluster::Namespace;
use tests::wait;
use tokio::net::TcpStream;

/// Says no to unknown fields, as `kubectl` does.
const STRICT: &str = "fieldManager=test&fieldValidation=Strict";

/// For a write that has crossed one of the operator.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Api {
    /// It speaks TLS for us.
    proxy: ApiProxy,
    token: String,
    namespace: String,
}

impl Api {
    /// As an administrator of the namespace.
    pub async fn of(namespace: &Namespace<'_>) -> Result<Self> {
        let account = format!("--serviceaccount={}:default", namespace.name());
        let binding = ["create", "rolebinding", "test", "--clusterrole=cluster-admin", &account];
        namespace.kubectl(binding).await?;
        let token = namespace.kubectl(["create", "token", "default", "--duration", "2h"]).await?;
        Ok(Self {
            proxy: ApiProxy::start(namespace.cluster())?,
            token: token.trim().to_owned(),
            namespace: namespace.name().to_owned(),
        })
    }

    /// What would be stored, or why it is refused.
    pub async fn judge(&self, document: &Value) -> Result<Result<Value, String>> {
        let path = format!("{}?dryRun=All&{STRICT}", self.policies());
        let mut document = document.clone();
        document["metadata"]["name"] = "judged".into();
        self.ask(Method::POST, &path, &document).await
    }

    /// Stores a policy as it is given, over the one that is there.
    pub async fn put(&self, document: &Value) -> Result<()> {
        let name = document["metadata"]["name"].as_str().context("a policy has a name")?;
        let (all, one) = (self.policies(), format!("{}/{name}", self.policies()));
        wait::until("a policy to be stored", PATIENCE, async || {
            let mut document = document.clone();
            let answer = match self.ask(Method::GET, &one, &Value::Null).await? {
                Ok(stored) => {
                    let version = stored["metadata"]["resourceVersion"].clone();
                    document["metadata"]["resourceVersion"] = version;
                    self.ask(Method::PUT, &format!("{one}?{STRICT}"), &document).await?
                }
                Err(_) => self.ask(Method::POST, &format!("{all}?{STRICT}"), &document).await?,
            };
            // The operator may have written the status just now: the next look has it.
            answer.map(|_| Some(())).map_err(|refusal| anyhow::anyhow!("not taken: {refusal}"))
        })
        .await
    }

    pub async fn policy(&self, name: &str) -> Result<Value> {
        self.get(&format!("{}/{name}", self.policies())).await
    }

    pub async fn cron_job(&self, name: &str) -> Result<Value> {
        self.get(&format!("/apis/batch/v1/namespaces/{}/cronjobs/{name}", self.namespace)).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.ask(Method::GET, path, &Value::Null).await?;
        answer.map_err(|refusal| anyhow::anyhow!("{path}: {refusal}"))
    }

    fn policies(&self) -> String {
        format!("/apis/pgsweep.dev/v1alpha1/namespaces/{}/cleanuppolicies", self.namespace)
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Result<Value, String>> {
        let socket = TcpStream::connect(self.proxy.address()).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        tokio::spawn(connection);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.proxy.address().to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let body: Value = serde_json::from_slice(&body).context("an answer is no JSON")?;
        if head.status.is_success() {
            return Ok(Ok(body));
        }
        // Neither must a bad value be too much for the API server.
        ensure!(head.status.is_client_error(), "{path}: {}: {body}", head.status);
        Ok(Err(body["message"].as_str().unwrap_or_default().to_owned()))
    }
}
