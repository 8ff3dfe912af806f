//! The test bed's cluster does what the other tests rely on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::Cluster;
use tests::cluster::{Component, Namespace, Options};
use tests::image::{File, Image};
use tests::settings::Settings;
use tests::{tools, wait};

const MINUTE: Duration = Duration::from_mins(1);

/// A Job of the pause program, which can also speak and dial, as pods here must be.
fn job(image: &str, arguments: &[&str]) -> String {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": "probe" },
        "spec": { "backoffLimit": 0, "template": { "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "probe",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "args": arguments,
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                    "readOnlyRootFilesystem": true,
                },
            }],
        }}},
    })
    .to_string()
}

/// What the Job's only pod said when it ended.
async fn last_message(namespace: &Namespace<'_>) -> Result<String> {
    let pods = namespace.get("pods").await?;
    let message =
        &pods["items"][0]["status"]["containerStatuses"][0]["state"]["terminated"]["message"];
    Ok(message.as_str().context("the pod has ended without a message")?.to_owned())
}

/// An image of our own making, of which the node has never heard.
fn probe_image(folder: &Path, tag: &str) -> Result<(String, PathBuf)> {
    let program = fs::read(tools::pause(&Settings::get()?.cache)?)?;
    let image = Image::of("probe", tag)
        .file(File::text("/etc/probe/note", "a file in a folder"))
        .file(File::program("/probe", program))
        .entrypoint("/probe")
        .label("org.opencontainers.image.title", "probe");
    let tar = folder.join("probe.tar");
    image.write(&tar)?;
    Ok((image.short_name(), tar))
}

#[tokio::test]
async fn a_job_of_a_loaded_image_completes_and_its_message_and_log_arrive() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (image, tar) = probe_image(folder.path(), "said")?;
    cluster.load_image(&tar).await?;
    cluster
        .with_namespace("bed", async |namespace| {
            namespace.apply(&job(&image, &["say", "all rows are gone"])).await?;
            namespace.wait("job/probe", "condition=Complete", MINUTE).await?;
            assert_eq!(last_message(namespace).await?, "all rows are gone");
            assert_eq!(namespace.kubectl(["logs", "job/probe"]).await?, "all rows are gone\n");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_pod_reaches_the_host_and_the_api_server() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (image, tar) = probe_image(folder.path(), "dialled")?;
    cluster.load_image(&tar).await?;
    let listener = TcpListener::bind((cluster.host_address(), 0))?;
    let host = listener.local_addr()?.to_string();
    cluster
        .with_namespace("bed", async |namespace| {
            namespace.apply(&job(&image, &["dial", &host, "10.96.0.1:443"])).await?;
            namespace.wait("job/probe", "condition=Complete", MINUTE).await?;
            assert_eq!(last_message(namespace).await?, format!("reached {host} 10.96.0.1:443"));
            Ok(())
        })
        .await
}

/// The address is the host's: what a team has before a database outside its cluster.
fn service(name: &str, address: SocketAddr) -> String {
    let (address, port) = (address.ip(), address.port());
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"ports": [{"port": 5432}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address]}],
            "ports": [{"port": port}],
        },
    ]})
    .to_string()
}

#[tokio::test]
async fn a_pod_finds_services_by_their_names() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (image, tar) = probe_image(folder.path(), "asked")?;
    cluster.load_image(&tar).await?;
    let listener = TcpListener::bind((cluster.host_address(), 0))?;
    cluster
        .with_namespace("bed", async |namespace| {
            namespace.apply(&service("db", listener.local_addr()?)).await?;
            let here = format!("db.{}:5432", namespace.name());
            let full = format!("db.{}.svc.cluster.local:5432", namespace.name());
            let names = ["db:5432", &here, &full, "kubernetes.default.svc:443"];
            let dial = [&["dial"], &names[..]].concat();
            namespace.apply(&job(&image, &dial)).await?;
            namespace.wait("job/probe", "condition=Complete", MINUTE).await?;
            assert_eq!(last_message(namespace).await?, format!("reached {}", names.join(" ")));
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_name_that_nobody_has_is_unknown_at_once() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (image, tar) = probe_image(folder.path(), "unknown")?;
    cluster.load_image(&tar).await?;
    cluster
        .with_namespace("bed", async |namespace| {
            namespace.apply(&job(&image, &["dial", "db.example.com:5432"])).await?;
            namespace.wait("job/probe", "condition=Failed", MINUTE).await?;
            let said = last_message(namespace).await?;
            assert!(said.contains("no such host"), "{said}");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_pod_that_does_not_give_up_its_rights_is_refused() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    cluster
        .with_namespace("bed", async |namespace| {
            let pod = ["run", "careless", "--image", "probe:said"];
            let refused = namespace.kubectl(pod).await.unwrap_err();
            let said = format!("{refused:#}");
            assert!(said.contains("violates PodSecurity \"restricted"), "{said}");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_namespace_goes_when_its_test_fails_and_the_error_shows_the_scene() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    let mut name = String::new();
    let failed: Result<()> = cluster
        .with_namespace("bed", async |namespace| {
            namespace.name().clone_into(&mut name);
            namespace.apply(&job("nowhere/to/be:found", &[])).await?;
            namespace.wait("job/probe", "condition=Complete", Duration::from_secs(1)).await
        })
        .await;
    let said = format!("{:#}", failed.unwrap_err());
    assert!(said.contains("job.batch/probe") && said.contains("timed out"), "{said}");
    // Kubernetes takes its time to empty it, for which no test waits.
    let phase =
        ["get", "namespace", &name, "--ignore-not-found", "--output", "jsonpath={.status.phase}"];
    wait::until("the namespace to go", MINUTE, async || {
        let phase = cluster.kubectl(phase).await?;
        Ok(["", "Terminating"].contains(&phase.as_str()).then_some(()))
    })
    .await
}

#[tokio::test]
async fn the_audit_log_says_who_did_what() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    cluster
        .with_namespace("bed", async |namespace| {
            let log = fs::read_to_string(cluster.audit_log())?;
            let created = log.lines().map(serde_json::from_str::<Value>).any(|entry| {
                entry.is_ok_and(|entry| {
                    entry["verb"] == "create"
                        && entry["user"]["username"] == "admin"
                        && entry["objectRef"]["resource"] == "namespaces"
                        && entry["objectRef"]["name"] == namespace.name()
                })
            });
            assert!(created, "no entry for the creation of {}", namespace.name());
            Ok(())
        })
        .await
}

#[tokio::test]
async fn components_can_be_frozen_killed_and_started_again() -> Result<()> {
    let Some(cluster) = tests::own_cluster().await? else { return Ok(()) };
    let ask = ["get", "nodes", "--request-timeout", "1s"];

    cluster.pause(Component::ApiServer)?;
    cluster.kubectl(ask).await.unwrap_err();
    cluster.resume(Component::ApiServer)?;
    wait::until("the API server to go on", MINUTE, async || Ok(Some(cluster.kubectl(ask).await?)))
        .await?;

    cluster.kill(Component::ApiServer).await?;
    cluster.kubectl(ask).await.unwrap_err();
    cluster.restart(Component::ApiServer, MINUTE).await?;
    cluster.kubectl(ask).await?;
    cluster.restart(Component::Kubelet, MINUTE).await?;
    cluster.stop().await
}

/// What a cluster is made of, seen from the host.
fn traces(cluster: &str, state: &Path) -> Result<Vec<String>> {
    let mut traces = Vec::new();
    for entry in fs::read_dir("/proc")? {
        // Processes come and go while they are listed.
        let process = entry?.path();
        let groups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        let running = !fs::read(process.join("cmdline")).unwrap_or_default().is_empty();
        if running && groups.contains(&format!("/{cluster}/")) {
            traces.push(format!("process {}", process.display()));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let state_text = state.display().to_string();
    traces.extend(mounts.lines().filter(|line| line.contains(&state_text)).map(str::to_owned));
    let mut places = vec![Path::new("/sys/class/net").join(cluster), state.to_path_buf()];
    places.push(Path::new("/sys/fs/cgroup").join(cluster));
    for entry in fs::read_dir("/sys/fs/cgroup")? {
        places.push(entry?.path().join(cluster));
    }
    traces.extend(
        places.iter().filter(|place| place.exists()).map(|place| place.display().to_string()),
    );
    Ok(traces)
}

#[tokio::test]
async fn stopping_a_cluster_leaves_no_trace_and_no_mark_on_the_host() -> Result<()> {
    let Some(cluster) = tests::own_cluster().await? else { return Ok(()) };
    let host = || -> Result<Vec<String>> {
        let kernel = ["vm/overcommit_memory", "kernel/panic", "net/ipv4/ip_forward"];
        kernel.iter().map(|name| Ok(fs::read_to_string(format!("/proc/sys/{name}"))?)).collect()
    };
    let state = cluster.state().to_path_buf();
    let number =
        state.file_name().and_then(|name| name.to_str()).context("a state folder has a name")?;
    let name = format!("pgsweep-{number}");
    let running = host()?;
    assert!(traces(&name, &state)?.len() > 8, "a running cluster shows");
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    assert!(!mounts.contains(&state.display().to_string()), "its mounts are not the host's");

    cluster.stop().await?;
    assert_eq!(traces(&name, &state)?, Vec::<String>::new());
    assert_eq!(host()?, running);
    Ok(())
}

#[tokio::test]
async fn a_detached_cluster_is_found_used_and_stopped_by_its_folder() -> Result<()> {
    let Some(cluster) = tests::own_cluster().await? else { return Ok(()) };
    let state = cluster.detach()?;
    let cache = Options::from_environment()?.cache;
    assert!(Cluster::running(&cache)?.contains(&state));

    let attached = Cluster::attach(&state)?;
    assert_eq!(attached.kubernetes().await?, Options::from_environment()?.kubernetes);
    attached.stop().await?;
    assert!(!Cluster::running(&cache)?.contains(&state));
    let gone = format!("{:#}", Cluster::attach(&state).unwrap_err());
    assert!(gone.contains("is the cluster up?"), "{gone}");
    Ok(())
}

#[tokio::test]
#[ignore = "run and killed by the test below"]
async fn an_owner_that_is_killed() -> Result<()> {
    let Some(cluster) = tests::own_cluster().await? else { return Ok(()) };
    println!("\nstate={}", cluster.state().display());
    // Ends when nobody holds the other end: also where somebody runs it by hand.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}

#[tokio::test]
async fn a_cluster_ends_with_its_owner_even_when_the_owner_is_killed() -> Result<()> {
    if tests::cluster().await?.is_none() {
        return Ok(());
    }
    let mut owner = Command::new(std::env::current_exe()?)
        .args(["--exact", "--ignored", "--nocapture", "an_owner_that_is_killed"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(owner.stdout.take().context("the owner's output is piped")?);
    let state = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(line.strip_prefix("state=")?.to_owned()));
    let state = PathBuf::from(state.context("the owner has started no cluster")?);
    owner.kill()?;
    owner.wait()?;
    let name =
        format!("pgsweep-{}", state.file_name().context("a state folder has a name")?.display());
    wait::until("the cluster to end", MINUTE, async || {
        Ok(traces(&name, &state)?.is_empty().then_some(()))
    })
    .await
}
