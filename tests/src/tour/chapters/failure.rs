//! A run that fails, and what heals it.

use anyhow::{Context as _, Result};

use super::super::session::Session;
use super::{has_reason, has_run};

/// The conditions in short.
const CONDITIONS: &str = "kubectl get sweep carts -o jsonpath='{range .status.conditions[*]}\
                          {.type}{\"\\t\"}{.status}{\"\\t\"}{.reason}{\"\\n\"}{end}'";
const HISTORY: &str = "kubectl get sweep carts -o jsonpath='{range .status.history[*]}\
                       {.result}{\"\\t\"}{.rowsAffected}{\"\\t\"}{.trigger}{\"\\t\"}{.jobName}{\"\\n\"}{end}'";

pub(super) async fn all(session: &mut Session<'_>) -> Result<()> {
    break_it(session).await?;
    mend_it(session).await
}

async fn break_it(session: &mut Session<'_>) -> Result<()> {
    session.say(
        "## Break it

More carts are abandoned by now, and a migration takes a privilege away.",
    );
    session
        .run(
            "psql --quiet --command \"UPDATE app.carts SET touched_at = now() - interval '31 days' WHERE id <= 1500\" \\\n  \
             --command 'REVOKE DELETE ON app.carts FROM cleaner'",
            &[],
        )
        .await?;
    session.say("A run by hand is a Job from the CronJob, and counts as any other.");
    session.run("kubectl create job carts-by-hand --from cronjob/carts", &["created"]).await?;
    session.until("the failed run to be counted", |sweep| has_run(sweep, "carts-by-hand")).await?;
    session.run("kubectl get sweep", &["True Failed"]).await?;
    session.say(
        "`READY` speaks of the policy, which may run as before; `LAST-RESULT` of its last run. Why it failed is
among the conditions, each of which answers a question of its own ([operations](operations.md)). The event is
the same in one line, for whoever watches those.",
    );
    session
        .run(
            "kubectl describe sweep carts | sed -n '/Conditions:/,/Consecutive Failures:/p'",
            &[
                "Reason: PermissionDenied Status: False Type: LastRunSucceeded",
                "Consecutive Failures: 1",
            ],
        )
        .await?;
    session
        .run(
            "kubectl events --for sweep/carts --types Warning",
            &["PermissionDenied", "Job carts-by-hand"],
        )
        .await?;
    Ok(())
}

async fn mend_it(session: &mut Session<'_>) -> Result<()> {
    session.say(
        "## Mend it

The message has the statement that the owner has to run.",
    );
    let message = session
        .run("kubectl get sweep carts -o jsonpath='{.status.lastRun.message}'", &["GRANT"])
        .await?;
    let grant =
        message.find("GRANT").map(|at| &message[at..]).context("the message has a GRANT")?;
    let grant = grant.split([';', '\n']).next().unwrap_or(grant);
    session.run(&format!("psql --command '{grant}'"), &["GRANT"]).await?;
    session.run("kubectl create job carts-again --from cronjob/carts", &["created"]).await?;
    session
        .until("the mended run to be counted", |sweep| {
            has_run(sweep, "carts-again") && has_reason(sweep, "LastRunSucceeded", "Succeeded")
        })
        .await?;
    session.run("kubectl get sweep", &["True Succeeded", "296 0"]).await?;
    session
        .run(CONDITIONS, &["LastRunSucceeded True Succeeded", "BacklogDrained True Drained"])
        .await?;
    session.say("The history has all three runs, the newest first.");
    let runs =
        ["Succeeded 296 Manual carts-again Failed 0 Manual carts-by-hand Succeeded 1204 RunNow"];
    session.run(HISTORY, &runs).await?;
    Ok(())
}
