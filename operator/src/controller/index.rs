//! What the watches know of CronJobs, Jobs and pods, found by policy: only the
//! part of each object that a reconcile looks at, so that memory stays small.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use kube::ResourceExt as _;
use kube::runtime::watcher::Event;
use policy::PolicyName;
use tokio::sync::watch;

/// What is kept of an object.
pub trait Digest: Sized + Send + Sync + 'static {
    /// The kind that is watched.
    type Object: kube::Resource;

    /// What to keep; `None` for an object that cannot be a policy's.
    fn digest(object: &Self::Object) -> Option<Entry<Self>>;
}

/// What is kept of one object, and where it belongs.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<T> {
    pub policy: PolicyName,
    pub uid: String,
    pub value: T,
}

/// Which policies an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    These(Vec<PolicyName>),
    /// The watch began anew, so anything may have changed.
    All,
}

/// Objects of one kind, by policy. Read by many, written by the one watch that follows its kind.
#[derive(Debug)]
pub struct Index<T> {
    entries: RwLock<Entries<T>>,
    synced: watch::Sender<bool>,
}

#[derive(Debug)]
struct Entries<T> {
    by_policy: HashMap<PolicyName, BTreeMap<String, Arc<T>>>,
    policies: HashMap<String, PolicyName>,
    /// The next contents, while the watch lists all objects anew.
    listed: Option<Vec<Entry<T>>>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        let entries = Entries { by_policy: HashMap::new(), policies: HashMap::new(), listed: None };
        Self { entries: RwLock::new(entries), synced: watch::Sender::new(false) }
    }
}

impl<T: Digest> Index<T> {
    /// All objects of the policy, in the order of their UIDs.
    pub fn of(&self, policy: &PolicyName) -> Vec<Arc<T>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.by_policy.get(policy).map(|own| own.values().cloned().collect()).unwrap_or_default()
    }

    /// Returns when all objects have been listed once.
    pub async fn wait_until_synced(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Takes an event of the watch in.
    pub fn follow(&self, event: Event<T::Object>) -> Touched {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => entries.listed = Some(Vec::new()),
            Event::InitApply(object) => {
                let entry = T::digest(&object);
                entries.listed.get_or_insert_default().extend(entry);
            }
            Event::InitDone => {
                entries.replace();
                self.synced.send_replace(true);
                return Touched::All;
            }
            Event::Apply(object) => {
                let before = object.uid().and_then(|uid| entries.remove(&uid));
                let now = T::digest(&object).map(|entry| entries.insert(entry));
                return touched([before, now]);
            }
            Event::Delete(object) => {
                return touched([object.uid().and_then(|uid| entries.remove(&uid)), None]);
            }
        }
        Touched::These(Vec::new())
    }
}

fn touched(policies: [Option<PolicyName>; 2]) -> Touched {
    let mut policies: Vec<_> = policies.into_iter().flatten().collect();
    policies.dedup();
    Touched::These(policies)
}

impl<T> Entries<T> {
    fn insert(&mut self, Entry { policy, uid, value }: Entry<T>) -> PolicyName {
        self.policies.insert(uid.clone(), policy.clone());
        self.by_policy.entry(policy.clone()).or_default().insert(uid, Arc::new(value));
        policy
    }

    fn remove(&mut self, uid: &str) -> Option<PolicyName> {
        let policy = self.policies.remove(uid)?;
        if let Some(own) = self.by_policy.get_mut(&policy) {
            own.remove(uid);
            if own.is_empty() {
                self.by_policy.remove(&policy);
            }
        }
        Some(policy)
    }

    fn replace(&mut self) {
        self.by_policy.clear();
        self.policies.clear();
        for entry in self.listed.take().into_iter().flatten() {
            self.insert(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    impl Digest for String {
        type Object = ConfigMap;

        fn digest(object: &ConfigMap) -> Option<Entry<Self>> {
            let policy = object.labels().get("policy")?.clone();
            let policy = PolicyName { namespace: object.namespace()?, name: policy };
            Some(Entry { policy, uid: object.uid()?, value: object.name_any() })
        }
    }

    fn object(uid: &str, policy: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {
            "name": format!("name-{uid}"), "namespace": "shop", "uid": uid, "labels": {"policy": policy},
        }}))
        .expect("an object")
    }

    fn policy(name: &str) -> PolicyName {
        PolicyName { namespace: "shop".into(), name: name.into() }
    }

    fn names(index: &Index<String>, name: &str) -> Vec<String> {
        index.of(&policy(name)).iter().map(|value| (**value).clone()).collect()
    }

    #[test]
    fn events_are_taken_in_and_say_whom_they_touch() {
        let index = Index::<String>::default();
        let these =
            |names: &[&str]| Touched::These(names.iter().map(|name| policy(name)).collect());

        assert_eq!(index.follow(Event::Apply(object("1", "a"))), these(&["a"]));
        assert_eq!(index.follow(Event::Apply(object("1", "a"))), these(&["a"]));
        assert_eq!(names(&index, "a"), ["name-1"]);
        // Its label was edited: both policies must look.
        assert_eq!(index.follow(Event::Apply(object("1", "b"))), these(&["a", "b"]));
        assert_eq!((names(&index, "a").len(), names(&index, "b").len()), (0, 1));
        assert_eq!(index.follow(Event::Delete(object("1", "b"))), these(&["b"]));
        assert_eq!(index.follow(Event::Delete(object("1", "b"))), these(&[]));
        assert!(index.entries.read().expect("lock").by_policy.is_empty());
    }

    #[test]
    fn a_new_list_replaces_the_old_contents_at_once_and_only_when_it_is_complete() {
        let index = Index::<String>::default();
        index.follow(Event::Apply(object("1", "a")));
        index.follow(Event::Init);
        index.follow(Event::InitApply(object("2", "a")));
        assert_eq!(names(&index, "a"), ["name-1"]);
        assert!(!*index.synced.borrow());
        assert_eq!(index.follow(Event::InitDone), Touched::All);
        assert_eq!(names(&index, "a"), ["name-2"]);
        assert!(*index.synced.borrow());
    }
}
