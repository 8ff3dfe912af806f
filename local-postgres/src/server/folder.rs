//! What a server has on disk: a folder of its own with the data and the log.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::SUPERUSER;
use crate::account::Account;
use crate::installation::Installation;
use crate::{Options, ServerUrl};

/// Programs under root's home are out of reach for the server's account: it gets a copy.
pub fn stage(installation: &Installation, state: &Path, account: Account) -> Result<PathBuf> {
    let bin_dir = installation.bin_dir();
    if account.can_enter(bin_dir) {
        return Ok(bin_dir.to_path_buf());
    }
    let copy = state.join("installation");
    run(Command::new("cp").arg("-R").arg(installation.root()).arg(&copy))?;
    let inside = bin_dir
        .strip_prefix(installation.root())
        .context("a bin folder lies in its installation")?;
    Ok(copy.join(inside))
}

/// Fills the data folder. Returns where the server will be, but for its host and port.
pub fn fill(
    options: &Options,
    bin_dir: &Path,
    state: &Path,
    account: Account,
) -> Result<ServerUrl> {
    let address = match &options.standby_of {
        Some(primary) => {
            copy(primary, bin_dir, state, account)?;
            primary.clone()
        }
        None => initialise(bin_dir, state, account)?,
    };
    for (name, content) in &options.files {
        let path = state.join("data").join(name);
        fs::write(&path, content).with_context(|| format!("failed to write a server's {name}"))?;
        // Postgres takes no key that others could read.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .with_context(|| format!("failed to keep a server's {name} from others"))?;
        account.give(&path)?;
    }
    Ok(address)
}

fn initialise(bin_dir: &Path, state: &Path, account: Account) -> Result<ServerUrl> {
    let password = random_password()?;
    let password_file = state.join("password");
    fs::write(&password_file, &password).context("failed to write the superuser's password")?;
    account.give(&password_file)?;
    let data = state.join("data");
    run(account
        .command(&bin_dir.join("initdb"))
        .args(["--auth", "scram-sha-256", "--username", SUPERUSER])
        .args(["--encoding", "UTF8", "--no-locale", "--no-sync"])
        .arg("--pgdata")
        .arg(&data)
        .arg("--pwfile")
        .arg(&password_file)
        .current_dir(state))?;
    fs::remove_file(&password_file).context("failed to remove the superuser's password file")?;

    // initdb allows loopback; neighbours may come too where the server listens for them.
    let rules = data.join("pg_hba.conf");
    let mut text = fs::read_to_string(&rules).context("failed to read pg_hba.conf")?;
    text.push_str("host all all samenet scram-sha-256\n");
    fs::write(&rules, text).context("failed to write pg_hba.conf")?;
    Ok(ServerUrl::of_user(SUPERUSER, &password))
}

/// `--write-recovery-conf` is what makes the copy follow.
fn copy(primary: &ServerUrl, bin_dir: &Path, state: &Path, account: Account) -> Result<()> {
    run(account
        .command(&bin_dir.join("pg_basebackup"))
        .args(["--write-recovery-conf", "--checkpoint", "fast", "--wal-method", "stream"])
        .arg("--no-sync")
        .arg("--pgdata")
        .arg(state.join("data"))
        .arg("--dbname")
        .arg(primary.to_string())
        .current_dir(state))
}

fn random_password() -> Result<String> {
    let mut bytes = [0_u8; 16];
    let mut random = fs::File::open("/dev/urandom").context("failed to open /dev/urandom")?;
    random.read_exact(&mut bytes).context("failed to read random bytes")?;
    Ok(crate::hexadecimal(&bytes))
}

fn run(command: &mut Command) -> Result<()> {
    // Arguments can hold a password.
    let program = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("failed to run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
