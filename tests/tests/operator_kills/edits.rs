//! A policy is made, and each kind of field of it is edited.

use anyhow::Result;
use serde_json::{Value, json};

use super::case::prove;
use super::scene::{policy, policy_with};

/// Proves: R3.
#[tokio::test]
async fn a_policy_is_made_and_runs_for_the_first_time() -> Result<()> {
    prove(
        "create",
        async |scene| scene.make_secret().await,
        async |scene| {
            scene.apply(&policy_with(&json!({"runNow": "initial"}))).await?;
            scene.wait_runs(1).await?;
            scene.wait_ready("Scheduled").await
        },
    )
    .await
}

/// A policy that stands is edited, and stands again.
async fn edit(name: &'static str, change: Value) -> Result<()> {
    prove(
        name,
        async |scene| scene.make_scheduled(&policy()).await,
        async |scene| {
            scene.apply(&policy_with(&change)).await?;
            scene.wait_ready("Scheduled").await
        },
    )
    .await
}

/// Proves: R3.
#[tokio::test]
async fn the_schedule_is_edited() -> Result<()> {
    edit("edit of the schedule", json!({"schedule": "0 0 1 1 *"})).await
}

/// Proves: R3.
#[tokio::test]
async fn the_rules_are_edited_and_looked_at_anew() -> Result<()> {
    let mut rules = policy()["spec"]["rules"].clone();
    rules[0]["where"][0]["age"] = json!("2h");
    edit("edit of the rules", json!({"rules": rules})).await
}

/// Proves: R3.
#[tokio::test]
async fn the_pod_template_is_edited() -> Result<()> {
    edit("edit of the pod template", json!({"podTemplate": {"labels": {"team": "sessions"}}})).await
}

/// Proves: R3.
#[tokio::test]
async fn the_limits_are_edited() -> Result<()> {
    let limits = json!({"maxPercentOfTable": 100, "maxRowsPerRun": 1000});
    edit("edit of the limits", json!({"limits": limits})).await
}

/// Proves: R3.
#[tokio::test]
async fn the_mode_is_edited() -> Result<()> {
    edit("edit of the mode", json!({"mode": "DryRun"})).await
}

/// Proves: R3.
#[tokio::test]
async fn a_policy_is_suspended_and_resumed() -> Result<()> {
    prove(
        "suspend and resume",
        async |scene| scene.make_scheduled(&policy()).await,
        async |scene| {
            scene.apply(&policy_with(&json!({"suspend": true}))).await?;
            scene.wait_ready("Suspended").await?;
            scene.apply(&policy_with(&json!({"suspend": false}))).await?;
            scene.wait_ready("Scheduled").await
        },
    )
    .await
}

/// Proves: R3.
#[tokio::test]
async fn an_edit_is_wrong_and_is_taken_back() -> Result<()> {
    prove(
        "wrong edit, taken back",
        async |scene| scene.make_scheduled(&policy()).await,
        async |scene| {
            scene.apply(&policy_with(&json!({"timeZone": "Mars/Olympus"}))).await?;
            scene.wait_ready("InvalidSchedule").await?;
            scene.apply(&policy_with(&json!({"timeZone": "Etc/UTC"}))).await?;
            scene.wait_ready("Scheduled").await
        },
    )
    .await
}
