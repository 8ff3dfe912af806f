//! A policy named `codes` in a namespace, and its runs: made by hand, waited for, and what is said
//! of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::chart;
use crate::cluster::Namespace;
use crate::{Database, wait};

/// For Jobs of a loaded machine, from their making to their count in the status.
const PATIENCE: Duration = Duration::from_mins(4);

/// A database with a table `codes`, of which each row is due.
pub async fn codes(rows: u32) -> Result<Database> {
    let database = Database::create().await?;
    database
        .execute(
            "CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz NOT NULL, note text);
             CREATE INDEX codes_expires_at ON codes (expires_at)",
        )
        .await?;
    add(&database, 1, rows).await?;
    database.execute("ANALYZE codes").await?;
    Ok(database)
}

/// Adds so many rows that are due, from this id on.
pub async fn add(database: &Database, first: u32, rows: u32) -> Result<()> {
    let last = i64::from(first) + i64::from(rows) - 1;
    let sql = format!(
        "INSERT INTO codes
         SELECT n, now() - interval '1 day', 'new' FROM generate_series({first}, {last}) AS n"
    );
    database.execute(&sql).await
}

/// The policy and what it cleans.
pub struct Runs<'a> {
    /// Where it is.
    pub namespace: &'a Namespace<'a>,
    /// What it cleans.
    pub database: &'a Database,
}

impl Runs<'_> {
    /// Makes the Secret of the policy.
    pub async fn secret(&self, url: &str) -> Result<()> {
        let url = format!("--from-literal=uri={url}");
        self.namespace.kubectl(["create", "secret", "generic", "db", &url]).await.map(drop)
    }

    /// Applies the policy.
    pub async fn apply(&self, policy: &Value) -> Result<()> {
        self.namespace.apply(&policy.to_string()).await.map(drop)
    }

    /// Applies it, and waits until it may run.
    pub async fn scheduled(&self, policy: &Value) -> Result<()> {
        self.apply(policy).await?;
        self.until("the policy to be scheduled", |sweep| {
            let is_new = sweep["status"]["observedGeneration"] == sweep["metadata"]["generation"];
            (is_new && chart::condition(sweep, "Ready")["reason"] == "Scheduled").then_some(())
        })
        .await
    }

    /// Waits until the policy says what `seen` looks for.
    pub async fn until<T>(
        &self,
        what: &str,
        mut seen: impl FnMut(&Value) -> Option<T>,
    ) -> Result<T> {
        let mut last = Value::Null;
        let found = wait::until(what, PATIENCE, async || {
            last = self.namespace.get("sweep/codes").await?;
            Ok(seen(&last))
        });
        let found = found.await;
        found.with_context(|| format!("the policy said last: {}", last["status"]))
    }

    /// Waits for a condition with this reason, and returns its message.
    pub async fn reason(&self, kind: &str, reason: &str) -> Result<String> {
        self.until(&format!("{kind} to be {reason}"), |sweep| {
            let condition = chart::condition(sweep, kind);
            let message = condition["message"].as_str().unwrap_or_default();
            (condition["reason"] == reason).then(|| message.to_owned())
        })
        .await
    }

    /// Waits until the Job of this name is in the history, and returns the status.
    pub async fn counted(&self, job: &str) -> Result<Value> {
        self.until(&format!("the run of Job {job} to be counted"), |sweep| {
            let mut history = sweep["status"]["history"].as_array().into_iter().flatten();
            let is_there = history.any(|run| run["jobName"] == job);
            is_there.then(|| sweep["status"].clone())
        })
        .await
    }

    /// Makes a Job as a person does.
    pub async fn by_hand(&self, job: &str) -> Result<()> {
        self.namespace.kubectl(["create", "job", job, "--from=cronjob/codes"]).await.map(drop)
    }

    /// Makes one, and waits until it is counted.
    pub async fn run(&self, job: &str) -> Result<Value> {
        self.by_hand(job).await?;
        self.counted(job).await
    }

    /// Makes a Job that is not just as its CronJob has it.
    pub async fn unlike(&self, job: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let dry = ["--from=cronjob/codes", "--dry-run=client", "--output", "json"];
        let made = self.namespace.kubectl(["create", "job", job].iter().chain(&dry)).await?;
        let mut made: Value = serde_json::from_str(&made).context("kubectl printed no JSON")?;
        change(&mut made["spec"]);
        self.namespace.apply(&made.to_string()).await.map(drop)
    }

    /// What the events of this reason say.
    pub async fn events(&self, reason: &str) -> Result<Vec<String>> {
        let list = self.namespace.get("events.events.k8s.io").await?;
        let all = list["items"].as_array().into_iter().flatten();
        let ours = all.filter(|event| {
            event["regarding"]["kind"] == "CleanupPolicy" && event["reason"] == reason
        });
        Ok(ours.filter_map(|event| event["note"].as_str().map(str::to_owned)).collect())
    }

    /// Fails unless one event of this reason, and no other, has these words.
    pub async fn told_once(&self, reason: &str, words: &str) -> Result<()> {
        let events = self.events(reason).await?;
        let telling = events.iter().filter(|note| note.contains(words)).count();
        ensure!(telling == 1, "{telling} events {reason} with {words:?}: {events:?}");
        Ok(())
    }

    /// Waits until a run has begun to change rows.
    pub async fn under_way(&self) -> Result<()> {
        let before: i64 = self.database.scalar("SELECT count(*) FROM codes").await?;
        wait::until("the run to be under way", PATIENCE, async || {
            let left: i64 = self.database.scalar("SELECT count(*) FROM codes").await?;
            Ok((left < before).then_some(()))
        })
        .await
    }
}

/// A policy that runs by hand or by `runNow` only.
#[must_use]
pub fn policy() -> Value {
    let mut policy = chart::sweep(&chart::delete_old());
    policy["spec"]["failedJobsHistoryLimit"] = json!(10);
    policy["spec"]["successfulJobsHistoryLimit"] = json!(10);
    policy["spec"]["historyLimit"] = json!(20);
    policy
}

/// The same at this many rows a second.
#[must_use]
pub fn slow(rows_per_second: u32) -> Value {
    let mut policy = policy();
    policy["spec"]["execution"] = json!({
        "maxRowsPerSecond": rows_per_second,
        "batchSize": 10,
        "targetBatchDuration": "1ms",
    });
    policy
}

/// The entry of the history for this Job.
#[must_use]
pub fn entry<'a>(status: &'a Value, job: &str) -> &'a Value {
    let mut history = status["history"].as_array().into_iter().flatten();
    history.find(|run| run["jobName"] == job).unwrap_or(&Value::Null)
}

/// Reason of a condition of a status.
#[must_use]
pub fn reason_of<'a>(status: &'a Value, kind: &str) -> &'a str {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let found = conditions.find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["reason"].as_str()).unwrap_or_default()
}
