//! The five example policies on a real cluster, from their files: what a team would see that
//! copies them.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::cluster::{Cluster, Namespace};
use tests::{Database, chart, checkout, wait};

/// A Job of a loaded machine, from its making to its count in the status; five of them at once.
const PATIENCE: Duration = Duration::from_mins(3);

/// Rules with the number of rows that each changes.
type Rules = &'static [(&'static str, u64)];

/// Each example, its schedule, and how many rows each rule changes in the sample data.
const EXAMPLES: [(&str, &str, Rules); 5] = [
    (
        "table-talk-sessions",
        "*/5 * * * *",
        &[
            ("expire-waiting-dual", 1600),
            ("expire-inactive", 1600),
            ("mark-disconnected", 3200),
            ("delete-expired", 2000),
            ("hard-expiry", 800),
        ],
    ),
    (
        "tarot-reading-sessions",
        "*/15 * * * *",
        &[("deactivate-silent", 700), ("archive-participants", 700), ("archive-sessions", 300)],
    ),
    (
        "after-hours-sessions",
        "0 4 * * *",
        &[
            ("close-expired", 600),
            ("delete-old-declines", 1200),
            ("delete-orphaned-fingerprints", 800),
            ("delete-orphaned-profiles", 100),
        ],
    ),
    ("after-hours-messages", "0 3 * * *", &[("delete-messages", 2400), ("delete-matches", 700)]),
    (
        "kitchen-sink",
        "@hourly",
        &[
            ("abandon-carts", 600),
            ("forget-tokens", 400),
            ("delete-orphaned-uploads", 327),
            ("archive-order-lines", 800),
            ("archive-orders", 200),
            ("drop-old-views", 200),
        ],
    ),
];

fn read(file: &str) -> Result<String> {
    let path = checkout::root().join("examples").join(file);
    std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
}

/// The file of a policy, with the namespace of the test in place of its own.
fn policy(name: &str, namespace: &Namespace<'_>) -> Result<String> {
    let text = read(&format!("{name}.yaml"))?;
    let lines = text.lines().map(|line| match line.strip_prefix("  namespace: ") {
        Some(_) => format!("  namespace: {}\n", namespace.name()),
        None => format!("{line}\n"),
    });
    Ok(lines.collect())
}

/// The same on a schedule that does not come: a run of a slot would meet the one that is looked at.
fn without_slots(name: &str, namespace: &Namespace<'_>) -> Result<String> {
    let text = policy(name, namespace)?;
    let lines = text.lines().map(|line| match line.strip_prefix("  schedule: ") {
        Some(_) => "  schedule: \"0 0 29 2 *\"\n".to_owned(),
        None => format!("{line}\n"),
    });
    Ok(lines.collect())
}

/// A namespace with the chart installed.
async fn in_namespace(
    test: impl AsyncFnOnce(&Cluster, &Namespace<'_>) -> Result<()>,
) -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    chart::installed(&cluster).await?;
    cluster.with_namespace("examples", async |namespace| test(&cluster, namespace).await).await
}

/// Waits until the policy says what `seen` looks for.
async fn until<T>(
    namespace: &Namespace<'_>,
    name: &str,
    what: &str,
    mut seen: impl FnMut(&Value) -> Option<T>,
) -> Result<T> {
    let what = format!("{what} of {name}");
    wait::until(&what, PATIENCE, async || Ok(seen(&namespace.get(&format!("sweep/{name}")).await?)))
        .await
}

async fn ready(namespace: &Namespace<'_>, name: &str, reason: &str) -> Result<Value> {
    until(namespace, name, &format!("Ready for {reason}"), |sweep| {
        (chart::condition(sweep, "Ready")["reason"] == reason).then(|| sweep.clone())
    })
    .await
}

/// Waits until `runs` runs of the policy are told in its status.
async fn after_runs(namespace: &Namespace<'_>, name: &str, runs: usize) -> Result<Value> {
    until(namespace, name, "the run", |sweep| {
        let history = sweep["status"]["history"].as_array().map_or(0, Vec::len);
        (history >= runs).then(|| sweep["status"].clone())
    })
    .await
}

/// A policy with `runNow` runs once at the start, the others are run by hand.
///
/// Proves: G11.
#[tokio::test]
async fn all_five_examples_run_and_their_status_tells_what_they_did() -> Result<()> {
    let database = Database::create().await?;
    for (name, _, _) in EXAMPLES {
        database.execute(&read(&format!("{name}.sql"))?).await?;
    }
    in_namespace(async |cluster, namespace| {
        let url = database.address().host(&cluster.host_address().to_string());
        let url = format!("--from-literal=uri={url}");
        namespace.kubectl(["create", "secret", "generic", "sessions-db", &url]).await?;
        for (name, _, _) in EXAMPLES {
            let text = without_slots(name, namespace)?;
            namespace.apply(&text).await?;
            if !text.contains("\n  runNow: ") {
                ready(namespace, name, "Scheduled").await?;
                let from = format!("--from=cronjob/{name}");
                namespace.kubectl(["create", "job", &format!("{name}-by-hand"), &from]).await?;
            }
        }
        for (name, _, rules) in EXAMPLES {
            let status = after_runs(namespace, name, 1).await?;
            let run = &status["lastRun"];
            assert_eq!(run["result"], "Succeeded", "{name}: {status}");
            let told = run["rules"].as_array().into_iter().flatten();
            let told: Vec<_> =
                told.map(|rule| (rule["name"].clone(), rule["affected"].clone())).collect();
            let expected: Vec<_> =
                rules.iter().map(|(rule, rows)| (json!(rule), json!(rows))).collect();
            assert_eq!(told, expected, "{name}: {status}");
            assert_eq!(run["rowsRemaining"], 0, "{name}: {status}");
            let trigger = if ["table-talk-sessions", "kitchen-sink"].contains(&name) {
                "RunNow"
            } else {
                "Manual"
            };
            assert_eq!(run["trigger"], trigger, "{name}: {status}");
        }
        for (table, runs) in [
            ("table_talk.analytics_events WHERE event_type = 'cleanup_job_completed'", 1_i64),
            ("tarot.session_audit_log WHERE event_type = 'cleanup_job_completed'", 1),
            ("after_hours.cleanup_log", 2),
            ("kitchen.journal WHERE event = 'cleanup_job_completed'", 1),
        ] {
            let told: i64 = database.scalar(&format!("SELECT count(*) FROM {table}")).await?;
            assert_eq!(told, runs, "{table}");
        }
        for (name, schedule, _) in EXAMPLES {
            namespace.apply(&policy(name, namespace)?).await?;
            until(namespace, name, "the schedule", |sweep| {
                (sweep["status"]["effectiveSchedule"] == schedule).then_some(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

/// What a service of the app was to do, the cluster does: it starts by itself, never twice, runs
/// by hand, says whether it runs and what it has done, and ends when it is told to.
///
/// Proves: L7.
#[tokio::test]
async fn the_cleanup_of_the_readings_is_one_service_that_starts_reports_and_stops() -> Result<()> {
    let name = "tarot-reading-sessions";
    let database = Database::create().await?;
    database.execute(&read(&format!("{name}.sql"))?).await?;
    in_namespace(async |cluster, namespace| {
        let url = database.address().host(&cluster.host_address().to_string());
        let url = format!("--from-literal=uri={url}");
        namespace.kubectl(["create", "secret", "generic", "sessions-db", &url]).await?;
        namespace.apply(&without_slots(name, namespace)?).await?;
        ready(namespace, name, "Scheduled").await?;

        // runCleanup(), isRunning, getCleanupStats().
        let by_hand = ["create", "job", "by-hand", "--from=cronjob/tarot-reading-sessions"];
        // A lock on the table holds the run up for as long as it takes to look at it.
        let mut app = database.pool().begin().await?;
        sqlx::query("LOCK TABLE tarot.reading_sessions IN ACCESS EXCLUSIVE MODE")
            .execute(&mut *app)
            .await?;
        namespace.kubectl(by_hand).await?;
        let active = until(namespace, name, "the active run", |sweep| {
            sweep["status"]["active"].as_array()?.first().cloned()
        })
        .await?;
        assert_eq!(active["jobName"], "by-hand");
        app.rollback().await?;
        let status = after_runs(namespace, name, 1).await?;
        assert_eq!(status["lastRun"]["result"], "Succeeded", "{status}");
        assert_eq!(status["lastRun"]["rowsAffected"], 1700, "{status}");
        let status = until(namespace, name, "the end of the active run", |sweep| {
            let active = sweep["status"]["active"].as_array().map_or(0, Vec::len);
            (active == 0).then(|| sweep["status"].clone())
        })
        .await?;
        assert_eq!(status["history"].as_array().map_or(0, Vec::len), 1);

        // start(15), once however often it is asked to.
        for _ in 0..2 {
            namespace.apply(&policy(name, namespace)?).await?;
            until(namespace, name, "the schedule", |sweep| {
                (sweep["status"]["effectiveSchedule"] == "*/15 * * * *").then_some(())
            })
            .await?;
        }
        let cron_jobs = namespace.get("cronjobs").await?;
        let cron_jobs = cron_jobs["items"].as_array().cloned().unwrap_or_default();
        assert_eq!(cron_jobs.len(), 1, "{cron_jobs:?}");
        assert_eq!(cron_jobs[0]["spec"]["schedule"], "*/15 * * * *");
        assert_eq!(cron_jobs[0]["spec"]["concurrencyPolicy"], "Forbid", "never a second beside it");

        // Told to stop: no slot makes a run any more. Taken away: nothing is left that could.
        let suspend = json!({"spec": {"suspend": true}}).to_string();
        namespace.kubectl(["patch", "sweep", name, "--type=merge", "--patch", &suspend]).await?;
        ready(namespace, name, "Suspended").await?;
        assert_eq!(namespace.get(&format!("cronjob/{name}")).await?["spec"]["suspend"], true);
        namespace.kubectl(["delete", "sweep", name]).await?;
        wait::until("the CronJob to go with its policy", PATIENCE, async || {
            let list = namespace.get("cronjobs").await?;
            Ok(list["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
        })
        .await
    })
    .await
}

/// There is no queue to be down, and a database that is away holds nobody up: the schedule stands
/// all the same, and the names by which the jobs are known are on their pods.
///
/// Proves: A8, A11, M10.
#[tokio::test]
async fn the_examples_are_scheduled_under_the_names_of_the_jobs_they_replace_database_or_not()
-> Result<()> {
    let database = Database::create().await?;
    in_namespace(async |cluster, namespace| {
        for (name, schedule, labels) in [
            (
                "after-hours-sessions",
                "0 4 * * *",
                [
                    "after-hours-session-cleanup",
                    "daily-session-cleanup",
                    "cleanup-expired-sessions",
                ],
            ),
            (
                "after-hours-messages",
                "0 3 * * *",
                ["after-hours-message-cleanup", "daily-cleanup", "cleanup-expired-messages"],
            ),
        ] {
            // No Secret, no database.
            database.execute(&read(&format!("{name}.sql"))?).await?;
            namespace.apply(&policy(name, namespace)?).await?;
            let sweep = ready(namespace, name, "SecretMissing").await?;
            assert_eq!(sweep["status"]["effectiveSchedule"], schedule);
            let cron_job = namespace.get(&format!("cronjob/{name}")).await?;
            assert_eq!(cron_job["spec"]["timeZone"], "Etc/UTC");
            let pod = &cron_job["spec"]["jobTemplate"]["spec"]["template"];
            let found = ["queue", "scheduler", "job"].map(|key| &pod["metadata"]["labels"][key]);
            assert_eq!(found.map(|label| label.as_str().unwrap_or_default()), labels);
            // The retention is in what the Job is handed.
            let policy = pod["spec"]["containers"][0]["env"].to_string();
            assert!(policy.contains("retentionDays"), "{policy}");
        }
        let listed = namespace.kubectl(["get", "sweep"]).await?;
        assert!(listed.contains("0 4 * * *") && listed.contains("0 3 * * *"), "{listed}");
        // They heal by themselves as soon as there is something to clean.
        let url = database.address().host(&cluster.host_address().to_string());
        let url = format!("--from-literal=uri={url}");
        namespace.kubectl(["create", "secret", "generic", "sessions-db", &url]).await?;
        for (name, at) in
            [("after-hours-sessions", "T04:00:00Z"), ("after-hours-messages", "T03:00:00Z")]
        {
            let sweep = ready(namespace, name, "Scheduled").await?;
            assert_eq!(chart::condition(&sweep, "Ready")["status"], "True", "{sweep}");
            let next = sweep["status"]["nextScheduleTime"].as_str().unwrap_or_default();
            assert!(next.ends_with(at), "{next}");
        }
        Ok(())
    })
    .await
}
