//! What the operating system has to bring.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::command::run;
use crate::machine;
use crate::progress::Step;

/// A program (or one of several places of a file) and the Debian package that brings it.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    program: &'static str,
    debian: &'static str,
}

/// What a node needs beside Kubernetes and containerd.
pub const NODE: [Package; 6] = [
    Package { program: "runc", debian: "runc" },
    Package { program: "iptables", debian: "iptables" },
    Package { program: "conntrack", debian: "conntrack" },
    Package { program: "ip", debian: "iproute2" },
    Package { program: "nsenter", debian: "util-linux" },
    Package { program: CNI_PLUGIN, debian: "containernetworking-plugins" },
];

/// What a static build needs.
pub const MUSL: [Package; 1] = [Package { program: "musl-gcc", debian: "musl-tools" }];

/// Stands for all of them.
const CNI_PLUGIN: &str = "host-local";
/// Debian's folder, and the one that the CNI project itself names.
const CNI_FOLDERS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// Installs the packages whose programs are missing; where it cannot, the error says how to.
pub fn require_packages(packages: &[Package]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|wanted| !is_there(wanted.program))
        .map(|wanted| wanted.debian)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !machine::is_root() || !is_there("apt-get") {
        bail!("this machine lacks {names}; install them, on Debian by: apt-get install {names}");
    }
    let step = Step::begin(format!("installing {names}"), "once on this machine, a minute");
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--no-install-recommends"]).args(&missing);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    if run(&mut install).is_err() {
        // A fresh machine has no package lists yet.
        update_lists()?;
        run(&mut install).with_context(|| format!("failed to install {names}"))?;
    }
    step.done();
    Ok(())
}

/// Takes one file out of the newest Debian package of this name, and installs nothing: some
/// packages would start a server on the machine.
pub fn take_from_package(package: &str, file: &str, folder: &Path) -> Result<PathBuf> {
    ensure!(is_there("apt-get") && is_there("dpkg-deb"), "this is no Debian");
    let what = || format!("failed to fetch Debian's package {package}");
    let mut download = Command::new("apt-get");
    download.args(["download", package]).current_dir(folder);
    if let Err(error) = run(&mut download) {
        if !machine::is_root() {
            return Err(error).with_context(what);
        }
        // A fresh machine has no package lists yet.
        update_lists()?;
        run(&mut download).with_context(what)?;
    }
    let unpack = r#"dpkg-deb --fsys-tarfile "$0"_*.deb | tar -x "./$1" && rm "$0"_*.deb"#;
    run(Command::new("sh").args(["-c", unpack, package, file]).current_dir(folder))
        .with_context(|| format!("failed to take {file} out of Debian's package {package}"))?;
    Ok(folder.join(file))
}

fn update_lists() -> Result<()> {
    run(Command::new("apt-get").arg("update")).context("failed to fetch Debian's package lists")?;
    Ok(())
}

/// Where the shell finds a program.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let found = run(Command::new("sh").args(["-c", "command -v \"$0\"", program])).ok()?;
    Some(PathBuf::from(found.trim()))
}

/// The folder with the CNI plugins.
pub fn cni_plugins() -> Result<PathBuf> {
    cni_folder()
        .context("found no CNI plugins; on Debian: apt-get install containernetworking-plugins")
}

fn cni_folder() -> Option<PathBuf> {
    CNI_FOLDERS.iter().map(PathBuf::from).find(|folder| folder.join(CNI_PLUGIN).is_file())
}

fn is_there(program: &str) -> bool {
    if program == CNI_PLUGIN {
        return cni_folder().is_some();
    }
    // Some of them are in folders that only root has on its PATH.
    ["/usr/sbin", "/sbin"].iter().any(|folder| Path::new(folder).join(program).exists())
        || on_path(program).is_some()
}
