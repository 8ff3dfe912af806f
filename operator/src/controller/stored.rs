//! A policy as it is kept in memory: not read as its type, since one that this version cannot read
//! must not stop the watch of all others, and as text, since ten thousand trees of JSON are a
//! gigabyte.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use policy::{ANNOTATION_APPROVED, CleanupPolicy, PolicyName};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What is kept of a policy.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct StoredPolicy {
    /// Without what no reconcile looks at.
    #[serde(deserialize_with = "slim")]
    metadata: ObjectMeta,
    #[serde(default, deserialize_with = "text")]
    spec: Option<Box<str>>,
    #[serde(default, deserialize_with = "text")]
    status: Option<Box<str>>,
}

impl StoredPolicy {
    /// Its namespace and name.
    pub fn name(&self) -> PolicyName {
        PolicyName {
            namespace: self.metadata.namespace.clone().unwrap_or_default(),
            name: self.metadata.name.clone().unwrap_or_default(),
        }
    }

    /// Empty only for an object that the API server never had.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The hash of the rules that somebody approved.
    pub fn approved_rules_hash(&self) -> Option<String> {
        self.metadata.annotations.as_ref()?.get(ANNOTATION_APPROVED).cloned()
    }

    /// The reference by which controllers ask for it.
    pub fn reference(&self) -> ObjectRef<Self> {
        ObjectRef::from_obj(self)
    }

    /// `None` where nothing is stored.
    pub fn spec(&self) -> Option<Value> {
        read(self.spec.as_deref())
    }

    /// `None` where nothing is stored.
    pub fn status(&self) -> Option<Value> {
        read(self.status.as_deref())
    }
}

/// It was JSON when it came.
fn read(text: Option<&str>) -> Option<Value> {
    serde_json::from_str(text?).ok()
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<str>>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    Ok(value.map(|value| value.to_string().into_boxed_str()))
}

/// `kubectl apply` leaves the whole policy in an annotation a second time, and the managed fields
/// name each field of it.
fn slim<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let whole = ObjectMeta::deserialize(deserializer)?;
    let approved = whole.annotations.and_then(|mut all| all.remove_entry(ANNOTATION_APPROVED));
    Ok(ObjectMeta {
        name: whole.name,
        namespace: whole.namespace,
        uid: whole.uid,
        resource_version: whole.resource_version,
        generation: whole.generation,
        creation_timestamp: whole.creation_timestamp,
        deletion_timestamp: whole.deletion_timestamp,
        annotations: approved.map(|approved| [approved].into()),
        ..ObjectMeta::default()
    })
}

impl Resource for StoredPolicy {
    type DynamicType = ();
    type Scope = <CleanupPolicy as Resource>::Scope;

    fn kind(&(): &()) -> Cow<'_, str> {
        CleanupPolicy::kind(&())
    }

    fn group(&(): &()) -> Cow<'_, str> {
        CleanupPolicy::group(&())
    }

    fn version(&(): &()) -> Cow<'_, str> {
        CleanupPolicy::version(&())
    }

    fn plural(&(): &()) -> Cow<'_, str> {
        CleanupPolicy::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_reconcile_looks_at_is_kept_and_nothing_else() {
        let object = json!({
            "apiVersion": "pgsweep.dev/v1alpha1",
            "kind": "CleanupPolicy",
            "metadata": {
                "name": "codes", "namespace": "shop", "uid": "u", "generation": 3,
                "resourceVersion": "7", "creationTimestamp": "2026-11-20T00:00:00Z",
                "labels": {"team": "shop"},
                "annotations": {
                    ANNOTATION_APPROVED: "h", "kubectl.kubernetes.io/last-applied-configuration": "{}",
                },
                "managedFields": [{"manager": "kubectl"}],
            },
            "spec": {"rules": "none that this version could read"},
        });
        let stored: StoredPolicy = serde_json::from_value(object.clone()).expect("a policy");
        assert_eq!(stored.name().to_string(), "shop/codes");
        assert_eq!(stored.spec().as_ref(), object.get("spec"));
        assert_eq!(stored.status(), None);
        let kept = json!({
            "name": "codes", "namespace": "shop", "uid": "u", "generation": 3,
            "resourceVersion": "7", "creationTimestamp": "2026-11-20T00:00:00Z",
            "annotations": {ANNOTATION_APPROVED: "h"},
        });
        assert_eq!(serde_json::to_value(stored.meta()).expect("metadata"), kept);
    }
}
