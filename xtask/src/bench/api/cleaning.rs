//! P8: what phones feel of a policy that deletes sessions from the table that they are in.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use super::Args;
use super::load::Samples;
use super::mix::{WARMING, scene};
use super::server::{Database, Site};
use crate::bench::figures::Figures;
use crate::workspace;

/// Sessions that expired, each with two participants, as an evening leaves them.
const OVERDUE: &str = "
INSERT INTO core.sessions (app, table_token, created_at, last_activity_at, expires_at)
SELECT 'table_talk', 'old' || n, at - interval '1 hour', at, at + interval '1 hour'
FROM generate_series(1, $1) AS n, LATERAL (SELECT now() - interval '3 hours' - n * interval '36 milliseconds' AS at) AS times;
INSERT INTO core.session_participants (session_id, last_seen_at)
SELECT session_id, last_activity_at FROM core.sessions, generate_series(1, 2)
WHERE table_token LIKE 'old%';
VACUUM ANALYZE";

/// The mix alone, beside the policy, and alone again.
///
/// Measures: L10, S6.
pub async fn measure(args: &Args, site: &Site, figures: &mut Figures) -> Result<()> {
    let (database, replica, party) = scene(site, "bench_cleaning").await?;
    for statement in OVERDUE.replace("$1", &args.overdue.to_string()).split(';') {
        database.execute(statement).await?;
    }
    party.run(&replica.base, args.rate, WARMING).await?;
    let quiet = Duration::from_secs(args.seconds) / 4;
    let alone = party.run(&replica.base, args.rate, quiet).await?;
    figures.add("P8 the mix alone, before", "", alone.shown());

    let cleaning = tokio::spawn(clean(database, site.programs.join("pgsweep")));
    let mut beside = Vec::new();
    while !cleaning.is_finished() {
        beside.push(party.run(&replica.base, args.rate, Duration::from_secs(5)).await?);
    }
    let (rows, took) = cleaning.await??;
    let slowest = beside.iter().max_by_key(|samples| samples.within(990)).context("no samples")?;
    let worst = slowest.shown();
    let what = format!("P8 the mix while {rows} rows were cleaned in {took} s");
    figures.add(&what, "p99 < 80 ms", Samples::together(beside).shown());
    figures.add("P8 its worst 5 s", "", worst);

    let alone = party.run(&replica.base, args.rate, quiet).await?;
    figures.add("P8 the mix alone, after", "", alone.shown());
    replica.end().await
}

/// A run of the chart's policy for Table-Talk. Its rows, and its seconds.
async fn clean(database: Database, pgsweep: std::path::PathBuf) -> Result<(i64, Value)> {
    let file = "charts/session-api/files/policies/table-talk-sessions.yaml";
    let mut policy: Value = serde_saphyr::from_str(&workspace::read(file)?)?;
    policy["metadata"]["namespace"] = json!("bench");
    // Nearly all of the table is overdue here.
    policy["spec"]["limits"] = json!({"maxPercentOfTable": 100});
    let owner = Command::new(&pgsweep)
        .args(["init", "--role", "bench_cleanup"])
        .env("DATABASE_URL", database.owner())
        .output()
        .await?;
    ensure!(owner.status.success(), "{}", String::from_utf8_lossy(&owner.stderr));
    let output = Command::new(&pgsweep)
        .args(["run", "--output", "json"])
        .env("PGSWEEP_POLICY", policy.to_string())
        .env("DATABASE_URL", database.url("bench_cleanup"))
        .stdin(Stdio::null())
        .output()
        .await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).context("the run left no report")?;
    let rules = report["rules"].as_array().into_iter().flatten();
    let rows = rules.filter_map(|rule| rule["affected"].as_i64()).sum();
    Ok((rows, report["durationSeconds"].clone()))
}
