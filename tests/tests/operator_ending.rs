//! A namespace that is being deleted: its policies are left to go with it. In a file of its own,
//! since for a moment no controller works in its cluster.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tests::api_proxy::{ApiProxy, Pick, Verb};
use tests::cluster::{Component, Namespace};
use tests::operator::{Bed, Operator};
use tests::{chart, wait};

const PATIENCE: Duration = Duration::from_mins(2);

async fn has_cron_job(namespace: &Namespace<'_>, operator: &Operator) -> Result<()> {
    let made = wait::until("the CronJob", PATIENCE, async || {
        namespace.get("cronjob/codes").await.map(|_| Some(()))
    });
    operator.explain(made.await)
}

/// Its CronJob went first, and cannot be made anew: that is nobody's fault, and no news.
#[tokio::test]
async fn a_policy_whose_namespace_goes_is_tried_once_and_then_left_alone() -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    let cluster = bed.cluster();
    let test = async |ending: &Namespace<'_>, other: &Namespace<'_>| {
        let proxy = ApiProxy::start(cluster)?;
        let both = format!("{},{}", ending.name(), other.name());
        let operator = bed.operator().through(&proxy).watching(&both).ready().await?;
        let policy = chart::sweep(&chart::delete_old()).to_string();
        ending.apply(&policy).await?;
        has_cron_job(ending, &operator).await?;

        // Nothing of the namespace goes but what the test deletes.
        cluster.pause(Component::ControllerManager)?;
        cluster.kubectl(["delete", "namespace", ending.name(), "--wait=false"]).await?;
        proxy.reset();
        ending.kubectl(["delete", "cronjob", "codes", "--wait=false"]).await?;
        let tries = Pick::of(Verb::Patch, "cronjobs").namespace(ending.name());
        let refused = wait::until("the CronJob to be refused", PATIENCE, async || {
            let tries = proxy.requests_of(&tries);
            Ok(tries.iter().any(|request| request.answered == Some(403)).then_some(()))
        });
        operator.explain(refused.await)?;

        for number in 0..3 {
            let note = format!("number={number}");
            ending.kubectl(["annotate", "sweep", "codes", "--overwrite", &note]).await?;
        }
        // What comes later is done by then, and so is what came before it.
        other.apply(&policy).await?;
        has_cron_job(other, &operator).await?;
        let written = proxy.requests_of(&Pick::writes().namespace(ending.name()));
        ensure!(written.len() == 1, "it was written to: {written:#?}");
        let said = operator.said()?;
        let alarmed = said.lines().find(|line| line.contains("ERROR") || line.contains("WARN"));
        ensure!(alarmed.is_none(), "{said}");

        cluster.resume(Component::ControllerManager)?;
        wait::until("the namespace to go", PATIENCE, async || {
            Ok(ending.is_gone().await?.then_some(()))
        })
        .await?;
        // The same names again are another policy: it works at once.
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ending.name()}});
        cluster.kubectl_with_input(["create", "--filename", "-"], &namespace.to_string()).await?;
        ending.apply(&policy).await?;
        has_cron_job(ending, &operator).await
    };
    cluster
        .with_namespace("ending", async |ending| {
            cluster.with_namespace("other", async |other| test(ending, other).await).await
        })
        .await
}
