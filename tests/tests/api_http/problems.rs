//! What is wrong is told in one form, whoever notices; and nobody's secret with it.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tests::sessions::replica::{Phone, read};

use super::scene::{begin, dual, join, redeem, scene};

#[tokio::test]
async fn whatever_is_wrong_with_a_request_is_a_problem_with_every_member() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let post = || replica.request(Method::POST, "/api/v1/sessions");
    let json =
        |request: reqwest::RequestBuilder| request.header("content-type", "application/json");
    let large = format!("{{\"title\": \"{}\"}}", "x".repeat(33 * 1024));
    for (request, status, code) in [
        (replica.request(Method::GET, "/api/v1/nothing"), 404, "route_not_found"),
        (replica.request(Method::GET, "/"), 404, "route_not_found"),
        (replica.request(Method::GET, "/problems/%ff"), 404, "route_not_found"),
        (replica.request(Method::PUT, "/api/v1/sessions"), 405, "method_not_allowed"),
        (json(post()).body("{"), 400, "request_malformed"),
        (json(post()).body("[]"), 400, "request_malformed"),
        (post(), 422, "validation_failed"),
        (json(post()), 422, "validation_failed"),
        (post().body("{}"), 415, "media_type_unsupported"),
        (post().header("content-type", "text/plain").body("{}"), 415, "media_type_unsupported"),
        (json(post()).body(large), 413, "body_too_large"),
        (post().json(&json!({})), 422, "validation_failed"),
        (
            replica.request(Method::GET, "/api/v1/sessions/7d444840-9dc0-11d1-b245-5ffdce74fad2"),
            401,
            "token_invalid",
        ),
    ] {
        let answer = read(request.header("x-request-id", "from-the-test")).await?;
        assert_eq!(answer.problem(), (status, code), "{}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let object = answer.body.as_object().context("an object")?;
        for member in ["type", "title", "detail", "instance", "code", "request_id", "server_time"] {
            let is_text =
                object.get(member).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
            assert!(is_text, "{member} of {}", answer.body);
        }
        assert_eq!(answer.body["status"], status);
        assert_eq!(answer.text("/request_id"), "from-the-test");
        assert_eq!(answer.header("x-request-id"), "from-the-test");
        assert!(!answer.header("date").is_empty());
        let page = replica.request(Method::GET, answer.text("/type")).send().await?;
        assert!(page.text().await?.starts_with(code), "{}", answer.text("/type"));
    }
    let refused = read(replica.request(Method::PUT, "/api/v1/sessions")).await?;
    assert_eq!(refused.header("allow"), "POST");
    let nobody =
        read(replica.request(Method::GET, "/api/v1/sessions/7d444840-9dc0-11d1-b245-5ffdce74fad2"))
            .await?;
    assert_eq!(nobody.header("www-authenticate"), "Bearer");
    Ok(())
}

#[tokio::test]
async fn every_field_that_is_wrong_is_told_at_once_and_no_field_is_repeated() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let body = json!({
        "app": "<script>",
        "title": "",
        "ttl_s": 0,
        "table_token": "a b",
        "<img>": 1,
    });
    let answer = Phone::fresh().post(&replica, "/api/v1/sessions", body).await?;
    assert_eq!(answer.problem(), (422, "validation_failed"));
    let fields: Vec<_> = answer.body["errors"]
        .as_array()
        .context("errors")?
        .iter()
        .map(|error| &error["field"])
        .collect();
    assert_eq!(fields, ["app", "mode", "table_token", "title", "ttl_s", ""]);
    let text = answer.body.to_string();
    assert!(!text.contains("script") && !text.contains("img"), "{text}");
    Ok(())
}

#[tokio::test]
async fn answers_are_kept_by_nobody_and_framed_nowhere() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    for path in ["/healthz", "/api/v1/nothing"] {
        let answer = read(replica.request(Method::GET, path)).await?;
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"));
        assert_eq!(answer.header("x-request-id").len(), 36);
        assert_eq!(answer.header("access-control-allow-origin"), "", "no origin is listed");
    }
    Ok(())
}

#[tokio::test]
async fn only_pages_of_the_list_may_call() -> Result<()> {
    let (sessions, _) = scene().await?;
    let keys = tests::sessions::replica::CODE_KEYS[0];
    let flags = [("--code-keys", keys), ("--cors-origins", "https://a.example,https://b.example")];
    let replica = tests::sessions::replica::Replica::start_with(&sessions, &flags).await?;
    let preflight = async |origin: &str| {
        let request = replica.request(Method::OPTIONS, "/api/v1/sessions").header("origin", origin);
        read(request.header("access-control-request-method", "POST")).await
    };
    let listed = preflight("https://b.example").await?;
    assert_eq!(listed.header("access-control-allow-origin"), "https://b.example");
    assert_eq!(listed.header("access-control-allow-credentials"), "");
    assert!(listed.header("vary").to_lowercase().contains("origin"));
    assert_eq!(preflight("https://c.example").await?.header("access-control-allow-origin"), "");
    Ok(())
}

#[tokio::test]
async fn a_page_is_also_shown_that_there_was_too_much_to_do() -> Result<()> {
    let (sessions, patient) = scene().await?;
    let host = begin(&patient, json!({"app": "tarot", "mode": "single"})).await?;
    let origin = "https://a.example";
    let flags = [
        ("--code-keys", tests::sessions::replica::CODE_KEYS[0]),
        ("--cors-origins", origin),
        ("--request-timeout", "1s"),
    ];
    let replica = tests::sessions::replica::Replica::start_with(&sessions, &flags).await?;
    let mut holder = sessions.database.pool().begin().await?;
    sqlx::query("SELECT 1 FROM core.sessions FOR UPDATE").execute(&mut *holder).await?;
    let end = host.phone.request(&replica, Method::POST, &host.path("/end"));
    let answer = read(end.header("origin", origin)).await?;
    assert_eq!(answer.problem(), (503, "overloaded"));
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    holder.rollback().await?;
    Ok(())
}

#[tokio::test]
async fn no_token_no_code_and_no_word_of_anybody_is_in_the_log() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let canary = "canary-5f2e";
    let host = dual(&replica, "canary-5f2e").await?;
    let named = json!({"app": "tarot", "mode": "single", "title": canary, "display_name": canary});
    let single = begin(&replica, named).await?;
    let guest = join(&replica, &single).await?;
    let paired = redeem(&replica, &Phone::fresh(), host.code()).await?;
    redeem(&replica, &Phone::fresh(), host.code()).await?;
    Phone::fresh()
        .post(&replica, "/api/v1/sessions?q=canary-5f2e", json!({"title": canary}))
        .await?;
    // The database refuses, and says so with the whole row.
    let refuse =
        "ALTER TABLE core.sessions ADD CONSTRAINT never CHECK (title <> 'canary-5f2e') NOT VALID";
    sessions.database.execute(refuse).await?;
    let named = json!({"app": "tarot", "mode": "single", "title": canary});
    let broken = Phone::fresh().post(&replica, "/api/v1/sessions", named).await?;
    assert_eq!(broken.problem(), (500, "internal"), "{}", broken.body);
    assert!(!broken.body.to_string().contains("canary"), "{}", broken.body);

    let log = replica.log();
    let request_id = broken.text("/request_id");
    let lines = replica.lines();
    let error =
        lines.iter().find(|line| line["level"] == "ERROR").context("the failure is logged")?;
    assert_eq!(error["request_id"], request_id);
    assert!(lines.iter().any(
        |line| line["http.route"] == "/api/v1/join-codes/redeem" && line["http.status"] == 200
    ));
    for phone in [&host.phone, &single.phone, &guest] {
        let token = phone.token.as_deref().context("a token")?;
        assert!(!log.contains(&token[3..]), "a token");
        assert!(!log.contains(&phone.address.to_string()), "an address");
    }
    assert!(!log.contains(&paired.text("/token")[3..]), "a token");
    assert!(!log.contains(&format!("\"{}\"", host.code())), "a code");
    for secret in [canary, "000102030405"] {
        let found = log.lines().find(|line| line.contains(secret));
        assert_eq!(found, None);
    }
    Ok(())
}
