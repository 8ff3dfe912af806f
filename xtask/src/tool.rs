//! Programs for cargo that are built once into the cache.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::process;

/// One of them, by its name among the crates.
pub struct Tool {
    pub name: &'static str,
    pub version: &'static str,
    /// How long its build takes.
    pub takes: &'static str,
}

impl Tool {
    /// Its program, which is built when it is not there.
    pub fn program(&self, cache: &Path) -> Result<PathBuf> {
        if !self.is_there(cache) {
            self.install(cache)?;
        }
        Ok(self.path(cache))
    }

    /// Whether it was built.
    pub fn is_there(&self, cache: &Path) -> bool {
        self.path(cache).exists()
    }

    fn path(&self, cache: &Path) -> PathBuf {
        self.folder(cache).join("bin").join(self.name)
    }

    fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(format!("tools/{}-{}", self.name, self.version))
    }

    fn install(&self, cache: &Path) -> Result<()> {
        let Self { name, version, takes } = self;
        println!("installing {name} {version} (once, {takes})");
        let mut command = process::cargo(["install", "--locked", "--version", version, "--root"]);
        let build = cache.join(format!("tools/{name}-build"));
        command.arg(self.folder(cache)).arg(name).env("CARGO_TARGET_DIR", &build);
        let mut child =
            command.stderr(Stdio::piped()).spawn().context("cannot start cargo install")?;
        let bar = ProgressBar::new_spinner()
            .with_style(ProgressStyle::with_template("  {spinner} {elapsed} {wide_msg}")?);
        bar.enable_steady_tick(Duration::from_millis(200));
        let mut last = Vec::new();
        for line in BufReader::new(child.stderr.take().context("no output to read")?).lines() {
            let line = line?;
            bar.set_message(line.trim().to_owned());
            last.push(line);
            if last.len() > 20 {
                last.remove(0);
            }
        }
        bar.finish_and_clear();
        if !child.wait()?.success() {
            bail!("cannot install {name} {version}:\n{}", last.join("\n"));
        }
        fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))
    }
}
