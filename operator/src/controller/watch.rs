//! The watches: what the operator knows of the cluster, kept in memory, and
//! which policy to look at when something moves.
//!
//! Each kind has one watch, or one in each namespace that the operator is to
//! look at: then no request goes beyond those.

mod persistent;
mod policies;

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{Config, Event};
use kube::{Api, Client, Resource};
use policy::LABEL_POLICY;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::index::{Digest, Index, Place, Touched};
use super::observe::{ObservedCronJob, ObservedJob, ObservedPod};
use super::stored::StoredPolicy;
use crate::args::Scope;
use crate::backoff::Backoff;
use persistent::{News, Watch};
use policies::Policies;

/// Objects a page of a list; each can hold a policy of 96 KiB.
const PAGE: u32 = 50;
/// Triggers that wait to be taken in; more make the watches wait.
const MOST_TRIGGERS: usize = 1024;

/// What the watches know.
pub struct Caches {
    pub policies: Store<StoredPolicy>,
    pub cron_jobs: Index<ObservedCronJob>,
    pub jobs: Index<ObservedJob>,
    pub pods: Index<ObservedPod>,
    all_policies: Policies,
    /// The places of which not everything is known yet.
    unknown: watch::Sender<HashSet<Place>>,
}

impl Caches {
    fn new(scope: &Scope) -> Self {
        let all_policies = Policies::new();
        Self {
            policies: all_policies.store(),
            cron_jobs: Index::default(),
            jobs: Index::default(),
            pods: Index::default(),
            all_policies,
            unknown: watch::Sender::new(scope.namespaces().into_iter().collect()),
        }
    }

    /// Returns when everything has been listed once. A namespace that the operator may not look
    /// into holds nobody up: it may not exist yet.
    pub async fn wait_until_known(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.unknown.subscribe().wait_for(HashSet::is_empty).await;
    }

    fn know(&self, place: &Place) {
        self.unknown.send_if_modified(|unknown| unknown.remove(place));
    }

    /// The watch of a kind there was refused.
    fn refuse(&self, place: &Place) {
        if place.is_some() {
            self.know(place);
        }
    }
}

/// The watches, each a task; dropping them ends them.
pub struct Watches {
    pub caches: Arc<Caches>,
    pub triggers: mpsc::Receiver<ObjectRef<StoredPolicy>>,
    pub tasks: JoinSet<()>,
}

/// Starts the watches.
pub fn start(client: &Client, scope: &Scope, backoff: &Arc<Backoff>) -> Watches {
    let caches = Arc::new(Caches::new(scope));
    let (sender, triggers) = mpsc::channel(MOST_TRIGGERS);
    let mut tasks = JoinSet::new();
    for place in scope.namespaces() {
        let follower = Follower {
            place,
            client: client.clone(),
            caches: Arc::clone(&caches),
            triggers: sender.clone(),
        };
        tasks.spawn(follower.clone().follow(|caches| &caches.cron_jobs));
        tasks.spawn(follower.clone().follow(|caches| &caches.jobs));
        tasks.spawn(follower.clone().follow(|caches| &caches.pods));
        tasks.spawn(follower.follow_policies(Arc::clone(backoff)));
    }
    Watches { caches, triggers, tasks }
}

/// Follows a kind in one place, and asks for reconciles.
#[derive(Clone)]
struct Follower {
    place: Place,
    client: Client,
    caches: Arc<Caches>,
    triggers: mpsc::Sender<ObjectRef<StoredPolicy>>,
}

impl Follower {
    async fn follow<T>(self, index: fn(&Caches) -> &Index<T>)
    where
        T: Digest,
        T::Object: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send,
    {
        let api = match &self.place {
            None => Api::<T::Object>::all(self.client.clone()),
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
        };
        let config = Config::default().labels(LABEL_POLICY).page_size(PAGE);
        let kind = T::Object::kind(&()).into_owned();
        let mut watch = Watch::new(api, config, kind, self.place.clone());
        loop {
            match watch.next().await {
                News::Event(event) => {
                    let touched = index(&self.caches).follow(&self.place, event);
                    self.trigger(touched).await;
                }
                News::Refused => self.caches.refuse(&self.place),
            }
        }
    }

    /// Begins when all else there is known: a policy is not judged by half of what there is.
    async fn follow_policies(self, backoff: Arc<Backoff>) {
        self.caches.cron_jobs.wait_until_synced(&self.place).await;
        self.caches.jobs.wait_until_synced(&self.place).await;
        self.caches.pods.wait_until_synced(&self.place).await;
        let api = match &self.place {
            None => Api::<StoredPolicy>::all(self.client.clone()),
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
        };
        let config = Config::default().page_size(PAGE);
        let mut watch =
            Watch::new(api, config, StoredPolicy::kind(&()).into_owned(), self.place.clone());
        let mut seen = Seen::default();
        let mut listed = Vec::new();
        loop {
            match watch.next().await {
                News::Event(Event::Init) => listed.clear(),
                News::Event(Event::InitApply(policy)) => listed.push(policy),
                News::Event(Event::InitDone) => {
                    let listed = std::mem::take(&mut listed);
                    seen = listed.iter().map(sight).collect();
                    let gone = self.caches.all_policies.replace(self.place.as_deref(), listed);
                    self.caches.know(&self.place);
                    for policy in gone {
                        self.trigger_one(policy).await;
                    }
                    self.trigger(Touched::All(self.place.clone())).await;
                }
                News::Event(Event::Apply(policy)) => {
                    let (reference, news) = sight(&policy);
                    let is_waiting = backoff.is_waiting(&policy.name());
                    self.caches.all_policies.follow(&Event::Apply(policy));
                    let is_asked = seen.get(&reference) != Some(&news);
                    seen.insert(reference.clone(), news);
                    // That only its status changed can be our own doing: it must not go round the
                    // back-off of a policy that fails, and writes its failure each time.
                    if is_asked || !is_waiting {
                        self.trigger_one(reference).await;
                    }
                }
                News::Event(Event::Delete(policy)) => {
                    let reference = policy.reference();
                    seen.remove(&reference);
                    self.caches.all_policies.follow(&Event::Delete(policy));
                    self.trigger_one(reference).await;
                }
                News::Refused => self.caches.refuse(&self.place),
            }
        }
    }

    async fn trigger(&self, touched: Touched) {
        match touched {
            Touched::These(names) => {
                for name in names {
                    let policy = ObjectRef::new(&name.name);
                    self.trigger_one(policy.within(&name.namespace)).await;
                }
            }
            Touched::All(place) => {
                let there = self
                    .caches
                    .policies
                    .state_filter(|policy| place.is_none() || policy.meta().namespace == place);
                for policy in there {
                    self.trigger_one(policy.reference()).await;
                }
            }
        }
    }

    async fn trigger_one(&self, policy: ObjectRef<StoredPolicy>) {
        // Where nobody listens any more, the process is about to end.
        let _ = self.triggers.send(policy).await;
    }
}

/// What a user asks of a policy: anything but its status.
type Asked = (Option<String>, Option<i64>, Option<String>, bool);
/// What was last asked of each policy.
type Seen = HashMap<ObjectRef<StoredPolicy>, Asked>;

fn sight(policy: &StoredPolicy) -> (ObjectRef<StoredPolicy>, Asked) {
    let metadata = policy.meta();
    let asked = (
        metadata.uid.clone(),
        metadata.generation,
        policy.approved_rules_hash(),
        metadata.deletion_timestamp.is_some(),
    );
    (policy.reference(), asked)
}
