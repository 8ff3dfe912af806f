//! The `pgsweep` binary, run as a person or a Job runs it.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::Database;

/// A policy with these rules (YAML), for a test's own database.
#[must_use]
pub fn policy(rules: &str) -> Value {
    let rules: Value =
        serde_saphyr::from_str(rules).unwrap_or_else(|error| json!(error.to_string()));
    json!({
        "apiVersion": "pgsweep.dev/v1alpha1",
        "kind": "CleanupPolicy",
        "metadata": {"name": "test", "namespace": "tests"},
        "spec": {
            "schedule": "@hourly",
            "mode": "Enforce",
            "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "uri"}}},
            "limits": {"maxPercentOfTable": 100},
            "rules": rules,
        },
    })
}

/// The same with one field of `spec` set, such as `/limits/maxRowsPerRun`.
#[must_use]
pub fn with(mut policy: Value, path: &str, value: Value) -> Value {
    let mut place = &mut policy["spec"];
    for field in path.trim_start_matches('/').split('/') {
        place = match field.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[field],
        };
    }
    *place = value;
    policy
}

/// What a run left behind.
#[derive(Debug)]
pub struct Ended {
    /// Exit code.
    pub code: Option<i32>,
    /// The report on standard output; null where there was none.
    pub report: Value,
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
    anyhow::ensure!(
        path.exists(),
        "{} is not built: run `cargo build --workspace`, as `cargo xtask test` does",
        path.display()
    );
    Ok(path)
}

/// Runs a policy to its end.
pub async fn run(policy: &Value, url: &str, arguments: &[&str]) -> Result<Ended> {
    let run = Run::start(policy, url, arguments)?;
    run.end().await
}

/// Runs a policy on a test's database to its end.
pub async fn run_on(database: &Database, policy: &Value) -> Result<Ended> {
    run(policy, &database.url(), &[]).await
}

/// What another command of the binary said.
#[derive(Debug)]
pub struct Said {
    /// Exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `pgsweep` with these arguments on the database of `url`.
pub async fn pgsweep(url: &str, arguments: &[&str]) -> Result<Said> {
    let output = Command::new(binary("pgsweep")?)
        .args(arguments)
        .env("DATABASE_URL", url)
        .env("PGSWEEP_CONNECT_TIMEOUT", "2s")
        .stdin(Stdio::null())
        .output()
        .await
        .context("failed to run pgsweep")?;
    Ok(Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).context("pgsweep wrote no UTF-8")?,
        stderr: String::from_utf8(output.stderr).context("pgsweep wrote no UTF-8")?,
    })
}

/// A run that is under way.
#[derive(Debug)]
pub struct Run {
    child: Child,
    termination: tempfile::NamedTempFile,
}

impl Run {
    /// Starts `pgsweep run`.
    pub fn start(policy: &Value, url: &str, arguments: &[&str]) -> Result<Self> {
        let termination = tempfile::NamedTempFile::new().context("failed to make a file")?;
        let child = Command::new(binary("pgsweep")?)
            .args(["run", "--output", "json", "--connect-timeout", "2s"])
            .args(arguments)
            .env("PGSWEEP_POLICY", policy.to_string())
            .env("DATABASE_URL", url)
            .env("PGSWEEP_TERMINATION_LOG", termination.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start pgsweep")?;
        Ok(Self { child, termination })
    }

    /// Asks it to end, as kubelet does.
    pub async fn terminate(&self) -> Result<()> {
        self.signal("TERM").await
    }

    /// Ends it without a word.
    pub async fn kill(&self) -> Result<()> {
        self.signal("KILL").await
    }

    /// Stops it where it stands, until [`Run::thaw`].
    pub async fn freeze(&self) -> Result<()> {
        self.signal("STOP").await
    }

    /// Lets it go on.
    pub async fn thaw(&self) -> Result<()> {
        self.signal("CONT").await
    }

    async fn signal(&self, name: &str) -> Result<()> {
        let id = self.child.id().context("pgsweep has ended already")?;
        let mut command = Command::new("kill");
        command.args([&format!("-{name}"), &id.to_string()]);
        crate::command::run_async(command, None).await?;
        Ok(())
    }

    /// Waits for its end.
    pub async fn end(self) -> Result<Ended> {
        let Output { status, stdout, stderr } =
            self.child.wait_with_output().await.context("failed to wait for pgsweep")?;
        let stdout = String::from_utf8(stdout).context("pgsweep wrote no UTF-8")?;
        let stderr = String::from_utf8(stderr).context("pgsweep wrote no UTF-8")?;
        let termination = std::fs::read_to_string(self.termination.path())
            .context("failed to read the termination message")?;
        Ok(Ended {
            code: status.code(),
            report: serde_json::from_str(stdout.trim()).unwrap_or(Value::Null),
            output: format!("{stdout}\n{stderr}\n{termination}"),
            termination,
        })
    }
}

/// One rule: what expired in `codes` an hour ago is deleted.
pub const DELETE_OLD: &str = "
- name: delete-old
  table: {schema: public, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
";

/// A database with a table `codes`, whose row `n` expired `n` minutes ago.
pub async fn codes(rows: u32) -> Result<Database> {
    let database = Database::create().await?;
    let sql = format!(
        "CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz, state text DEFAULT 'new');
         CREATE INDEX ON codes (expires_at);
         INSERT INTO codes SELECT n, now() - n * interval '1 minute' FROM generate_series(1, {rows}) AS n;
         ANALYZE codes"
    );
    database.execute(&sql).await?;
    Ok(database)
}

/// A role that may use a database's ledger and nothing else, its URL and its name.
pub async fn cleaner(database: &Database) -> Result<(String, String)> {
    let url = database.create_user().await?.to_string();
    let login = url.split("//").nth(1).and_then(|rest| rest.split(':').next());
    let role = login.context("a user's URL has a login")?.to_owned();
    let made = pgsweep(&database.url(), &["init", "--role", &role]).await?;
    anyhow::ensure!(made.code == Some(0), "init failed: {}", made.stderr);
    Ok((url, role))
}

/// A digest of all rows of a table.
pub async fn fingerprint(database: &Database, table: &str) -> Result<String> {
    let sql = format!(
        "SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} AS t"
    );
    database.scalar(&sql).await
}
