//! What the watches know of CronJobs, Jobs and pods, found by policy: only the
//! part of each object that a reconcile looks at, so that memory stays small.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

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

    /// Whether it tells how something ended, and is kept for a while after the object is gone:
    /// a Job may be deleted, by its CronJob's history limits for one, before it was counted.
    fn is_last_word(&self) -> bool {
        false
    }
}

/// How long the last word of an object that is gone is kept.
pub const LINGER: Duration = Duration::from_mins(1);

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
    /// When objects went whose last word is kept.
    gone: HashMap<String, Instant>,
    /// The next contents, while the watch lists all objects anew.
    listed: Option<Vec<Entry<T>>>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        let entries = Entries {
            by_policy: HashMap::new(),
            policies: HashMap::new(),
            gone: HashMap::new(),
            listed: None,
        };
        Self { entries: RwLock::new(entries), synced: watch::Sender::new(false) }
    }
}

impl<T: Digest> Index<T> {
    /// All objects of the policy, in the order of their UIDs; those that are gone, too, while
    /// their last word is kept.
    pub fn of(&self, policy: &PolicyName) -> Vec<Arc<T>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let own = entries.by_policy.get(policy).into_iter().flatten();
        own.filter(|(uid, _)| !entries.is_over(uid)).map(|(_, value)| Arc::clone(value)).collect()
    }

    /// UIDs of those that are gone.
    pub fn gone(&self, policy: &PolicyName) -> BTreeSet<String> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let own = entries.by_policy.get(policy).into_iter().flatten();
        own.map(|(uid, _)| uid).filter(|uid| entries.gone.contains_key(*uid)).cloned().collect()
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
                entries.bury();
                let known = object.uid().and_then(|uid| entries.remove(&uid));
                let last = T::digest(&object).filter(|entry| entry.value.is_last_word());
                if let Some(entry) = last {
                    entries.gone.insert(entry.uid.clone(), Instant::now());
                    return touched([Some(entries.insert(entry)), None]);
                }
                return touched([known, None]);
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

    /// A new list knows nothing of what is gone.
    fn replace(&mut self) {
        self.bury();
        let (gone, policies) = (&self.gone, &mut self.policies);
        policies.retain(|uid, _| gone.contains_key(uid));
        self.by_policy.retain(|_, own| {
            own.retain(|uid, _| gone.contains_key(uid));
            !own.is_empty()
        });
        for entry in self.listed.take().into_iter().flatten() {
            self.insert(entry);
        }
    }

    fn is_over(&self, uid: &str) -> bool {
        self.gone.get(uid).is_some_and(|since| since.elapsed() >= LINGER)
    }

    /// Forgets those that have been gone for long enough.
    fn bury(&mut self) {
        let over: Vec<_> = self.gone.keys().filter(|uid| self.is_over(uid)).cloned().collect();
        for uid in over {
            self.gone.remove(&uid);
            self.remove(&uid);
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

        fn is_last_word(&self) -> bool {
            self == "name-last"
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
    fn a_last_word_outlives_its_object_and_a_new_list() {
        let index = Index::<String>::default();
        index.follow(Event::Apply(object("last", "a")));
        index.follow(Event::Delete(object("last", "a")));
        assert_eq!(index.gone(&policy("a")), ["last".to_owned()].into());
        index.follow(Event::Init);
        index.follow(Event::InitApply(object("2", "a")));
        index.follow(Event::InitDone);
        assert_eq!(names(&index, "a"), ["name-2", "name-last"]);
        let long_ago = Instant::now().checked_sub(LINGER).expect("a machine that is up for longer");
        index.entries.write().expect("lock").gone.insert("last".into(), long_ago);
        assert_eq!(names(&index, "a"), ["name-2"]);
        index.follow(Event::Delete(object("2", "a")));
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
