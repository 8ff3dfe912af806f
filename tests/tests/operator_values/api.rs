//! Policies as a client writes them that sends just what it is told to, null and NUL too: `kubectl`
//! drops some of that, and takes long for each object.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use hyper::Method;
use serde_json::{Value, json};
use tests::cluster::Namespace;
use tests::{chart, wait};

/// For a write that has crossed one of the operator.
const PATIENCE: Duration = Duration::from_secs(10);

/// What would be stored, or why it is refused.
pub async fn judge(namespace: &Namespace<'_>, document: &Value) -> Result<Result<Value, String>> {
    let mut document = document.clone();
    document["metadata"]["name"] = json!("judged");
    chart::judge(namespace, &document).await
}

/// Stores a policy as it is given, over the one that is there.
pub async fn put(namespace: &Namespace<'_>, document: &Value) -> Result<()> {
    let name = document["metadata"]["name"].as_str().context("a policy has a name")?;
    let all = chart::policies(namespace);
    let one = format!("{all}/{name}");
    let api = namespace.api();
    wait::until("a policy to be stored", PATIENCE, async || {
        let mut document = document.clone();
        let (method, path) = match api.ask(Method::GET, &one, None).await? {
            Ok(stored) => {
                let version = stored["metadata"]["resourceVersion"].clone();
                document["metadata"]["resourceVersion"] = version;
                (Method::PUT, &one)
            }
            Err(_) => (Method::POST, &all),
        };
        let path = format!("{path}?{}", chart::STRICT);
        let answer = api.ask(method, &path, Some(&document)).await?;
        // The operator may have written the status just now: the next look has it.
        answer.map(|_| Some(())).map_err(|refusal| anyhow!("not taken: {refusal}"))
    })
    .await
}
