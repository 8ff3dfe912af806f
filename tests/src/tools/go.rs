//! Builds Go programs: no registry has them as files, but all of them as modules.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::store;
use crate::command::{run, run_watched};
use crate::hash::hexadecimal;
use crate::progress::Step;

/// No symbols, no debugging: half the size.
pub const LINK_SMALL: &str = "-s -w";

/// A program whose source is in this repository.
pub struct Module {
    pub program: &'static str,
    pub title: String,
    pub about: &'static str,
    pub link_flags: String,
    pub source: PathBuf,
}

impl Module {
    /// Returns the program, built where the cache has none of exactly this source and these flags.
    pub fn build(&self, cache: &Path) -> Result<PathBuf> {
        let folder = store::once(cache, &self.folder()?, |folder| self.compile(folder))?;
        Ok(folder.join(self.program))
    }

    pub fn is_built(&self, cache: &Path) -> Result<bool> {
        Ok(store::has(cache, &self.folder()?))
    }

    fn folder(&self) -> Result<String> {
        Ok(format!("{}-{}", self.program, self.fingerprint()?))
    }

    fn compile(&self, folder: &Path) -> Result<()> {
        let mut step = Step::begin(&self.title, self.about);
        // Also fetches the sources, which is the first minute of a cold build.
        let listed = run(go()?.current_dir(&self.source).args(["list", "-deps", "."]))
            .context("failed to fetch the Go modules; does `go` reach a module proxy?")?;
        let packages = listed.lines().count();
        let mut build = go()?;
        build
            .current_dir(&self.source)
            .args(["build", "-v", "-trimpath", "-ldflags", &self.link_flags, "-o"])
            .arg(folder.join(self.program))
            .arg(".");
        run_watched(&mut build, &mut step, is_package, |built| {
            format!("· compiled {built} of at most {packages} packages")
        })?;
        step.done();
        Ok(())
    }

    fn fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(&self.link_flags);
        for path in self.inputs()? {
            let content =
                fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            hash.update(content.len().to_le_bytes());
            hash.update(&content);
        }
        let digest = hash.finalize();
        Ok(hexadecimal(&digest[..6]))
    }

    /// The files that decide what is built, in a fixed order.
    fn inputs(&self) -> Result<Vec<PathBuf>> {
        let source = || format!("failed to list {}", self.source.display());
        let mut inputs = Vec::new();
        for entry in fs::read_dir(&self.source).with_context(source)? {
            let path = entry.with_context(source)?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if matches!(extension, Some("go" | "mod" | "sum")) {
                inputs.push(path);
            }
        }
        inputs.sort();
        Ok(inputs)
    }
}

/// Programs of somebody else's module, at a fixed version.
pub struct Install {
    pub name: &'static str,
    pub version: &'static str,
    pub about: &'static str,
    pub packages: &'static [&'static str],
}

impl Install {
    /// Returns the folder that holds the programs.
    pub fn build(&self, cache: &Path) -> Result<PathBuf> {
        store::once(cache, &self.folder(), |folder| {
            let title = format!("building {self}");
            let mut step = Step::begin(title, self.about);
            let mut install = go()?;
            install.args(["install", "-v", "-trimpath", "-ldflags", LINK_SMALL]);
            for package in self.packages {
                install.arg(format!("{package}@v{}", self.version));
            }
            run_watched(install.env("GOBIN", folder), &mut step, is_package, |built| {
                format!("· compiled {built} packages")
            })?;
            step.done();
            Ok(())
        })
    }

    pub fn is_built(&self, cache: &Path) -> bool {
        store::has(cache, &self.folder())
    }

    fn folder(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

impl fmt::Display for Install {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.version)
    }
}

/// The version of a module that a `go.mod` requires, like `v1.36.3`.
pub fn required_version(source: &Path, module: &str) -> Result<String> {
    let path = source.join("go.mod");
    let text = fs::read_to_string(&path).with_context(|| {
        format!("failed to read {}: is that version built here?", path.display())
    })?;
    text.lines()
        .find_map(|line| line.trim().strip_prefix(module)?.strip_prefix(' '))
        .map(|version| version.trim().to_owned())
        .with_context(|| format!("{} requires no {module}", path.display()))
}

/// Whether this machine has Go.
#[must_use]
pub fn is_installed() -> bool {
    go().is_ok()
}

/// Without C: the result runs on any Linux, and needs no compiler.
fn go() -> Result<Command> {
    run(Command::new("go").arg("version"))
        .context("the test bed is built with Go; install Go 1.26 or newer (https://go.dev/dl)")?;
    let mut go = Command::new("go");
    go.env("CGO_ENABLED", "0");
    Ok(go)
}

/// `go build -v` writes the path of each package that it compiles, and notes like
/// `go: downloading …`.
fn is_package(line: &str) -> bool {
    !line.contains(' ')
}
