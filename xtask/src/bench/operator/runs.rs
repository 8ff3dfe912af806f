//! From the end of a Job to the status, with real runs on a real Postgres.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DynamicObject, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use policy::CleanupPolicy;
use serde_json::json;
use tests::{chart, wait};

use super::process::Bench;
use super::sight::Sight;
use super::writes::Writes;
use crate::bench::figures::{Figures, spread};

const NAMESPACE: &str = "runs";
const PATIENCE: Duration = Duration::from_mins(3);

/// So many runs, one after the other.
pub async fn measure(runs: usize, bench: &Bench, figures: &mut Figures) -> Result<()> {
    let client = bench.client().await?;
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    let host = bench.cluster.host_address();
    let settings = tests::settings::Settings::get()?;
    let postgres = crate::demo::start_postgres(settings, &[host.into()]).await?;
    let url = postgres.url("postgres");
    fill(&url).await?;
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "db"}, "stringData": {"uri": postgres.address().database("postgres").host(&host.to_string()).to_string()},
    }))?;
    Api::namespaced(client.clone(), NAMESPACE).create(&PostParams::default(), &secret).await?;

    let resource = ApiResource::erase::<CleanupPolicy>(&());
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), NAMESPACE, &resource);
    let policy: DynamicObject = serde_json::from_value(chart::sweep(&chart::delete_old()))?;
    let ended = Sight::of_ended_jobs(&client, NAMESPACE).await?;
    let told = Sight::of_told_runs(&client, NAMESPACE).await?;
    let operator = bench.launch().arguments(&["--watch-namespaces", NAMESPACE]).ready().await?;
    api.create(&PostParams::default(), &policy).await?;
    let passed = async || {
        let policy = api.get("codes").await?;
        let state = policy.data.pointer("/status/preflight/state");
        Ok(state.filter(|state| *state == "Passed").map(drop))
    };
    wait::until("the preflight to pass", PATIENCE, passed).await?;

    let writes = Writes::since_now(bench)?;
    let mut times = Vec::new();
    for run in 0..runs {
        let uid = start(&format!("codes-manual-{run}"), &client).await?;
        wait::until("the run to be told", PATIENCE, async || {
            let policy = api.get("codes").await?;
            let told = policy.data.pointer("/status/lastRun/uid");
            Ok(told.filter(|told| **told == uid).map(drop))
        })
        .await?;
        let (ended, told) = (ended.moment(&uid).await?, told.moment(&uid).await?);
        times.push(told.saturating_duration_since(ended));
    }
    figures.add("O6 Job ended to status", "<= 2 s", spread(times));
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let each = writes.count()? as f64 / runs.max(1) as f64;
    let kinds = writes.kinds()?;
    figures.add("O7 writes of a run", "<= 3", format!("{each:.2}: {kinds}"));
    drop(operator);
    postgres.stop()?;
    Ok(())
}

/// As `kubectl create job --from=cronjob/codes` does; returns the Job's UID.
async fn start(name: &str, client: &Client) -> Result<String> {
    let cron_jobs = Api::<CronJob>::namespaced(client.clone(), NAMESPACE);
    let cron_job = cron_jobs.get("codes").await?;
    let template = cron_job.spec.context("a CronJob has a spec")?.job_template;
    let metadata = template.metadata.unwrap_or_default();
    let job: Job = serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "labels": metadata.labels,
            "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "CronJob", "name": "codes",
                "uid": cron_job.metadata.uid, "controller": true,
            }],
        },
        "spec": template.spec,
    }))?;
    let jobs = Api::<Job>::namespaced(client.clone(), NAMESPACE);
    jobs.create(&PostParams::default(), &job).await?.metadata.uid.context("a Job has a UID")
}

async fn fill(url: &str) -> Result<()> {
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(url).await?;
    let sql = "CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz);
               CREATE INDEX ON codes (expires_at)";
    sqlx::raw_sql(sql).execute(&mut connection).await?;
    Ok(())
}
