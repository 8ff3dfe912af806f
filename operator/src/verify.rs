//! `pgsweep-operator verify`: waits for what the operator of a cluster says of one policy. The pod
//! of `helm test` runs it, with permission to list and watch that policy and no other.
//!
//! It never writes, and it is no part of the operator that it looks at.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use policy::{CleanupPolicy, PolicyName};
use serde_json::Value;
use thiserror::Error;

/// The policy did not come to what was awaited.
#[derive(Debug, Error)]
#[error("waited {} s for {policy} to say {}; {last}", timeout.as_secs(), reasons.join(" or "))]
pub struct VerifyError {
    policy: PolicyName,
    reasons: Vec<String>,
    timeout: Duration,
    last: String,
}

/// Waits until the condition `Ready` of this generation of the policy has one of these reasons, and
/// returns what it says.
pub async fn verify(
    client: Client,
    policy: PolicyName,
    reasons: Vec<String>,
    timeout: Duration,
) -> Result<String, VerifyError> {
    let resource = ApiResource::erase::<CleanupPolicy>(&());
    let policies = Api::<DynamicObject>::namespaced_with(client, &policy.namespace, &resource);
    let mut last = "nothing has been heard of it".to_owned();
    let look = async {
        let mut seen = pin!(watch_object(policies, &policy.name).default_backoff());
        while let Some(seen) = seen.next().await {
            last = match seen {
                Ok(None) => "it is not there".to_owned(),
                // The network, and permissions that were just given, need a moment.
                Err(error) => format!("it cannot be read: {error}"),
                Ok(Some(object)) => match answer(&object.data, object.metadata.generation) {
                    Some((reason, text)) if reasons.contains(&reason) => return Some(text),
                    Some((_, text)) => format!("it says {text}"),
                    None => "no operator has answered it".to_owned(),
                },
            };
        }
        None
    };
    match tokio::time::timeout(timeout, look).await {
        Ok(Some(text)) => Ok(text),
        _ => Err(VerifyError { policy, reasons, timeout, last }),
    }
}

/// The reason of `Ready`, and all of it for people; nothing while an older generation is meant.
fn answer(object: &Value, generation: Option<i64>) -> Option<(String, String)> {
    let status = object.get("status")?;
    let observed = status.get("observedGeneration").and_then(Value::as_i64);
    if observed != generation {
        return None;
    }
    let mut conditions = status.get("conditions")?.as_array()?.iter();
    let ready = conditions.find(|condition| condition["type"] == "Ready")?;
    let field = |name: &str| ready.get(name).and_then(Value::as_str).unwrap_or_default();
    let text = format!("Ready={}/{}: {}", field("status"), field("reason"), field("message"));
    Some((field("reason").to_owned(), text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_the_reason_of_ready_for_this_generation() {
        let object = |observed: i64| {
            json!({"status": {"observedGeneration": observed, "conditions": [
                {"type": "Running", "status": "False", "reason": "Idle"},
                {"type": "Ready", "status": "False", "reason": "SecretMissing", "message": "no db"},
            ]}})
        };
        assert_eq!(
            answer(&object(2), Some(2)),
            Some(("SecretMissing".to_owned(), "Ready=False/SecretMissing: no db".to_owned()))
        );
        assert_eq!(answer(&object(1), Some(2)), None);
        assert_eq!(answer(&json!({"spec": {}}), Some(1)), None);
    }
}
