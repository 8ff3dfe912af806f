//! One process of `pgsweep`: how it is started, what is done to it, what it leaves behind.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

use super::{CONNECT_TIMEOUT, IN_TIME};
use crate::command;
use crate::proxy::Stop;

/// Between two looks at a process's memory.
const LOOK: Duration = Duration::from_millis(5);

/// What a run left behind.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The report on standard output; null where there was none.
    pub report: Value,
    /// Standard output.
    pub stdout: String,
    /// The termination message.
    pub termination: String,
    /// Everything that was written, for a search for secrets.
    pub output: String,
}

impl Ended {
    /// A field of the first rule.
    #[must_use]
    pub fn rule(&self, field: &str) -> &Value {
        &self.report["rules"][0][field]
    }
}

/// Where Cargo put the binary of this name: beside the folder of this test's own.
pub fn binary(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("failed to find this test's own file")?;
    let folder = test.ancestors().nth(2).context("a test's file has a folder")?;
    let path = folder.join(name);
    ensure!(
        path.exists(),
        "{} is not built: run `cargo build --workspace`, as `cargo xtask test` does",
        path.display()
    );
    Ok(path)
}

/// How to start `pgsweep`.
#[derive(Debug)]
pub struct Launch {
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Launch {
    /// `pgsweep run`, with the policy where a Job has it.
    #[must_use]
    pub fn run(policy: &Value, url: &str) -> Self {
        Self::of(&["run", "--output", "json"])
            .env(CONNECT_TIMEOUT, IN_TIME)
            .env("PGSWEEP_POLICY", &policy.to_string())
            .env("DATABASE_URL", url)
    }

    /// Any of its commands, like `&["history", "--output", "json"]`.
    #[must_use]
    pub fn of(arguments: &[&str]) -> Self {
        Self { arguments: Vec::new(), environment: Vec::new() }.arguments(arguments)
    }

    /// More arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(OsString::from));
        self
    }

    /// A variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The Job that it belongs to: runs of one UID are attempts of one run.
    #[must_use]
    pub fn job_uid(self, uid: &str) -> Self {
        self.env("PGSWEEP_JOB_UID", uid)
    }

    /// Starts it.
    pub fn start(self) -> Result<Run> {
        let file = || NamedTempFile::new().context("failed to make a file");
        let (stdout, stderr, termination) = (file()?, file()?, file()?);
        // Files never fill up, as a pipe does that nobody reads while a test waits.
        let writer = |file: &NamedTempFile| file.reopen().context("failed to open a file again");
        let child = Command::new(binary("pgsweep")?)
            .args(self.arguments)
            .env("PGSWEEP_TERMINATION_LOG", termination.path())
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(writer(&stdout)?)
            .stderr(writer(&stderr)?)
            .kill_on_drop(true)
            .spawn()
            .context("failed to start pgsweep")?;
        Ok(Run { child, stdout, stderr, termination })
    }

    /// Starts it and waits for its end.
    pub async fn end(self) -> Result<Ended> {
        self.start()?.end().await
    }
}

/// A run that is under way.
#[derive(Debug)]
pub struct Run {
    child: Child,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
    termination: NamedTempFile,
}

impl Run {
    /// Starts `pgsweep run`.
    pub fn start(policy: &Value, url: &str, arguments: &[&str]) -> Result<Self> {
        Launch::run(policy, url).arguments(arguments).start()
    }

    /// Its process.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("pgsweep has ended already")
    }

    /// Asks it to end, as kubelet does.
    pub async fn terminate(&self) -> Result<()> {
        self.signal("TERM").await
    }

    /// Stops it where it is.
    pub async fn freeze(&self) -> Result<()> {
        self.signal("STOP").await
    }

    /// Lets it go on.
    pub async fn thaw(&self) -> Result<()> {
        self.signal("CONT").await
    }

    async fn signal(&self, name: &str) -> Result<()> {
        let mut kill = Command::new("kill");
        kill.args(["-s", name, &self.pid()?.to_string()]);
        command::run_async(kill, None).await?;
        Ok(())
    }

    /// The most memory that it has had, in bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid()?);
        let status = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.context("a process that has ended has no memory")?;
        let kibibytes: u64 = peak.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1024)
    }

    /// What it has written so far to standard output and standard error.
    pub fn written(&self) -> Result<String> {
        Ok(format!("{}\n{}", read(&self.stdout)?, read(&self.stderr)?))
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("failed to look after pgsweep")?.is_some())
    }

    /// Ends it with SIGKILL.
    pub async fn kill(mut self) -> Result<Ended> {
        self.child.kill().await.context("failed to kill pgsweep")?;
        self.end().await
    }

    /// Ends it with SIGKILL where the proxy stops it, so that nothing more of what it has sent
    /// reaches the server. A run that ends before it gets there has an exit code.
    pub async fn killed_at(mut self, mut stop: Stop) -> Result<Ended> {
        tokio::select! {
            reached = stop.reached() => {
                reached?;
                self.child.kill().await.context("failed to kill pgsweep")?;
                stop.cut();
            }
            status = self.child.wait() => {
                status.context("failed to wait for pgsweep")?;
            }
        }
        self.end().await
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Result<Ended> {
        let status = self.child.wait().await.context("failed to wait for pgsweep")?;
        self.ended(status)
    }

    /// Waits for its end; also says how much memory it had at most, in bytes.
    pub async fn end_with_peak_memory(mut self) -> Result<(Ended, u64)> {
        let mut peak = 0;
        loop {
            // A process that is just ending has none any more.
            peak = self.peak_memory().unwrap_or(peak);
            if let Ok(status) = tokio::time::timeout(LOOK, self.child.wait()).await {
                let status = status.context("failed to wait for pgsweep")?;
                return Ok((self.ended(status)?, peak));
            }
        }
    }

    fn ended(&self, status: ExitStatus) -> Result<Ended> {
        let (stdout, stderr) = (read(&self.stdout)?, read(&self.stderr)?);
        let termination = read(&self.termination)?;
        Ok(Ended {
            code: status.code(),
            signal: status.signal(),
            report: serde_json::from_str(stdout.trim()).unwrap_or(Value::Null),
            output: format!("{stdout}\n{stderr}\n{termination}"),
            stdout,
            termination,
        })
    }
}

fn read(file: &NamedTempFile) -> Result<String> {
    fs::read_to_string(file.path()).context("failed to read what pgsweep wrote")
}
