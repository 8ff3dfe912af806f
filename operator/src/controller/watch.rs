//! The watches: what the operator knows of the cluster, kept in memory, and
//! which policy to look at when something moves.
//!
//! A policy is watched as it is, not as a type: one that this version cannot
//! read must not stop the watch of all others.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{Config, Event, watcher};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Api, Client, Resource};
use policy::{CleanupPolicy, LABEL_POLICY, PolicyName};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::index::{Digest, Index, Touched};
use super::observe::{ObservedCronJob, ObservedJob, ObservedPod};
use crate::backoff::{Backoff, WatchBackoff};

/// `kubectl apply` leaves the whole object here a second time.
const ANNOTATION_LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Objects a page of a list; each can hold a policy of 96 KiB.
const PAGE: u32 = 50;
/// Triggers that wait to be taken in; more make the watches wait.
const MOST_TRIGGERS: usize = 1024;

/// What the watches know.
pub struct Caches {
    pub policies: Store<DynamicObject>,
    pub cron_jobs: Index<ObservedCronJob>,
    pub jobs: Index<ObservedJob>,
    pub pods: Index<ObservedPod>,
}

impl Caches {
    /// Returns when everything has been listed once; false if a watch ended before.
    pub async fn wait_until_synced(&self) -> bool {
        self.cron_jobs.wait_until_synced().await;
        self.jobs.wait_until_synced().await;
        self.pods.wait_until_synced().await;
        self.policies.wait_until_ready().await.is_ok()
    }
}

/// The kind `CleanupPolicy`, for objects that are not read as one.
pub fn resource() -> ApiResource {
    ApiResource::erase::<CleanupPolicy>(&())
}

/// The watches, each a task; dropping them ends them.
pub struct Watches {
    pub caches: Arc<Caches>,
    pub triggers: mpsc::Receiver<ObjectRef<DynamicObject>>,
    pub tasks: JoinSet<()>,
}

/// Starts the watches.
pub fn start(client: &Client, backoff: &Arc<Backoff>) -> Watches {
    let writer = Writer::new(resource());
    let caches = Arc::new(Caches {
        policies: writer.as_reader(),
        cron_jobs: Index::default(),
        jobs: Index::default(),
        pods: Index::default(),
    });
    let (sender, triggers) = mpsc::channel(MOST_TRIGGERS);
    let trigger = Trigger { caches: Arc::clone(&caches), sender };
    let mut tasks = JoinSet::new();
    tasks.spawn(follow_policies(client.clone(), writer, trigger.clone(), Arc::clone(backoff)));
    tasks.spawn(follow(client.clone(), |caches| &caches.cron_jobs, trigger.clone()));
    tasks.spawn(follow(client.clone(), |caches| &caches.jobs, trigger.clone()));
    tasks.spawn(follow(client.clone(), |caches| &caches.pods, trigger));
    Watches { caches, triggers, tasks }
}

/// Asks for reconciles.
#[derive(Clone)]
struct Trigger {
    caches: Arc<Caches>,
    sender: mpsc::Sender<ObjectRef<DynamicObject>>,
}

impl Trigger {
    async fn send(&self, touched: Touched) {
        match touched {
            Touched::These(names) => {
                for name in names {
                    self.send_one(&name).await;
                }
            }
            Touched::All => {
                for policy in self.caches.policies.state() {
                    let policy = ObjectRef::from_obj_with(policy.as_ref(), resource());
                    // Nobody listens any more: the process is about to end.
                    let _ = self.sender.send(policy).await;
                }
            }
        }
    }

    async fn send_one(&self, name: &PolicyName) {
        let policy = ObjectRef::new_with(&name.name, resource()).within(&name.namespace);
        let _ = self.sender.send(policy).await;
    }
}

async fn follow_policies(
    client: Client,
    writer: Writer<DynamicObject>,
    trigger: Trigger,
    backoff: Arc<Backoff>,
) {
    let api = Api::<DynamicObject>::all_with(client, &resource());
    let config = Config::default().page_size(PAGE);
    let events = watcher(api, config).backoff(WatchBackoff::default()).modify(slim);
    let mut events = pin!(reflector(writer, events));
    let mut seen = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(object)) => {
                let news = (object.metadata.uid.clone(), asked(&object));
                let policy = ObjectRef::from_obj_with(&object, resource());
                let is_asked = seen.insert(policy.clone(), news.clone()) != Some(news);
                // That only its status changed can be our own doing: it must not go round the
                // back-off of a policy that fails, and writes its failure each time.
                if is_asked || !backoff.is_waiting(&super::name(&object)) {
                    let _ = trigger.sender.send(policy).await;
                }
            }
            Ok(Event::Delete(object)) => {
                let policy = ObjectRef::from_obj_with(&object, resource());
                seen.remove(&policy);
                let _ = trigger.sender.send(policy).await;
            }
            Ok(Event::InitDone) => trigger.send(Touched::All).await,
            Ok(Event::Init | Event::InitApply(_)) => {}
            Err(error) => warn("CleanupPolicy", &error),
        }
    }
}

/// What a user asks of a policy: anything but its status.
fn asked(object: &DynamicObject) -> (Option<i64>, Option<BTreeMap<String, String>>, bool) {
    let metadata = &object.metadata;
    (metadata.generation, metadata.annotations.clone(), metadata.deletion_timestamp.is_some())
}

async fn follow<T>(client: Client, index: fn(&Caches) -> &Index<T>, trigger: Trigger)
where
    T: Digest,
    T::Object: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send,
{
    let api = Api::<T::Object>::all(client);
    let config = Config::default().labels(LABEL_POLICY).page_size(PAGE);
    let mut events = pin!(watcher(api, config).backoff(WatchBackoff::default()));
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let touched = index(&trigger.caches).follow(event);
                trigger.send(touched).await;
            }
            Err(error) => warn(&T::Object::kind(&()), &error),
        }
    }
}

/// Leaves away what no reconcile looks at.
fn slim(object: &mut DynamicObject) {
    object.metadata.managed_fields = None;
    let annotations: Option<&mut BTreeMap<String, String>> = object.metadata.annotations.as_mut();
    if let Some(annotations) = annotations {
        annotations.remove(ANNOTATION_LAST_APPLIED);
    }
}

/// The watch begins anew by itself, after a pause that grows.
fn warn(kind: &str, error: &kube::runtime::watcher::Error) {
    tracing::warn!(kind, error = %error, "the watch was interrupted");
}
