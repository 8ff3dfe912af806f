//! Slots that have no run, since the controller manager was away: in a file of its own, since every
//! Job of its cluster waits with it.

use anyhow::{Result, ensure};
use serde_json::json;
use tests::cluster::Component;
use tests::operator::Bed;
use tests::runs::{Runs, codes, policy, reason_of};

#[tokio::test]
async fn a_slot_without_a_run_is_missed_and_the_next_run_clears_it() -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    let database = codes(10).await?;
    bed.cluster()
        .with_namespace("slots", async |namespace| {
            let mut operator = bed.operator().watching(namespace.name()).ready().await?;
            let runs = Runs { namespace, database: &database };
            runs.secret(&bed.url(&database)).await?;
            let mut policy = policy();
            policy["spec"]["schedule"] = json!("* * * * *");
            policy["spec"]["startingDeadlineSeconds"] = json!(10);
            runs.scheduled(&policy).await?;
            runs.reason("ScheduleHealthy", "OnTime").await?;

            bed.cluster().pause(Component::ControllerManager)?;
            let message = runs.reason("ScheduleHealthy", "MissedRuns").await?;
            ensure!(message.contains("never came (the first that was missed)"), "{message}");
            runs.told_once("RunMissed", "never came").await?;
            // Another operator finds it counted.
            operator.kill().await?;
            let _operator = bed.operator().watching(namespace.name()).ready().await?;
            let status = runs
                .until("the next slot to be missed", |sweep| {
                    let status = &sweep["status"];
                    (status["missedRuns"].as_i64() > Some(1)).then(|| status.clone())
                })
                .await?;
            ensure!(status["missedRuns"] == 2, "{status}");
            let told = runs.events("RunMissed").await?;
            ensure!(told.len() == 2, "{told:?}");

            bed.cluster().resume(Component::ControllerManager)?;
            let status = runs
                .until("a run to come", |sweep| {
                    let status = &sweep["status"];
                    let is_healthy = reason_of(status, "ScheduleHealthy") == "OnTime";
                    is_healthy.then(|| status.clone())
                })
                .await?;
            ensure!(!status["lastScheduleTime"].is_null(), "{status}");
            Ok(())
        })
        .await
}
