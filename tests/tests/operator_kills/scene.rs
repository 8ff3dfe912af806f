//! A namespace and a database for one case, and what a workload does in them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tests::cluster::Namespace;
use tests::operator::Bed;
use tests::{Database, chart, wait};

/// For a step on a loaded machine, in which an operator starts anew or another takes over.
pub const PATIENCE: Duration = Duration::from_mins(4);
/// Rows that are due: what a run says of them is part of the end.
const ROWS: u32 = 100;

/// Where a case takes place.
pub struct Scene<'a> {
    pub bed: &'a Bed,
    pub namespace: &'a Namespace<'a>,
    pub database: &'a Database,
}

/// Does something in a scene of its own.
pub async fn in_scene<T>(bed: &Bed, act: impl AsyncFnOnce(&Scene<'_>) -> Result<T>) -> Result<T> {
    let database = Database::create().await?;
    let result = in_scene_of(bed, &database, act).await;
    // To drop it waits for each connection that logs in, and one of another worker's goes on only when
    // this thread is free.
    tokio::task::spawn_blocking(move || drop(database)).await?;
    result
}

async fn in_scene_of<T>(
    bed: &Bed,
    database: &Database,
    act: impl AsyncFnOnce(&Scene<'_>) -> Result<T>,
) -> Result<T> {
    let rows = format!(
        "CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz);
         CREATE INDEX ON codes (expires_at);
         INSERT INTO codes SELECT n, now() - interval '1 day' FROM generate_series(1, {ROWS}) AS n;
         ANALYZE codes"
    );
    database.execute(&rows).await?;
    let scene = async |namespace: &Namespace<'_>| act(&Scene { bed, namespace, database }).await;
    bed.cluster().with_namespace("kills", scene).await
}

/// A policy that runs when it is told to.
pub fn policy() -> Value {
    chart::sweep(&chart::delete_old())
}

/// The same with something else in its spec.
pub fn policy_with(change: &Value) -> Value {
    let mut policy = policy();
    if let (Some(spec), Some(change)) = (policy["spec"].as_object_mut(), change.as_object()) {
        spec.extend(change.clone());
    }
    policy
}

impl Scene<'_> {
    /// The Secret of the database.
    pub async fn make_secret(&self) -> Result<()> {
        let url = format!("--from-literal=uri={}", self.bed.url(self.database));
        self.kubectl(["create", "secret", "generic", "db", &url]).await
    }

    /// A policy that waits for its time.
    pub async fn make_scheduled(&self, policy: &Value) -> Result<()> {
        self.make_secret().await?;
        self.apply(policy).await?;
        self.wait_ready("Scheduled").await
    }

    pub async fn apply(&self, policy: &Value) -> Result<()> {
        self.namespace.apply(&policy.to_string()).await.map(drop)
    }

    pub async fn kubectl<const N: usize>(&self, arguments: [&str; N]) -> Result<()> {
        self.namespace.kubectl(arguments).await.map(drop)
    }

    /// Waits until the status is of this very spec and says so in `Ready`.
    pub async fn wait_ready(&self, reason: &str) -> Result<()> {
        self.wait_ready_of("codes", reason).await
    }

    pub async fn wait_ready_of(&self, name: &str, reason: &str) -> Result<()> {
        let sweep = format!("sweep/{name}");
        let generation = self.namespace.get(&sweep).await?["metadata"]["generation"].to_string();
        self.wait_for(&sweep, "{.status.observedGeneration}", &generation).await?;
        let ready = r#"{.status.conditions[?(@.type=="Ready")].reason}"#;
        self.wait_for(&sweep, ready, reason).await
    }

    /// Waits until so many runs are in the history.
    pub async fn wait_runs(&self, number: usize) -> Result<()> {
        wait::until(&format!("{number} runs to be told"), PATIENCE, async || {
            let history = self.namespace.get("sweep/codes").await?["status"]["history"].take();
            Ok(history.as_array().is_some_and(|runs| runs.len() >= number).then_some(()))
        })
        .await
    }

    /// Waits until a field has this value.
    pub async fn wait_for(&self, object: &str, path: &str, value: &str) -> Result<()> {
        self.namespace.wait(object, &format!("jsonpath={path}={value}"), PATIENCE).await
    }

    /// Waits until there is nothing left of a policy.
    pub async fn wait_gone(&self, name: &str) -> Result<()> {
        wait::until("all of a policy to be gone", PATIENCE, async || {
            let found = self.namespace.get("cronjobs,jobs,pods").await?;
            let mut all = found["items"].as_array().into_iter().flatten();
            let own = |item: &Value| item["metadata"]["labels"]["pgsweep.dev/policy"] == name;
            Ok((!all.any(own)).then_some(()))
        })
        .await
    }

    /// Approves the rules, as the condition's message says it.
    pub async fn approve(&self) -> Result<()> {
        let sweep = self.namespace.get("sweep/codes").await?;
        let hash = sweep["status"]["rulesHash"].as_str().context("the rules have a hash")?;
        let annotation = format!("pgsweep.dev/approved-rules-hash={hash}");
        self.kubectl(["annotate", "--overwrite", "sweep/codes", &annotation]).await
    }

    /// A run that waits for a node which does not come: it is under way for as long as one likes.
    pub async fn begin_endless_run(&self) -> Result<()> {
        let nowhere = json!({"nodeSelector": {"no-such-label": "true"}});
        self.apply(&policy_with(&json!({"podTemplate": nowhere, "runNow": "go"}))).await?;
        self.namespace.wait("sweep/codes", "jsonpath={.status.active[0].uid}", PATIENCE).await?;
        self.wait_ready("Scheduled").await
    }
}
