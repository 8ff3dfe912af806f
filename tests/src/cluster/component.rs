//! The programs of which a cluster consists, and how each is started.

use std::fmt;
use std::path::Path;
use std::process::Command;

use super::NODE;
use super::configuration::{DNS_READY_PORT, POD_RANGE};
use super::process::Process;
use super::sandbox;
use super::site::Site;
use crate::tools::Tools;

const ETCD: &str = "http://127.0.0.1:2379";

/// One of the cluster's programs, to be stopped and started by tests of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The store behind the API server.
    Etcd,
    /// Everything goes through it.
    ApiServer,
    /// Makes Jobs of CronJobs and Pods of Jobs.
    ControllerManager,
    /// Gives Pods to the node.
    Scheduler,
    /// Runs containers; they go on without it.
    Containerd,
    /// Starts and watches Pods.
    Kubelet,
    /// Makes the Services' addresses work.
    Proxy,
    /// Tells pods the addresses of Services by their names.
    Dns,
}

impl Component {
    /// All of them, in the order in which they start.
    pub const ALL: [Self; 8] = [
        Self::Etcd,
        Self::Containerd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kubelet,
        Self::Proxy,
        Self::Dns,
    ];

    /// The program's name, which is also the name of its log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
            Self::Proxy => "kube-proxy",
            Self::Dns => "coredns",
        }
    }

    /// What the API server answers to when the component does, where that can be asked.
    pub(super) fn health(self) -> Option<String> {
        match self {
            Self::ApiServer => Some("/readyz".to_owned()),
            Self::Kubelet => Some(format!("/api/v1/nodes/{NODE}/proxy/healthz")),
            Self::Dns => Some(format!("/api/v1/nodes/{NODE}:{DNS_READY_PORT}/proxy/ready")),
            _ => None,
        }
    }

    /// The command line, in the node's namespaces.
    pub(super) fn command(self, site: &Site, tools: &Tools, keeper: Process) -> Command {
        let mut command = match self {
            // It finds its shim beside itself.
            Self::Containerd => sandbox::inside(keeper, &tools.containerd.join("containerd")),
            Self::Dns => sandbox::inside(keeper, &tools.coredns),
            _ => {
                let mut command = sandbox::inside(keeper, &tools.kubernetes);
                command.arg(self.name());
                command
            }
        };
        for (flag, value) in self.flags(site) {
            command.arg(format!("--{flag}={value}"));
        }
        command
    }

    fn flags(self, site: &Site) -> Flags {
        match self {
            Self::Etcd => etcd(site),
            Self::ApiServer => api_server(site),
            Self::ControllerManager => controller_manager(site),
            Self::Scheduler => scheduler(site),
            Self::Kubelet => kubelet(site),
            Self::Proxy => proxy(site),
            Self::Containerd => vec![("config", text(&site.path("containerd.toml")))],
            Self::Dns => vec![("conf", text(&site.path("Corefile"))), ("quiet", "true".to_owned())],
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

type Flags = Vec<(&'static str, String)>;

fn etcd(site: &Site) -> Flags {
    vec![
        ("data-dir", text(&site.path("etcd"))),
        // Nobody will miss the data after a power cut.
        ("unsafe-no-fsync", "true".to_owned()),
        ("listen-client-urls", ETCD.to_owned()),
        ("advertise-client-urls", ETCD.to_owned()),
        ("listen-peer-urls", "http://127.0.0.1:2380".to_owned()),
    ]
}

fn api_server(site: &Site) -> Flags {
    let pki = |name| text(&site.path("pki").join(name));
    vec![
        ("etcd-servers", ETCD.to_owned()),
        ("advertise-address", site.node_address().to_string()),
        ("secure-port", "6443".to_owned()),
        ("authorization-mode", "Node,RBAC".to_owned()),
        // The second as on OpenShift: who names an owner must be allowed to update its finalizers.
        (
            "enable-admission-plugins",
            "NodeRestriction,OwnerReferencesPermissionEnforcement".to_owned(),
        ),
        ("client-ca-file", pki("ca.crt")),
        ("tls-cert-file", pki("apiserver.crt")),
        ("tls-private-key-file", pki("apiserver.key")),
        ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
        ("service-account-key-file", pki("accounts.pub")),
        ("service-account-signing-key-file", pki("accounts.key")),
        ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
        // The node's name is in no name server: `kubectl logs` would fail.
        ("kubelet-preferred-address-types", "InternalIP".to_owned()),
        ("kubelet-certificate-authority", pki("ca.crt")),
        ("kubelet-client-certificate", pki("apiserver-kubelet.crt")),
        ("kubelet-client-key", pki("apiserver-kubelet.key")),
        ("audit-policy-file", text(&site.path("audit-policy.yaml"))),
        ("audit-log-path", text(&site.path("audit.log"))),
        // Megabytes: who reads on from where it was must find it the same file.
        ("audit-log-maxsize", "4096".to_owned()),
        ("cert-dir", text(&site.path("pki"))),
    ]
}

fn controller_manager(site: &Site) -> Flags {
    let mut flags = control_loop(site, "controller-manager");
    flags.extend([
        ("service-account-private-key-file", text(&site.path("pki/accounts.key"))),
        ("root-ca-file", text(&site.path("pki/ca.crt"))),
        ("use-service-account-credentials", "true".to_owned()),
        ("cert-dir", text(&site.path("pki"))),
    ]);
    flags
}

fn scheduler(site: &Site) -> Flags {
    control_loop(site, "scheduler")
}

/// There is one of each: electing a leader would only take time.
fn control_loop(site: &Site, user: &str) -> Flags {
    let login = text(&site.path("pki").join(format!("{user}.conf")));
    vec![
        ("kubeconfig", login.clone()),
        ("authentication-kubeconfig", login.clone()),
        ("authorization-kubeconfig", login),
        ("leader-elect", "false".to_owned()),
        ("bind-address", "127.0.0.1".to_owned()),
    ]
}

fn kubelet(site: &Site) -> Flags {
    vec![
        ("config", text(&site.path("kubelet.yaml"))),
        ("kubeconfig", text(&site.path("pki/kubelet.conf"))),
        ("hostname-override", NODE.to_owned()),
        ("node-ip", site.node_address().to_string()),
        ("root-dir", text(&site.path("kubelet"))),
    ]
}

/// The limits of connection tracking are the whole machine's: they are left alone.
fn proxy(site: &Site) -> Flags {
    vec![
        ("kubeconfig", text(&site.path("pki/proxy.conf"))),
        ("hostname-override", NODE.to_owned()),
        ("proxy-mode", "iptables".to_owned()),
        ("cluster-cidr", POD_RANGE.to_owned()),
        ("conntrack-max-per-core", "0".to_owned()),
        ("conntrack-min", "0".to_owned()),
        ("conntrack-tcp-timeout-established", "0s".to_owned()),
        ("conntrack-tcp-timeout-close-wait", "0s".to_owned()),
    ]
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
