//! From an empty cluster to the first run.

use anyhow::{Context as _, Result};

use super::super::session::Session;
use super::{has_reason, has_run};

pub(super) async fn all(session: &mut Session<'_>) -> Result<()> {
    install(session).await?;
    apply(session).await?;
    make_the_secret(session).await?;
    read_the_plan(session).await?;
    approve(session).await?;
    run_now(session).await
}

async fn install(session: &mut Session<'_>) -> Result<()> {
    session.say(
        "## Install

The operator needs no database, no Secret and no webhook. Who has a registry names it by
`image.repository` and `job.image.repository`.",
    );
    session
        .run(
            "helm install pgsweep charts/pgsweep --namespace pgsweep-system --create-namespace --wait",
            &["STATUS: deployed", "is installed"],
        )
        .await?;
    session
        .run(
            "kubectl -n pgsweep-system rollout status deployment/pgsweep-operator",
            &["successfully rolled out"],
        )
        .await?;
    session.until_policies_are_known().await
}

async fn apply(session: &mut Session<'_>) -> Result<()> {
    session.say(
        "## The database, and a policy for it

A shop keeps carts. Those that nobody has touched for 30 days are to go. `psql` is logged in as the owner
of the database `shop`; the runs get a role of their own, `cleaner`, which may do no more than they need.",
    );
    session.run("psql --quiet --file docs/tour/carts.sql", &[]).await?;
    session.run(COUNT, &["9800 | 1204"]).await?;
    session.say("The same in a policy, which somebody else has to approve:");
    session.run("cat docs/tour/carts.yaml", &["approval: OnRulesChange"]).await?;
    session.say("It is applied before its Secret is there, as happens when several things are set up at once.");
    session.run("kubectl create namespace shop", &["created"]).await?;
    session.run("kubectl config set-context --current --namespace shop", &["modified"]).await?;
    session.run("kubectl apply -f docs/tour/carts.yaml", &["created"]).await?;
    session
        .until("the Secret to be missed", |sweep| has_reason(sweep, "Ready", "SecretMissing"))
        .await?;
    session.say("`READY` is the short answer, the condition of that name the long one.");
    session.run("kubectl get sweep", &["False"]).await?;
    session.run(READY, &["secret \"shop-db\" not found"]).await?;
    Ok(())
}

const COUNT: &str = "psql --command \"SELECT count(*) AS carts, \
                     count(*) FILTER (WHERE touched_at < now() - interval '30 days') AS abandoned \
                     FROM app.carts\"";

/// What is read first, and by hand: the message of one condition.
const READY: &str =
    "kubectl get sweep carts -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].message}'";
const APPROVED: &str =
    "kubectl get sweep carts -o jsonpath='{.status.conditions[?(@.type==\"Approved\")].message}'";

async fn make_the_secret(session: &mut Session<'_>) -> Result<()> {
    session.say(
        "## The Secret

Nobody has to tell the operator of it: Kubernetes starts the pod that waits for it. The URL says
`sslmode=disable` since this Postgres has no certificate; yours has one ([connection](connection.md)).",
    );
    session
        .run(
            "kubectl create secret generic shop-db \\\n  \
             --from-literal=uri='postgres://cleaner:cleaner@postgres.default.svc/shop?sslmode=disable'",
            &["created"],
        )
        .await?;
    session
        .until("the rules to wait for approval", |sweep| {
            has_reason(sweep, "Ready", "ApprovalPending")
        })
        .await
}

async fn read_the_plan(session: &mut Session<'_>) -> Result<()> {
    session.say(
        "## Read the plan

That pod was a preflight. It has looked at the database, changed nothing, and left a plan: what a run
would do if it began now. Its log has all of it, with the SQL ([preflight](preflight.md)).",
    );
    session.run("kubectl get jobs", &["Complete"]).await?;
    session
        .run(
            "kubectl get sweep -o wide",
            &["would delete 1,204 of 9,800 rows of app.carts", "index ok"],
        )
        .await?;
    session
        .run("kubectl get sweep carts -o jsonpath='{.status.plan}'", &["\"matched\":1204"])
        .await?;
    Ok(())
}

async fn approve(session: &mut Session<'_>) -> Result<()> {
    session.say(
        "## Approve it

Until somebody has, the CronJob is suspended. The message of the condition `Approved` begins with the
command; the hash is that of these rules, so that no others are approved by it.",
    );
    session.run("kubectl get cronjob", &["True"]).await?;
    let message = session.run(APPROVED, &["would delete 1,204"]).await?;
    let command = message.lines().next().context("the message has a first line")?;
    session.run(command, &["annotated"]).await?;
    session
        .run("kubectl wait --for condition=Ready sweep/carts --timeout 1m", &["condition met"])
        .await?;
    session.run("kubectl get sweep,cronjob", &["True", "False"]).await?;
    Ok(())
}

async fn run_now(session: &mut Session<'_>) -> Result<()> {
    session.say(
        "## Run now

The first slot is on Sunday. A new value of `runNow` makes one run at once, also in Git.",
    );
    session
        .run(
            "kubectl patch sweep carts --type merge --patch '{\"spec\": {\"runNow\": \"first\"}}'",
            &["patched"],
        )
        .await?;
    session.until("the first run to be counted", |sweep| has_run(sweep, "carts-r")).await?;
    session.run("kubectl get sweep", &["Succeeded", "1204"]).await?;
    session.run(COUNT, &["8596 | 0"]).await?;
    session
        .run("kubectl events --for sweep/carts", &["RunSucceeded", "deleted 1,204 rows"])
        .await?;
    Ok(())
}
