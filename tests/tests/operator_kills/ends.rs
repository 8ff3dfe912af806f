//! Policies go, with their namespace or without it.

use anyhow::Result;
use serde_json::json;
use tests::wait;

use super::case::prove;
use super::scene::{PATIENCE, policy};

/// Proves: R3.
#[tokio::test]
async fn a_policy_gets_another_name() -> Result<()> {
    prove(
        "rename",
        async |scene| scene.make_scheduled(&policy()).await,
        async |scene| {
            scene.kubectl(["delete", "sweep", "codes"]).await?;
            let mut renamed = policy();
            renamed["metadata"]["name"] = json!("tokens");
            scene.apply(&renamed).await?;
            scene.wait_gone("codes").await?;
            scene.wait_ready_of("tokens", "Scheduled").await
        },
    )
    .await
}

/// Proves: R3.
#[tokio::test]
async fn a_policy_is_deleted_while_it_runs() -> Result<()> {
    prove(
        "delete",
        async |scene| scene.make_scheduled(&policy()).await,
        async |scene| {
            scene.begin_endless_run().await?;
            scene.kubectl(["delete", "sweep", "codes"]).await?;
            scene.wait_gone("codes").await
        },
    )
    .await
}

/// Proves: R3.
#[tokio::test]
async fn a_policy_is_made_anew_under_its_name() -> Result<()> {
    prove(
        "delete and create",
        async |scene| scene.make_scheduled(&policy()).await,
        async |scene| {
            scene.kubectl(["delete", "sweep", "codes"]).await?;
            scene.apply(&policy()).await?;
            scene.wait_ready("Scheduled").await?;
            wait::until("the Job of the first policy to be gone", PATIENCE, async || {
                let jobs = scene.namespace.get("jobs").await?;
                Ok((jobs["items"].as_array().map(Vec::len) == Some(1)).then_some(()))
            })
            .await
        },
    )
    .await
}

/// Proves: R3.
#[tokio::test]
async fn the_namespace_of_a_policy_that_runs_is_deleted() -> Result<()> {
    prove(
        "namespace deleted",
        async |scene| scene.make_scheduled(&policy()).await,
        async |scene| {
            scene.begin_endless_run().await?;
            let name = scene.namespace.name();
            let cluster = scene.namespace.cluster();
            cluster.kubectl(["delete", "namespace", name, "--wait=false"]).await?;
            wait::until("the namespace to be gone", PATIENCE, async || {
                Ok(scene.namespace.is_gone().await?.then_some(()))
            })
            .await
        },
    )
    .await
}
