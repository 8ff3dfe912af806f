//! One process of `pgsweep-operator`: how it is started, what is done to it, what it says.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::bed::VERSION;
use super::login::Login;
use crate::api_proxy::{ApiProxy, Hold};
use crate::command::{self, tail};
use crate::job::binary;
use crate::wait;

/// For an operator to list everything, on a loaded machine.
const START: Duration = Duration::from_mins(1);
/// For one that was asked to end.
const END: Duration = Duration::from_mins(1);

/// How to start an operator.
#[derive(Debug, Clone)]
pub struct Launch {
    login: Login,
    program: Option<PathBuf>,
    proxy: Option<String>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

/// How an operator that was asked to end has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    /// How long it took.
    pub took: Duration,
}

impl Launch {
    /// Straight to the API server, alone, for all namespaces.
    #[must_use]
    pub fn new(login: &Login) -> Self {
        let launch = Self {
            login: login.clone(),
            program: None,
            proxy: None,
            arguments: Vec::new(),
            environment: Vec::new(),
        };
        // By variables, so that a test can give a flag of its own.
        launch
            .env("PGSWEEP_JOB_IMAGE", &format!("pgsweep:{VERSION}"))
            .env("PGSWEEP_JOB_IMAGE_PULL_POLICY", "IfNotPresent")
            .env("PGSWEEP_LOG_FORMAT", "human")
    }

    /// Another binary than the one that was built with the tests.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// By way of a proxy.
    #[must_use]
    pub fn through(mut self, proxy: &ApiProxy) -> Self {
        self.proxy = Some(proxy.url());
        self
    }

    /// Only for the policies of this namespace.
    #[must_use]
    pub fn watching(self, namespace: &str) -> Self {
        self.arguments(&["--watch-namespaces", namespace])
    }

    /// More flags.
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

    /// Starts it; it is not ready yet.
    pub fn start(self) -> Result<Operator> {
        let kubeconfig = self.login.kubeconfig(self.proxy.as_deref())?;
        let log = NamedTempFile::new().context("failed to make a file")?;
        let writer = || log.reopen().context("failed to open a file again");
        let program = self.program.map_or_else(|| binary("pgsweep-operator"), Ok)?;
        let child = Command::new(program)
            .args(self.arguments)
            .env("KUBECONFIG", kubeconfig.path())
            .env("PGSWEEP_LISTEN", "127.0.0.1:0")
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(writer()?)
            .stderr(writer()?)
            .kill_on_drop(true)
            .spawn()
            .context("failed to start pgsweep-operator")?;
        Ok(Operator { child, address: OnceLock::new(), log, _kubeconfig: kubeconfig })
    }

    /// Starts it and waits until it is ready.
    pub async fn ready(self) -> Result<Operator> {
        let mut operator = self.start()?;
        operator.wait_ready().await?;
        Ok(operator)
    }
}

/// An operator that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Operator {
    child: Child,
    /// As it said.
    address: OnceLock<SocketAddr>,
    log: NamedTempFile,
    /// There as long as the process.
    _kubeconfig: NamedTempFile,
}

impl Operator {
    /// Its process.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().with_context(|| self.last_words("pgsweep-operator has ended"))
    }

    /// Waits until it has listed everything and says that it is ready.
    pub async fn wait_ready(&mut self) -> Result<()> {
        let ready = wait::until("the operator to be ready", START, async || {
            if let Some(status) = self.child.try_wait().context("failed to look after it")? {
                return Ok(Some(Err(status)));
            }
            let (code, _) = page(self.address()?, "/ready").await?;
            Ok((code == 200).then_some(Ok(())))
        });
        match ready.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => bail!("{}", self.last_words(&format!("it has ended: {status}"))),
            Err(error) => Err(error.context(self.last_words("it is not ready"))),
        }
    }

    /// Where it listens; an error as long as it has not said so.
    fn address(&self) -> Result<SocketAddr> {
        if let Some(address) = self.address.get() {
            return Ok(*address);
        }
        let said = self.said()?;
        let listens = said.lines().find_map(|line| line.split_once("listening address="));
        let (_, address) = listens.context("it has not said where it listens")?;
        let address = address.trim().parse().context("it listens at no address")?;
        Ok(*self.address.get_or_init(|| address))
    }

    /// Whether it says that it is ready.
    pub async fn is_ready(&self) -> Result<bool> {
        Ok(self.page("/ready").await?.0 == 200)
    }

    /// Its metrics, as Prometheus reads them; see [`crate::chart::metric`].
    pub async fn metrics(&self) -> Result<String> {
        Ok(self.page("/metrics").await?.1)
    }

    /// Status code and text of one of its pages.
    pub async fn page(&self, path: &str) -> Result<(u16, String)> {
        let answer = async { page(self.address()?, path).await };
        answer.await.with_context(|| self.last_words(&format!("failed to get {path}")))
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("failed to look after pgsweep-operator")?.is_some())
    }

    /// Ends it with SIGKILL; returns when it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("failed to kill pgsweep-operator")
    }

    /// Ends it with SIGKILL where the proxy stops it, so that nothing more of what it has sent
    /// reaches the API server.
    pub async fn killed_at(&mut self, mut stop: Hold) -> Result<()> {
        tokio::select! {
            reached = stop.reached() => {
                reached.with_context(|| self.last_words("it was to be killed"))?;
            }
            status = self.child.wait() => {
                let status = status.context("failed to wait for pgsweep-operator")?;
                bail!("{}", self.last_words(&format!("it ended before it was killed: {status}")));
            }
        }
        self.kill().await?;
        stop.cut();
        Ok(())
    }

    /// Stops it where it is: it keeps its connections and its memory.
    pub async fn freeze(&self) -> Result<()> {
        self.signal("STOP").await
    }

    /// Lets it go on.
    pub async fn thaw(&self) -> Result<()> {
        self.signal("CONT").await
    }

    /// Asks it to end, as kubelet does, and waits until it has.
    pub async fn term(&mut self) -> Result<Ended> {
        let begun = Instant::now();
        self.signal("TERM").await?;
        let status = tokio::time::timeout(END, self.child.wait()).await;
        let status: ExitStatus = status
            .with_context(|| self.last_words("it does not end at SIGTERM"))?
            .context("failed to wait for pgsweep-operator")?;
        Ok(Ended { code: status.code(), took: begun.elapsed() })
    }

    async fn signal(&self, name: &str) -> Result<()> {
        let mut kill = Command::new("kill");
        kill.args(["-s", name, &self.pid()?.to_string()]);
        command::run_async(kill, None).await?;
        Ok(())
    }

    /// All that it has said.
    pub fn said(&self) -> Result<String> {
        fs::read_to_string(self.log.path()).context("failed to read what the operator said")
    }

    /// Adds what it said last to an error of the test.
    pub fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| self.last_words("with an operator"))
    }

    fn last_words(&self, what: &str) -> String {
        let said = self.said().unwrap_or_default();
        format!("{what}; the operator said last:\n{}\n", tail(&said))
    }
}

async fn page(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let text = answer.split_once("\r\n\r\n").map(|(_, text)| text.to_owned());
    Ok((code.context("the answer has no status")?, text.unwrap_or_default()))
}
