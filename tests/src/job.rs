//! The `pgsweep` binary, run as a person or a Job runs it.

mod plan;
mod process;

use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::Database;
pub use plan::{Planned, plan};
pub use process::{Ended, Launch, Run, binary};

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

/// Runs a policy to its end.
pub async fn run(policy: &Value, url: &str, arguments: &[&str]) -> Result<Ended> {
    Run::start(policy, url, arguments)?.end().await
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
    let output = tokio::process::Command::new(binary("pgsweep")?)
        .args(arguments)
        .env("DATABASE_URL", url)
        .env(CONNECT_TIMEOUT, IN_TIME)
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

/// How long a binary tries to connect.
pub const CONNECT_TIMEOUT: &str = "PGSWEEP_CONNECT_TIMEOUT";
/// On a machine that has much to do.
pub const IN_TIME: &str = "15s";
/// For a test that waits until it gives up.
pub const SOON: &str = "2s";

/// What only the transaction that ends a run has in the text of a statement: it gives the lease back.
pub const CLOSES: &str = "SET holder = NULL, expires_at = NULL";

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
