//! cargo-deny, built once into the cache: licences, banned crates and sources. `advisories` needs
//! a download from outside the package registries, so it is left to those who want it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::process;

const VERSION: &str = "0.20.2";

/// Runs the checks that need no network.
pub fn run(cache: &Path) -> Result<()> {
    let program = program(cache);
    if !program.exists() {
        install(cache)?;
    }
    let mut check = process::program(&program);
    // Duplicates are warnings, and nobody reads fifteen of them in every run.
    check.args(["--log-level", "error", "check", "bans", "licenses", "sources"]);
    process::run(&mut check)
}

/// Where it is, or will be.
pub fn program(cache: &Path) -> PathBuf {
    folder(cache).join("bin/cargo-deny")
}

fn folder(cache: &Path) -> PathBuf {
    cache.join(format!("tools/cargo-deny-{VERSION}"))
}

fn install(cache: &Path) -> Result<()> {
    println!("installing cargo-deny {VERSION} (once, about 3 minutes)");
    let mut command = process::cargo(["install", "--locked", "--version", VERSION, "--root"]);
    let build = cache.join("tools/cargo-deny-build");
    command.arg(folder(cache)).arg("cargo-deny").env("CARGO_TARGET_DIR", &build);
    let mut child = command.stderr(Stdio::piped()).spawn().context("cannot start cargo install")?;
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
        bail!("cannot install cargo-deny {VERSION}:\n{}", last.join("\n"));
    }
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))
}
