//! Act two: install by Helm, apply, watch the Job run, show what kubectl shows.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tests::Cluster;
use tests::image::ReleaseImage;
use tests::wait;
use tokio::process::Command;

use crate::workspace;

use super::data::SampleDatabase;
use super::show::{self, line};

const SYSTEM: &str = "pgsweep-system";
const NAMESPACE: &str = "table-talk";
const SWEEP: &str = "table-talk-sessions";
/// A first run on a loaded machine: image load, scheduling, connecting.
const PATIENCE: Duration = Duration::from_mins(3);

/// Where the demo is played.
pub enum Target<'a> {
    /// The cluster that it started.
    Own(&'a Cluster),
    /// A context of the user's kubeconfig.
    Context {
        /// Its name.
        name: String,
        /// How an image gets into it.
        load: Option<String>,
        /// The Helm to use.
        helm: PathBuf,
    },
}

impl Target<'_> {
    async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        match self {
            Target::Own(cluster) => cluster.kubectl(arguments).await,
            Target::Context { name, .. } => {
                let mut command = Command::new("kubectl");
                command.args(["--context", name]).args(arguments);
                tests::command::run_async(command, None).await
            }
        }
    }

    async fn helm(&self, arguments: &[&str]) -> Result<String> {
        match self {
            Target::Own(cluster) => cluster.helm(arguments).await,
            Target::Context { name, helm, .. } => {
                let mut command = Command::new(helm);
                command.args(["--kube-context", name]).args(arguments);
                tests::command::run_async(command, None).await
            }
        }
    }

    async fn load(&self, image: &ReleaseImage) -> Result<()> {
        match self {
            Target::Own(cluster) => cluster.load_image(&image.tar).await,
            Target::Context { load: Some(load), .. } => {
                let mut command = Command::new("sh");
                command.args(["-c", &load.replace("{}", &image.tar.display().to_string())]);
                tests::command::run_async(command, None).await.map(drop)
            }
            Target::Context { load: None, .. } => {
                let (name, tag, tar) = (&image.name, &image.tag, image.tar.display());
                line(&format!(
                    "the nodes must have {name}:{tag}, or --load-image say how to load {tar}"
                ));
                Ok(())
            }
        }
    }

    /// Runs kubectl and shows it, as one would see it.
    async fn shown(&self, arguments: &[&str]) -> Result<()> {
        println!("\n$ kubectl {}", arguments.join(" "));
        show::output(&self.kubectl(arguments).await?);
        Ok(())
    }
}

/// Plays the act to its end.
pub async fn play(
    target: &Target<'_>,
    images: &[ReleaseImage],
    database: &SampleDatabase,
    host: IpAddr,
) -> Result<()> {
    for image in images {
        target.load(image).await.with_context(|| format!("cannot load image {}", image.name))?;
    }
    install(target).await?;
    target.kubectl(&["create", "namespace", NAMESPACE]).await?;
    restrict(target, NAMESPACE).await?;
    let url = format!("--from-literal=uri={}", database.url_at(&host.to_string()));
    target
        .kubectl(&["create", "secret", "generic", "sessions-db", "--namespace", NAMESPACE, &url])
        .await?;
    database.describe().await?;
    let begun = Instant::now();
    target.shown(&["apply", "--filename", super::POLICY]).await?;
    let report = first_run(target).await?;
    line(&format!(
        "from apply to the finished run: {:.1} s; the run itself: {} s",
        begun.elapsed().as_secs_f64(),
        report["durationSeconds"]
    ));
    database.describe().await?;
    let in_namespace = ["--namespace", NAMESPACE];
    target.shown(&[&["get", "sweep"], &in_namespace[..]].concat()).await?;
    target.shown(&[&["get", "cronjobs,jobs"], &in_namespace[..]].concat()).await?;
    target.shown(&[&["describe", "sweep", SWEEP], &in_namespace[..]].concat()).await
}

async fn install(target: &Target<'_>) -> Result<()> {
    let chart = workspace::root().join("charts/pgsweep").display().to_string();
    target.kubectl(&["create", "namespace", SYSTEM]).await?;
    restrict(target, SYSTEM).await?;
    println!("\n$ helm install pgsweep charts/pgsweep --namespace {SYSTEM} --wait");
    let arguments =
        ["install", "pgsweep", &chart, "--namespace", SYSTEM, "--wait", "--timeout", "3m"];
    show::output(&target.helm(&arguments).await?);
    Ok(())
}

async fn restrict(target: &Target<'_>, namespace: &str) -> Result<()> {
    let label = "pod-security.kubernetes.io/enforce=restricted";
    target.kubectl(&["label", "namespace", namespace, label]).await.map(drop)
}

async fn first_run(target: &Target<'_>) -> Result<Value> {
    wait::until("the first run to end", PATIENCE, async || {
        let arguments = ["get", "sweep", SWEEP, "--namespace", NAMESPACE, "--output", "json"];
        let sweep: Value = serde_json::from_str(&target.kubectl(&arguments).await?)?;
        let run = sweep.pointer("/status/lastRun").cloned();
        Ok(run.filter(|run| run["result"].is_string()))
    })
    .await
}

/// Says how to look at what is left running.
pub fn explain(target: &Target<'_>, database: &SampleDatabase) {
    println!("\nAll of it runs until Ctrl-C. In another terminal:\n");
    match target {
        Target::Own(cluster) => {
            println!("  export KUBECONFIG={}", cluster.kubeconfig().display());
            println!("  export PATH={}:$PATH", cluster.bin_dir().display());
        }
        Target::Context { name, .. } => println!("  kubectl config use-context {name}"),
    }
    println!("  kubectl --namespace {NAMESPACE} get sweep --output wide --watch");
    println!("  kubectl --namespace {NAMESPACE} create job by-hand --from=cronjob/{SWEEP}");
    println!("  psql '{}'", database.url());
}

/// Takes away what the act made; a cluster of the demo's own goes as a whole.
pub async fn clean_up(target: &Target<'_>) -> Result<()> {
    if matches!(target, Target::Own(_)) {
        return Ok(());
    }
    target.kubectl(&["delete", "namespace", NAMESPACE, "--wait=true"]).await?;
    target.helm(&["uninstall", "pgsweep", "--namespace", SYSTEM, "--wait"]).await?;
    target.kubectl(&["delete", "namespace", SYSTEM]).await?;
    target.kubectl(&["delete", "crd", "cleanuppolicies.pgsweep.dev"]).await?;
    Ok(())
}
