//! `session-api serve` as a process, and phones that speak to it.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::{Sessions, command};
use crate::wait;

/// The key of the codes of every test, and one that came before it.
pub const CODE_KEYS: [&str; 2] = [
    "new:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "old:f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff101112131415161718191a1b1c1d1e1f",
];

/// A machine that has other things to do is no reason to answer 503. All connections are open from the start, and the
/// servers of many tests share one Postgres.
const PATIENT: [&str; 14] = [
    "--listen",
    "127.0.0.1:0",
    "--acquire-timeout",
    "60s",
    "--statement-timeout",
    "60s",
    "--request-timeout",
    "120s",
    "--drain-delay",
    "0s",
    "--trusted-proxies",
    "1",
    "--pool-size",
    "6",
];

/// How long it may take to start or to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// One process of the server.
pub struct Replica {
    child: Child,
    base: String,
    log: Arc<Mutex<String>>,
    client: Client,
}

impl Replica {
    /// Starts one on a test's database, with a login in the API's role, and waits until it is ready.
    pub async fn start(sessions: &Sessions) -> Result<Self> {
        Self::start_with(sessions, &[("--code-keys", CODE_KEYS[0])]).await
    }

    /// The same with these flags.
    pub async fn start_with(sessions: &Sessions, flags: &[(&str, &str)]) -> Result<Self> {
        let url = sessions.login(&sessions.roles.api).await?.to_string();
        Self::start_at(&url, flags).await
    }

    /// The same of a process that may open so many files, and may not change that.
    pub async fn start_with_files(
        sessions: &Sessions,
        files: u32,
        flags: &[(&str, &str)],
    ) -> Result<Self> {
        let url = sessions.login(&sessions.roles.api).await?.to_string();
        let free = serve(&url, flags)?;
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &files.to_string()]);
        command.arg(free.as_std().get_program()).args(free.as_std().get_args());
        for (name, value) in free.as_std().get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        Self::run(command).await
    }

    /// The same on a database that is named by its URL.
    pub async fn start_at(url: &str, flags: &[(&str, &str)]) -> Result<Self> {
        Self::run(serve(url, flags)?).await
    }

    async fn run(mut command: tokio::process::Command) -> Result<Self> {
        command.env("PGSWEEP_CONNECT_TIMEOUT", "30s").stdout(Stdio::null());
        let mut child = command.spawn().context("failed to start session-api")?;
        let stderr = child.stderr.take().context("session-api has a stderr")?;
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut log = kept.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        });
        let client = Client::builder().no_proxy().build()?;
        let mut replica = Self { child, base: String::new(), log, client };
        replica.base = replica.address().await?;
        Ok(replica)
    }

    /// Where it listens, by what it says.
    async fn address(&mut self) -> Result<String> {
        wait::until("session-api to listen", PATIENCE, async || {
            let listens = self.lines().into_iter().find(|line| line["message"] == "listening");
            if let Some(address) =
                listens.and_then(|line| line["address"].as_str().map(str::to_owned))
            {
                return Ok(Some(format!("http://{address}")));
            }
            ensure!(self.child.try_wait()?.is_none(), "it ended: {}", self.log());
            Ok(None)
        })
        .await
    }

    /// A request at the address of the cluster, for which `--admin-listen` has to be given.
    pub fn probe(&self, path: &str) -> Result<RequestBuilder> {
        let lines = self.lines();
        let line = lines.iter().find(|line| line["message"] == "listening for the cluster");
        let address = line.and_then(|line| line["address"].as_str());
        let address = address.context("it does not listen for the cluster")?;
        Ok(self.client.get(format!("http://{address}{path}")))
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same by lines.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Where it is, as `http://127.0.0.1:1234`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request of somebody.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// Asks it to end, as kubelet does.
    pub fn terminate(&self) -> Result<()> {
        self.signal("TERM")
    }

    /// Ends it with SIGKILL.
    pub fn kill(&self) -> Result<()> {
        self.signal("KILL")
    }

    fn signal(&self, name: &str) -> Result<()> {
        let id = self.child.id().context("session-api has ended by itself")?;
        let sent =
            std::process::Command::new("kill").args(["-s", name, &id.to_string()]).status()?;
        ensure!(sent.success(), "failed to send {name} to session-api");
        Ok(())
    }

    /// Waits for its end. Its exit code.
    pub async fn end(&mut self) -> Result<Option<i32>> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        Ok(ended.context("session-api did not end")??.code())
    }
}

fn serve(url: &str, flags: &[(&str, &str)]) -> Result<tokio::process::Command> {
    let given: Vec<_> = flags.iter().map(|(flag, _)| *flag).collect();
    // A flag that is given twice is an error.
    let usual = PATIENT.chunks_exact(2).filter(|pair| !given.contains(&pair[0])).flatten();
    let own = flags.iter().flat_map(|(flag, value)| [*flag, *value]);
    let arguments: Vec<_> = ["serve"].into_iter().chain(usual.copied()).chain(own).collect();
    command(url, &arguments)
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: reqwest::header::HeaderMap,
    /// Its body; null where it has none that is JSON.
    pub body: Value,
}

impl Answer {
    /// A header as text; empty where it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Status and code of a problem.
    #[must_use]
    pub fn problem(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    /// A text in the body, by its JSON pointer; empty where there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

/// A phone: an address of its own, and perhaps a token.
#[derive(Clone, Debug)]
pub struct Phone {
    /// Its address, as a proxy before the server writes it down.
    pub address: IpAddr,
    /// What it was given.
    pub token: Option<String>,
}

impl Phone {
    /// One that nobody has seen before.
    #[must_use]
    pub fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
        Self { address, token: None }
    }

    /// The same with a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A request of this phone.
    pub fn request(&self, replica: &Replica, method: Method, path: &str) -> RequestBuilder {
        let request =
            replica.request(method, path).header("x-forwarded-for", self.address.to_string());
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request, with a body unless that is null.
    pub async fn send(
        &self,
        replica: &Replica,
        method: Method,
        path: &str,
        body: Value,
    ) -> Result<Answer> {
        let request = self.request(replica, method, path);
        read(if body.is_null() { request } else { request.json(&body) }).await
    }

    /// The same by POST.
    pub async fn post(&self, replica: &Replica, path: &str, body: Value) -> Result<Answer> {
        self.send(replica, Method::POST, path, body).await
    }

    /// The same by GET.
    pub async fn get(&self, replica: &Replica, path: &str) -> Result<Answer> {
        self.send(replica, Method::GET, path, Value::Null).await
    }
}

/// Sends a request and reads its answer.
pub async fn read(request: RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await?;
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(Answer { status: StatusCode::as_u16(&status), headers, body })
}
