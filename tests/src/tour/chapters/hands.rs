//! Suspend, resume, and what others do by hand.

use anyhow::Result;

use super::super::session::Session;
use super::has_reason;

pub(super) async fn all(session: &mut Session<'_>) -> Result<()> {
    suspend(session).await?;
    edit(session).await?;
    leave(session).await
}

async fn suspend(session: &mut Session<'_>) -> Result<()> {
    session.say(
        "## Suspend and resume

While it is suspended no slot begins a run, and none counts as missed.",
    );
    session
        .run(
            "kubectl patch sweep carts --type merge --patch '{\"spec\": {\"suspend\": true}}'",
            &["patched"],
        )
        .await?;
    session
        .until("the policy to be suspended", |sweep| has_reason(sweep, "Ready", "Suspended"))
        .await?;
    session.run("kubectl get sweep,cronjob", &["True"]).await?;
    session
        .run(
            "kubectl patch sweep carts --type merge --patch '{\"spec\": {\"suspend\": false}}'",
            &["patched"],
        )
        .await?;
    session
        .until("the policy to be resumed", |sweep| has_reason(sweep, "Ready", "Scheduled"))
        .await?;
    session.run("kubectl get cronjob", &["False"]).await?;
    Ok(())
}

async fn edit(session: &mut Session<'_>) -> Result<()> {
    session.say(
        "## Edit the CronJob by hand

The policy is where to make a change. One that is made elsewhere is undone at once.",
    );
    session
        .run(
            "kubectl patch cronjob carts --patch '{\"spec\": {\"schedule\": \"0 0 1 1 *\"}}'",
            &["patched"],
        )
        .await?;
    session
        .until_object("cronjob/carts", "the edit to be undone", |cron_job| {
            cron_job["spec"]["schedule"] == "17 3 * * 0"
        })
        .await?;
    session
        .until_object("events.events.k8s.io", "the edit to be told of", |events| {
            events.to_string().contains("\"DriftCorrected\"")
        })
        .await?;
    session.run("kubectl get cronjob", &["17 3 * * 0"]).await?;
    session.say("All that was told on the way:");
    session
        .run("kubectl events --for sweep/carts", &["DriftCorrected", "Suspended", "Resumed"])
        .await?;
    Ok(())
}

async fn leave(session: &mut Session<'_>) -> Result<()> {
    session.say(
        "## Leave

A CronJob and its Jobs go with their policy. The CRD stays when the release is uninstalled.",
    );
    session.run("kubectl delete sweep carts", &["deleted"]).await?;
    session
        .until_object("cronjobs,jobs", "what belongs to the policy to be gone", |list| {
            list["items"].as_array().is_some_and(Vec::is_empty)
        })
        .await?;
    session.run("kubectl get cronjobs,jobs", &["No resources found"]).await?;
    session
        .run("helm uninstall pgsweep --namespace pgsweep-system --wait", &["uninstalled"])
        .await?;
    Ok(())
}
