//! The whole line as a user sees it: the chart installed by Helm, policies applied by kubectl,
//! Jobs that run the release image against a real Postgres.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::chart::{self, delete_old, sweep};
use tests::cluster::{Cluster, Namespace};
use tests::{Database, wait};

/// A Job of a loaded machine, from its making to its count in the status.
const PATIENCE: Duration = Duration::from_mins(2);

async fn codes(rows: u32) -> Result<Database> {
    let database = Database::create().await?;
    let sql = format!(
        "CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz, note text);
         INSERT INTO codes SELECT n, now() - n * interval '1 minute', 'new' FROM generate_series(1, {rows}) AS n"
    );
    database.execute(&sql).await?;
    Ok(database)
}

/// A namespace of the cluster with the chart installed, and the Secret of `database` in it.
async fn in_namespace(
    database: &Database,
    test: impl AsyncFnOnce(&Cluster, &Namespace<'_>) -> Result<()>,
) -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    chart::installed(&cluster).await?;
    let url = database.address().host(&cluster.host_address().to_string()).to_string();
    cluster
        .with_namespace("e2e", async |namespace| {
            secret(namespace, &url).await?;
            test(&cluster, namespace).await
        })
        .await
}

async fn secret(namespace: &Namespace<'_>, url: &str) -> Result<()> {
    let url = format!("--from-literal=uri={url}");
    namespace.kubectl(["create", "secret", "generic", "db", &url]).await.map(drop)
}

/// Waits until the policy says what `seen` looks for.
async fn until<T>(
    namespace: &Namespace<'_>,
    what: &str,
    mut seen: impl FnMut(&Value) -> Option<T>,
) -> Result<T> {
    wait::until(what, PATIENCE, async || Ok(seen(&namespace.get("sweep/codes").await?))).await
}

/// Waits until `runs` runs are in the history, and returns the policy.
async fn after_runs(namespace: &Namespace<'_>, runs: usize) -> Result<Value> {
    until(namespace, "the run to be in the status", |sweep| {
        let history = sweep["status"]["history"].as_array().map_or(0, Vec::len);
        (history >= runs).then(|| sweep.clone())
    })
    .await
}

/// Waits for a condition with this reason, and returns its message.
async fn reason(namespace: &Namespace<'_>, kind: &str, reason: &str) -> Result<String> {
    until(namespace, &format!("{kind} to be {reason}"), |sweep| {
        let condition = chart::condition(sweep, kind);
        (condition["reason"] == reason)
            .then(|| condition["message"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

async fn events(namespace: &Namespace<'_>) -> Result<Vec<(String, String)>> {
    let list = namespace.get("events.events.k8s.io").await?;
    let ours = list["items"].as_array().into_iter().flatten();
    let ours = ours.filter(|event| event["regarding"]["kind"] == "CleanupPolicy");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(ours.map(|event| (text(&event["reason"]), text(&event["note"]))).collect())
}

async fn by_hand(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    namespace.kubectl(["create", "job", name, "--from=cronjob/codes"]).await.map(drop)
}

#[tokio::test]
async fn from_apply_to_rows_gone_and_the_status_the_event_and_the_metric_agree() -> Result<()> {
    let database = codes(500).await?;
    in_namespace(&database, async |cluster, namespace| {
        let expected: Vec<i64> = database
            .scalar("SELECT array_agg(id ORDER BY id) FROM codes WHERE NOT expires_at < now() - interval '1 hour'")
            .await?;
        let mut policy = sweep(&delete_old());
        policy["spec"]["runNow"] = json!("initial");
        namespace.apply(&policy.to_string()).await?;
        let seen = after_runs(namespace, 1).await?;
        let status = &seen["status"];
        let left: Vec<i64> = database.scalar("SELECT array_agg(id ORDER BY id) FROM codes").await?;
        // A row may have become due in the minute that this took, and none came back.
        anyhow::ensure!(left.len() + 3 >= expected.len() && left.iter().all(|id| expected.contains(id)), "{left:?}");
        let gone = 500 - i64::try_from(left.len())?;
        assert_eq!(status["lastRun"]["rowsAffected"], gone, "{status}");
        assert_eq!(status["lastRun"]["result"], "Succeeded");
        assert_eq!(status["lastRun"]["trigger"], "RunNow");
        assert_eq!(status["lastRun"]["rules"][0]["affected"], gone);
        assert_eq!(chart::condition(&seen, "Ready")["reason"], "Scheduled");
        assert_eq!(chart::condition(&seen, "LastRunSucceeded")["reason"], "Succeeded");
        let events = events(namespace).await?;
        let said = |reason: &str| events.iter().filter(|(found, _)| found == reason).collect::<Vec<_>>();
        assert_eq!(said("CronJobCreated").len(), 1, "{events:?}");
        assert_eq!(said("RunSucceeded").len(), 1, "{events:?}");
        assert!(said("RunSucceeded")[0].1.contains(&gone.to_string()), "{events:?}");
        let labels = [("namespace", namespace.name()), ("policy", "codes"), ("rule", "delete-old")];
        let metrics = chart::metrics(cluster).await?;
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let counted = gone as f64;
        assert!((chart::metric(&metrics, "pgsweep_policy_rows_total", &labels) - counted).abs() < 0.5, "{metrics}");
        let labels = [("namespace", namespace.name()), ("result", "Succeeded"), ("trigger", "RunNow")];
        assert!((chart::metric(&metrics, "pgsweep_policy_runs_total", &labels) - 1.0).abs() < 0.5, "{metrics}");

        by_hand(namespace, "manual").await?;
        let seen = after_runs(namespace, 2).await?;
        assert_eq!(seen["status"]["lastRun"]["trigger"], "Manual");
        let table = namespace.kubectl(["get", "sweep"]).await?;
        for column in ["MODE", "SCHEDULE", "SUSPEND", "READY", "LAST-RESULT", "LAST-SUCCESS", "ROWS", "REMAINING", "AGE"] {
            assert!(table.contains(column), "{table}");
        }
        let described = namespace.kubectl(["describe", "sweep", "codes"]).await?;
        assert!(described.contains("RunSucceeded") && described.contains("CronJobCreated"), "{described}");

        namespace.kubectl(["delete", "sweep", "codes"]).await?;
        wait::until("the CronJob to go with its policy", PATIENCE, async || {
            let list = namespace.get("cronjobs").await?;
            Ok(list["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_scheduled_run_comes_by_itself_and_is_called_so() -> Result<()> {
    let database = codes(100).await?;
    in_namespace(&database, async |_, namespace| {
        let mut policy = sweep(&delete_old());
        policy["spec"]["schedule"] = json!("* * * * *");
        namespace.apply(&policy.to_string()).await?;
        let next = until(namespace, "the next run to be named", |sweep| {
            sweep["status"]["nextScheduleTime"].as_str().map(str::to_owned)
        })
        .await?;
        assert!(next.ends_with(":00Z"), "{next}");
        let seen = after_runs(namespace, 1).await?;
        assert_eq!(seen["status"]["lastRun"]["trigger"], "Schedule");
        assert_eq!(seen["status"]["lastRun"]["result"], "Succeeded");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_edit_reaches_the_cron_job_and_a_run_under_way_goes_on_as_it_began() -> Result<()> {
    let database = codes(3000).await?;
    in_namespace(&database, async |_, namespace| {
        let mut policy = sweep(&delete_old());
        // About half a minute of work.
        policy["spec"]["execution"] =
            json!({"maxRowsPerSecond": 100, "batchSize": 50, "targetBatchDuration": "1ms"});
        policy["spec"]["runNow"] = json!("first");
        namespace.apply(&policy.to_string()).await?;
        wait::until("the run to be under way", PATIENCE, async || {
            let left: i64 = database.scalar("SELECT count(*) FROM codes").await?;
            Ok((left < 3000).then_some(()))
        })
        .await?;
        policy["spec"]["schedule"] = json!("30 3 * * *");
        policy["spec"]["rules"][0]["where"][0]["age"] = json!("40h");
        namespace.apply(&policy.to_string()).await?;
        wait::until("the CronJob to follow the edit", PATIENCE, async || {
            let cron_job = namespace.get("cronjob/codes").await?;
            let follows = cron_job["spec"]["schedule"] == "30 3 * * *"
                && cron_job.to_string().contains("\\\\\\\"40h\\\\\\\"")
                    | cron_job.to_string().contains("40h");
            Ok(follows.then_some(()))
        })
        .await?;
        let seen = after_runs(namespace, 1).await?;
        // The run deleted by the age that it began with: everything over an hour.
        let left: i64 = database.scalar("SELECT count(*) FROM codes").await?;
        assert!((58..=62).contains(&left), "{left} of 3000 left: {}", seen["status"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_policy_that_only_we_can_judge_says_every_problem_and_heals_by_an_edit() -> Result<()> {
    let database = codes(10).await?;
    in_namespace(&database, async |_, namespace| {
        let mut policy = sweep(&delete_old());
        policy["spec"]["timeZone"] = json!("Mars/Olympus");
        policy["spec"]["activeDeadlineSeconds"] = json!(100);
        // The API server sees that there is an age, and cannot tell which is longer.
        policy["spec"]["limits"]["minimumAge"] = json!("2d");
        namespace.apply(&policy.to_string()).await?;
        let message = reason(namespace, "Ready", "InvalidSpec").await?;
        let mut document = policy.clone();
        document["metadata"]["namespace"] = json!(namespace.name());
        let problems = policy::validate(&document).err().context("a wrong policy")?;
        assert_eq!(problems.len(), 3);
        for problem in &problems {
            assert!(message.contains(&problem.to_string()), "{problem} is not in: {message}");
        }
        namespace.apply(&sweep(&delete_old()).to_string()).await?;
        reason(namespace, "Ready", "Scheduled").await?;
        let events = events(namespace).await?;
        assert!(events.iter().any(|(reason, _)| reason == "InvalidSpec"), "{events:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_secret_that_is_missing_is_named_and_its_coming_heals_the_run() -> Result<()> {
    let database = codes(100).await?;
    in_namespace(&database, async |cluster, namespace| {
        namespace.apply(&sweep(&delete_old()).to_string()).await?;
        reason(namespace, "Ready", "Scheduled").await?;
        namespace.kubectl(["delete", "secret", "db"]).await?;
        by_hand(namespace, "waits").await?;
        let message = reason(namespace, "Ready", "SecretMissing").await?;
        assert!(message.contains("\"db\""), "{message}");
        let url = database.address().host(&cluster.host_address().to_string()).to_string();
        secret(namespace, &url).await?;
        let seen = after_runs(namespace, 1).await?;
        assert_eq!(seen["status"]["lastRun"]["result"], "Succeeded", "{}", seen["status"]);
        reason(namespace, "Ready", "Scheduled").await?;
        let events = events(namespace).await?;
        assert!(events.iter().any(|(reason, _)| reason == "SecretMissing"), "{events:?}");
        Ok(())
    })
    .await
}

/// URL, migration before the run, the reason, words of its message.
type WayToFail<'a> = (&'a str, &'static str, &'static str, &'static str);

fn ways_to_fail<'a>(wrong_password: &'a str, role: &'a str, good: &'a str) -> [WayToFail<'a>; 5] {
    [
        (wrong_password, "", "PermissionDenied", "password"),
        (role, "", "PermissionDenied", "DELETE ON \"public\".\"codes\""),
        (
            good,
            "ALTER TABLE codes RENAME expires_at TO at",
            "SchemaMismatch",
            "has no column \"expires_at\"",
        ),
        (good, "ALTER TABLE codes RENAME TO gone", "SchemaMismatch", "codes does not exist"),
        ("postgres://u:canary-77aa@127.0.0.1:1/x", "", "BackoffLimitExceeded", "cannot be reached"),
    ]
}

#[tokio::test]
async fn each_way_a_run_can_fail_is_told_apart_in_the_condition() -> Result<()> {
    let database = codes(100).await?;
    in_namespace(&database, async |cluster, namespace| {
        let host = cluster.host_address().to_string();
        let good = database.address().host(&host);
        let role = database.create_user().await?.host(&host).to_string();
        let wrong_password = good.login("postgres", "canary-77aa").to_string();
        let good = good.to_string();
        // What is wrong comes after the preflight, which would not let such a policy run.
        namespace.apply(&sweep(&delete_old()).to_string()).await?;
        reason(namespace, "Ready", "Scheduled").await?;
        let mut runs = 0;
        let ways = ways_to_fail(&wrong_password, &role, &good);
        for (url, migration, expected, words) in ways {
            namespace.kubectl(["delete", "secret", "db"]).await?;
            secret(namespace, url).await?;
            database.execute(migration).await?;
            runs += 1;
            let mut policy = sweep(&delete_old());
            policy["spec"]["runNow"] = json!(format!("run-{runs}"));
            policy["spec"]["failedJobsHistoryLimit"] = json!(10);
            namespace.apply(&policy.to_string()).await?;
            let seen = after_runs(namespace, runs).await?;
            let condition = chart::condition(&seen, "LastRunSucceeded");
            assert_eq!(
                (&condition["status"], &condition["reason"]),
                (&json!("False"), &json!(expected)),
                "{}",
                seen["status"]
            );
            assert!(
                condition["message"].as_str().unwrap_or_default().contains(words),
                "{condition}"
            );
            assert_eq!(seen["status"]["consecutiveFailures"], runs);
        }
        let events = events(namespace).await?;
        let told = |reason: &str| events.iter().filter(|(found, _)| found == reason).count();
        assert_eq!((told("PermissionDenied"), told("RunFailed")), (2, runs - 2), "{events:?}");
        let all = namespace.kubectl(["get", "sweep,events,jobs", "--output", "yaml"]).await?;
        assert!(!all.contains("canary-77aa"), "a secret is in the cluster's objects");
        let left: i64 = database.scalar("SELECT count(*) FROM gone").await?;
        assert_eq!(left, 100, "no row has changed");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_reference_to_a_variable_stays_a_text_in_every_field() -> Result<()> {
    let database = Database::create().await?;
    let text = "$(DATABASE_URL) $$(DATABASE_URL) $DATABASE_URL $";
    database
        .execute(&format!(
            "CREATE SCHEMA \"{text}\";
             CREATE TABLE \"{text}\".\"{text}\" (id int PRIMARY KEY, \"{text}\" text, other text, list text);
             INSERT INTO \"{text}\".\"{text}\" VALUES (1, '{text}', 'x', '{text}'), (2, 'x', 'x', 'x')"
        ))
        .await?;
    in_namespace(&database, async |_, namespace| {
        let mut policy = sweep(&json!([{
            "name": "r",
            "table": {"schema": text, "name": text},
            "where": [
                {"column": text, "operator": "Equals", "value": text},
                {"anyOf": [{"column": "list", "operator": "In", "values": [text]}]},
            ],
            "action": {"update": {"set": [
                {"column": "other", "value": text},
                {"column": "list", "fromColumn": text},
                {"column": text, "setNull": true},
            ]}},
        }]));
        policy["spec"]["runNow"] = json!("$(DATABASE_URL)");
        policy["spec"]["podTemplate"] = json!({"annotations": {"example.com/note": text}});
        namespace.apply(&policy.to_string()).await?;
        let seen = after_runs(namespace, 1).await?;
        assert_eq!(seen["status"]["lastRun"]["rowsAffected"], 1, "{}", seen["status"]);
        let other: String = database
            .scalar(&format!("SELECT other FROM \"{text}\".\"{text}\" WHERE id = 1"))
            .await?;
        assert_eq!(other, text);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_operator_asks_for_no_secret() -> Result<()> {
    let database = codes(10).await?;
    in_namespace(&database, async |cluster, namespace| {
        namespace.apply(&sweep(&delete_old()).to_string()).await?;
        reason(namespace, "Ready", "Scheduled").await?;
        let log =
            std::fs::read_to_string(cluster.audit_log()).context("failed to read the audit log")?;
        let account =
            format!("system:serviceaccount:{}:{}-operator", chart::NAMESPACE, chart::RELEASE);
        let ours: Vec<Value> = log
            .lines()
            .filter(|line| line.contains(&account))
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        assert!(!ours.is_empty());
        let secrets =
            ours.iter().filter(|entry| entry["objectRef"]["resource"] == "secrets").count();
        assert_eq!(secrets, 0);
        let may = ["auth", "can-i", "--list", "--as", &account];
        let list = cluster.kubectl(may).await?;
        assert!(!list.contains("secrets"), "{list}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn jobs_that_end_together_are_each_counted_though_the_history_limit_removes_them()
-> Result<()> {
    let database = codes(10).await?;
    in_namespace(&database, async |_, namespace| {
        let mut policy = sweep(&delete_old());
        policy["spec"]["successfulJobsHistoryLimit"] = json!(1);
        namespace.apply(&policy.to_string()).await?;
        reason(namespace, "Ready", "Scheduled").await?;
        for name in ["one", "two", "three", "four"] {
            by_hand(namespace, name).await?;
        }
        let seen = after_runs(namespace, 4).await?;
        let history = seen["status"]["history"].as_array().into_iter().flatten();
        let names: std::collections::BTreeSet<_> =
            history.filter_map(|run| run["jobName"].as_str()).collect();
        assert_eq!(names, ["one", "two", "three", "four"].into());
        Ok(())
    })
    .await
}
