//! The policies that are measured.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use policy::CleanupPolicy;
use serde_json::{Value, json};
use tests::{chart, wait};

use super::process::{Bench, LONG};
use super::sight::Sight;

/// Requests at a time.
const AT_ONCE: usize = 24;
/// Between two looks at how far the operator is.
const LOOK: Duration = Duration::from_millis(500);

/// Policies in their namespaces.
pub struct Fleet {
    client: Client,
    policies: usize,
    namespaces: usize,
}

impl Fleet {
    /// Stores them as those whose preflight has passed.
    pub async fn create(bench: &Bench, policies: usize, namespaces: usize) -> Result<Self> {
        let fleet = Self { client: bench.client().await?, policies, namespaces };
        let begun = Instant::now();
        for number in 0..namespaces {
            let metadata = json!({"metadata": {"name": namespace(number)}});
            let object: Namespace = serde_json::from_value(metadata)?;
            Api::all(fleet.client.clone()).create(&PostParams::default(), &object).await?;
        }
        let work = stream::iter(0..policies).map(|number| fleet.store(number));
        work.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        println!("stored {policies} policies in {:.0} s", begun.elapsed().as_secs_f64());
        Ok(fleet)
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.policies
    }

    async fn store(&self, number: usize) -> Result<()> {
        let (api, name) = self.api(number);
        let mut document = chart::sweep(&chart::delete_old());
        document["metadata"]["name"] = json!(name);
        document["metadata"]["namespace"] = json!(self.namespace(number));
        let policy = policy::validate(&document);
        let policy = policy.map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let object: DynamicObject = serde_json::from_value(document.clone())?;
        api.create(&PostParams::default(), &object).await?;
        let status = json!({"status": {"preflight": {
            "rulesHash": policy.rules_hash(), "mode": "Enforce", "generation": 1, "state": "Passed",
            "jobName": "before", "jobUid": "before", "attempts": 1, "time": "2026-01-01T00:00:00Z",
        }}});
        let parameters = PatchParams::default();
        api.patch_status(&name, &parameters, &Patch::Merge(&status)).await?;
        Ok(())
    }

    /// Edits a policy, and says how long its CronJob took to follow.
    pub async fn edit(&self, number: usize, sight: &Sight) -> Result<Duration> {
        let (api, name) = self.api(number);
        let now = api.get(&name).await?;
        let deadline = now.data.pointer("/spec/startingDeadlineSeconds").and_then(Value::as_i64);
        let edit = json!({"spec": {"startingDeadlineSeconds": deadline.unwrap_or(300) + 1}});
        let begun = Instant::now();
        let edited = api.patch(&name, &PatchParams::default(), &Patch::Merge(&edit)).await?;
        let generation = edited.metadata.generation.context("an object has a generation")?;
        let key = format!("{}/{name}/{generation}", self.namespace(number));
        Ok(sight.moment(&key).await?.saturating_duration_since(begun))
    }

    /// Waits until each policy has its CronJob. The API server counts them, and nobody is asked who
    /// is being measured.
    pub async fn built(&self) -> Result<()> {
        let api = Api::<CronJob>::all(self.client.clone());
        let first = ListParams::default().limit(1);
        wait::until("a CronJob for each policy", LONG, async || {
            let list = api.list_metadata(&first).await?;
            let others = list.metadata.remaining_item_count.unwrap_or_default();
            let count = list.items.len() + usize::try_from(others)?;
            if count < self.policies {
                tokio::time::sleep(LOOK).await;
            }
            Ok((count >= self.policies).then_some(()))
        })
        .await
    }

    fn api(&self, number: usize) -> (Api<DynamicObject>, String) {
        let resource = ApiResource::erase::<CleanupPolicy>(&());
        let namespace = self.namespace(number);
        let api = Api::namespaced_with(self.client.clone(), &namespace, &resource);
        (api, format!("policy-{number:05}"))
    }

    fn namespace(&self, number: usize) -> String {
        namespace(number % self.namespaces)
    }
}

fn namespace(number: usize) -> String {
    format!("fleet-{number:03}")
}
