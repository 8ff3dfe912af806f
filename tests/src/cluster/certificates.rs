//! A certificate authority of the cluster's own, and a login for each component.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::site::Site;

/// The first address of the Services' range, where pods find the API server.
const API_SERVICE: &str = "10.96.0.1";
const ADMINISTRATORS: &str = "system:masters";

/// A certificate to make: file name, common name, organisation, alternative names.
struct Subject<'a> {
    file: &'a str,
    name: &'a str,
    group: Option<&'a str>,
    addresses: &'a [&'a str],
}

/// Writes every key, certificate and kubeconfig that the components read.
pub fn write(site: &Site) -> Result<()> {
    let folder = site.path("pki");
    let authority = authority()?;
    fs::write(folder.join("ca.crt"), authority.pem()).context("failed to write ca.crt")?;

    let node = site.node_address().to_string();
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
    let mut api_server = vec![API_SERVICE, &node, "127.0.0.1"];
    api_server.extend(names);
    let login = |file, name, group| Subject { file, name, group, addresses: &[] };
    let subjects = [
        Subject { file: "apiserver", name: "kube-apiserver", group: None, addresses: &api_server },
        Subject {
            file: "kubelet",
            name: "system:node:node",
            group: Some("system:nodes"),
            addresses: &[&node, "node"],
        },
        login("apiserver-kubelet", "kube-apiserver", Some(ADMINISTRATORS)),
        login("admin", "admin", Some(ADMINISTRATORS)),
        login("controller-manager", "system:kube-controller-manager", None),
        login("scheduler", "system:kube-scheduler", None),
        login("proxy", "system:kube-proxy", None),
        login("dns", "coredns", Some(ADMINISTRATORS)),
    ];
    for subject in &subjects {
        issue(&folder, &authority, subject)?;
    }
    for user in ["kubelet", "controller-manager", "scheduler", "proxy", "dns"] {
        kubeconfig(site, user, &folder.join(format!("{user}.conf")))?;
    }
    kubeconfig(site, "admin", &site.path("kubeconfig"))?;

    // Service accounts' tokens are signed by a key, not by a certificate.
    let accounts = KeyPair::generate().context("failed to make the service accounts' key")?;
    fs::write(folder.join("accounts.pub"), accounts.public_key_pem())
        .context("failed to write accounts.pub")?;
    write_secret(&folder.join("accounts.key"), &accounts.serialize_pem())
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "pgsweep test cluster");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().context("failed to make the authority's key")?;
    CertifiedIssuer::self_signed(parameters, key).context("failed to make the authority")
}

fn issue(
    folder: &Path,
    authority: &CertifiedIssuer<'static, KeyPair>,
    subject: &Subject<'_>,
) -> Result<()> {
    let what = || format!("failed to make the certificate of {}", subject.file);
    let names: Vec<String> = subject.addresses.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(names).with_context(what)?;
    parameters.distinguished_name.push(DnType::CommonName, subject.name);
    if let Some(group) = subject.group {
        parameters.distinguished_name.push(DnType::OrganizationName, group);
    }
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().with_context(what)?;
    let certificate = parameters.signed_by(&key, authority).with_context(what)?;
    let file = |extension| folder.join(format!("{}.{extension}", subject.file));
    fs::write(file("crt"), certificate.pem()).with_context(what)?;
    write_secret(&file("key"), &key.serialize_pem())
}

/// Names files, so that it works as long as the cluster does and holds no secret itself.
fn kubeconfig(site: &Site, user: &str, path: &Path) -> Result<()> {
    let pki = site.path("pki");
    let file = |name: &str| pki.join(name).display().to_string();
    let text = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "pgsweep",
        "contexts": [{ "name": "pgsweep", "context": { "cluster": "pgsweep", "user": user } }],
        "clusters": [{ "name": "pgsweep", "cluster": {
            "server": format!("https://{}:6443", site.node_address()),
            "certificate-authority": file("ca.crt"),
        }}],
        "users": [{ "name": user, "user": {
            "client-certificate": file(&format!("{user}.crt")),
            "client-key": file(&format!("{user}.key")),
        }}],
    });
    // JSON is YAML.
    fs::write(path, format!("{text:#}\n"))
        .with_context(|| format!("failed to write {}", path.display()))
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("failed to write {}", path.display()))
}
