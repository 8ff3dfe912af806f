//! The steps from nothing to a ready node.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::component::Component;
use super::configuration::PAUSE_IMAGE;
use super::leash::Leash;
use super::process::Process;
use super::site::{Record, Site};
use super::{Cluster, NODE, Options, certificates, configuration, sandbox};
use crate::image::{File, Image};
use crate::progress::Step;
use crate::settings::Settings;
use crate::tools::Tools;
use crate::{audit, machine, wait};

/// Each of the waits below takes a second or three on an idle machine.
const TIMEOUT: Duration = Duration::from_mins(2);

pub fn start(options: &Options) -> Result<Cluster> {
    if let Some(obstacle) = machine::cluster_obstacle() {
        bail!("{obstacle}");
    }
    let tools = Tools::prepare(&options.cache, options.kubernetes)?;
    let step =
        Step::begin(format!("starting Kubernetes {}", options.kubernetes), "about 10 seconds");
    let site = Site::claim(&options.cache, &tools)?;
    // From here on every failure, and every end of this process, removes what was started.
    let leash = Leash::hold(&site)?;
    if let Some(folder) = &Settings::get()?.audit {
        audit::expect(folder, &site.name())?;
    }

    furnish(&site, &tools, options.is_judged)?;
    let keeper = sandbox::create(&site)?;
    let owner = Some(Process::own()?);
    site.write(&Record { owner, keeper: Some(keeper), tools: tools.clone() })?;
    let cluster = Cluster { site, tools, keeper, leash: Some(leash) };

    for component in [Component::Etcd, Component::Containerd, Component::ApiServer] {
        cluster.launch(component)?;
    }
    load_pause_image(&cluster)?;
    cluster.wait_for(Component::ApiServer, TIMEOUT)?;
    for component in [
        Component::Kubelet,
        Component::ControllerManager,
        Component::Scheduler,
        Component::Proxy,
        Component::Dns,
    ] {
        cluster.launch(component)?;
    }
    wait_for_node(&cluster)?;
    cluster.wait_for(Component::Dns, TIMEOUT)?;
    step.done();
    Ok(cluster)
}

/// Everything that the components find on disk.
fn furnish(site: &Site, tools: &Tools, is_judged: bool) -> Result<()> {
    for folder in ["bin", "cni", "components", "log", "pki"] {
        let path = site.path(folder);
        fs::create_dir(&path).with_context(|| format!("failed to create {}", path.display()))?;
    }
    for (name, target) in [("kubectl", &tools.kubernetes), ("helm", &tools.helm)] {
        symlink(target, site.path("bin").join(name))
            .with_context(|| format!("failed to link {name}"))?;
    }
    configuration::write(site, tools, is_judged)?;
    certificates::write(site)
}

fn load_pause_image(cluster: &Cluster) -> Result<()> {
    let (name, tag) = PAUSE_IMAGE;
    let content = fs::read(&cluster.tools.pause).context("failed to read the pause program")?;
    let tar = cluster.site.path("pause.tar");
    Image::of(name, tag).file(File::program("/pause", content)).entrypoint("/pause").write(&tar)?;

    let socket = cluster.site.path("containerd.sock");
    wait::until_blocking("containerd", TIMEOUT, || {
        Ok(Some(UnixStream::connect(&socket).context("containerd does not answer")?))
    })
    .with_context(|| cluster.last_words(Component::Containerd))?;
    cluster.load_image_blocking(&tar)
}

fn wait_for_node(cluster: &Cluster) -> Result<()> {
    let condition = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
    wait::until_blocking("the node to be ready", TIMEOUT, || {
        let ready = cluster.kubectl_blocking(["get", "node", NODE, "--output", condition])?;
        Ok((ready == "True").then_some(()))
    })
    .with_context(|| cluster.last_words(Component::Kubelet))
}
