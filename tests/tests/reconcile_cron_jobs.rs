//! The operator keeps each policy's CronJob as the policy says, whatever others do to it, and
//! comes to the same end wherever it was stopped before.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests::cluster::Namespace;
use tests::{Database, chart, wait};

/// For a reconcile on a loaded machine; one that failed first waits for its next try.
const PATIENCE: Duration = Duration::from_mins(3);

fn sweep() -> Value {
    chart::sweep(&chart::delete_old())
}

/// With a database in which one row is due, so that the policy passes its preflight.
async fn in_namespace(test: impl AsyncFnOnce(&Namespace<'_>) -> Result<()>) -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    chart::installed(&cluster).await?;
    let database = Database::create().await?;
    database.execute("CREATE TABLE codes (id int PRIMARY KEY, expires_at timestamptz)").await?;
    database.execute("INSERT INTO codes VALUES (1, now() - interval '1 day')").await?;
    let url = database.address().host(&cluster.host_address().to_string());
    let url = format!("--from-literal=uri={url}");
    cluster
        .with_namespace("reconcile", async |namespace| {
            namespace.kubectl(["create", "secret", "generic", "db", &url]).await?;
            test(namespace).await
        })
        .await
}

/// Waits until the object says what `seen` looks for.
async fn until<T>(
    namespace: &Namespace<'_>,
    object: &str,
    what: &str,
    mut seen: impl FnMut(&Value) -> Option<T>,
) -> Result<T> {
    wait::until(what, PATIENCE, async || Ok(seen(&namespace.get(object).await?))).await
}

/// Waits until `Ready` has this reason, and returns the policy.
async fn ready(namespace: &Namespace<'_>, reason: &str) -> Result<Value> {
    until(namespace, "sweep/codes", &format!("Ready to be {reason}"), |sweep| {
        (chart::condition(sweep, "Ready")["reason"] == reason).then(|| sweep.clone())
    })
    .await
}

/// The names of all events of the policy, each with what it says.
async fn events(namespace: &Namespace<'_>) -> Result<BTreeMap<String, String>> {
    let list = namespace.get("events.events.k8s.io").await?;
    let all = list["items"].as_array().into_iter().flatten();
    let ours = all.filter(|event| event["regarding"]["kind"] == "CleanupPolicy");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(ours.map(|event| (text(&event["metadata"]["name"]), text(&event["reason"]))).collect())
}

async fn has_event(namespace: &Namespace<'_>, reason: &str) -> Result<()> {
    wait::until(&format!("the event {reason}"), PATIENCE, async || {
        Ok(events(namespace).await?.values().any(|found| found == reason).then_some(()))
    })
    .await
}

fn pod(cron_job: &Value) -> &Value {
    &cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
}

#[tokio::test]
async fn an_edit_of_the_cron_job_is_undone_and_what_others_wrote_beside_it_stays() -> Result<()> {
    in_namespace(async |namespace| {
        let mut policy = sweep();
        namespace.apply(&policy.to_string()).await?;
        ready(namespace, "Scheduled").await?;
        namespace.kubectl(["label", "cronjob", "codes", "team=sessions"]).await?;
        let edit = json!({"spec": {
            "schedule": "1 1 1 1 *",
            "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "more", "image": "more"}]}}}},
        }});
        namespace.kubectl(["patch", "cronjob", "codes", "--patch", &edit.to_string()]).await?;
        let restored = until(namespace, "cronjob/codes", "the edit to be undone", |cron_job| {
            let alone = pod(cron_job)["containers"].as_array().is_some_and(|all| all.len() == 1);
            (alone && cron_job["spec"]["schedule"] == "0 0 29 2 *").then(|| cron_job.clone())
        })
        .await?;
        assert_eq!(restored["metadata"]["labels"]["team"], "sessions");
        has_event(namespace, "DriftCorrected").await?;

        // What we write after that still goes when it is no longer asked for.
        let limits = |cron_job: &Value| pod(cron_job)["containers"][0]["resources"]["limits"].clone();
        policy["spec"]["podTemplate"] = json!({"resources": {"limits": {"memory": "64Mi"}}});
        namespace.apply(&policy.to_string()).await?;
        until(namespace, "cronjob/codes", "the limit to be there", |cron_job| {
            (limits(cron_job)["memory"] == "64Mi").then_some(())
        })
        .await?;
        namespace.apply(&sweep().to_string()).await?;
        until(namespace, "cronjob/codes", "the limit to be gone", |cron_job| {
            limits(cron_job).is_null().then_some(())
        })
        .await
    })
    .await
}

#[tokio::test]
async fn labels_that_are_edited_away_come_back_and_so_does_the_whole_cron_job() -> Result<()> {
    in_namespace(async |namespace| {
        namespace.apply(&sweep().to_string()).await?;
        ready(namespace, "Scheduled").await?;
        namespace.kubectl(["label", "cronjob", "codes", "pgsweep.dev/policy-"]).await?;
        until(namespace, "cronjob/codes", "the label to come back", |cron_job| {
            (cron_job["metadata"]["labels"]["pgsweep.dev/policy"] == "codes").then_some(())
        })
        .await?;
        let before = namespace.get("cronjob/codes").await?["metadata"]["uid"].clone();
        namespace.kubectl(["delete", "cronjob", "codes"]).await?;
        let after = until(namespace, "cronjob/codes", "the CronJob to come back", |cron_job| {
            let uid = &cron_job["metadata"]["uid"];
            (*uid != before).then(|| uid.clone())
        })
        .await?;
        until(namespace, "sweep/codes", "the status to name the new CronJob", |sweep| {
            (sweep["status"]["cronJobRef"]["uid"] == after).then_some(())
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_cron_job_of_somebody_else_is_left_alone_until_its_name_is_free() -> Result<()> {
    in_namespace(async |namespace| {
        let create = ["create", "cronjob", "codes", "--image=theirs", "--schedule=1 1 1 1 *"];
        namespace.kubectl(create).await?;
        let theirs = namespace.get("cronjob/codes").await?["metadata"]["resourceVersion"].clone();
        namespace.apply(&sweep().to_string()).await?;
        let sweep = ready(namespace, "NameConflict").await?;
        assert_eq!(chart::condition(&sweep, "Ready")["status"], "False");
        assert_eq!(chart::condition(&sweep, "Stalled")["status"], "True");
        let now = namespace.get("cronjob/codes").await?["metadata"]["resourceVersion"].clone();
        assert_eq!(now, theirs, "it was written");
        has_event(namespace, "NameConflict").await?;

        namespace.kubectl(["delete", "cronjob", "codes"]).await?;
        let sweep = ready(namespace, "Scheduled").await?;
        assert!(chart::condition(&sweep, "Stalled").is_null(), "{}", sweep["status"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_old_rules_of_a_policy_that_is_now_wrong_do_not_run_on() -> Result<()> {
    in_namespace(async |namespace| {
        let mut policy = sweep();
        namespace.apply(&policy.to_string()).await?;
        ready(namespace, "Scheduled").await?;
        // The API server knows no time zones.
        policy["spec"]["timeZone"] = json!("Mars/Olympus");
        namespace.apply(&policy.to_string()).await?;
        let wrong = ready(namespace, "InvalidSchedule").await?;
        assert!(wrong["status"]["nextScheduleTime"].is_null(), "{}", wrong["status"]);
        let cron_job = namespace.get("cronjob/codes").await?;
        assert_eq!(cron_job["spec"]["suspend"], true);
        assert_eq!(cron_job["spec"]["timeZone"], "Etc/UTC");

        namespace.apply(&sweep().to_string()).await?;
        ready(namespace, "Scheduled").await?;
        assert_eq!(namespace.get("cronjob/codes").await?["spec"]["suspend"], false);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_suspended_policy_still_runs_for_a_new_token() -> Result<()> {
    in_namespace(async |namespace| {
        let mut policy = sweep();
        policy["spec"]["suspend"] = json!(true);
        namespace.apply(&policy.to_string()).await?;
        let sweep = ready(namespace, "Suspended").await?;
        assert_eq!(chart::condition(&sweep, "Ready")["status"], "True");
        assert_eq!(namespace.get("cronjob/codes").await?["spec"]["suspend"], true);
        policy["spec"]["runNow"] = json!("please");
        namespace.apply(&policy.to_string()).await?;
        let status = until(namespace, "sweep/codes", "the run to be counted", |sweep| {
            let status = &sweep["status"];
            let ours = status["lastRun"]["trigger"] == "RunNow" && status["lastRunNow"] == "please";
            ours.then(|| status.clone())
        })
        .await?;
        let job = status["lastRun"]["jobName"].as_str().unwrap_or_default();
        let owner = &namespace.get(&format!("job/{job}")).await?["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["kind"], &owner["controller"]), (&json!("CronJob"), &json!(true)));

        policy["spec"]["suspend"] = json!(false);
        namespace.apply(&policy.to_string()).await?;
        ready(namespace, "Scheduled").await?;
        assert_eq!(namespace.get("cronjob/codes").await?["spec"]["suspend"], false);
        has_event(namespace, "Resumed").await
    })
    .await
}

/// A status without the times of its transitions, and since when slots are looked for: whoever loses
/// that begins to look now.
fn timeless(mut status: Value) -> Value {
    status["slotsExpectedAfter"] = Value::Null;
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"] = Value::Null;
    }
    status
}

/// All writes of a reconcile come before the one of the status, so an operator that was stopped
/// after any of them finds their objects and an older status, at worst none.
#[tokio::test]
async fn wherever_the_operator_was_stopped_it_comes_to_the_same_end() -> Result<()> {
    in_namespace(async |namespace| {
        let mut policy = sweep();
        policy["spec"]["runNow"] = json!("initial");
        namespace.apply(&policy.to_string()).await?;
        let finished = |sweep: &Value| {
            let status = &sweep["status"];
            let done = status["lastRunNow"] == "initial" && !status["lastRun"].is_null();
            (done && status["active"].is_null()).then(|| status.clone())
        };
        let before = until(namespace, "sweep/codes", "the run to be counted", finished).await?;
        ensure!(before["lastRun"]["rowsAffected"] == 1, "{before}");
        let (events_before, jobs_before) = (events(namespace).await?, jobs(namespace).await?);

        let lose = r#"[{"op": "remove", "path": "/status"}]"#;
        let patch =
            ["patch", "sweep", "codes", "--subresource=status", "--type=json", "--patch", lose];
        namespace.kubectl(patch).await?;
        let after = until(namespace, "sweep/codes", "the status to come back", finished).await?;
        assert_eq!(timeless(after), timeless(before));
        assert_eq!(events(namespace).await?, events_before);
        assert_eq!(jobs(namespace).await?, jobs_before);
        Ok(())
    })
    .await
}

/// The versions of all Jobs, by name.
async fn jobs(namespace: &Namespace<'_>) -> Result<BTreeMap<String, String>> {
    let list = namespace.get("jobs").await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = list["items"].as_array().into_iter().flatten();
    Ok(all
        .map(|job| (text(&job["metadata"]["name"]), text(&job["metadata"]["resourceVersion"])))
        .collect())
}
