//! Somebody else stands in a policy's way, and goes out of it.

use anyhow::Result;
use serde_json::json;

use super::case::prove;
use super::scene::{policy, policy_with};

const NEVER: &str = "0 0 29 2 *";

/// Proves: R3.
#[tokio::test]
async fn a_cron_job_of_the_same_name_is_in_the_way_and_goes() -> Result<()> {
    prove(
        "foreign CronJob",
        async |scene| {
            scene.make_secret().await?;
            let schedule = format!("--schedule={NEVER}");
            scene.kubectl(["create", "cronjob", "codes", "--image=foreign", &schedule]).await
        },
        async |scene| {
            scene.apply(&policy()).await?;
            scene.wait_ready("NameConflict").await?;
            scene.kubectl(["delete", "cronjob", "codes"]).await?;
            scene.wait_ready("Scheduled").await
        },
    )
    .await
}

/// Proves: R3.
#[tokio::test]
async fn the_secret_comes_late() -> Result<()> {
    prove(
        "Secret that comes late",
        async |_| Ok(()),
        async |scene| {
            scene.apply(&policy_with(&json!({"runNow": "initial"}))).await?;
            scene.wait_ready("SecretMissing").await?;
            scene.make_secret().await?;
            scene.wait_runs(1).await?;
            scene.wait_ready("Scheduled").await
        },
    )
    .await
}

/// Proves: R3.
#[tokio::test]
async fn a_preflight_fails_and_what_it_found_is_mended() -> Result<()> {
    prove(
        "preflight that fails",
        async |scene| scene.make_secret().await,
        async |scene| {
            scene.database.execute("ALTER TABLE IF EXISTS codes RENAME TO later").await?;
            scene.apply(&policy()).await?;
            scene.wait_ready("PreflightFailed").await?;
            scene.database.execute("ALTER TABLE later RENAME TO codes").await?;
            scene.apply(&policy_with(&json!({"schedule": "0 0 1 1 *"}))).await?;
            scene.wait_ready("Scheduled").await
        },
    )
    .await
}

/// Proves: R3.
#[tokio::test]
async fn the_cron_job_is_edited_by_somebody_else() -> Result<()> {
    prove(
        "drift",
        async |scene| scene.make_scheduled(&policy()).await,
        async |scene| {
            let edit = json!({"spec": {"schedule": "0 0 1 1 *"}}).to_string();
            scene.kubectl(["patch", "cronjob", "codes", "--patch", &edit]).await?;
            scene.wait_for("cronjob/codes", "{.spec.schedule}", NEVER).await
        },
    )
    .await
}
