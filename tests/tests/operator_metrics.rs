//! Every series of a policy and of the operator, with its value, after a run that met an error and one
//! that did not.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests::cluster::Namespace;
use tests::operator::{Bed, Operator};
use tests::{Database, chart, wait};

const PATIENCE: Duration = Duration::from_mins(3);
/// A parent that a child holds back cannot be deleted; the other one can.
const TABLES: &str = "CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz);
    CREATE INDEX ON codes (expires_at);
    CREATE TABLE uses (code bigint REFERENCES codes);
    CREATE INDEX ON uses (code);
    INSERT INTO codes VALUES (1, now() - interval '2 days'), (2, now() - interval '3 days');
    INSERT INTO uses VALUES (1); ANALYZE codes, uses";

fn policy(token: &str) -> Value {
    let mut policy = chart::sweep(&chart::delete_old());
    policy["spec"]["schedule"] = json!("0 0 1 * *");
    policy["spec"]["runNow"] = json!(token);
    policy
}

/// Applies the policy with a new token and waits until its run is told.
async fn run(namespace: &Namespace<'_>, token: &str) -> Result<()> {
    namespace.apply(&policy(token).to_string()).await?;
    wait::until("the run to be told", PATIENCE, async || {
        let status = namespace.get("sweep/codes").await?["status"].clone();
        let told = status["lastRunNow"] == token && status["active"].is_null();
        Ok((told && !status["lastRun"].is_null()).then_some(()))
    })
    .await
}

/// Waits until the one series of this name and these labels has a value that `fits`.
async fn series(
    operator: &Operator,
    name: &str,
    labels: &[(&str, &str)],
    fits: impl Fn(f64) -> bool,
) -> Result<()> {
    let what = format!("{name} {labels:?}");
    let page = wait::until(&what, Duration::from_secs(30), async || {
        let page = operator.metrics().await?;
        let is_there = page.lines().any(|line| line.starts_with(name));
        Ok((is_there && fits(chart::metric(&page, name, labels))).then_some(page))
    });
    let page = page.await?;
    let kind = format!("# TYPE {} ", name.trim_end_matches("_count"));
    ensure!(page.contains(&kind), "{name} has no type");
    Ok(())
}

#[tokio::test]
async fn every_series_of_a_policy_says_what_its_runs_did() -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    let database = Database::create().await?;
    database.execute(TABLES).await?;
    bed.cluster()
        .with_namespace("metrics", async |namespace| {
            let url = format!("--from-literal=uri={}", bed.url(&database));
            namespace.kubectl(["create", "secret", "generic", "db", &url]).await?;
            let operator = bed.operator().watching(namespace.name()).ready().await?;
            run(namespace, "first").await?;
            operator.explain(after_an_error(namespace, &operator).await)?;
            database.execute("DELETE FROM uses").await?;
            run(namespace, "second").await?;
            operator.explain(after_a_success(namespace, &operator).await)?;

            namespace.kubectl(["delete", "sweep", "codes"]).await?;
            wait::until("the series to go with the policy", PATIENCE, async || {
                let page = operator.metrics().await?;
                Ok((!page.contains("pgsweep_policy_")).then_some(()))
            })
            .await
        })
        .await
}

fn is(wanted: f64) -> impl Fn(f64) -> bool {
    move |value| (value - wanted).abs() < 0.001
}

async fn after_an_error(namespace: &Namespace<'_>, operator: &Operator) -> Result<()> {
    let own = [("namespace", namespace.name()), ("policy", "codes")];
    let with = |label, value| [own[0], own[1], (label, value)];
    // The row that a child holds back is left; the other one is gone.
    series(operator, "pgsweep_policy_rows_total", &with("action", "Delete"), is(1.0)).await?;
    let rule = with("rule", "delete-old");
    series(operator, "pgsweep_policy_rows_remaining", &rule, is(1.0)).await?;
    // Two days old, and due after one hour.
    let nearly_two_days = |seconds| (169_200.0..172_800.0).contains(&seconds);
    series(operator, "pgsweep_policy_oldest_overdue_seconds", &rule, nearly_two_days).await?;
    let class = with("sqlstate_class", "23");
    series(operator, "pgsweep_policy_rule_errors_total", &class, is(1.0)).await?;
    series(operator, "pgsweep_policy_consecutive_failures", &own, is(1.0)).await?;
    let condition = [own[0], own[1], ("type", "LastRunSucceeded"), ("reason", "RulesFailed")];
    series(operator, "pgsweep_policy_condition", &condition, is(1.0)).await
}

async fn after_a_success(namespace: &Namespace<'_>, operator: &Operator) -> Result<()> {
    let own = [("namespace", namespace.name()), ("policy", "codes")];
    let some_time = |seconds| seconds > 1_700_000_000.0;
    let run = |result| [own[0], own[1], ("trigger", "RunNow"), ("result", result)];
    let runs = "pgsweep_policy_runs_total";
    series(operator, runs, &run("PartiallySucceeded"), is(1.0)).await?;
    series(operator, runs, &run("Succeeded"), is(1.0)).await?;
    series(operator, "pgsweep_policy_consecutive_failures", &own, is(0.0)).await?;
    series(operator, "pgsweep_policy_missed_runs_total", &own, is(0.0)).await?;
    series(operator, "pgsweep_policy_active_runs", &own, is(0.0)).await?;
    series(operator, "pgsweep_policy_suspended", &own, is(0.0)).await?;
    let a_month = is(31.0 * 86_400.0);
    series(operator, "pgsweep_policy_expected_interval_seconds", &own, a_month).await?;
    for time in [
        "pgsweep_policy_created_timestamp_seconds",
        "pgsweep_policy_last_run_timestamp_seconds",
        "pgsweep_policy_last_success_timestamp_seconds",
        "pgsweep_policy_next_run_timestamp_seconds",
    ] {
        series(operator, time, &own, some_time).await?;
    }
    let took = |seconds| seconds > 0.0 && seconds < 120.0;
    series(operator, "pgsweep_policy_last_run_duration_seconds", &own, took).await?;
    let info = [own[0], own[1], ("mode", "Enforce"), ("schedule", "0 0 1 * *")];
    series(operator, "pgsweep_policy_info", &info, is(1.0)).await?;

    let many = |count| count >= 1.0;
    let duration = "pgsweep_run_duration_seconds";
    series(operator, &format!("{duration}_count"), &[("result", "Succeeded")], is(1.0)).await?;
    let duration = "pgsweep_operator_reconcile_duration_seconds";
    series(operator, &format!("{duration}_count"), &[], many).await?;
    series(operator, "pgsweep_operator_reconcile_total", &[("result", "ok")], many).await?;
    series(operator, "pgsweep_operator_apply_total", &[("change", "created")], is(1.0)).await?;
    series(operator, "pgsweep_operator_leader", &[], is(1.0)).await?;
    series(operator, "pgsweep_operator_build_info", &[], is(1.0)).await
}
