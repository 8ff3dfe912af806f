//! A server's processes: its start, its signals, and what ends it with its owner.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::account::Account;

const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Between two looks at a condition that nothing announces.
const POLL: Duration = Duration::from_millis(10);

/// Stops the server when the pipe to its owner closes, which the kernel does however the owner
/// ends. SIGQUIT is Postgres's immediate shutdown: nothing of the data will be read again. The pid
/// file says which process it is now, after a restart too, and goes last; the process may stay as a
/// zombie, where nobody collects orphans.
const WATCHDOG: &str = r#"
read -r _
if read -r server 2>/dev/null < "$1/data/postmaster.pid"; then
    kill -CONT "$server" 2>/dev/null
    kill -QUIT "$server" 2>/dev/null
    for _ in $(seq 500); do
        kill -0 "$server" 2>/dev/null && [ -e "$1/data/postmaster.pid" ] || break
        sleep 0.02
    done
fi
cd / && rm -rf "$1"
"#;

/// How to start a server, the first time and again.
#[derive(Debug)]
pub struct Launch {
    pub bin_dir: PathBuf,
    pub state: PathBuf,
    pub account: Account,
    /// As `postgres -c` takes them; the last of a name holds.
    pub settings: Vec<String>,
}

impl Launch {
    /// Starts the server and waits until it takes connections.
    pub fn start(&self) -> Result<Child> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .context("failed to open Postgres's log")?;
        let mut command = self.account.command(&self.bin_dir.join("postgres"));
        command.arg("-D").arg(self.state.join("data"));
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        let mut process = command
            .current_dir(&self.state)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("failed to share Postgres's log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start postgres of {}", self.bin_dir.display()))?;
        if let Err(error) = self.wait_until_ready(&mut process) {
            kill(&mut process)?;
            return Err(error);
        }
        Ok(process)
    }

    pub fn log(&self) -> PathBuf {
        self.state.join("log")
    }

    /// Empties the log. Returns whether it said that the port was taken.
    pub fn forget_taken_port(&self) -> bool {
        let taken =
            fs::read_to_string(self.log()).is_ok_and(|log| log.contains("Address already in use"));
        taken && File::create(self.log()).is_ok()
    }

    /// The server writes its state into the pid file: the one sign that needs no client.
    fn wait_until_ready(&self, process: &mut Child) -> Result<()> {
        let pid_file = self.state.join("data/postmaster.pid");
        let own = process.id().to_string();
        let begun = Instant::now();
        loop {
            // A killed server leaves its file behind.
            let ready = fs::read_to_string(&pid_file).is_ok_and(|text| {
                text.lines().next() == Some(&own)
                    && text.lines().nth(7).is_some_and(|line| line.trim() == "ready")
            });
            if ready {
                return Ok(());
            }
            let ended = process.try_wait().context("failed to look after Postgres")?;
            if ended.is_some() || begun.elapsed() > START_TIMEOUT {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                bail!("Postgres did not start; its log says:\n{}", log.trim());
            }
            thread::sleep(POLL);
        }
    }

    /// It has the rights of this process: what was copied for the server may not be the server's.
    pub fn watch(&self) -> Result<(Child, ChildStdin)> {
        let mut watchdog = Account::Own
            .command(Path::new("/bin/sh"))
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(&self.state)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start the watchdog of Postgres")?;
        let leash = watchdog.stdin.take().context("the watchdog of Postgres has no pipe")?;
        Ok((watchdog, leash))
    }
}

/// Ends a process at once, with nothing to say for it, and waits for its end.
pub fn kill(process: &mut Child) -> Result<()> {
    // It may have ended already, which is as good.
    let _ = process.kill();
    process.wait().context("failed to wait for Postgres to end")?;
    Ok(())
}

/// Waits for processes to end that are not ours to wait for, once their parent has ended.
pub fn wait_for(processes: &[u32]) -> Result<()> {
    let begun = Instant::now();
    // Where nobody collects orphans, a zombie is as good as gone.
    while processes.iter().any(|process| status(*process).is_some_and(|(state, _)| state != "Z")) {
        ensure!(begun.elapsed() < START_TIMEOUT, "processes of the server stay after its end");
        thread::sleep(POLL);
    }
    Ok(())
}

/// Sends a signal to processes; that one of them has ended is no failure.
pub fn signal(name: &str, processes: &[u32]) -> Result<()> {
    let numbers = processes.iter().map(u32::to_string);
    Command::new("/bin/sh")
        .args(["-c", "kill -s \"$0\" \"$@\" 2>/dev/null", name])
        .args(numbers)
        .status()
        .with_context(|| format!("failed to send SIG{name} to Postgres"))?;
    Ok(())
}

/// The processes that a process has started and that are still there.
pub fn children(parent: u32) -> Result<Vec<u32>> {
    let processes =
        fs::read_dir("/proc").context("a server's processes are known on Linux alone")?;
    let children: Vec<u32> = processes
        .filter_map(|entry| {
            let number: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            status(number).filter(|(_, owner)| *owner == parent).map(|_| number)
        })
        .collect();
    ensure!(!children.is_empty(), "found no process of the server in /proc");
    Ok(children)
}

/// The state of a process, as a letter, and its parent.
fn status(process: u32) -> Option<(String, u32)> {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in brackets may hold anything; state and parent follow it.
    let mut fields = status.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
