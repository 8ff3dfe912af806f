//! The chart of the session API: what Helm makes of it, without a cluster or on one.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::settings::Settings;
use crate::{checkout, command, tools};

/// Name of the release, and so of the Deployment and the Service.
pub const RELEASE: &str = "session-api";

/// How long `kubectl port-forward` may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// The chart of this checkout.
#[must_use]
pub fn folder() -> PathBuf {
    checkout::root().join("charts/session-api")
}

/// What `helm template` makes of it with these arguments.
pub async fn rendered(arguments: &[&str]) -> Result<Vec<Value>> {
    let cache = Settings::get()?.cache.clone();
    let helm = tokio::task::spawn_blocking(move || tools::helm(&cache)).await??;
    let mut command = Command::new(helm);
    command.args(["template", RELEASE]).arg(folder()).args(arguments);
    let text = command::run_async(command, None).await?;
    serde_saphyr::from_multiple(&text).context("failed to read what helm printed")
}

/// `kubectl port-forward` to the Service, until it is dropped.
#[derive(Debug)]
pub struct Forward {
    base: String,
    _kubectl: Child,
}

impl Forward {
    /// Starts it. `kubectl` is the program with what it needs to reach the cluster and namespace.
    pub async fn start(mut kubectl: Command) -> Result<Self> {
        let service = format!("service/{RELEASE}");
        kubectl.args(["port-forward", &service, ":8080"]);
        kubectl.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = kubectl.spawn().context("failed to start kubectl port-forward")?;
        let stdout = child.stdout.take().context("kubectl has a stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let said = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let said = said.context("kubectl port-forward said nothing")??.unwrap_or_default();
        // `Forwarding from 127.0.0.1:40123 -> 8080`
        let address = said.split_whitespace().nth(2);
        let address = address.with_context(|| format!("kubectl port-forward said {said:?}"))?;
        let base = format!("http://{address}");
        // It goes on talking, of each connection.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { base, _kubectl: child })
    }

    /// Where the server is for this machine, as `http://127.0.0.1:1234`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }
}
