//! Every problem that the service knows, each brought about by a request that it is for.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tests::Sessions;
use tests::sessions::replica::{Answer, CODE_KEYS, Phone, Replica, read};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::admin::{self, OPERATOR, READER};
use super::scene::{Host, age, begin, dual, join, other_than, redeem, single};

const KEPT: &str = include_str!("../../../docs/openapi.json");
const NOBODY: &str = "7d444840-9dc0-11d1-b245-5ffdce74fad2";

/// The problems that were met, with their statuses.
#[derive(Default)]
struct Met(BTreeMap<String, u16>);

impl Met {
    /// Keeps an answer, which has to be the problem of this code and to say all that one says.
    fn is(&mut self, code: &str, answer: &Answer) {
        assert_eq!(answer.body["code"], code, "{} {}", answer.status, answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{code}");
        assert_eq!(answer.body["status"], answer.status, "{code}");
        for member in ["type", "title", "detail", "instance", "request_id", "server_time"] {
            assert!(!answer.text(&format!("/{member}")).is_empty(), "{member} of {}", answer.body);
        }
        self.0.insert(code.to_owned(), answer.status);
    }
}

/// Proves: G6.
#[tokio::test]
async fn every_problem_is_met_by_a_request_and_says_what_is_wrong() -> Result<()> {
    let (sessions, replica) = admin::scene().await?;
    let mut met = Met::default();
    requests(&mut met, &replica).await?;
    tokens(&mut met, &replica).await?;
    changes(&mut met, &sessions, &replica).await?;
    ends(&mut met, &sessions, &replica).await?;
    groups(&mut met, &sessions, &replica).await?;
    codes(&mut met, &sessions, &replica).await?;
    after_hours(&mut met, &replica).await?;
    slow(&mut met, &sessions).await?;
    our_own(&mut met, &sessions, &replica).await?;

    let document: Value = serde_json::from_str(KEPT)?;
    let all = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    let all = all.as_array().context("the codes")?.iter().filter_map(Value::as_str);
    let missed: Vec<_> = all.filter(|code| !met.0.contains_key(*code)).collect();
    assert!(missed.is_empty(), "nobody has met {missed:?}");
    let page = include_str!("../../../docs/session-api-http.md");
    for (code, status) in &met.0 {
        let row = format!("| `{code}` | {status} |");
        assert!(page.contains(&row), "{row}");
    }
    Ok(())
}

/// What cannot be a request of ours.
async fn requests(met: &mut Met, replica: &Replica) -> Result<()> {
    let post = || replica.request(Method::POST, "/api/v1/sessions");
    let json = || post().header("content-type", "application/json");
    met.is("route_not_found", &read(replica.request(Method::GET, "/api/v2/sessions")).await?);
    met.is("method_not_allowed", &read(replica.request(Method::PUT, "/api/v1/sessions")).await?);
    met.is("request_malformed", &read(json().body("[1, 2")).await?);
    met.is("media_type_unsupported", &read(post().body("app=tarot")).await?);
    let large = format!("{{\"title\": \"{}\"}}", "x".repeat(40_000));
    met.is("body_too_large", &read(json().body(large)).await?);
    met.is("validation_failed", &read(json().body("{\"mode\": 1}")).await?);
    Ok(())
}

/// Who may not.
async fn tokens(met: &mut Met, replica: &Replica) -> Result<()> {
    let nobody = Phone::fresh();
    let host = single(replica).await?;
    met.is("token_invalid", &nobody.get(replica, &host.path("")).await?);
    met.is("admin_key_invalid", &nobody.get(replica, "/api/v1/audit").await?);
    let act = |what: &str| format!("/api/v1/admin/sessions/{}/{what}", host.session());
    let reader = nobody.with_token(READER);
    met.is("scope_insufficient", &reader.post(replica, &act("end"), Value::Null).await?);
    let absent = json!({"participant_id": NOBODY});
    let operator = nobody.with_token(OPERATOR);
    let disconnect = operator.post(replica, &act("disconnect"), absent).await?;
    met.is("participant_not_found", &disconnect);
    let guest = join(replica, &host).await?;
    met.is("not_the_host", &guest.post(replica, &host.path("/end"), Value::Null).await?);
    let elsewhere = format!("/api/v1/sessions/{NOBODY}");
    met.is("session_not_found", &guest.get(replica, &elsewhere).await?);
    Ok(())
}

/// What is changed without knowing what is there, or twice.
async fn changes(met: &mut Met, sessions: &Sessions, replica: &Replica) -> Result<()> {
    let host = single(replica).await?;
    let patch = || host.phone.request(replica, Method::PATCH, &host.path("")).json(&json!({}));
    met.is("precondition_required", &read(patch()).await?);
    met.is("precondition_failed", &read(patch().header("if-match", "\"0\"")).await?);

    let phone = Phone::fresh();
    let create = |key: &str, app: &str| {
        let request = phone.request(replica, Method::POST, "/api/v1/sessions");
        request
            .header("idempotency-key", key.to_owned())
            .json(&json!({"app": app, "mode": "single"}))
    };
    assert_eq!(read(create("k1", "tarot")).await?.status, 201);
    met.is("idempotency_key_reused", &read(create("k1", "table_talk")).await?);
    // As while the first request with the key is under way.
    let held = format!(
        "SELECT pg_advisory_xact_lock(hashtextextended(concat_ws(chr(31), '{}', '/api/v1/sessions', 'k2'), 1))",
        phone.address
    );
    let mut first = sessions.database.pool().begin().await?;
    sqlx::query(AssertSqlSafe(held)).execute(&mut *first).await?;
    met.is("idempotency_key_busy", &read(create("k2", "tarot")).await?);
    first.rollback().await?;
    Ok(())
}

/// What is over, and what is full.
async fn ends(met: &mut Met, sessions: &Sessions, replica: &Replica) -> Result<()> {
    let host = single(replica).await?;
    let recover =
        async |host: &Host| host.send(replica, Method::POST, "/recover", Value::Null).await;
    met.is("session_live", &recover(&host).await?);
    let fill = format!(
        "INSERT INTO core.session_participants (session_id) SELECT '{}' FROM generate_series(1, 63)",
        host.session()
    );
    sessions.database.execute(&fill).await?;
    let direct = json!({"access_method": "direct"});
    met.is(
        "session_full",
        &Phone::fresh().post(replica, &host.path("/participants"), direct).await?,
    );

    let invited = host.send(replica, Method::POST, "/invites", Value::Null).await?;
    let silent = "UPDATE core.session_participants SET last_seen_at = now() - interval '2 hours'";
    sessions.database.execute(silent).await?;
    let link = format!("/api/v1/invites/{}", invited.text("/invite/token"));
    met.is("invite_expired", &Phone::fresh().get(replica, &link).await?);

    age(sessions, host.session(), "expires_at = now() - interval '16 minutes'").await?;
    met.is("session_expired", &host.send(replica, Method::GET, "", Value::Null).await?);
    met.is("recovery_over", &recover(&host).await?);
    let ended = single(replica).await?;
    ended.send(replica, Method::POST, "/end", Value::Null).await?;
    met.is("session_ended", &recover(&ended).await?);
    Ok(())
}

/// Tables and parties of others.
async fn groups(met: &mut Met, sessions: &Sessions, replica: &Replica) -> Result<()> {
    let body = json!({"app": "table_talk", "mode": "single", "table_token": "t1"});
    let host = begin(replica, body).await?;
    let group = format!("/api/v1/groups/{NOBODY}");
    met.is("group_not_found", &host.phone.get(replica, &group).await?);
    met.is("not_at_the_table", &host.phone.get(replica, "/api/v1/tables/t2/groups").await?);
    let alone = "SELECT count(*) FROM core.session_groups WHERE table_token = 't1'";
    assert_eq!(sessions.database.scalar::<i64>(alone).await?, 1);
    Ok(())
}

/// Codes.
async fn codes(met: &mut Met, sessions: &Sessions, replica: &Replica) -> Result<()> {
    let host = dual(replica, "table_042").await?;
    let guesser = Phone::fresh();
    for _ in 0..5 {
        let wrong = redeem(replica, &guesser, other_than(host.code())).await?;
        met.is("join_code_invalid", &wrong);
    }
    met.is("quota-exceeded", &redeem(replica, &guesser, other_than(host.code())).await?);
    let direct = json!({"access_method": "direct"});
    met.is(
        "code_required",
        &Phone::fresh().post(replica, &host.path("/participants"), direct).await?,
    );
    assert_eq!(redeem(replica, &Phone::fresh(), host.code()).await?.status, 200);
    met.is("already_paired", &host.send(replica, Method::POST, "/join-code", Value::Null).await?);
    let late = dual(replica, "table_042").await?;
    age(sessions, late.session(), "pairing_expires_at = now() - interval '11 minutes'").await?;
    met.is("join_code_expired", &redeem(replica, &Phone::fresh(), late.code()).await?);
    let one = single(replica).await?;
    met.is("not_dual", &one.send(replica, Method::POST, "/join-code", Value::Null).await?);
    Ok(())
}

/// Who matches whom.
async fn after_hours(met: &mut Met, replica: &Replica) -> Result<()> {
    let base = "/api/v1/after-hours";
    let ann = json!({"app": "after_hours", "mode": "single", "user_id": "ann"});
    let ann = begin(replica, ann).await?;
    let come = async |user: &str| {
        let body = json!({"access_method": "direct", "user_id": user});
        Phone::fresh().post(replica, &ann.path("/participants"), body).await
    };
    assert_eq!(come("bob").await?.status, 201);
    assert_eq!(come("cat").await?.status, 201);
    met.is("user_present", &come("bob").await?);
    let make = async |host: &Host, users: [&str; 2]| {
        let body = json!({"session_id": host.session(), "user_ids": users});
        host.phone.post(replica, &format!("{base}/matches"), body).await
    };
    met.is("user_absent", &make(&ann, ["ann", "dan"]).await?);
    assert_eq!(make(&ann, ["ann", "bob"]).await?.status, 201);
    met.is("already_matched", &make(&ann, ["bob", "ann"]).await?);
    let decline = json!({"session_id": ann.session(), "declined_user_id": "cat"});
    let declined = ann.phone.post(replica, &format!("{base}/declines"), decline).await?;
    assert_eq!(declined.status, 201, "{}", declined.body);
    met.is("user_declined", &make(&ann, ["ann", "cat"]).await?);
    let messages = format!("{base}/matches/{NOBODY}/messages");
    met.is("match_not_found", &ann.phone.get(replica, &messages).await?);
    met.is("wrong_app", &make(&single(replica).await?, ["ann", "bob"]).await?);
    Ok(())
}

/// A body that does not come.
async fn slow(met: &mut Met, sessions: &Sessions) -> Result<()> {
    let flags = [("--code-keys", CODE_KEYS[0]), ("--request-timeout", "1s")];
    let replica = Replica::start_with(sessions, &flags).await?;
    let mut stream = TcpStream::connect(replica.base().trim_start_matches("http://")).await?;
    let head = "POST /api/v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 32\r\n\r\n{";
    stream.write_all(head.as_bytes()).await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    let (head, body) = said.split_once("\r\n\r\n").context("an answer")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("a status")?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: HashMap<_, _> =
        headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let headers = (&headers).try_into()?;
    let answer = Answer { status: status.parse()?, headers, body: serde_json::from_str(body)? };
    met.is("request_timeout", &answer);
    assert_eq!(answer.header("connection"), "close");
    Ok(())
}

/// What is nobody's fault but ours, or the moment's.
async fn our_own(met: &mut Met, sessions: &Sessions, replica: &Replica) -> Result<()> {
    let flags = [("--code-keys", CODE_KEYS[0]), ("--statement-timeout", "200ms")];
    let hurried = Replica::start_with(sessions, &flags).await?;
    let host = single(replica).await?;
    let mut holder = sessions.database.pool().begin().await?;
    sqlx::query("SELECT 1 FROM core.sessions FOR UPDATE").execute(&mut *holder).await?;
    let end = host.phone.post(&hurried, &host.path("/end"), Value::Null).await?;
    met.is("overloaded", &end);
    assert_eq!(end.header("retry-after"), "1");
    holder.rollback().await?;
    let refuse =
        "ALTER TABLE core.sessions ADD CONSTRAINT never CHECK (title <> 'never') NOT VALID";
    sessions.database.execute(refuse).await?;
    let body = json!({"app": "tarot", "mode": "single", "title": "never"});
    met.is("internal", &Phone::fresh().post(replica, "/api/v1/sessions", body).await?);
    Ok(())
}
