//! Jobs whose pod does not begin.

use anyhow::{Result, ensure};
use serde_json::json;
use tests::cluster::NODE;
use tests::runs::{policy, reason_of};

use super::scene::{Scene, scene};

/// Waits until this Job is said to be stuck with these words, in the condition and in one event.
async fn is_stuck(scene: &Scene<'_>, job: &str, words: &str) -> Result<()> {
    let runs = &scene.runs;
    let message = runs
        .until(&format!("Job {job} to be stuck"), |sweep| {
            let condition = tests::chart::condition(sweep, "ScheduleHealthy");
            let message = condition["message"].as_str().unwrap_or_default();
            let is_told = condition["reason"] == "JobStuckPending" && message.contains(words);
            is_told.then(|| message.to_owned())
        })
        .await?;
    ensure!(message.contains(&format!("Job {job} has not begun since")), "{message}");
    runs.told_once("JobStuck", &format!("Job {job} has")).await
}

/// Waits until it has run, and nothing is wrong any more.
async fn is_cured(scene: &Scene<'_>, job: &str) -> Result<()> {
    let status = scene.runs.counted(job).await?;
    ensure!(reason_of(&status, "LastRunSucceeded") != "Failed", "{status}");
    scene.runs.reason("ScheduleHealthy", "OnTime").await?;
    scene.runs.told_once("JobStuck", &format!("Job {job} has")).await
}

#[tokio::test]
async fn a_job_without_a_node_or_without_an_image_says_so_until_it_is_cured() -> Result<()> {
    scene(10, async |scene| {
        let _operator = scene.operator().await?;
        let runs = &scene.runs;
        runs.scheduled(&policy()).await?;
        let place = format!("example.com/{}", runs.namespace.name());
        runs.unlike("nowhere", |spec| {
            spec["template"]["spec"]["nodeSelector"] = json!({place.as_str(): "here"});
        })
        .await?;
        is_stuck(scene, "nowhere", "no node takes its pod: 0/1 nodes are available").await?;
        let label = format!("{place}=here");
        runs.namespace.cluster().kubectl(["label", "node", NODE, &label]).await?;
        is_cured(scene, "nowhere").await?;

        runs.unlike("imageless", |spec| {
            spec["template"]["spec"]["containers"][0]["image"] = json!("127.0.0.1:1/none:1");
        })
        .await?;
        is_stuck(scene, "imageless", "its image cannot be had").await?;
        // Nobody can pull it: who deletes the Job has the condition cleared.
        runs.namespace.kubectl(["delete", "job", "imageless"]).await?;
        let status = runs.counted("imageless").await?;
        let message = status["lastRun"]["message"].as_str().unwrap_or_default();
        // Kubelet loses sight of a container that never was: whether it began cannot be told.
        ensure!(message.contains("was deleted"), "{status}");
        ensure!(!message.contains("is not believed"), "{status}");
        ensure!(reason_of(&status, "LastRunSucceeded") == "Failed", "{status}");
        runs.reason("ScheduleHealthy", "OnTime").await.map(drop)
    })
    .await
}

#[tokio::test]
async fn a_job_whose_pod_is_refused_says_by_whom_until_it_is_cured() -> Result<()> {
    scene(10, async |scene| {
        let _operator = scene.operator().await?;
        let runs = &scene.runs;
        runs.scheduled(&policy()).await?;
        runs.namespace.kubectl(["create", "quota", "none", "--hard=pods=0"]).await?;
        runs.by_hand("too-many").await?;
        is_stuck(scene, "too-many", "exceeded quota: none").await?;
        runs.namespace.kubectl(["delete", "quota", "none"]).await?;
        is_cured(scene, "too-many").await?;

        runs.unlike("stranger", |spec| {
            spec["template"]["spec"]["serviceAccountName"] = json!("nobody");
        })
        .await?;
        is_stuck(scene, "stranger", "serviceaccount \"nobody\" not found").await?;
        runs.namespace.kubectl(["create", "serviceaccount", "nobody"]).await?;
        is_cured(scene, "stranger").await
    })
    .await
}

#[tokio::test]
async fn a_job_that_misses_its_deadline_says_whether_its_pod_ever_began() -> Result<()> {
    scene(400, async |scene| {
        let _operator = scene.operator().await?;
        let runs = &scene.runs;
        runs.scheduled(&tests::runs::slow(5)).await?;
        runs.unlike("never", |spec| {
            spec["activeDeadlineSeconds"] = json!(45);
            spec["template"]["spec"]["nodeSelector"] = json!({"example.com/no": "where"});
        })
        .await?;
        is_stuck(scene, "never", "no node takes its pod").await?;
        let status = runs.counted("never").await?;
        ensure!(reason_of(&status, "LastRunSucceeded") == "DeadlineExceeded", "{status}");
        let message = status["lastRun"]["message"].as_str().unwrap_or_default();
        ensure!(message.contains("before its pod began"), "{status}");
        runs.told_once("RunDeadlineExceeded", "Job never:").await?;

        runs.unlike("slow", |spec| spec["activeDeadlineSeconds"] = json!(45)).await?;
        let status = runs.counted("slow").await?;
        ensure!(reason_of(&status, "LastRunSucceeded") == "DeadlineExceeded", "{status}");
        ensure!(status["lastRun"]["rowsAffected"].as_i64() > Some(0), "{status}");
        runs.told_once("RunDeadlineExceeded", "Job slow:").await
    })
    .await
}
