//! The chapters in their order: what is said, what is typed, what it must then say.

mod failure;
mod first_run;
mod hands;

use anyhow::Result;
use serde_json::Value;

use super::session::Session;
use crate::chart;

const BEGIN: &str = "# A tour

From an empty cluster to a cleanup that runs, fails, is mended and runs again. Every command below was
typed by `cargo xtask tour` on a Kubernetes and a Postgres of its own, and printed what stands under it; a
test does the same and compares. Only what differs each time is replaced, by words like `<age>`.

To try it yourself you need a cluster with the two images (`cargo xtask image`) and a Postgres that its pods
reach. The commands are typed in a checkout of this repository.";

/// All of them.
pub(super) async fn all(session: &mut Session<'_>) -> Result<()> {
    session.say(BEGIN);
    first_run::all(session).await?;
    failure::all(session).await?;
    hands::all(session).await
}

fn has_reason(sweep: &Value, kind: &str, reason: &str) -> bool {
    chart::condition(sweep, kind)["reason"] == reason
}

/// Whether the newest run is of this Job, and is counted; and none is under way.
fn has_run(sweep: &Value, job: &str) -> bool {
    let status = &sweep["status"];
    status["lastRun"]["jobName"].as_str().is_some_and(|name| name.starts_with(job))
        && status["active"].is_null()
}
