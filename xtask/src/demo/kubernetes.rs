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
use super::{Example, FIRST, OTHERS};

const SYSTEM: &str = "pgsweep-system";
const NAMESPACES: [&str; 4] = ["table-talk", "tarot", "after-hours", "kitchen"];
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

    /// Puts an image where its pods find it.
    pub async fn load(&self, image: &ReleaseImage) -> Result<()> {
        let loaded = match self {
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
        };
        loaded.with_context(|| format!("cannot load image {}", image.name))
    }

    /// Runs kubectl and shows it, as one would see it.
    async fn shown(&self, arguments: &[&str]) -> Result<()> {
        println!("\n$ kubectl {}", arguments.join(" "));
        show::output(&self.kubectl(arguments).await?);
        Ok(())
    }
}

/// Plays the act to its end.
pub async fn play(target: &Target<'_>, database: &SampleDatabase, host: IpAddr) -> Result<()> {
    install(target).await?;
    for namespace in NAMESPACES {
        target.kubectl(&["create", "namespace", namespace]).await?;
        restrict(target, namespace).await?;
        let url = format!("--from-literal=uri={}", database.url_at(&host.to_string()));
        let secret = ["create", "secret", "generic", "sessions-db", "--namespace", namespace, &url];
        target.kubectl(&secret).await?;
    }
    database.describe().await?;
    let begun = Instant::now();
    target.shown(&["apply", "--filename", "examples"]).await?;
    // Those that do not run as soon as they are applied are run by hand.
    for Example { name, namespace, .. } in OTHERS.iter().filter(|example| !example.runs_at_once) {
        let from = format!("--from=cronjob/{name}");
        let by_hand = ["--namespace", namespace, "create", "job", &format!("{name}-now"), &from];
        wait::until(&format!("the CronJob of {name}"), PATIENCE, async || {
            target.kubectl(&["--namespace", namespace, "get", "cronjob", name]).await.map(Some)
        })
        .await?;
        target.shown(&by_hand).await?;
    }
    let report = first_run(target, &FIRST).await?;
    line(&format!(
        "from apply to the finished run of {}: {:.1} s; the run itself: {} s",
        FIRST.name,
        begun.elapsed().as_secs_f64(),
        report["durationSeconds"]
    ));
    for example in &OTHERS {
        first_run(target, example).await?;
    }
    database.describe().await?;
    target.shown(&["get", "sweep", "--all-namespaces"]).await?;
    let in_namespace = ["--namespace", FIRST.namespace];
    target.shown(&[&["get", "cronjobs,jobs"], &in_namespace[..]].concat()).await?;
    let describe = [&["describe", "sweep", FIRST.name], &in_namespace[..]].concat();
    println!("\n$ kubectl {}", describe.join(" "));
    let described = target.kubectl(&describe).await?;
    // What was applied is in the file.
    let status = described.find("\nStatus:").map_or(0, |at| at + 1);
    show::output(&format!("…\n{}", &described[status..]));
    Ok(())
}

async fn install(target: &Target<'_>) -> Result<()> {
    let chart = workspace::root().join("charts/pgsweep").display().to_string();
    target.kubectl(&["create", "namespace", SYSTEM]).await?;
    restrict(target, SYSTEM).await?;
    println!("\n$ helm install pgsweep charts/pgsweep --namespace {SYSTEM} --wait");
    let arguments =
        ["install", "pgsweep", &chart, "--namespace", SYSTEM, "--wait", "--timeout", "3m"];
    show::output(&target.helm(&arguments).await?);
    // Its admission is as strict as OpenShift's, and takes half a minute to learn of a new kind.
    if let Target::Own(cluster) = target {
        tests::chart::owners_are_known(cluster).await?;
    }
    Ok(())
}

async fn restrict(target: &Target<'_>, namespace: &str) -> Result<()> {
    let label = "pod-security.kubernetes.io/enforce=restricted";
    target.kubectl(&["label", "namespace", namespace, label]).await.map(drop)
}

async fn first_run(target: &Target<'_>, example: &Example) -> Result<Value> {
    let Example { name, namespace, .. } = example;
    wait::until(&format!("the first run of {name} to end"), PATIENCE, async || {
        let arguments = ["get", "sweep", name, "--namespace", namespace, "--output", "json"];
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
    let Example { name, namespace, .. } = FIRST;
    println!("  kubectl get sweep --all-namespaces --output wide --watch");
    println!("  kubectl --namespace {namespace} create job by-hand --from=cronjob/{name}");
    println!("  psql '{}'", database.url());
}

/// Takes away what the act made on a cluster that stays.
pub async fn clean_up(target: &Target<'_>) -> Result<()> {
    for namespace in NAMESPACES {
        target.kubectl(&["delete", "namespace", namespace, "--wait=true"]).await?;
    }
    target.helm(&["uninstall", "pgsweep", "--namespace", SYSTEM, "--wait"]).await?;
    target.kubectl(&["delete", "namespace", SYSTEM]).await?;
    target.kubectl(&["delete", "crd", "cleanuppolicies.pgsweep.dev"]).await?;
    Ok(())
}
