//! One server process with a data folder of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::account::Account;
use crate::installation::Installation;
use crate::{Options, ServerUrl};

const SUPERUSER: &str = "postgres";
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Between two looks at a condition that nothing announces.
const POLL: Duration = Duration::from_millis(10);
/// A free port can be taken by another process before the server binds it.
const PORT_ATTEMPTS: usize = 3;
const NOT_DURABLE: [&str; 3] = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];

/// Stops the server when the pipe to its owner closes, which the kernel does however the owner
/// ends. SIGQUIT is Postgres's immediate shutdown: nothing of the data will be read again. The pid
/// file goes last; the process may stay as a zombie, where nobody collects orphans.
const WATCHDOG: &str = r#"
read -r _
kill -QUIT "$1" 2>/dev/null
for _ in $(seq 500); do
    kill -0 "$1" 2>/dev/null && [ -e "$2/data/postmaster.pid" ] || break
    sleep 0.02
done
cd / && rm -rf "$2"
"#;

/// A running server. Dropping it stops it and removes its files.
#[derive(Debug)]
pub struct Server {
    address: ServerUrl,
    state: PathBuf,
    process: Child,
    watchdog: Child,
    /// Closing it is what stops the server.
    leash: Option<ChildStdin>,
}

impl Server {
    /// Initialises a data folder and starts a server in it.
    pub fn start(options: &Options, installation: &Installation, account: Account) -> Result<Self> {
        let folder = state_folder(account)?;
        let state = folder.path();
        let bin_dir = stage(installation, state, account)?;
        let password = random_password()?;
        initialise(&bin_dir, state, account, &password)?;

        let host =
            *options.listen_addresses.first().context("a server needs an address to listen on")?;
        let mut attempt = 1;
        let (port, mut process) = loop {
            let port = free_port(host)?;
            match launch(&bin_dir, state, account, options, port) {
                Ok(process) => break (port, process),
                Err(_) if attempt < PORT_ATTEMPTS && port_was_taken(state) => attempt += 1,
                Err(error) => return Err(error),
            }
        };
        let (watchdog, leash) = match watch(&process, state) {
            Ok(watch) => watch,
            Err(error) => {
                kill(&mut process)?;
                return Err(error);
            }
        };
        Ok(Self {
            address: ServerUrl::new(SUPERUSER, &password, host, port),
            // From here on the watchdog removes it, also when this process is killed.
            state: folder.keep(),
            process,
            watchdog,
            leash: Some(leash),
        })
    }

    pub fn address(&self) -> &ServerUrl {
        &self.address
    }

    pub fn log(&self) -> PathBuf {
        self.state.join("log")
    }

    /// Stops the server, waits for its end, and says whether anything is left.
    pub fn stop(mut self) -> Result<()> {
        self.end()?;
        ensure!(!self.state.exists(), "{} could not be removed", self.state.display());
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.leash.take().is_some() {
            self.process.wait().context("failed to wait for Postgres to end")?;
            self.watchdog.wait().context("failed to wait for Postgres's files to be removed")?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody is left to tell; `stop` tells.
        let _ = self.end();
    }
}

fn state_folder(account: Account) -> Result<TempDir> {
    let usual = std::env::temp_dir();
    // Some systems give root a temporary folder that no other account can enter.
    let parent = if account.can_enter(&usual) { usual } else { PathBuf::from("/tmp") };
    let folder = tempfile::Builder::new()
        .prefix("pgsweep-postgres-")
        .tempdir_in(&parent)
        .with_context(|| format!("failed to create a folder in {}", parent.display()))?;
    account.give(folder.path())?;
    Ok(folder)
}

/// Programs under root's home are out of reach for the server's account: it gets a copy.
fn stage(installation: &Installation, state: &Path, account: Account) -> Result<PathBuf> {
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

fn initialise(bin_dir: &Path, state: &Path, account: Account, password: &str) -> Result<()> {
    let password_file = state.join("password");
    fs::write(&password_file, password).context("failed to write the superuser's password")?;
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
    fs::write(&rules, text).context("failed to write pg_hba.conf")
}

fn launch(
    bin_dir: &Path,
    state: &Path,
    account: Account,
    options: &Options,
    port: u16,
) -> Result<Child> {
    let addresses: Vec<String> = options.listen_addresses.iter().map(IpAddr::to_string).collect();
    let mut settings = vec![
        format!("listen_addresses={}", addresses.join(",")),
        format!("port={port}"),
        format!("unix_socket_directories={}", state.display()),
        // Tests of many processes share one server.
        "max_connections=300".to_owned(),
    ];
    if !options.durable {
        settings.extend(NOT_DURABLE.map(str::to_owned));
    }
    settings.extend(options.settings.iter().map(|(name, value)| format!("{name}={value}")));

    let log = fs::File::create(state.join("log")).context("failed to create Postgres's log")?;
    let mut command = account.command(&bin_dir.join("postgres"));
    command.arg("-D").arg(state.join("data"));
    for setting in settings {
        command.arg("-c").arg(setting);
    }
    let mut process = command
        .current_dir(state)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("failed to share Postgres's log")?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("failed to start postgres of {}", bin_dir.display()))?;
    if let Err(error) = wait_until_ready(&mut process, state) {
        kill(&mut process)?;
        return Err(error);
    }
    Ok(process)
}

/// The server writes its state into the pid file: the one sign that needs no client.
fn wait_until_ready(process: &mut Child, state: &Path) -> Result<()> {
    let pid_file = state.join("data/postmaster.pid");
    let begun = Instant::now();
    loop {
        let ready = fs::read_to_string(&pid_file)
            .is_ok_and(|text| text.lines().nth(7).is_some_and(|line| line.trim() == "ready"));
        if ready {
            return Ok(());
        }
        let ended = process.try_wait().context("failed to look after Postgres")?;
        if ended.is_some() || begun.elapsed() > START_TIMEOUT {
            let log = fs::read_to_string(state.join("log")).unwrap_or_default();
            bail!("Postgres did not start; its log says:\n{}", log.trim());
        }
        thread::sleep(POLL);
    }
}

fn kill(process: &mut Child) -> Result<()> {
    // It may have ended already, which is as good.
    let _ = process.kill();
    process.wait().context("failed to wait for Postgres to end")?;
    Ok(())
}

fn port_was_taken(state: &Path) -> bool {
    fs::read_to_string(state.join("log")).is_ok_and(|log| log.contains("Address already in use"))
}

/// It has the rights of this process: what was copied for the server may not be the server's own.
fn watch(process: &Child, state: &Path) -> Result<(Child, ChildStdin)> {
    let mut watchdog = Account::Own
        .command(Path::new("/bin/sh"))
        .args(["-c", WATCHDOG, "watchdog"])
        .arg(process.id().to_string())
        .arg(state)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("failed to start the watchdog of Postgres")?;
    let leash = watchdog.stdin.take().context("the watchdog of Postgres has no pipe")?;
    Ok((watchdog, leash))
}

fn free_port(host: IpAddr) -> Result<u16> {
    let host = if host.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { host };
    let listener = TcpListener::bind((host, 0))
        .with_context(|| format!("failed to find a free port on {host}"))?;
    Ok(listener.local_addr().context("failed to read a port's number")?.port())
}

fn random_password() -> Result<String> {
    let mut bytes = [0_u8; 16];
    let mut random = fs::File::open("/dev/urandom").context("failed to open /dev/urandom")?;
    std::io::Read::read_exact(&mut random, &mut bytes).context("failed to read random bytes")?;
    Ok(crate::hexadecimal(&bytes))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("failed to run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
