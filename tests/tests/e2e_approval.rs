//! New rules wait for the word of whoever has to approve them; the word is a command of kubectl,
//! and the policy says which.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::chart::{self, delete_old, sweep};
use tests::cluster::Namespace;
use tests::operator::{Bed, Operator};
use tests::{Database, wait};

const PATIENCE: Duration = Duration::from_mins(3);

/// A namespace with an operator of its own, and a database with 100 codes that are due.
struct Scene<'a> {
    namespace: &'a Namespace<'a>,
    operator: Operator,
    database: Database,
}

async fn scene(test: impl AsyncFnOnce(&Scene<'_>) -> Result<()>) -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    let database = Database::create().await?;
    database
        .execute(
            "CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz);
             CREATE INDEX ON codes (expires_at);
             INSERT INTO codes SELECT n, now() - interval '2 hours' FROM generate_series(1, 100) AS n;
             ANALYZE codes",
        )
        .await?;
    bed.cluster()
        .with_namespace("approval", async |namespace| {
            let url = format!("--from-literal=uri={}", bed.url(&database));
            namespace.kubectl(["create", "secret", "generic", "db", &url]).await?;
            let operator = bed.operator().watching(namespace.name()).ready().await?;
            let scene = Scene { namespace, operator, database };
            scene.operator.explain(test(&scene).await)
        })
        .await
}

impl Scene<'_> {
    async fn apply(&self, policy: &Value) -> Result<()> {
        self.namespace.apply(&policy.to_string()).await.map(drop)
    }

    async fn until(&self, what: &str, mut seen: impl FnMut(&Value) -> bool) -> Result<Value> {
        wait::until(what, PATIENCE, async || {
            let sweep = self.namespace.get("sweep/codes").await?;
            Ok(seen(&sweep).then_some(sweep))
        })
        .await
    }

    /// Waits until `Ready` has this reason in a status of the newest spec, and returns the policy.
    async fn ready(&self, reason: &str) -> Result<Value> {
        self.until(&format!("Ready to be {reason}"), |sweep| {
            let is_new = sweep["status"]["observedGeneration"] == sweep["metadata"]["generation"];
            is_new && chart::condition(sweep, "Ready")["reason"] == reason
        })
        .await
    }

    async fn left(&self) -> Result<i64> {
        self.database.scalar("SELECT count(*) FROM codes").await
    }

    async fn is_suspended(&self) -> Result<bool> {
        Ok(self.namespace.get("cronjob/codes").await?["spec"]["suspend"] == true)
    }

    /// Types what the condition says, as it stands there.
    async fn approve(&self, sweep: &Value) -> Result<()> {
        let message = chart::condition(sweep, "Approved")["message"].as_str();
        let line = message.and_then(|message| message.lines().next());
        let line = line.context("a message has a first line")?;
        ensure!(line.starts_with("kubectl -n "), "{line}");
        let cluster = self.namespace.cluster();
        let mut shell = tokio::process::Command::new("sh");
        let path = cluster.state().join("bin");
        let path = format!("{}:/usr/bin:/bin", path.display());
        shell.args(["-c", line]).env("PATH", path).env("KUBECONFIG", cluster.kubeconfig());
        tests::command::run_async(shell, None).await.map(drop)
    }

    /// What the events of this reason say.
    async fn events(&self, reason: &str) -> Result<Vec<String>> {
        let list = self.namespace.get("events.events.k8s.io").await?;
        let all = list["items"].as_array().into_iter().flatten();
        let ours = all.filter(|event| {
            event["regarding"]["kind"] == "CleanupPolicy" && event["reason"] == reason
        });
        Ok(ours.filter_map(|event| event["note"].as_str().map(str::to_owned)).collect())
    }
}

fn policy() -> Value {
    let mut policy = sweep(&delete_old());
    policy["spec"]["approval"] = json!("OnRulesChange");
    policy["spec"]["runNow"] = json!("first");
    policy
}

#[tokio::test]
async fn rules_run_when_the_command_of_the_condition_was_typed_and_not_before() -> Result<()> {
    scene(async |scene| {
        scene.apply(&policy()).await?;
        let waits = scene.ready("ApprovalPending").await?;
        let approved = chart::condition(&waits, "Approved");
        assert_eq!(
            (&approved["status"], &approved["reason"]),
            (&json!("False"), &json!("AwaitingApproval"))
        );
        let message = approved["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("\na run would delete 100 of 100 rows of public.codes"),
            "{message}"
        );
        assert_eq!(chart::condition(&waits, "Reconciling")["reason"], "ApprovalPending");
        assert!(chart::condition(&waits, "Stalled").is_null(), "{waits}");
        let required = scene.events("ApprovalRequired").await?;
        assert!(required.len() == 1 && required[0].starts_with("kubectl -n "), "{required:?}");
        // The token waits as the schedule does.
        assert!(scene.is_suspended().await? && waits["status"]["nextScheduleTime"].is_null());
        assert!(waits["status"]["lastRunNow"].is_null(), "{}", waits["status"]);
        assert_eq!(scene.left().await?, 100);

        scene.approve(&waits).await?;
        let ran = scene
            .until("the run of the token", |sweep| {
                sweep["status"]["lastRun"]["result"] == "Succeeded"
            })
            .await?;
        assert_eq!(chart::condition(&ran, "Approved")["reason"], "HashApproved");
        assert_eq!(chart::condition(&ran, "Ready")["reason"], "Scheduled");
        assert!(!scene.is_suspended().await?);
        assert_eq!(scene.left().await?, 0);
        assert_eq!(scene.events("Approved").await?.len(), 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn changed_rules_wait_again_and_the_old_ones_do_not_run_meanwhile() -> Result<()> {
    scene(async |scene| {
        scene.apply(&policy()).await?;
        let first = scene.ready("ApprovalPending").await?;
        scene.approve(&first).await?;
        scene.ready("Scheduled").await?;

        let mut changed = policy();
        changed["spec"]["rules"][0]["where"][0]["age"] = json!("2d");
        scene.apply(&changed).await?;
        let again = scene.ready("ApprovalPending").await?;
        assert_ne!(again["status"]["rulesHash"], first["status"]["rulesHash"]);
        assert!(scene.is_suspended().await?);
        // An edit that is none of the rules needs no new word, and the old word is no word for these.
        changed["spec"]["schedule"] = json!("1 1 1 1 *");
        scene.apply(&changed).await?;
        let still = scene.ready("ApprovalPending").await?;
        assert_eq!(still["status"]["effectiveSchedule"], "1 1 1 1 *");
        scene.approve(&still).await?;
        let right = scene.ready("Scheduled").await?;
        assert!(right["status"]["nextScheduleTime"].is_string(), "{}", right["status"]);
        assert_eq!(scene.events("ApprovalRequired").await?.len(), 2);
        assert_eq!(scene.events("Approved").await?.len(), 2);

        // Who takes the word back, stops it.
        let take_back = ["annotate", "sweep", "codes", "pgsweep.dev/approved-rules-hash-"];
        scene.namespace.kubectl(take_back).await?;
        scene.ready("ApprovalPending").await?;
        // It is told before it is done, so that nobody is promised a run that does not come.
        wait::until("the CronJob to be suspended", PATIENCE, async || {
            Ok(scene.is_suspended().await?.then_some(()))
        })
        .await
    })
    .await
}
