//! A shell that somebody works in, and the page that comes of it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_postgres::{LocalPostgres, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::output::stable;
use super::root;
use crate::operator::state::words::Words;
use crate::progress::say;
use crate::settings::Settings;
use crate::{Cluster, chart, command, wait};

/// The namespace, the database and the policy of the tour.
const NAMESPACE: &str = "shop";
const DATABASE: &str = "shop";
const POLICY: &str = "carts";
/// Where the machine keeps its programs.
const SYSTEM: &str = "/usr/local/bin:/usr/bin:/bin";
/// For Jobs of a loaded machine, and a kubelet that looks for a Secret again.
const PATIENCE: Duration = Duration::from_mins(4);

/// What is typed, and what it works on.
pub(super) struct Session<'a> {
    cluster: &'a Cluster,
    postgres: LocalPostgres,
    /// Home of whoever types: nothing of the user's own is read or changed.
    home: TempDir,
    words: Words,
    page: String,
    /// Whether the page ends within a block of commands.
    is_typing: bool,
}

impl<'a> Session<'a> {
    /// A Postgres with an empty database, which pods reach as `postgres.default.svc`, and a
    /// kubeconfig to change at will.
    pub(super) async fn begin(cluster: &'a Cluster) -> Result<Self> {
        let mut options = Options::new(&Settings::get()?.cache);
        options.listen_addresses.push(IpAddr::V4(cluster.host_address()));
        let start = tokio::task::spawn_blocking(move || LocalPostgres::start(&options));
        let postgres = start.await.context("the start of a Postgres was cut off")??;
        let port = postgres.address().port().context("a server of our own has a port")?;
        let service = service(cluster.host_address(), port).to_string();
        cluster.kubectl_with_input(["apply", "--filename", "-"], &service).await?;
        let home = tempfile::tempdir().context("failed to make a home")?;
        fs::copy(cluster.kubeconfig(), home.path().join("kubeconfig"))
            .context("failed to copy the kubeconfig")?;
        let words = Words::of_session([POLICY.to_owned()].into());
        let session =
            Self { cluster, postgres, home, words, page: String::new(), is_typing: false };
        session.execute(&format!("psql -d postgres -c 'CREATE DATABASE {DATABASE}'")).await?;
        Ok(session)
    }

    /// Stops the Postgres and returns the page.
    pub(super) async fn end(mut self) -> Result<String> {
        self.say("");
        let page = format!("{}\n", self.page.trim_end());
        tokio::task::spawn_blocking(move || self.postgres.stop())
            .await
            .context("the end of a Postgres was cut off")??;
        Ok(page)
    }

    /// Text between commands, in Markdown.
    pub(super) fn say(&mut self, text: &str) {
        if self.is_typing {
            self.page += "```\n\n";
            self.is_typing = false;
        }
        if !text.is_empty() {
            self.page += &format!("{text}\n\n");
        }
    }

    /// Runs a command line, fails unless it prints all of `expected`, and puts it on the page with
    /// what it printed.
    pub(super) async fn run(&mut self, line: &str, expected: &[&str]) -> Result<String> {
        let printed = self.execute(line).await?;
        let said = in_one_line(&printed);
        for words in expected {
            ensure!(said.contains(words), "`{line}` does not say {words:?} but:\n{printed}");
        }
        self.page += if self.is_typing { "\n" } else { "```console\n" };
        self.is_typing = true;
        let typed = stable(line, &self.words);
        self.page += &format!("$ {typed}\n");
        let shown = stable(&printed, &self.words);
        if !shown.is_empty() {
            self.page += &format!("{shown}\n");
        }
        Ok(printed)
    }

    /// Waits until a new cluster takes objects that belong to a policy, which is half a minute after
    /// the kind of policies came.
    pub(super) async fn until_policies_are_known(&self) -> Result<()> {
        chart::owners_are_known(self.cluster).await
    }

    /// Waits until the policy of now, and not one of before its last edit, is as `seen` wants it.
    pub(super) async fn until(
        &self,
        what: &str,
        mut seen: impl FnMut(&Value) -> bool,
    ) -> Result<()> {
        let mut last = Value::Null;
        let found = wait::until(what, PATIENCE, async || {
            last = self.get(&format!("sweep/{POLICY}")).await?;
            let is_new = last["status"]["observedGeneration"] == last["metadata"]["generation"];
            Ok((is_new && seen(&last)).then_some(()))
        });
        let found = found.await;
        found.with_context(|| format!("the policy said last: {}", last["status"]))
    }

    /// Waits until an object of the tour's namespace is as `seen` wants it.
    pub(super) async fn until_object(
        &self,
        object: &str,
        what: &str,
        mut seen: impl FnMut(&Value) -> bool,
    ) -> Result<()> {
        wait::until(what, PATIENCE, async || Ok(seen(&self.get(object).await?).then_some(()))).await
    }

    async fn get(&self, what: &str) -> Result<Value> {
        self.cluster.get([what, "--namespace", NAMESPACE]).await
    }

    /// In the checkout, with both streams as a terminal shows them.
    async fn execute(&self, line: &str) -> Result<String> {
        say(&format!("$ {line}"));
        let home = self.home.path();
        let folders = [Some(self.cluster.bin_dir()), self.postgres.bin_dir().map(Path::to_owned)];
        let folders = folders.iter().flatten().map(|folder| folder.display().to_string());
        let path = folders.chain([SYSTEM.to_owned()]).collect::<Vec<_>>().join(":");
        let address = self.postgres.address();
        let port = address.port().unwrap_or_default().to_string();
        let (user, password) = address.credentials().unwrap_or_default();
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1\n{line}")]).current_dir(root()).env_clear();
        shell.env("PATH", path).env("HOME", home).env("KUBECONFIG", home.join("kubeconfig"));
        shell.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        shell.env("PGHOST", "127.0.0.1").env("PGPORT", port).env("PGDATABASE", DATABASE);
        shell.env("PGUSER", user).env("PGPASSWORD", password);
        command::run_async(shell, None).await
    }
}

/// However wide the columns are.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A name in the cluster for a server outside of it, so that a URL is the same each time.
fn service(address: Ipv4Addr, port: u16) -> Value {
    let ports = |given: u16| json!([{"name": "postgres", "port": given}]);
    let slice = "kubernetes.io/service-name";
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "postgres", "namespace": "default"},
            "spec": {"ports": [{"name": "postgres", "port": 5432, "targetPort": port}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "postgres", "namespace": "default", "labels": {slice: "postgres"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address]}],
            "ports": ports(port),
        },
    ]})
}
