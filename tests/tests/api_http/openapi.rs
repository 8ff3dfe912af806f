//! The description of the paths, held against a server that runs: it says what there is, what a request needs and
//! may have, who may ask, and what an answer is made of.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Map, Value, json};
use tests::sessions::replica::{Answer, Phone, Replica};

use super::admin::{self, OPERATOR};
use super::scene::{Host, begin, dual, other_than, redeem};

const KEPT: &str = include_str!("../../../docs/openapi.json");
const SOMETHING: &str = "7d444840-9dc0-11d1-b245-5ffdce74fad2";

struct Operation<'a> {
    method: Method,
    path: String,
    described: &'a Value,
}

fn operations(document: &Value) -> Result<Vec<Operation<'_>>> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().context("paths")? {
        for (method, described) in methods.as_object().context("methods")? {
            let method = Method::from_bytes(method.to_uppercase().as_bytes())?;
            let path = path
                .replace("{id}", SOMETHING)
                .replace("{token}", &format!("in_{}", "0".repeat(64)))
                .replace("{table_token}", "t1");
            all.push(Operation { method, path, described });
        }
    }
    Ok(all)
}

impl Operation<'_> {
    fn takes(&self, bearer: &str) -> bool {
        self.described["security"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one.get(bearer).is_some()))
    }

    fn body(&self) -> Option<&Map<String, Value>> {
        let schema = self.described.pointer("/requestBody/content/application~1json/schema");
        schema.and_then(Value::as_object)
    }

    async fn ask(&self, replica: &Replica, body: Value) -> Result<Answer> {
        let nobody = format!("st_{}", "0".repeat(64));
        let token = if self.takes("admin") { OPERATOR } else { &nobody };
        self.ask_as(&Phone::fresh().with_token(token), replica, body).await
    }

    async fn ask_as(&self, phone: &Phone, replica: &Replica, body: Value) -> Result<Answer> {
        phone.send(replica, self.method.clone(), &self.path, body).await
    }
}

fn wrong_fields(answer: &Answer) -> BTreeSet<String> {
    let errors = answer.body["errors"].as_array();
    let fields = errors.into_iter().flatten().filter_map(|error| error["field"].as_str());
    fields.map(str::to_owned).collect()
}

#[tokio::test]
async fn it_is_served_as_it_is_kept_and_as_a_page_that_asks_nobody_else() -> Result<()> {
    let (_sessions, replica) = admin::scene().await?;
    let served = Phone::fresh().get(&replica, "/openapi.json").await?;
    let kept: Value = serde_json::from_str(KEPT)?;
    assert_eq!(served.body, kept, "run `session-api openapi > docs/openapi.json`");
    assert_eq!(served.body["openapi"], "3.1.0");
    let response = replica.request(Method::GET, "/docs").send().await?;
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let page = response.text().await?;
    assert!(!page.contains("://") && !page.contains("<script"), "{page}");
    for path in kept["paths"].as_object().context("paths")?.keys() {
        assert!(page.contains(&format!(" {path}</code>")), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn each_operation_is_there_reads_its_own_fields_and_asks_who_it_is() -> Result<()> {
    let (_sessions, replica) = admin::scene().await?;
    let document: Value = serde_json::from_str(KEPT)?;
    let mut bodies = 0;
    for operation in operations(&document)? {
        let place = format!("{} {}", operation.method, operation.path);
        let answer = operation.ask(&replica, Value::Null).await?;
        let known = operation.described["responses"].as_object().context("responses")?;
        assert!(known.contains_key(&answer.status.to_string()), "{place}: {}", answer.body);
        assert!(answer.problem() != (404, "route_not_found"), "{place}");
        if operation.takes("participant") {
            let without = operation.ask_as(&Phone::fresh(), &replica, Value::Null).await?;
            assert_eq!(without.problem(), (401, "token_invalid"), "{place}");
        }
        let Some(body) = operation.body() else { continue };
        bodies += 1;
        // Each field that is described is read, and no other one.
        let fields = body["properties"].as_object().context("fields")?;
        let wrong: Map<_, _> = fields.keys().map(|field| (field.clone(), json!({}))).collect();
        let answer = operation.ask(&replica, Value::Object(wrong)).await?;
        assert_eq!(answer.problem(), (422, "validation_failed"), "{place}");
        let described: BTreeSet<_> = fields.keys().cloned().collect();
        assert_eq!(wrong_fields(&answer), described, "{place}");
        let required = body["required"].as_array().context("required")?.iter();
        let required: BTreeSet<_> = required.filter_map(Value::as_str).map(str::to_owned).collect();
        let answer = operation.ask(&replica, json!({})).await?;
        assert_eq!(wrong_fields(&answer), required, "{place}");
    }
    assert!(bodies >= 13, "{bodies}");
    Ok(())
}

/// Whether an answer has the members that are described.
fn fits(operation: &str, answer: &Answer) -> Result<()> {
    let document: Value = serde_json::from_str(KEPT)?;
    let (method, path) = operation.split_once(' ').context("a method")?;
    let described = &document["paths"][path][method]["responses"][answer.status.to_string()];
    let headers = described["headers"].as_object().cloned().unwrap_or_default();
    for name in document["components"]["headers"].as_object().context("headers")?.keys() {
        let is_there = !answer.header(name).is_empty();
        ensure!(is_there == headers.contains_key(name), "{operation}: {name} is {is_there}");
    }
    let schema = described.pointer("/content/application~1json/schema");
    let schema =
        schema.with_context(|| format!("{operation}: {} is not described", answer.status))?;
    compare(&document, schema, &answer.body)
        .with_context(|| format!("{operation}: {}", answer.body))
}

/// Somebody in After Hours, at a table.
async fn ann(replica: &Replica) -> Result<Host> {
    let body =
        json!({"app": "after_hours", "mode": "single", "table_token": "t1", "user_id": "ann"});
    begin(replica, body).await
}

async fn bob(replica: &Replica, host: &Host) -> Result<Answer> {
    let body = json!({"access_method": "direct", "user_id": "bob"});
    Phone::fresh().post(replica, &host.path("/participants"), body).await
}

/// Proves: L15.
#[tokio::test]
async fn answers_of_sessions_have_the_members_that_are_described() -> Result<()> {
    let (_sessions, replica) = admin::scene().await?;
    let host = ann(&replica).await?;
    fits("post /api/v1/sessions", &host.created)?;
    let send = async |method, tail: &str, body| host.send(&replica, method, tail, body).await;
    fits("get /api/v1/sessions/{id}", &send(Method::GET, "", Value::Null).await?)?;
    fits("post /api/v1/sessions/{id}/participants", &bob(&replica, &host).await?)?;
    let ready = send(Method::PUT, "/participants/me/ready", json!({"ready": true})).await?;
    fits("put /api/v1/sessions/{id}/participants/me/ready", &ready)?;
    let invited = send(Method::POST, "/invites", Value::Null).await?;
    fits("post /api/v1/sessions/{id}/invites", &invited)?;
    let invite = format!("/api/v1/invites/{}", invited.text("/invite/token"));
    fits("get /api/v1/invites/{token}", &Phone::fresh().get(&replica, &invite).await?)?;
    fits("post /api/v1/sessions/{id}/end", &send(Method::POST, "/end", Value::Null).await?)?;

    let pair = dual(&replica, "table_042").await?;
    fits("post /api/v1/sessions", &pair.created)?;
    let again = pair.send(&replica, Method::POST, "/join-code", Value::Null).await?;
    fits("post /api/v1/sessions/{id}/join-code", &again)?;
    let paired = redeem(&replica, &Phone::fresh(), again.text("/pairing/code")).await?;
    fits("post /api/v1/join-codes/redeem", &paired)?;
    let gone = Phone::fresh().get(&replica, &pair.path("")).await?;
    let document: Value = serde_json::from_str(KEPT)?;
    compare(&document, &document["components"]["schemas"]["Problem"], &gone.body)
}

/// Proves: L15.
#[tokio::test]
async fn answers_of_groups_and_after_hours_have_the_members_that_are_described() -> Result<()> {
    let (_sessions, replica) = admin::scene().await?;
    let host = ann(&replica).await?;
    bob(&replica, &host).await?;
    let get = async |path: &str| host.phone.get(&replica, &format!("/api/v1{path}")).await;
    let post =
        async |path: &str, body| host.phone.post(&replica, &format!("/api/v1{path}"), body).await;
    fits("get /api/v1/groups/{id}", &get(&format!("/groups/{}", host.group())).await?)?;
    fits("get /api/v1/tables/{table_token}/groups", &get("/tables/t1/groups").await?)?;
    let id = host.session();
    let body = json!({"session_id": id, "declined_user_id": "dan"});
    fits("post /api/v1/after-hours/declines", &post("/after-hours/declines", body).await?)?;
    let body = json!({"session_id": id, "fingerprint": "x"});
    fits("post /api/v1/after-hours/fingerprints", &post("/after-hours/fingerprints", body).await?)?;
    let body = json!({"session_id": id, "user_ids": ["ann", "bob"]});
    let made = post("/after-hours/matches", body).await?;
    fits("post /api/v1/after-hours/matches", &made)?;
    let path = format!("/after-hours/matches/{}", made.text("/match/id"));
    let described = "/api/v1/after-hours/matches/{id}";
    let written = post(&format!("{path}/messages"), json!({"body": "hi"})).await?;
    fits(&format!("post {described}/messages"), &written)?;
    fits(&format!("get {described}/messages"), &get(&format!("{path}/messages")).await?)?;
    fits(&format!("post {described}/save"), &post(&format!("{path}/save"), Value::Null).await?)
}

/// Proves: L15.
#[tokio::test]
async fn answers_to_admins_have_the_members_that_are_described() -> Result<()> {
    let (_sessions, replica) = admin::scene().await?;
    let pair = dual(&replica, "table_042").await?;
    redeem(&replica, &Phone::fresh(), other_than(pair.code())).await?;
    redeem(&replica, &Phone::fresh(), pair.code()).await?;
    let admin = Phone::fresh().with_token(OPERATOR);
    let acts =
        [("broadcast", json!({"message": "x"})), ("disconnect", json!({})), ("end", Value::Null)];
    for (what, body) in acts {
        let path = format!("/api/v1/admin/sessions/{}/{what}", pair.session());
        let done = admin.post(&replica, &path, body).await?;
        fits(&format!("post /api/v1/admin/sessions/{{id}}/{what}"), &done)?;
    }
    let document: Value = serde_json::from_str(KEPT)?;
    let all = operations(&document)?;
    let figures = all.iter().filter(|one| one.takes("admin") && one.method == Method::GET);
    let mut count = 0;
    for operation in figures {
        count += 1;
        let period = "?from=2026-01-01T00:00:00Z&to=2027-01-01T00:00:00Z";
        let period = if operation.path.ends_with("usage") { period } else { "" };
        let answer = admin.get(&replica, &format!("{}{period}", operation.path)).await?;
        fits(&format!("get {}", operation.path), &answer)?;
    }
    assert_eq!(count, 10);
    Ok(())
}

/// Whether a value is what a schema says: every member that is described, and no other.
fn compare(document: &Value, schema: &Value, value: &Value) -> Result<()> {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.trim_start_matches('#')).context("a reference")?;
        return compare(document, schema, value);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = choices.iter().any(|choice| compare(document, choice, value).is_ok());
        ensure!(fits, "{value} is none of {choices:?}");
        return Ok(());
    }
    match schema["type"].as_str().unwrap_or_default() {
        "null" => ensure!(value.is_null(), "{value} is something"),
        "boolean" => ensure!(value.is_boolean(), "{value} is no boolean"),
        "integer" => ensure!(value.is_i64(), "{value} is no integer"),
        "number" => ensure!(value.is_number(), "{value} is no number"),
        "string" => ensure!(value.is_string(), "{value} is no text"),
        "array" => {
            for item in value.as_array().with_context(|| format!("{value} is no list"))? {
                compare(document, &schema["items"], item)?;
            }
        }
        "object" => {
            let members = value.as_object().with_context(|| format!("{value} is no object"))?;
            let Some(described) = schema["properties"].as_object().filter(|all| !all.is_empty())
            else {
                return Ok(());
            };
            for (name, member) in members {
                let schema =
                    described.get(name).with_context(|| format!("{name} is not described"))?;
                compare(document, schema, member).with_context(|| name.clone())?;
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                ensure!(
                    name.as_str().is_some_and(|name| members.contains_key(name)),
                    "{name} is missing"
                );
            }
        }
        other => anyhow::bail!("the schema has the type {other:?}"),
    }
    Ok(())
}
