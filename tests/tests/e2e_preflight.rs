//! No rule runs before a look at its database: what the look finds, who waits for whom, and what
//! heals by itself.

use std::time::Duration;

use anyhow::{Context as _, Result};
use local_postgres::ServerUrl;
use serde_json::{Value, json};
use tests::chart::{self, delete_old, sweep};
use tests::cluster::Namespace;
use tests::operator::{Bed, Operator};
use tests::{Database, wait};

/// For Jobs of a loaded machine, and a kubelet that looks for a Secret again.
const PATIENCE: Duration = Duration::from_mins(3);
/// Soon enough for a test to wait for several of them.
const RETRY: &[&str] = &["--preflight-retry", "1s"];

/// A namespace with an operator of its own, and a database with 120 codes of which half are due.
struct Scene<'a> {
    namespace: &'a Namespace<'a>,
    operator: Operator,
    database: Database,
    bed: &'a Bed,
}

async fn scene(test: impl AsyncFnOnce(&Scene<'_>) -> Result<()>) -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    let database = Database::create().await?;
    database.execute(&format!("{CODES}; {ROWS}; ANALYZE codes")).await?;
    bed.cluster()
        .with_namespace("preflight", async |namespace| {
            let operator =
                bed.operator().watching(namespace.name()).arguments(RETRY).ready().await?;
            let scene = Scene { namespace, operator, database, bed };
            scene.operator.explain(test(&scene).await)
        })
        .await
}

const CODES: &str = "CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz, note text);
     CREATE INDEX codes_expires_at ON codes (expires_at)";
const ROWS: &str = "INSERT INTO codes SELECT n, now() - n * interval '1 minute', 'new'
                    FROM generate_series(1, 120) AS n";

impl Scene<'_> {
    async fn secret(&self, url: &str) -> Result<()> {
        let url = format!("--from-literal=uri={url}");
        self.namespace.kubectl(["create", "secret", "generic", "db", &url]).await.map(drop)
    }

    /// The Secret of the database.
    async fn own_secret(&self) -> Result<()> {
        self.secret(&self.bed.url(&self.database)).await
    }

    async fn apply(&self, policy: &Value) -> Result<()> {
        self.namespace.apply(&policy.to_string()).await.map(drop)
    }

    /// Waits until `Ready` has this reason in a status of the newest spec, and returns the policy.
    async fn ready(&self, reason: &str) -> Result<Value> {
        self.until(&format!("Ready to be {reason}"), |sweep| {
            let is_new = sweep["status"]["observedGeneration"] == sweep["metadata"]["generation"];
            is_new && chart::condition(sweep, "Ready")["reason"] == reason
        })
        .await
    }

    async fn until(&self, what: &str, mut seen: impl FnMut(&Value) -> bool) -> Result<Value> {
        wait::until(what, PATIENCE, async || {
            let sweep = self.namespace.get("sweep/codes").await?;
            Ok(seen(&sweep).then_some(sweep))
        })
        .await
    }

    async fn is_suspended(&self) -> Result<bool> {
        Ok(self.namespace.get("cronjob/codes").await?["spec"]["suspend"] == true)
    }

    /// Names of the Preflight Jobs, the oldest first.
    async fn preflights(&self) -> Result<Vec<String>> {
        let list = self
            .namespace
            .kubectl([
                "get",
                "jobs",
                "--selector",
                "app.kubernetes.io/component=preflight",
                "--sort-by",
                ".metadata.creationTimestamp",
                "--output",
                "name",
            ])
            .await?;
        Ok(list.lines().map(str::to_owned).collect())
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

fn message<'a>(sweep: &'a Value, kind: &str) -> &'a str {
    chart::condition(sweep, kind)["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn the_first_preflight_tells_what_a_run_would_do_and_is_no_run() -> Result<()> {
    scene(async |scene| {
        scene.own_secret().await?;
        let mut policy = sweep(&delete_old());
        policy["spec"]["runNow"] = json!("first");
        scene.apply(&policy).await?;
        let sweep = scene
            .until("the run to be counted", |sweep| {
                sweep["status"]["lastRun"]["result"] == "Succeeded"
                    && sweep["status"]["active"].is_null()
            })
            .await?;
        let status = &sweep["status"];
        let rule = &status["plan"]["rules"][0];
        assert_eq!(
            (&rule["name"], &rule["table"], &rule["action"]),
            (&json!("delete-old"), &json!("public.codes"), &json!("Delete")),
            "{status}"
        );
        let matched = rule["matched"].as_i64().context("a number")?;
        assert!((60..=62).contains(&matched), "{status}");
        assert_eq!(status["plan"]["rulesHash"], status["rulesHash"]);
        assert_eq!(status["preflight"]["state"], "Passed");
        let sentence = format!("would delete {matched} of 120 rows of public.codes");
        assert!(message(&sweep, "Ready").contains(&sentence), "{status}");
        assert!(chart::condition(&sweep, "Reconciling").is_null(), "{status}");
        assert_eq!(chart::condition(&sweep, "Approved")["reason"], "NotRequired");

        let preflights = scene.preflights().await?;
        assert_eq!(preflights.len(), 1, "{preflights:?}");
        let job = scene.namespace.get(&preflights[0]).await?;
        let owner = &job["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["kind"], &owner["controller"]), (&json!("CleanupPolicy"), &json!(true)));
        // It is in no history and no total, and it is not what ran last.
        let history = status["history"].as_array().cloned().unwrap_or_default();
        assert_eq!((history.len(), &history[0]["trigger"]), (1, &json!("RunNow")), "{status}");
        assert_eq!(status["totals"]["runs"], 1, "{status}");
        let told = scene.events("PreflightSucceeded").await?;
        assert!(told.len() == 1 && told[0].contains(&sentence), "{told:?}");
        assert_eq!(scene.events("CronJobCreated").await?.len(), 1);
        // That the gate opened is no edit of the policy.
        assert_eq!(scene.events("CronJobUpdated").await?, [""; 0]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_policy_that_comes_before_its_migration_and_its_grant_heals_by_itself() -> Result<()> {
    scene(async |scene| {
        let (role, password) =
            scene.database.create_user().await?.credentials().context("a role has a name")?;
        let ledger = format!("GRANT CREATE ON DATABASE {} TO {role}", scene.database.name());
        scene.database.execute(&ledger).await?;
        let url = ServerUrl::parse(&scene.bed.url(&scene.database))?.login(&role, &password);
        scene.secret(&url.to_string()).await?;
        scene.database.execute("ALTER TABLE codes RENAME TO later").await?;
        scene.apply(&sweep(&delete_old())).await?;
        let sweep = scene.ready("PreflightFailed").await?;
        let said = message(&sweep, "Ready");
        assert!(said.contains("table public.codes does not exist"), "{said}");
        assert_eq!(chart::condition(&sweep, "Reconciling")["status"], "True");
        assert!(chart::condition(&sweep, "Stalled").is_null());
        assert_eq!(chart::condition(&sweep, "Ready")["status"], "False");
        assert!(scene.is_suspended().await?);
        assert!(sweep["status"]["nextScheduleTime"].is_null(), "{}", sweep["status"]);
        // It goes on trying, and tells it once.
        scene
            .until("a second try", |sweep| {
                sweep["status"]["preflight"]["attempts"].as_i64().is_some_and(|tries| tries >= 2)
            })
            .await?;

        scene.database.execute("ALTER TABLE later RENAME TO codes").await?;
        scene
            .until("the missing GRANT to be told", |sweep| {
                message(sweep, "Ready").contains("PrivilegeMissing")
            })
            .await?;
        let grant = format!("GRANT SELECT, DELETE, UPDATE ON codes TO {role}");
        scene.database.execute(&grant).await?;
        scene.ready("Scheduled").await?;
        wait::until("the CronJob to run", PATIENCE, async || {
            Ok((!scene.is_suspended().await?).then_some(()))
        })
        .await?;
        let told = scene.events("PreflightFailed").await?;
        assert_eq!(told.len(), 2, "one for the table, one for the GRANT: {told:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_policy_that_does_not_fit_its_table_waits_for_an_edit() -> Result<()> {
    scene(async |scene| {
        scene.own_secret().await?;
        let mut rules = delete_old();
        rules[0]["where"][0]["column"] = json!("note");
        scene.apply(&sweep(&rules)).await?;
        let wrong = scene.ready("PreflightFailed").await?;
        let said = message(&wrong, "Ready");
        assert!(said.contains("TypeMismatch") && said.ends_with("an edit of the policy"), "{said}");
        assert_eq!(chart::condition(&wrong, "Stalled")["reason"], "PreflightFailed");
        assert!(chart::condition(&wrong, "Reconciling").is_null());
        assert_eq!(wrong["status"]["preflight"]["state"], "Failed");
        // An edit that is none of the rules is a reason to look again, too.
        let mut other = sweep(&rules);
        other["spec"]["schedule"] = json!("1 1 1 1 *");
        scene.apply(&other).await?;
        scene.ready("PreflightFailed").await?;
        assert_eq!(scene.preflights().await?.len(), 2);

        scene.apply(&sweep(&delete_old())).await?;
        let right = scene.ready("Scheduled").await?;
        assert!(chart::condition(&right, "Stalled").is_null(), "{}", right["status"]);
        assert_eq!(scene.events("PreflightFailed").await?.len(), 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_secret_that_comes_late_lets_the_same_job_go_on() -> Result<()> {
    scene(async |scene| {
        scene.apply(&sweep(&delete_old())).await?;
        let missing = scene.ready("SecretMissing").await?;
        assert!(message(&missing, "Ready").contains("secret \"db\" not found"), "{missing}");
        assert_eq!(chart::condition(&missing, "Reconciling")["reason"], "SecretMissing");
        assert!(scene.is_suspended().await?);
        scene.own_secret().await?;
        scene.ready("Scheduled").await?;
        assert_eq!(scene.preflights().await?.len(), 1);
        assert_eq!(scene.events("SecretMissing").await?.len(), 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn new_rules_are_looked_at_before_they_run_and_another_edit_is_not() -> Result<()> {
    scene(async |scene| {
        scene.own_secret().await?;
        scene.apply(&sweep(&delete_old())).await?;
        let first = scene.ready("Scheduled").await?;
        let mut policy = sweep(&delete_old());
        policy["spec"]["schedule"] = json!("1 1 1 1 *");
        scene.apply(&policy).await?;
        let same = scene.ready("Scheduled").await?;
        assert_eq!(same["status"]["effectiveSchedule"], "1 1 1 1 *");
        assert_eq!(same["status"]["preflight"], first["status"]["preflight"]);
        assert_eq!(scene.preflights().await?.len(), 1);

        // Rules whose table is not there: the old ones must not run on.
        policy["spec"]["rules"][0]["table"]["name"] = json!("later");
        scene.apply(&policy).await?;
        scene.ready("PreflightFailed").await?;
        assert!(scene.is_suspended().await?);
        let annotations =
            scene.namespace.get("cronjob/codes").await?["metadata"]["annotations"].clone();
        assert_ne!(annotations["pgsweep.dev/rules-hash"], first["status"]["rulesHash"]);
        scene.database.execute("CREATE TABLE later (LIKE codes INCLUDING ALL)").await?;
        scene.ready("Scheduled").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_guard_and_a_missing_index_are_told_and_hold_nobody_back() -> Result<()> {
    scene(async |scene| {
        scene
            .database
            .execute(
                "DROP INDEX codes_expires_at;
                 INSERT INTO codes SELECT n, now() - interval '2 days', 'old'
                 FROM generate_series(1000, 70000) AS n;
                 ANALYZE codes",
            )
            .await?;
        scene.own_secret().await?;
        let mut policy = sweep(&delete_old());
        policy["spec"]["limits"]["maxPercentOfTable"] = json!(50);
        scene.apply(&policy).await?;
        let sweep = scene.ready("Scheduled").await?;
        let plan = &sweep["status"]["plan"];
        assert!(plan["verdict"].as_str().is_some_and(|verdict| verdict.contains('%')), "{plan}");
        assert!(message(&sweep, "Ready").contains("a guard would stop the run"), "{sweep}");
        assert!(plan["rules"][0]["advice"].to_string().contains("MissingIndex"), "{plan}");
        let told = scene.events("MissingIndex").await?;
        assert!(told.len() == 1 && told[0].contains("delete-old (public.codes)"), "{told:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_database_that_is_away_is_tried_again_and_an_edit_does_not_wait() -> Result<()> {
    scene(async |scene| {
        // Nobody's port: connecting is given up after a minute, the Job's own patience.
        scene.secret("postgres://u:canary-77aa@127.0.0.1:1/x").await?;
        scene.apply(&sweep(&delete_old())).await?;
        let away = scene.ready("PreflightFailed").await?;
        assert_eq!(chart::condition(&away, "Reconciling")["status"], "True");
        assert!(!away.to_string().contains("canary-77aa"), "{away}");
        scene.namespace.kubectl(["delete", "secret", "db"]).await?;
        scene.own_secret().await?;
        scene.ready("Scheduled").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_policy_waits_for_its_turn_while_as_many_preflights_as_may_be_are_under_way() -> Result<()>
{
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    bed.cluster()
        .with_namespace("turns", async |namespace| {
            let one = ["--preflight-concurrency", "1"];
            let operator =
                bed.operator().watching(namespace.name()).arguments(&one).ready().await?;
            let ready = async |name: &str, reason: &str| {
                wait::until(&format!("{name} to be {reason}"), PATIENCE, async || {
                    let policy = namespace.get(&format!("sweep/{name}")).await?;
                    let ready = chart::condition(&policy, "Ready");
                    Ok((ready["reason"] == reason).then(|| ready.clone()))
                })
                .await
            };
            // Its Job has no Secret, so it keeps its place for a minute.
            namespace.apply(&sweep(&delete_old()).to_string()).await?;
            operator.explain(ready("codes", "SecretMissing").await)?;
            let mut second = sweep(&delete_old());
            second["metadata"]["name"] = json!("second");
            namespace.apply(&second.to_string()).await?;
            let waits = operator.explain(ready("second", "Preflighting").await)?;
            let message = waits["message"].as_str().unwrap_or_default();
            assert!(message.contains("waits for its turn"), "{message}");
            // A Job that is stuck holds nobody up for longer.
            operator.explain(ready("second", "SecretMissing").await).map(drop)
        })
        .await
}
