//! `promtool`, which tests alert rules.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{go, store, system};
use crate::command::run;
use crate::progress::{Step, say};

/// The folder of Debian's.
const DEBIAN: &str = "promtool-debian";
/// Its place in the package, and in that folder.
const FILE: &str = "usr/bin/promtool";
const BUILT: go::Install = go::Install {
    name: "promtool",
    // The Go module of Prometheus 3.16.
    version: "0.316.0",
    about: "once on this machine, about 5 minutes",
    packages: &["github.com/prometheus/prometheus/cmd/promtool"],
};

/// The `promtool` on the path, or Debian's, or one that is built.
pub fn promtool(cache: &Path) -> Result<PathBuf> {
    if let Some(installed) = system::on_path("promtool") {
        return Ok(installed);
    }
    if BUILT.is_built(cache) {
        return built_promtool(cache);
    }
    match debian_promtool(cache) {
        Ok(program) => Ok(program),
        Err(error) if go::is_installed() => {
            say(&format!("promtool is built, since: {error:#}"));
            built_promtool(cache)
        }
        Err(error) => Err(error).context(
            "found no promtool; install Prometheus, on Debian: apt-get install prometheus",
        ),
    }
}

fn debian_promtool(cache: &Path) -> Result<PathBuf> {
    let folder = store::once(cache, DEBIAN, |folder| {
        let step = Step::begin("fetching promtool", "once on this machine, a few seconds");
        let program = system::take_from_package("prometheus", FILE, folder)?;
        run(Command::new(program).arg("--version"))?;
        step.done();
        Ok(())
    })?;
    Ok(folder.join(FILE))
}

fn built_promtool(cache: &Path) -> Result<PathBuf> {
    Ok(BUILT.build(cache)?.join("promtool"))
}

/// Whether there is one already.
pub fn is_there(cache: &Path) -> bool {
    system::on_path("promtool").is_some() || store::has(cache, DEBIAN) || BUILT.is_built(cache)
}
