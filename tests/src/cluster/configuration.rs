//! The files that the components read. Every value in them was found by trial; the reasons are
//! beside those that surprise.

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

use super::site::Site;
use crate::tools::Tools;

/// The name under which the node runs the pause program: nothing can be pulled.
pub const PAUSE_IMAGE: (&str, &str) = ("pgsweep.dev/pause", "1");
/// Copies instead of stacking file systems: it works on whatever file system the cache folder is,
/// and the images here are small.
pub const SNAPSHOTTER: &str = "native";
/// The pods' addresses; of no meaning outside the cluster's own network.
pub const POD_RANGE: &str = "10.88.0.0/16";

/// Where the name server says that it knows all names.
pub const DNS_READY_PORT: u16 = 8181;
const DNS_DOMAIN: &str = "cluster.local";

/// Writes them all into the state folder.
pub fn write(site: &Site, tools: &Tools, is_judged: bool) -> Result<()> {
    let files = [
        ("containerd.toml", containerd(site, tools)),
        ("cni/10-pods.conflist", network(site)),
        ("kubelet.yaml", kubelet(site)),
        ("Corefile", name_server(site)),
        ("audit-policy.yaml", audit_policy(is_judged)),
        // Pods get no name server from the host's file, which may name one they cannot reach.
        ("resolv.conf", String::new()),
    ];
    for (name, text) in files {
        fs::write(site.path(name), text).with_context(|| format!("failed to write {name}"))?;
    }
    Ok(())
}

/// `restrict_oom_score_adj`: without `CAP_SYS_RESOURCE`, as in many VMs and containers, no
/// sandbox would start otherwise.
fn containerd(site: &Site, tools: &Tools) -> String {
    let folder = site.folder().display();
    let plugins = tools.cni.display();
    let (name, tag) = PAUSE_IMAGE;
    format!(
        r#"version = 3
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"

[grpc]
address = "{folder}/containerd.sock"

[ttrpc]
address = "{folder}/containerd.sock.ttrpc"

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{plugins}"]
conf_dir = "{folder}/cni"

[plugins.'io.containerd.cri.v1.images']
snapshotter = "{SNAPSHOTTER}"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{name}:{tag}"
"#
    )
}

fn network(site: &Site) -> String {
    let bridge = json!({
        "type": "bridge",
        "bridge": "pods",
        "isGateway": true,
        // The host knows the node's address only.
        "ipMasq": true,
        "hairpinMode": true,
        "ipam": {
            "type": "host-local",
            "dataDir": site.path("addresses"),
            "ranges": [[{ "subnet": POD_RANGE }]],
            "routes": [{ "dst": "0.0.0.0/0" }],
        },
    });
    let list = json!({ "cniVersion": "1.0.0", "name": "pods", "plugins": [bridge] });
    format!("{list:#}\n")
}

/// It is on the node, and not behind a Service: so it is there before the first pod. Of names
/// outside the cluster it says at once that they do not exist, since nothing there can be reached.
fn name_server(site: &Site) -> String {
    let address = site.node_address();
    let login = site.path("pki/dns.conf");
    let login = login.display();
    format!(
        r#"{DNS_DOMAIN} {{
    bind {address}
    errors
    ready {address}:{DNS_READY_PORT}
    kubernetes {{
        kubeconfig "{login}"
    }}
}}

. {{
    bind {address}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"#
    )
}

fn kubelet(site: &Site) -> String {
    let pki = |name: &str| site.path("pki").join(name);
    let text = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{}", site.path("containerd.sock").display()),
        "podLogsDir": site.path("pods"),
        "volumePluginDir": site.path("volume-plugins"),
        "resolvConf": site.path("resolv.conf"),
        "clusterDNS": [site.node_address()],
        "clusterDomain": DNS_DOMAIN,
        // Machines with cgroup v1 and with swap do for tests.
        "failCgroupV1": false,
        "failSwapOn": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", site.name()),
        // The host's disk may be nearly full, and images must stay: nothing can be pulled again.
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": pki("ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": pki("kubelet.crt"),
        "tlsPrivateKeyFile": pki("kubelet.key"),
    });
    format!("{text:#}\n")
}

/// Every request, by whom, on what and with which answer. Where a log `is_judged` by [`crate::audit`] it
/// has also what operators send and, of policies and CronJobs, what is stored then.
fn audit_policy(is_judged: bool) -> String {
    let on = |group: &str, resources: &[&str]| json!({ "group": group, "resources": resources });
    let bodies = [
        json!({
            "level": "RequestResponse",
            "verbs": ["create", "update", "patch"],
            "resources": [
                on("pgsweep.dev", &["cleanuppolicies", "cleanuppolicies/status"]),
                on("batch", &["cronjobs", "cronjobs/status"]),
            ],
        }),
        json!({
            "level": "Request",
            "verbs": ["create"],
            "resources": [on("batch", &["jobs"]), on("events.k8s.io", &["events"])],
        }),
    ];
    let bodies = bodies.into_iter().filter(|_| is_judged);
    let rules: Vec<_> = bodies.chain([json!({ "level": "Metadata" })]).collect();
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": true,
        "rules": rules,
    });
    format!("{policy:#}\n")
}
