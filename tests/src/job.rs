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

/// What `pgsweep plan` says of a policy, as a program reads it.
#[derive(Debug)]
pub struct Planned {
    /// Exit code.
    pub code: Option<i32>,
    /// The one object on standard output; null where there was none.
    pub object: Value,
    /// Everything that was written.
    pub output: String,
}

impl Planned {
    /// The names of its `problems`, `warnings` or `advice`, with their messages.
    #[must_use]
    pub fn remarks(&self, kind: &str) -> Vec<(String, String)> {
        let text = |remark: &Value, field| remark[field].as_str().unwrap_or_default().to_owned();
        let remarks = self.object[kind].as_array().into_iter().flatten();
        remarks.map(|it| (text(it, "name"), text(it, "message"))).collect()
    }
}

/// Plans a policy; an empty URL stands for no database.
pub async fn plan(policy: &Value, url: &str, arguments: &[&str]) -> Result<Planned> {
    let Output { status, stdout, stderr } = Command::new(binary("pgsweep")?)
        .args(["plan", "--connect-timeout", "2s"])
        .args(arguments)
        .env("PGSWEEP_POLICY", policy.to_string())
        .env("DATABASE_URL", url)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("failed to run pgsweep plan")?;
    let stdout = String::from_utf8(stdout).context("pgsweep wrote no UTF-8")?;
    let stderr = String::from_utf8(stderr).context("pgsweep wrote no UTF-8")?;
    Ok(Planned {
        code: status.code(),
        object: serde_json::from_str(stdout.trim()).unwrap_or(Value::Null),
        output: format!("{stdout}\n{stderr}"),
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
        let id = self.child.id().context("pgsweep has ended already")?;
        let mut command = Command::new("kill");
        command.args(["-TERM", &id.to_string()]);
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

/// A digest of all rows of a table.
pub async fn fingerprint(database: &Database, table: &str) -> Result<String> {
    let sql = format!(
        "SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} AS t"
    );
    database.scalar(&sql).await
}
