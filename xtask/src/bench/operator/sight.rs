//! When an object was first seen as it should be, by a watch that runs beside.

use std::collections::HashMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use policy::{ANNOTATION_GENERATION, CleanupPolicy};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_mins(2);

type Moments = HashMap<String, Instant>;

/// What was seen, and when first.
pub struct Sight {
    moments: watch::Receiver<Moments>,
    _watch: JoinSet<()>,
}

impl Sight {
    /// CronJobs, by `namespace/name/generation of the policy`.
    pub async fn of_cron_jobs(client: &Client) -> Result<Self> {
        let api = Api::<PartialObjectMeta<CronJob>>::all(client.clone());
        let stream = watcher::watcher(api, watcher::Config::default());
        Self::of(stream, |cron_job: &PartialObjectMeta<CronJob>| {
            let metadata = &cron_job.metadata;
            let generation = metadata.annotations.as_ref()?.get(ANNOTATION_GENERATION)?;
            let (namespace, name) = (metadata.namespace.as_deref()?, metadata.name.as_deref()?);
            Some(format!("{namespace}/{name}/{generation}"))
        })
        .await
    }

    /// Jobs that have ended, by UID.
    pub async fn of_ended_jobs(client: &Client, namespace: &str) -> Result<Self> {
        let api = Api::<Job>::namespaced(client.clone(), namespace);
        let stream = watcher::watcher(api, watcher::Config::default());
        Self::of(stream, |job: &Job| {
            let conditions = job.status.as_ref()?.conditions.as_ref()?;
            let ended = conditions.iter().any(|condition| condition.type_ == "Complete");
            job.metadata.uid.clone().filter(|_| ended)
        })
        .await
    }

    /// Runs that a status has, by the UID of their Job.
    pub async fn of_told_runs(client: &Client, namespace: &str) -> Result<Self> {
        let resource = ApiResource::erase::<CleanupPolicy>(&());
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
        let stream = watcher::watcher(api, watcher::Config::default());
        Self::of(stream, |policy: &DynamicObject| {
            let uid = policy.data.pointer("/status/lastRun/uid")?;
            uid.as_str().map(str::to_owned)
        })
        .await
    }

    async fn of<T: Send + 'static>(
        stream: impl futures::Stream<Item = watcher::Result<Event<T>>> + Send + 'static,
        key: impl Fn(&T) -> Option<String> + Send + 'static,
    ) -> Result<Self> {
        let (sender, moments) = watch::channel(Moments::new());
        let (listed, is_listed) = oneshot::channel();
        let mut watch = JoinSet::new();
        watch.spawn(async move {
            let mut stream = pin!(stream);
            let mut listed = Some(listed);
            while let Some(event) = stream.next().await {
                match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => {
                        if let Some(key) = key(&object) {
                            sender.send_modify(|moments| {
                                moments.entry(key).or_insert_with(Instant::now);
                            });
                        }
                    }
                    Ok(Event::InitDone) => {
                        let _ = listed.take().map(|listed| listed.send(()));
                    }
                    Ok(Event::Init | Event::Delete(_)) | Err(_) => {}
                }
            }
        });
        is_listed.await.context("the watch has ended")?;
        Ok(Self { moments, _watch: watch })
    }

    /// When it was first seen, at the latest after two minutes.
    pub async fn moment(&self, key: &str) -> Result<Instant> {
        let mut moments = self.moments.clone();
        let look = async {
            let seen = moments.wait_for(|moments| moments.contains_key(key)).await?;
            seen.get(key).copied().context("it was there")
        };
        tokio::time::timeout(PATIENCE, look).await.with_context(|| format!("{key} never came"))?
    }
}
