//! schemathesis: it asks a server all that its description allows, and much that it does not.
//!
//! It is fetched once by `pip`, each file of it trusted by its SHA-256 alone, and kept in the cache folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::replica::Replica;
use crate::hash::sha256;
use crate::progress::say;
use crate::{checkout, command};

/// Its version and that of all that it needs, with the hashes of their files.
const REQUIREMENTS: &str = include_str!("../../schemathesis/requirements.txt");
/// The oldest Python that it runs on.
const PYTHON: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";

/// What it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Requests of each operation in the phase of random ones, and sequences of requests.
    pub examples: u64,
    /// What the random ones are made from.
    pub seed: u64,
}

/// What it said.
#[derive(Debug)]
pub struct Said {
    /// Whether it found nothing.
    pub passed: bool,
    /// Its words, for people.
    pub output: String,
}

/// Why this machine cannot run it, and the way to enable it.
#[must_use]
pub fn obstacle() -> Option<&'static str> {
    let mut python = Command::new("python3");
    python.args(["-c", PYTHON]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let fits = python.status().is_ok_and(|status| status.success());
    (!fits).then_some("schemathesis needs Python 3.11 or newer with its venv (Debian: apt-get install python3-venv)")
}

/// Its program, after fetching it into the cache where it is not there yet.
fn program(cache: &Path) -> Result<PathBuf> {
    let parent = cache.join("schemathesis");
    fs::create_dir_all(&parent)
        .with_context(|| format!("failed to create {}", parent.display()))?;
    // Two that start at once must not fetch twice.
    let lock = File::create(parent.join("lock")).context("failed to create the cache's lock")?;
    lock.lock().context("failed to lock the cache")?;
    let home = parent.join(&sha256(REQUIREMENTS.as_bytes())[..12]);
    let (whole, program) = (home.join("whole"), home.join("bin/schemathesis"));
    if whole.exists() {
        return Ok(program);
    }
    say("fetching schemathesis, once (20 MB)");
    // One that broke off before; a venv cannot be moved, so it is made where it stays.
    if home.exists() {
        fs::remove_dir_all(&home).context("failed to remove what is not whole")?;
    }
    command::run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    let list = home.join("requirements.txt");
    fs::write(&list, REQUIREMENTS).context("failed to write the list of what it needs")?;
    let options = ["--quiet", "--disable-pip-version-check", "--require-hashes"];
    command::run(
        Command::new(home.join("bin/pip"))
            .arg("install")
            .args(options)
            .args(["--only-binary", ":all:", "--requirement"])
            .arg(&list),
    )?;
    fs::write(&whole, "").context("failed to say that it is whole")?;
    Ok(program)
}

/// Lets it ask a server, with all of its checks and in all of its phases. The description is that of the
/// server itself; `admin_key` is one of the scope `operate`.
pub async fn run(cache: &Path, replica: &Replica, admin_key: &str, effort: Effort) -> Result<Said> {
    let cache = cache.to_owned();
    let program = tokio::task::spawn_blocking(move || program(&cache)).await??;
    let sources = checkout::root().join("tests/schemathesis");
    // It writes down what it has learned, for a next time that shall not be another one.
    let folder = TempDir::new().context("failed to make a folder to run in")?;
    let output = tokio::process::Command::new(program)
        .arg("--no-color")
        .arg("--config-file")
        .arg(sources.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("{}/openapi.json", replica.base()))
        .args(["--checks", "all", "--request-timeout", "120", "--continue-on-failure"])
        .args(["--max-examples", &effort.examples.to_string()])
        .args(["--seed", &effort.seed.to_string()])
        .args(["--generation-database", "none", "--suppress-health-check", "all"])
        .current_dir(folder.path())
        .env("SCHEMATHESIS_HOOKS", "asks")
        .env("PYTHONPATH", &sources)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SESSION_API_URL", replica.base())
        .env("SESSION_API_ADMIN_KEY", admin_key)
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("failed to run schemathesis")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said {
        passed: output.status.success(),
        output: text(&output.stdout) + &text(&output.stderr),
    })
}
