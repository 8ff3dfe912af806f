//! A policy that stands, a neighbour that nothing may move, and an operator that never starts anew.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::cluster::Namespace;
use tests::operator::{Bed, Operator, carried};
use tests::{Database, chart, wait};

use super::api;
use super::place::{PRIORITY, RUNTIME};

/// For a preflight on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(3);
const NEIGHBOUR: &str = "neighbour";

pub struct Scene<'a> {
    pub namespace: &'a Namespace<'a>,
    operator: Operator,
    /// The right policy.
    pub good: Value,
    name: String,
    /// What came of it.
    standing: Standing,
    neighbour: Trace,
    _database: Database,
}

/// What a policy is for those who rely on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub ready: Value,
    pub reason: Value,
    cron_job: Value,
}

/// All that a write would change.
#[derive(Debug, PartialEq)]
struct Trace {
    policy: Value,
    cron_job: Value,
    events: usize,
}

/// What became of a value that was taken.
pub struct Outcome {
    pub stored: Value,
    pub ready: Value,
    pub cron_job: Value,
    pub run_now: Value,
}

impl Scene<'_> {
    /// Sets it up for one right policy, and does something in it.
    pub async fn with<T>(
        bed: &Bed,
        good: &Value,
        act: impl AsyncFnOnce(&mut Scene<'_>) -> Result<T>,
    ) -> Result<T> {
        let database = Database::create().await?;
        database.execute(include_str!("tables.sql")).await?;
        make_classes(bed).await?;
        let test = async |namespace: &Namespace<'_>| {
            let url = format!("--from-literal=uri={}", bed.url(&database));
            namespace.kubectl(["create", "secret", "generic", "db", &url]).await?;
            // Not the one that pods have anyway.
            namespace.kubectl(["create", "serviceaccount", "sweeper"]).await?;
            let launch = bed.operator().watching(namespace.name());
            // None is tried again by the clock, and what never starts is told soon.
            let launch = launch.arguments(&["--preflight-retry", "1h", "--stuck-after", "5s"]);
            let mut scene = Scene {
                operator: launch.ready().await?,
                namespace,
                good: good.clone(),
                name: good["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                standing: Standing::none(),
                neighbour: Trace { policy: Value::Null, cron_job: Value::Null, events: 0 },
                _database: database,
            };
            let done = async {
                scene.set_up().await?;
                let done = act(&mut scene).await?;
                scene.check_all_is_well().await?;
                Ok(done)
            };
            let done = done.await;
            scene.operator.explain(done)
        };
        bed.cluster().with_namespace("values", test).await
    }

    async fn set_up(&mut self) -> Result<()> {
        let mut neighbour = chart::sweep(&chart::delete_old());
        neighbour["metadata"]["name"] = json!(NEIGHBOUR);
        api::put(self.namespace, &neighbour).await?;
        self.settled(NEIGHBOUR).await?;
        api::put(self.namespace, &self.good).await?;
        let outcome = self.settled(&self.name).await?;
        self.standing = Standing::of(&outcome);
        self.neighbour = self.trace().await?;
        Ok(())
    }

    /// Gives the policy a value that is taken, and waits for what comes of it.
    pub async fn outcome(&self, document: &Value) -> Result<Outcome> {
        api::put(self.namespace, document).await?;
        self.settled(&self.name).await
    }

    /// Takes it back, and waits until all is as it was.
    pub async fn take_back(&self) -> Result<()> {
        api::put(self.namespace, &self.good).await?;
        let mut last = None;
        let back = wait::until("the policy to stand as before", PATIENCE, async || {
            let outcome = self.look(&self.name).await?;
            let is_back =
                outcome.as_ref().is_some_and(|outcome| Standing::of(outcome) == self.standing);
            last = outcome.map(|outcome| Standing::of(&outcome));
            Ok(is_back.then_some(()))
        });
        back.await.with_context(|| format!("it stands as {last:?}, not as {:?}", self.standing))
    }

    /// Waits until the status is of the newest spec and no preflight is under way.
    async fn settled(&self, name: &str) -> Result<Outcome> {
        let mut last = Value::Null;
        let settled = wait::until("the status to settle", PATIENCE, async || {
            let Some(outcome) = self.look(name).await? else { return Ok(None) };
            let is_settled = outcome.ready["reason"] != "Preflighting";
            last = outcome.ready.clone();
            Ok(is_settled.then_some(outcome))
        });
        settled.await.with_context(|| format!("Ready of {name} is {last}"))
    }

    /// Nothing while the status is of an older spec.
    async fn look(&self, name: &str) -> Result<Option<Outcome>> {
        let policy = self.policy(name).await?;
        let ready = chart::condition(&policy, "Ready").clone();
        let generation = &policy["metadata"]["generation"];
        if policy["status"]["observedGeneration"] != *generation
            || ready["observedGeneration"] != *generation
        {
            return Ok(None);
        }
        Ok(Some(Outcome {
            stored: policy["spec"].clone(),
            ready,
            cron_job: self.cron_job(name).await?,
            run_now: policy["status"]["lastRunNow"].clone(),
        }))
    }

    async fn policy(&self, name: &str) -> Result<Value> {
        self.namespace.get(&format!("sweep/{name}")).await
    }

    async fn cron_job(&self, name: &str) -> Result<Value> {
        self.namespace.get(&format!("cronjob/{name}")).await
    }

    async fn trace(&self) -> Result<Trace> {
        let events = self.namespace.get("events.events.k8s.io").await?;
        let events = events["items"].as_array().into_iter().flatten();
        let own = events.filter(|event| event["regarding"]["name"] == NEIGHBOUR);
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        Ok(Trace {
            policy: version(&self.policy(NEIGHBOUR).await?),
            cron_job: version(&self.cron_job(NEIGHBOUR).await?),
            events: own.count(),
        })
    }

    /// The neighbour was never written, and the operator is the one that was started.
    async fn check_all_is_well(&mut self) -> Result<()> {
        let now = self.trace().await?;
        ensure!(now == self.neighbour, "the neighbour was {:?} and is {now:?}", self.neighbour);
        ensure!(!self.operator.has_ended()?, "the operator has ended");
        ensure!(self.operator.is_ready().await?, "the operator is not ready any more");
        let said = self.operator.said()?;
        ensure!(!said.contains("panicked"), "the operator panicked");
        Ok(())
    }
}

impl Standing {
    fn none() -> Self {
        Self { ready: Value::Null, reason: Value::Null, cron_job: Value::Null }
    }

    fn of(outcome: &Outcome) -> Self {
        let mut cron_job = outcome.cron_job["spec"].clone();
        let generation = |metadata: &mut Value| {
            if let Some(annotations) = metadata["annotations"].as_object_mut() {
                annotations.remove("pgsweep.dev/policy-generation");
            }
        };
        let template = &mut cron_job["jobTemplate"];
        generation(&mut template["metadata"]);
        generation(&mut template["spec"]["template"]["metadata"]);
        let carried = carried(&outcome.cron_job);
        let environment = template.pointer_mut("/spec/template/spec/containers/0/env/0/value");
        if let Some(environment) = environment {
            *environment = carried["spec"].clone();
        }
        Self {
            ready: outcome.ready["status"].clone(),
            reason: outcome.ready["reason"].clone(),
            cron_job,
        }
    }
}

/// What the pods of a policy may name on the node.
async fn make_classes(bed: &Bed) -> Result<()> {
    let priority = json!({
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": PRIORITY},
        "value": 1,
    });
    let runtime = json!({
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": RUNTIME},
        "handler": "runc",
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [priority, runtime]});
    let apply = ["apply", "--server-side", "--filename", "-"];
    bed.cluster().kubectl_with_input(apply, &list.to_string()).await?;
    Ok(())
}
