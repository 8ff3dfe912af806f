//! The session API in the demo: a database of its own, a server, and phones that make sessions over HTTP.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use local_postgres::ServerUrl;
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tests::sql;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::{process, workspace};

use super::show::{self, chapter, line};

/// Its policy for Table-Talk, as the chart has it.
const POLICY: &str = "charts/session-api/files/policies/table-talk-sessions.yaml";
/// A key of join codes that everybody knows, for sessions that nobody minds.
const CODE_KEY: &str = "demo:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// Until it listens.
const PATIENCE: Duration = Duration::from_mins(1);

/// As if a quarter of an hour, and half an hour, had passed for the first two of these.
const TIME_PASSES: &str = "
UPDATE core.sessions SET pairing_expires_at = now() - interval '5 minutes' WHERE table_token = 'table_001';
UPDATE core.sessions SET last_activity_at = now() - interval '31 minutes' WHERE table_token = 'table_002'";

/// A server that runs.
pub struct SessionApi {
    base: String,
    url: String,
    client: Client,
    /// Ends with this.
    _server: Child,
}

/// A session, and the token of whoever made it.
struct Made {
    id: String,
    token: String,
    code: String,
}

impl SessionApi {
    /// Builds it, makes its database on the server of this superuser's URL, and starts it.
    pub async fn start(server: &str) -> Result<Self> {
        chapter("The session API: it makes what such policies clean");
        line("building session-api (about two minutes when cold)");
        process::run(&mut process::cargo(["build", "--quiet", "--locked", "--package", "api"]))?;
        let program = workspace::target()?.join("debug/session-api");
        let server = ServerUrl::parse(server)?;
        let mut admin = PgConnection::connect(&server.to_string()).await?;
        sql::execute(&mut admin, "DROP DATABASE IF EXISTS pgsweep_demo_sessions").await?;
        sql::execute(&mut admin, "CREATE DATABASE pgsweep_demo_sessions").await?;
        let url = format!("{}?sslmode=disable", server.database("pgsweep_demo_sessions"));
        println!("\n$ session-api migrate");
        let mut migrate = process::program(&program);
        process::run(migrate.args(["migrate", "--log-level", "warn"]).env("DATABASE_URL", &url))?;
        println!("\n$ session-api serve --listen 127.0.0.1:0 --code-keys demo:…");
        let (server, base) = serve(&program, &url).await?;
        line(&format!("it listens at {base}"));
        Ok(Self { base, url, client: Client::builder().no_proxy().build()?, _server: server })
    }

    /// Sessions are made, time passes, the policy runs, and phones are told.
    pub async fn play(&self, job: &Path) -> Result<()> {
        let forgotten = self.create("table_001").await?;
        let silent = self.create("table_002").await?;
        let alive = self.create("table_003").await?;
        let joined = self.post("join-codes/redeem", &json!({"code": alive.code})).await?;
        line(&format!("the code {} has let a second phone in: {}", alive.code, joined.0));
        let mut connection = PgConnection::connect(&self.url).await?;
        sql::execute(&mut connection, TIME_PASSES).await?;
        line(
            "nobody types the code of table_001 in time, and table_002 is silent for half an hour",
        );
        show::command("pgsweep", &["run"], POLICY);
        let mut command = process::program(job);
        command.args(["run", "--file", POLICY, "--log-level", "warn"]);
        process::run(command.env("DATABASE_URL", &self.url))?;
        for (made, table, expected) in [
            (&forgotten, "table_001", 410),
            (&silent, "table_002", 410),
            (&alive, "table_003", 200),
        ] {
            let status = self.look(made).await?;
            line(&format!("the phone at {table} asks for its session, and is told {status}"));
            ensure!(status == expected, "it should have been told {expected}");
        }
        Ok(())
    }

    async fn create(&self, table: &str) -> Result<Made> {
        let body = json!({"app": "table_talk", "mode": "dual", "table_token": table});
        println!("\n$ curl {}/api/v1/sessions -d '{body}'", self.base);
        let (status, made) = self.post("sessions", &body).await?;
        ensure!(status == 201, "it was answered {status}: {made}");
        let text = |pointer: &str| {
            let text = made.pointer(pointer).and_then(Value::as_str);
            text.map(str::to_owned).with_context(|| format!("the answer has no {pointer}"))
        };
        let made = Made {
            id: text("/session/id")?,
            token: text("/participant/token")?,
            code: text("/pairing/code")?,
        };
        line(&format!("201: session {}, code {}", made.id, made.code));
        Ok(made)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let url = format!("{}/api/v1/{path}", self.base);
        let answer = self.client.post(url).json(body).send().await?;
        let status = answer.status().as_u16();
        Ok((status, serde_json::from_slice(&answer.bytes().await?)?))
    }

    async fn look(&self, made: &Made) -> Result<u16> {
        let url = format!("{}/api/v1/sessions/{}", self.base, made.id);
        let answer = self.client.get(url).bearer_auth(&made.token).send().await?;
        Ok(answer.status().as_u16())
    }

    /// Says how to try it while it runs.
    pub fn explain(&self) {
        let base = &self.base;
        println!("\nThe session API runs too. In another terminal:\n");
        println!(
            "  curl -s {base}/api/v1/sessions -H 'content-type: application/json' \\\n    \
               -d '{{\"app\":\"table_talk\",\"mode\":\"dual\",\"table_token\":\"table_042\"}}'"
        );
        println!(
            "  curl -s {base}/api/v1/join-codes/redeem -H 'content-type: application/json' \\\n    \
               -d '{{\"code\":\"CODE\"}}'"
        );
        println!("  curl -s {base}/api/v1/sessions/ID -H 'authorization: Bearer TOKEN'");
        println!("  curl -s {base}/metrics");
        println!("  psql '{}'", self.url);
    }
}

/// Starts it, and waits until it says where it listens.
async fn serve(program: &Path, url: &str) -> Result<(Child, String)> {
    let mut child = Command::new(program)
        .args(["serve", "--listen", "127.0.0.1:0", "--code-keys", CODE_KEY])
        .args(["--log-format", "json"])
        // A laptop that has other things to do is no reason to answer 503.
        .args(["--acquire-timeout", "10s", "--statement-timeout", "10s"])
        .env("DATABASE_URL", url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start session-api")?;
    let stderr = child.stderr.take().context("session-api has a stderr")?;
    let mut lines = BufReader::new(stderr).lines();
    let listens = async {
        while let Some(text) = lines.next_line().await? {
            let said: Value = serde_json::from_str(&text).unwrap_or_default();
            if let (Some("listening"), Some(address)) =
                (said["message"].as_str(), said["address"].as_str())
            {
                return Ok(format!("http://{address}"));
            }
        }
        bail!("session-api has ended")
    };
    let base = tokio::time::timeout(PATIENCE, listens).await.context("it does not listen")??;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((child, base))
}
