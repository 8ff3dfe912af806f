//! What a cluster runs in: cgroups, a network and a mount namespace, and one link to the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::process::Process;
use super::site::Site;
use crate::command::{run, tail};
use crate::wait;

const LAUNCH: &str = include_str!("launch.sh");
const KEEPER: &str = include_str!("keeper.sh");
const CGROUPS: &str = "/sys/fs/cgroup";
const KEEPER_TIMEOUT: Duration = Duration::from_secs(10);
/// What the kubelet insists on.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// Makes everything that the components need around them; returns the process that holds it.
pub fn create(site: &Site) -> Result<Process> {
    create_cgroups(&site.name())?;
    let script = site.path("keeper.sh");
    fs::write(&script, KEEPER).context("failed to write the keeper's script")?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--propagation", "private", "sh"]);
    let keeper = launch(site, "keeper", unshare.arg(&script).arg(site.folder()))?;
    let ready = site.path("keeper-ready");
    wait::until_blocking("the cluster's namespaces", KEEPER_TIMEOUT, || {
        ensure_alive(site, "keeper", keeper)?;
        Ok(ready.exists().then_some(()))
    })?;
    link(site, keeper)?;
    Ok(keeper)
}

/// A command that runs on the node: in its namespaces, but still a child of this process.
pub fn inside(keeper: Process, program: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &keeper.id().to_string(), "--net", "--mount", "--"]).arg(program);
    command
}

/// Starts a command as a process of the node that outlives this one.
pub fn launch(site: &Site, program: &str, command: &Command) -> Result<Process> {
    let mut launcher = Command::new("sh");
    launcher
        .args(["-c", LAUNCH, "launch"])
        .arg(site.log(program))
        .arg(tasks(&site.name()))
        .arg(command.get_program())
        .args(command.get_args());
    let printed = run(&mut launcher).with_context(|| format!("failed to launch {program}"))?;
    let id =
        printed.trim().parse().with_context(|| format!("{program} was given no process id"))?;
    Process::find(id)
        .with_context(|| format!("{program} ended at once; see {}", site.log(program).display()))
}

/// Fails with the end of its log when a program has ended.
pub fn ensure_alive(site: &Site, program: &str, process: Process) -> Result<()> {
    if process.is_alive() {
        return Ok(());
    }
    let log = fs::read_to_string(site.log(program)).unwrap_or_default();
    bail!("{program} has ended; its log ends with:\n{}", tail(&log))
}

/// A pair of interfaces, one end on the host, one on the node.
fn link(site: &Site, keeper: Process) -> Result<()> {
    let ip = |arguments: &[&str]| run(Command::new("ip").args(arguments));
    let ip_inside = |arguments: &[&str]| run(inside(keeper, Path::new("ip")).args(arguments));
    let (name, keeper_id) = (site.name(), keeper.id().to_string());
    let host = format!("{}/30", site.host_address());
    let node = format!("{}/30", site.node_address());
    let gateway = site.host_address().to_string();

    ip(&["link", "add", &name, "type", "veth", "peer", "name", "eth0", "netns", &keeper_id])
        .context("failed to link the cluster to the host")?;
    ip(&["address", "add", &host, "dev", &name])?;
    ip(&["link", "set", &name, "up"])?;
    ip_inside(&["address", "add", &node, "dev", "eth0"])?;
    ip_inside(&["link", "set", "eth0", "up"])?;
    // The host does not forward: pods reach the host and nothing beyond it.
    ip_inside(&["route", "add", "default", "via", &gateway])?;
    Ok(())
}

fn is_unified() -> bool {
    Path::new(CGROUPS).join("cgroup.controllers").exists()
}

/// Every hierarchy of this machine: one with cgroup v2, one for each controller with v1.
fn hierarchies() -> Result<Vec<PathBuf>> {
    if is_unified() {
        return Ok(vec![PathBuf::from(CGROUPS)]);
    }
    let entries = fs::read_dir(CGROUPS).with_context(|| format!("failed to list {CGROUPS}"))?;
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let found: Vec<_> = folders.filter(|folder| folder.join("cgroup.procs").exists()).collect();
    ensure!(!found.is_empty(), "found no cgroups in {CGROUPS}; mount them there");
    Ok(found)
}

/// One hierarchy is enough to know a process by; this one exists in every kernel.
fn tasks(name: &str) -> PathBuf {
    let hierarchy =
        if is_unified() { PathBuf::from(CGROUPS) } else { Path::new(CGROUPS).join("pids") };
    hierarchy.join(name).join("node/cgroup.procs")
}

/// `NAME/node` for the components; the kubelet makes `NAME/kubepods` for the pods.
fn create_cgroups(name: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let root = hierarchy.join(name);
        let node = root.join("node");
        fs::create_dir_all(&root)
            .with_context(|| format!("failed to create {}", root.display()))?;
        if is_unified() {
            delegate(&hierarchy)?;
            delegate(&root)?;
        }
        if hierarchy.ends_with("cpuset") {
            // A v1 cpuset starts empty and takes no process before it has these.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let value = fs::read(hierarchy.join(file))
                    .with_context(|| format!("failed to read {file} of {}", hierarchy.display()))?;
                fs::write(root.join(file), value)
                    .with_context(|| format!("failed to write {file} of {}", root.display()))?;
            }
        }
        fs::create_dir_all(&node)
            .with_context(|| format!("failed to create {}", node.display()))?;
    }
    Ok(())
}

/// Lets the groups below have controllers of their own.
fn delegate(group: &Path) -> Result<()> {
    let file = group.join("cgroup.subtree_control");
    for controller in CONTROLLERS {
        fs::write(&file, format!("+{controller}"))
            .with_context(|| format!("failed to enable {controller} in {}", file.display()))?;
    }
    Ok(())
}
