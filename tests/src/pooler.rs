//! `PgBouncer` before a server, in transaction mode: the next transaction of a session may run on
//! another connection to the server.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_postgres::{Account, ServerUrl};

use crate::{command, skip, wait};

/// Debian puts it where only root has it on the PATH.
const USUAL: &str = "/usr/sbin/pgbouncer";
const OBSTACLE: &str = "PgBouncer is not installed; on Debian: apt-get install pgbouncer";
/// Few, so that sessions have to share them.
const SERVER_CONNECTIONS: u32 = 3;
/// A free port can be taken before the pooler has it.
const ATTEMPTS: u32 = 3;

/// Ends it when its owner ends, in whatever way, and removes its files.
const WATCHDOG: &str = r#"
read -r _
kill -KILL "$1" 2>/dev/null
cd / && rm -rf "$2"
"#;

/// A pooler, which ends when this is dropped.
#[derive(Debug)]
pub struct Pooler {
    place: SocketAddr,
    folder: PathBuf,
    process: Child,
    watchdog: Child,
    /// Closing it is what ends the pooler.
    leash: Option<ChildStdin>,
}

impl Pooler {
    /// A pooler before the server of this superuser's URL, or nothing where the test is to be
    /// skipped. Every user of the server may log in, to every database.
    pub async fn start(server: &ServerUrl) -> Result<Option<Self>> {
        let Some(program) = program() else { return skip(OBSTACLE) };
        let server = server.clone();
        let start = move || {
            let mut attempts = (0..ATTEMPTS).map(|_| Self::start_program(&program, &server));
            attempts.find(Result::is_ok).unwrap_or_else(|| Self::start_program(&program, &server))
        };
        let pooler = tokio::task::spawn_blocking(start).await;
        pooler.context("the start of a pooler was cut off")?.map(Some)
    }

    fn start_program(program: &Path, server: &ServerUrl) -> Result<Self> {
        let account = Account::of_servers()?;
        let folder = account.folder()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("failed to find a free port for a pooler")?;
        let place = listener.local_addr().context("failed to read a port's number")?;
        drop(listener);
        let (user, password) =
            server.credentials().context("a pooler needs the superuser's login")?;
        let write = |name: &str, text: String| -> Result<PathBuf> {
            let path = folder.path().join(name);
            fs::write(&path, text).context("failed to configure a pooler")?;
            account.give(&path)?;
            Ok(path)
        };
        let users = write("users", format!("{} {}\n", quoted(&user), quoted(&password)))?;
        let configuration =
            write("pgbouncer.ini", configuration(server, place, &user, &users, folder.path()))?;
        let mut process = account
            .command(program)
            .arg("--quiet")
            .arg(configuration)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start PgBouncer")?;
        let (watchdog, leash) = watch(&process, folder.path())?;
        // From here on the watchdog removes it.
        let folder = folder.keep();
        let log = folder.join("log");
        let ended = wait::until_blocking("PgBouncer", Duration::from_secs(20), || {
            let ended = process.try_wait().context("failed to look after PgBouncer")?;
            let listens = || TcpStream::connect(place).is_ok();
            Ok((ended.is_some() || listens()).then_some(ended))
        })?;
        let said = || command::tail(&fs::read_to_string(&log).unwrap_or_default());
        ensure!(ended.is_none(), "PgBouncer did not start; its log says:\n{}", said());
        Ok(Self { place, folder, process, watchdog, leash: Some(leash) })
    }

    /// The same database and user, by way of the pooler.
    #[must_use]
    pub fn before(&self, url: &ServerUrl) -> ServerUrl {
        url.at(self.place)
    }

    /// What it has written to its log so far.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(self.folder.join("log")).context("failed to read a pooler's log")
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.leash = None;
        // Nobody is left to tell.
        let _ = self.process.wait();
        let _ = self.watchdog.wait();
    }
}

/// Why no pooler can be started here, with the way to enable it; nothing when one can.
#[must_use]
pub fn obstacle() -> Option<&'static str> {
    program().is_none().then_some(OBSTACLE)
}

fn program() -> Option<PathBuf> {
    let found = command::run(Command::new("sh").args(["-c", "command -v pgbouncer"])).ok();
    let found = found.map(|path| PathBuf::from(path.trim()));
    found.or_else(|| Some(PathBuf::from(USUAL)).filter(|path| path.exists()))
}

/// As it is by default, but for the mode: what it refuses then, users meet too. It asks the server
/// for the secrets of those who log in, and uses them for its own login.
fn configuration(
    server: &ServerUrl,
    place: SocketAddr,
    superuser: &str,
    users: &Path,
    folder: &Path,
) -> String {
    let authority = server.authority();
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "5432"));
    format!(
        "[databases]
* = host={host} port={port}
[pgbouncer]
pool_mode = transaction
listen_addr = {}
listen_port = {}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {}
auth_user = {superuser}
default_pool_size = {SERVER_CONNECTIONS}
logfile = {}
",
        place.ip(),
        place.port(),
        users.display(),
        folder.join("log").display(),
    )
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn watch(process: &Child, folder: &Path) -> Result<(Child, ChildStdin)> {
    let mut watchdog = Account::Own
        .command(Path::new("/bin/sh"))
        .args(["-c", WATCHDOG, "watchdog"])
        .arg(process.id().to_string())
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("failed to start a pooler's watchdog")?;
    let leash = watchdog.stdin.take().context("a pooler's watchdog has no pipe")?;
    Ok((watchdog, leash))
}
