//! Runs whose Job or pod goes before anybody could read what it did.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests::runs::{Runs, add, entry, policy, reason_of, slow};
use tests::wait;

use super::scene::scene;

const PATIENCE: Duration = Duration::from_mins(3);

/// While no operator looks: a Job of this name comes to its end.
async fn runs_unseen(runs: &Runs<'_>, job: &str) -> Result<()> {
    runs.by_hand(job).await?;
    runs.namespace.wait(&format!("job/{job}"), "condition=Complete", PATIENCE).await
}

fn names(list: &Value) -> Vec<&str> {
    let all = list["items"].as_array().into_iter().flatten();
    all.filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

#[tokio::test]
async fn a_pod_that_is_gone_before_its_report_was_read_is_made_up_for() -> Result<()> {
    scene(50, async |scene| {
        let mut operator = scene.operator().await?;
        let runs = &scene.runs;
        runs.scheduled(&policy()).await?;
        operator.kill().await?;
        runs_unseen(runs, "unread").await?;
        let of_job = ["delete", "pod", "--selector", "job-name=unread"];
        runs.namespace.kubectl(of_job).await?;

        let _operator = scene.operator().await?;
        let status = runs.counted("unread").await?;
        ensure!(entry(&status, "unread")["isUnreported"] == true, "{status}");
        let message = status["lastRun"]["message"].as_str().unwrap_or_default();
        let words =
            "the pod was gone before its report was read; the next run's report makes up for it";
        ensure!(message.contains(words), "{status}");
        runs.told_once("RunSucceeded", words).await?;

        add(runs.database, 1000, 5).await?;
        let status = runs.run("next").await?;
        let unread = entry(&status, "unread");
        ensure!(unread["isUnreported"].is_null() && unread["rowsAffected"] == 50, "{status}");
        ensure!(
            status["totals"] == json!({"runs": 2, "failures": 0, "rowsAffected": 55}),
            "{status}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_job_that_is_deleted_in_mid_run_is_a_failed_run_and_tells_what_it_did() -> Result<()> {
    scene(400, async |scene| {
        let _operator = scene.operator().await?;
        let runs = &scene.runs;
        runs.scheduled(&slow(10)).await?;
        runs.by_hand("cut").await?;
        runs.under_way().await?;
        runs.namespace.kubectl(["delete", "job", "cut"]).await?;
        let status = runs.counted("cut").await?;
        ensure!(reason_of(&status, "LastRunSucceeded") == "Failed", "{status}");
        let message = status["lastRun"]["message"].as_str().unwrap_or_default();
        ensure!(message.starts_with("the Job was deleted while it ran"), "{status}");
        ensure!(status["lastRun"]["rowsAffected"].as_i64() > Some(0), "{status}");
        ensure!(status["consecutiveFailures"] == 1 && status["active"].is_null(), "{status}");
        runs.told_once("RunFailed", "the Job was deleted while it ran").await
    })
    .await
}

#[tokio::test]
async fn a_cron_job_that_is_deleted_in_mid_run_loses_no_run() -> Result<()> {
    scene(400, async |scene| {
        let _operator = scene.operator().await?;
        let runs = &scene.runs;
        runs.scheduled(&slow(10)).await?;
        let before = runs.namespace.get("cronjob/codes").await?["metadata"]["uid"].clone();
        runs.by_hand("cut").await?;
        runs.under_way().await?;
        runs.namespace.kubectl(["delete", "cronjob", "codes"]).await?;
        let status = runs.counted("cut").await?;
        ensure!(entry(&status, "cut")["result"] == "Failed", "{status}");
        let after = runs
            .until("the CronJob to come back", |sweep| {
                let uid = &sweep["status"]["cronJobRef"]["uid"];
                (*uid != before).then(|| sweep["status"].clone())
            })
            .await?;
        ensure!(after["active"].is_null(), "{after}");
        runs.run("again").await.map(drop)
    })
    .await
}

#[tokio::test]
async fn runs_that_come_and_go_while_the_operator_is_away_are_all_counted() -> Result<()> {
    scene(10, async |scene| {
        let mut operator = scene.operator().await?;
        let runs = &scene.runs;
        let mut few = policy();
        few["spec"]["successfulJobsHistoryLimit"] = json!(1);
        runs.scheduled(&few).await?;
        let status = runs.run("seen").await?;
        ensure!(status["totals"]["rowsAffected"] == 10, "{status}");
        operator.kill().await?;
        let unseen = ["one", "two", "three"];
        for (round, job) in (1..).zip(unseen) {
            add(runs.database, 1000 * round, round).await?;
            runs_unseen(runs, job).await?;
        }
        wait::until("the history limit to remove the older Jobs", PATIENCE, async || {
            let jobs = runs.namespace.get("jobs").await?;
            let names = names(&jobs);
            Ok(["seen", "one", "two"].iter().all(|job| !names.contains(job)).then_some(()))
        })
        .await?;

        let _operator = scene.operator().await?;
        let status = runs.counted("three").await?;
        let rows: Vec<&Value> = status["history"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|run| &run["rowsAffected"])
            .collect();
        ensure!(rows == [3, 2, 1, 10], "{status}");
        ensure!(
            status["totals"] == json!({"runs": 4, "failures": 0, "rowsAffected": 16}),
            "{status}"
        );
        ensure!(status["missedRuns"] == 0 && status["consecutiveFailures"] == 0, "{status}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_run_that_was_under_way_when_the_operator_went_is_told_by_the_next() -> Result<()> {
    scene(60, async |scene| {
        let mut operator = scene.operator().await?;
        let runs = &scene.runs;
        let mut few = slow(10);
        few["spec"]["successfulJobsHistoryLimit"] = json!(1);
        runs.scheduled(&few).await?;
        runs.by_hand("left").await?;
        runs.reason("Running", "JobActive").await?;
        operator.kill().await?;
        runs.namespace.wait("job/left", "condition=Complete", PATIENCE).await?;
        runs_unseen(runs, "after").await?;
        wait::until("the history limit to remove the Job", PATIENCE, async || {
            let jobs = runs.namespace.get("jobs").await?;
            Ok((!names(&jobs).contains(&"left")).then_some(()))
        })
        .await?;

        let _operator = scene.operator().await?;
        let status = runs.counted("after").await?;
        let left = entry(&status, "left");
        ensure!(left["result"] == "Succeeded" && left["rowsAffected"] == 60, "{status}");
        ensure!(left["trigger"] == "Manual" && left["isUnreported"].is_null(), "{status}");
        ensure!(status["active"].is_null() && status["consecutiveFailures"] == 0, "{status}");
        runs.told_once("RunSucceeded", "Job left:").await
    })
    .await
}
