//! What the watches know of CronJobs, Jobs and pods, found by policy: only the
//! part of each object that a reconcile looks at, so that memory stays small.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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

/// A namespace that a watch of its own follows; `None` for the one watch of all.
pub type Place = Option<String>;

/// Which policies an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    These(Vec<PolicyName>),
    /// The watch of this place began anew, so anything there may have changed.
    All(Place),
}

/// Objects of one kind, by policy. Read by many; each place is written by the one watch that
/// follows its kind there.
#[derive(Debug)]
pub struct Index<T> {
    entries: RwLock<Entries<T>>,
    synced: watch::Sender<HashSet<Place>>,
}

#[derive(Debug)]
struct Entries<T> {
    by_policy: HashMap<PolicyName, BTreeMap<String, Arc<T>>>,
    policies: HashMap<String, PolicyName>,
    /// When objects went whose last word is kept.
    gone: HashMap<String, Instant>,
    /// The next contents of a place, while its watch lists all objects anew.
    listed: HashMap<Place, Vec<Entry<T>>>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        let entries = Entries {
            by_policy: HashMap::new(),
            policies: HashMap::new(),
            gone: HashMap::new(),
            listed: HashMap::new(),
        };
        Self { entries: RwLock::new(entries), synced: watch::Sender::new(HashSet::new()) }
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

    /// UIDs of those that are gone and whose last word is kept.
    pub fn gone(&self, policy: &PolicyName) -> BTreeSet<String> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let own = entries.by_policy.get(policy).into_iter().flatten();
        let is_kept = |uid: &&String| entries.gone.contains_key(*uid) && !entries.is_over(uid);
        own.map(|(uid, _)| uid).filter(is_kept).cloned().collect()
    }

    /// Returns when all objects of the place have been listed once.
    pub async fn wait_until_synced(&self, place: &Place) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.synced.subscribe().wait_for(|synced| synced.contains(place)).await;
    }

    /// Takes an event of the watch of a place in.
    pub fn follow(&self, place: &Place, event: Event<T::Object>) -> Touched {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => {
                entries.listed.insert(place.clone(), Vec::new());
            }
            Event::InitApply(object) => {
                let entry = T::digest(&object);
                entries.listed.entry(place.clone()).or_default().extend(entry);
            }
            Event::InitDone => {
                entries.replace(place);
                self.synced.send_modify(|synced| {
                    synced.insert(place.clone());
                });
                return Touched::All(place.clone());
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

    /// A new list knows nothing of what is gone, and nothing of other places.
    fn replace(&mut self, place: &Place) {
        self.bury();
        let is_elsewhere =
            |policy: &PolicyName| place.as_ref().is_some_and(|name| *name != policy.namespace);
        let (gone, policies) = (&self.gone, &mut self.policies);
        policies.retain(|uid, policy| is_elsewhere(policy) || gone.contains_key(uid));
        self.by_policy.retain(|policy, own| {
            own.retain(|uid, _| is_elsewhere(policy) || gone.contains_key(uid));
            !own.is_empty()
        });
        for entry in self.listed.remove(place).into_iter().flatten() {
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
mod tests;
