//! `pgsweep plan`, as a person or a program reads it.

use std::process::{Output, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::process::Command;

use super::{CONNECT_TIMEOUT, IN_TIME, binary};

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
        .arg("plan")
        .args(arguments)
        .env(CONNECT_TIMEOUT, IN_TIME)
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
