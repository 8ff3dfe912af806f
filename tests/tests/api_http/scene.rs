//! A server on a database of its own, and what phones do again and again.

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tests::job::{self, Ended};
use tests::sessions::chart;
use tests::sessions::replica::{Answer, Phone, Replica};
use tests::{Sessions, database};

/// A migrated database and one server.
pub async fn scene() -> Result<(Sessions, Replica)> {
    let sessions = Sessions::create_on(&database::shared_server().await?).await?;
    let replica = Replica::start(&sessions).await?;
    Ok((sessions, replica))
}

/// Somebody who began a session, and what they were told.
pub struct Host {
    pub phone: Phone,
    pub created: Answer,
}

impl Host {
    pub fn session(&self) -> &str {
        self.created.text("/session/id")
    }

    pub fn group(&self) -> &str {
        self.created.text("/group/id")
    }

    pub fn code(&self) -> &str {
        self.created.text("/pairing/code")
    }

    pub fn path(&self, tail: &str) -> String {
        format!("/api/v1/sessions/{}{tail}", self.session())
    }

    /// A request on the session by its host.
    pub async fn send(
        &self,
        replica: &Replica,
        method: Method,
        tail: &str,
        body: Value,
    ) -> Result<Answer> {
        self.phone.send(replica, method, &self.path(tail), body).await
    }
}

/// Begins a session.
pub async fn begin(replica: &Replica, body: Value) -> Result<Host> {
    let phone = Phone::fresh();
    let created = phone.post(replica, "/api/v1/sessions", body).await?;
    ensure!(created.status == 201, "not created: {}", created.body);
    let phone = phone.with_token(created.text("/participant/token"));
    Ok(Host { phone, created })
}

/// Begins one for one phone.
pub async fn single(replica: &Replica) -> Result<Host> {
    begin(replica, json!({"app": "tarot", "mode": "single"})).await
}

/// Begins one for two phones at a table.
pub async fn dual(replica: &Replica, table_token: &str) -> Result<Host> {
    let body = json!({"app": "table_talk", "mode": "dual", "table_token": table_token});
    begin(replica, body).await
}

/// Another phone comes in.
pub async fn join(replica: &Replica, host: &Host) -> Result<Phone> {
    let phone = Phone::fresh();
    let joined = phone
        .post(replica, &host.path("/participants"), json!({"access_method": "direct"}))
        .await?;
    ensure!(joined.status == 201, "not joined: {}", joined.body);
    Ok(phone.with_token(joined.text("/token")))
}

/// A phone types a code.
pub async fn redeem(replica: &Replica, phone: &Phone, code: &str) -> Result<Answer> {
    phone.post(replica, "/api/v1/join-codes/redeem", json!({"code": code})).await
}

/// A code that is certainly not this one.
pub fn other_than(code: &str) -> &'static str {
    if code == "271828" { "314159" } else { "271828" }
}

/// The names of the events of a session, in their order: outbox, figures or audit log.
pub async fn told(sessions: &Sessions, session: &str) -> Result<[Vec<String>; 3]> {
    let names = async |sql: &str| {
        let all =
            format!("SELECT COALESCE(array_agg(name ORDER BY place), '{{}}') FROM ({sql}) AS told");
        sessions.database.scalar::<Vec<String>>(&all).await
    };
    Ok([
        names(&format!("SELECT type AS name, seq AS place FROM core.session_events WHERE session_id = '{session}'")).await?,
        names(&format!("SELECT event_type AS name, id AS place FROM core.analytics_events WHERE session_id = '{session}'")).await?,
        names(&format!("SELECT event_type AS name, id AS place FROM core.session_audit_log WHERE session_id = '{session}'")).await?,
    ])
}

/// Moves what Postgres knows of a session, as if time had passed.
pub async fn age(sessions: &Sessions, session: &str, set: &str) -> Result<()> {
    let sql = format!("UPDATE core.sessions SET {set} WHERE session_id = '{session}'");
    sessions.database.execute(&sql).await
}

/// One of the policies that come with the chart.
pub fn policy(name: &str) -> Result<Value> {
    let path = chart::folder().join(format!("files/policies/{name}.yaml"));
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    let mut policy: Value = serde_saphyr::from_str(&text).context("a policy is YAML")?;
    policy["metadata"]["namespace"] = json!("tests");
    // Of the few rows of a test nearly all are due.
    Ok(job::with(policy, "/limits/maxPercentOfTable", json!(100)))
}

/// A run of one of them, by a login that is in the cleanup's role.
pub async fn clean(sessions: &Sessions, name: &str) -> Result<Ended> {
    let (url, login) = job::cleaner(&sessions.database).await?;
    let role = &sessions.roles.cleanup;
    sessions.database.execute(&format!("GRANT {role} TO {login}")).await?;
    let ended = job::run(&policy(name)?, &url, &[]).await?;
    ensure!(ended.code == Some(0), "{name}: {}", ended.output);
    Ok(ended)
}
