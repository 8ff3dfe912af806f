//! Policies run, by tokens: well and badly, and when somebody has approved their rules.

use anyhow::Result;
use serde_json::json;

use super::case::{prove, prove_with};
use super::crew::Succession;
use super::scene::{policy, policy_with};

/// Proves: R3.
#[tokio::test]
async fn a_run_ends_well() -> Result<()> {
    prove(
        "run that ends well",
        async |scene| scene.make_scheduled(&policy()).await,
        async |scene| {
            scene.apply(&policy_with(&json!({"runNow": "go"}))).await?;
            scene.wait_runs(1).await
        },
    )
    .await
}

/// Proves: R3.
#[tokio::test]
async fn a_run_fails() -> Result<()> {
    prove(
        "run that fails",
        async |scene| scene.make_scheduled(&policy()).await,
        async |scene| {
            scene.database.execute("DROP TABLE IF EXISTS codes").await?;
            scene.apply(&policy_with(&json!({"runNow": "go"}))).await?;
            scene.wait_runs(1).await
        },
    )
    .await
}

/// Proves: R3.
#[tokio::test]
async fn a_guard_stops_a_run() -> Result<()> {
    let limits = json!({"maxPercentOfTable": 50});
    prove(
        "run that a guard stops",
        async |scene| scene.make_scheduled(&policy_with(&json!({"limits": limits}))).await,
        async |scene| {
            let rows = "INSERT INTO codes SELECT n, now() - interval '1 day'
                        FROM generate_series(1001, 3000) AS n;
                        ANALYZE codes";
            scene.database.execute(rows).await?;
            scene.apply(&policy_with(&json!({"limits": limits, "runNow": "go"}))).await?;
            scene.wait_runs(1).await
        },
    )
    .await
}

/// Proves: R3.
#[tokio::test]
async fn a_token_comes_back() -> Result<()> {
    prove(
        "runNow token again",
        async |scene| {
            scene.make_scheduled(&policy_with(&json!({"runNow": "one"}))).await?;
            scene.wait_runs(1).await
        },
        async |scene| {
            scene.apply(&policy_with(&json!({"runNow": "two"}))).await?;
            scene.wait_runs(2).await?;
            scene.apply(&policy_with(&json!({"runNow": "one"}))).await?;
            scene.wait_runs(3).await
        },
    )
    .await
}

/// Proves: R3.
#[tokio::test]
async fn rules_are_approved_and_run() -> Result<()> {
    prove(
        "approval",
        async |scene| scene.make_secret().await,
        async |scene| {
            let approval = json!({"approval": "OnRulesChange", "runNow": "initial"});
            scene.apply(&policy_with(&approval)).await?;
            scene.wait_ready("ApprovalPending").await?;
            scene.approve().await?;
            scene.wait_runs(1).await?;
            scene.wait_ready("Scheduled").await
        },
    )
    .await
}

/// Proves: R3.
#[tokio::test]
async fn the_leader_is_killed_and_the_standby_goes_on() -> Result<()> {
    prove_with(
        Succession::Standby,
        "leader change",
        async |scene| scene.make_secret().await,
        async |scene| {
            scene.apply(&policy_with(&json!({"runNow": "initial"}))).await?;
            scene.wait_runs(1).await?;
            scene.wait_ready("Scheduled").await
        },
    )
    .await
}
