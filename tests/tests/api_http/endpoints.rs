//! Every endpoint against every kind of token.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tests::sessions::replica::{Phone, read};

use super::admin::{self, OPERATOR, READER};
use super::scene::{age, begin, dual, join, scene, single};

/// Those that take a token: method, what follows the session, body, and the answer when it has expired.
const ENDPOINTS: [(Method, &str, &str, u16); 11] = [
    (Method::GET, "", "", 410),
    (Method::PATCH, "", "{}", 410),
    (Method::POST, "/end", "", 410),
    (Method::POST, "/invites", "", 410),
    // That is what it is for.
    (Method::POST, "/recover", "", 200),
    (Method::POST, "/join-code", "", 410),
    (Method::DELETE, "/join-code", "", 410),
    (Method::PUT, "/participants/me/heartbeat", "", 410),
    (Method::PUT, "/participants/me/ready", r#"{"ready": true}"#, 410),
    // What is over can still be left and cleared away.
    (Method::DELETE, "/participants/me", "", 204),
    (Method::DELETE, "", "", 204),
];

/// Proves: G7.
#[tokio::test]
async fn a_token_opens_its_own_session_and_tells_nothing_of_any_other() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let (host, stranger) = (dual(&replica, "table_042").await?, dual(&replica, "table_042").await?);
    let of_another_app = single(&replica).await?;
    let left = join(&replica, &of_another_app).await?;
    let leave = of_another_app.path("/participants/me");
    left.send(&replica, Method::DELETE, &leave, Value::Null).await?;

    let nobody = Phone::fresh();
    let unknown = nobody.with_token(&format!("st_{}", "0".repeat(64)));
    let malformed = nobody.with_token("st_zz");
    let missing = "/api/v1/sessions/7d444840-9dc0-11d1-b245-5ffdce74fad2";
    let no_id = "/api/v1/sessions/42";
    for (method, tail, body, _) in ENDPOINTS {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let ask = async |phone: &Phone, session: &str| {
            let path = format!("{session}{tail}");
            let answer = phone.send(&replica, method.clone(), &path, body.clone()).await?;
            Ok::<_, anyhow::Error>((answer.status, answer.text("/code").to_owned()))
        };
        let own = host.path("");
        let place = format!("{method} {tail}");
        for phone in [&nobody, &unknown, &malformed, &left] {
            let refused = (401, "token_invalid".to_owned());
            assert_eq!(ask(phone, &own).await?, refused, "{place}");
        }
        // Who is nobody is not told what is wrong with the rest.
        let broken = nobody.request(&replica, method.clone(), &format!("{own}{tail}"));
        let broken = read(broken.header("content-type", "application/json").body("{")).await?;
        assert_eq!(broken.problem(), (401, "token_invalid"), "{place}");
        let absent = (404, "session_not_found".to_owned());
        for phone in [&stranger.phone, &of_another_app.phone] {
            assert_eq!(ask(phone, &own).await?, absent, "{place}");
        }
        for session in [missing, no_id] {
            assert_eq!(ask(&host.phone, session).await?, absent, "{place}");
        }
    }
    let untouched = host.send(&replica, Method::GET, "", Value::Null).await?;
    assert_eq!((untouched.status, untouched.text("/session/state")), (200, "active"));
    assert_eq!(untouched.text("/session/dual_status"), "waiting");
    Ok(())
}

#[tokio::test]
async fn every_endpoint_knows_when_a_session_is_over() -> Result<()> {
    let (sessions, replica) = scene().await?;
    for (method, tail, body, expected) in ENDPOINTS {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        // Who leaves has no token any more, so each endpoint has a host of its own.
        let host = dual(&replica, "table_042").await?;
        age(&sessions, host.session(), "expires_at = now()").await?;
        let answer = host.send(&replica, method.clone(), tail, body).await?;
        assert_eq!(answer.status, expected, "{method} {tail}: {}", answer.body);
    }
    Ok(())
}

/// Those that take a token and name no session in their path: the path, body, and what one of another session
/// and of another app is told. `S`, `G` and `M` stand for the ids of session, group and match.
const OTHERS: [(Method, &str, &str, u16, u16); 8] = [
    (Method::GET, "/groups/G", "", 404, 404),
    (Method::GET, "/tables/t1/groups", "", 403, 403),
    (
        Method::POST,
        "/after-hours/declines",
        r#"{"session_id": "S", "declined_user_id": "x"}"#,
        404,
        404,
    ),
    (
        Method::POST,
        "/after-hours/fingerprints",
        r#"{"session_id": "S", "fingerprint": "x"}"#,
        404,
        404,
    ),
    (
        Method::POST,
        "/after-hours/matches",
        r#"{"session_id": "S", "user_ids": ["ann", "bob"]}"#,
        404,
        404,
    ),
    (Method::GET, "/after-hours/matches/M/messages", "", 404, 403),
    (Method::POST, "/after-hours/matches/M/messages", r#"{"body": "x"}"#, 404, 403),
    (Method::POST, "/after-hours/matches/M/save", "", 404, 403),
];

/// Proves: G7.
#[tokio::test]
async fn what_names_no_session_is_for_those_in_it_too() -> Result<()> {
    let (sessions, replica) = admin::scene().await?;
    let body = |user: &str, table: &str| json!({"app": "after_hours", "mode": "single", "table_token": table, "user_id": user});
    let host = begin(&replica, body("ann", "t1")).await?;
    let stranger = begin(&replica, body("ann", "t2")).await?;
    let of_another_app = single(&replica).await?;
    let bob = json!({"access_method": "direct", "user_id": "bob"});
    Phone::fresh().post(&replica, &host.path("/participants"), bob).await?;
    let users = json!({"session_id": host.session(), "user_ids": ["ann", "bob"]});
    let made = host.phone.post(&replica, "/api/v1/after-hours/matches", users).await?;
    assert_eq!(made.status, 201, "{}", made.body);
    let ids = |text: &str| {
        let text = text.replace("/G", &format!("/{}", host.group()));
        text.replace("/M/", &format!("/{}/", made.text("/match/id")))
            .replace("\"S\"", &format!("\"{}\"", host.session()))
    };
    let nobody = Phone::fresh();
    for round in ["live", "expired"] {
        for (method, path, body, of_other_session, of_other_app) in OTHERS {
            let body: Value = serde_json::from_str(&ids(body)).unwrap_or_default();
            let path = format!("/api/v1{}", ids(path));
            let ask = async |phone: &Phone| {
                phone.send(&replica, method.clone(), &path, body.clone()).await
            };
            for token in ["", "st_zz", &format!("st_{}", "0".repeat(64)), READER, OPERATOR] {
                let refused = ask(&nobody.with_token(token)).await?;
                assert_eq!(refused.problem(), (401, "token_invalid"), "{method} {path} by {token}");
            }
            if round == "live" {
                assert_eq!(ask(&stranger.phone).await?.status, of_other_session, "{method} {path}");
                assert_eq!(
                    ask(&of_another_app.phone).await?.status,
                    of_other_app,
                    "{method} {path}"
                );
                let own = ask(&host.phone).await?;
                assert!([200, 201, 409].contains(&own.status), "{method} {path}: {}", own.body);
            } else {
                let over = ask(&host.phone).await?;
                assert_eq!(over.problem(), (410, "session_expired"), "{method} {path}");
            }
        }
        age(&sessions, host.session(), "expires_at = now()").await?;
    }
    Ok(())
}

/// Those of admins: with which key, and the answer to the right one for a session that is live and for one that
/// has expired.
const OF_ADMINS: [(Method, &str, &str, &str, u16, u16); 13] = [
    (Method::GET, "/analytics/join-codes", "", READER, 200, 200),
    (Method::GET, "/analytics/tables", "", READER, 200, 200),
    (Method::GET, "/analytics/cleanup-runs", "", READER, 200, 200),
    (Method::GET, "/analytics/active-sessions", "", READER, 200, 200),
    (Method::GET, "/analytics/pairing", "", READER, 200, 200),
    (Method::GET, "/analytics/sessions", "", READER, 200, 200),
    (Method::GET, "/analytics/forecast", "", READER, 200, 200),
    (
        Method::GET,
        "/billing/usage?from=2026-01-01T00:00:00Z&to=2027-01-01T00:00:00Z",
        "",
        READER,
        200,
        200,
    ),
    (Method::GET, "/audit", "", READER, 200, 200),
    (Method::GET, "/admin/health", "", READER, 200, 200),
    (Method::POST, "/admin/sessions/S/broadcast", r#"{"message": "x"}"#, OPERATOR, 202, 410),
    (Method::POST, "/admin/sessions/S/disconnect", "{}", OPERATOR, 202, 410),
    (Method::POST, "/admin/sessions/S/end", "", OPERATOR, 200, 410),
];

/// Proves: G7.
#[tokio::test]
async fn what_is_for_admins_takes_their_key_and_nobody_elses() -> Result<()> {
    let (sessions, replica) = admin::scene().await?;
    let without_keys = tests::sessions::replica::Replica::start(&sessions).await?;
    let (live, expired) = (single(&replica).await?, single(&replica).await?);
    age(&sessions, expired.session(), "expires_at = now()").await?;
    let nobody = Phone::fresh();
    let unknown = format!("ad_{}", "0".repeat(64));
    for (method, path, body, key, of_live, of_expired) in OF_ADMINS {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let ask = async |phone: &Phone, session: &str| {
            let path = format!("/api/v1{}", path.replace("/S/", &format!("/{session}/")));
            phone.send(&replica, method.clone(), &path, body.clone()).await
        };
        let place = format!("{method} {path}");
        let strangers = [
            nobody.clone(),
            live.phone.clone(),
            nobody.with_token(&unknown),
            nobody.with_token("ad_"),
        ];
        for phone in strangers {
            let refused = ask(&phone, live.session()).await?;
            assert_eq!(refused.problem(), (401, "admin_key_invalid"), "{place}");
            assert_eq!(refused.header("www-authenticate"), "Bearer");
        }
        if key == OPERATOR {
            let refused = ask(&nobody.with_token(READER), live.session()).await?;
            assert_eq!(refused.problem(), (403, "scope_insufficient"), "{place}");
            for absent in ["7d444840-9dc0-11d1-b245-5ffdce74fad2", "42"] {
                let absent = ask(&nobody.with_token(key), absent).await?;
                assert_eq!(absent.problem(), (404, "session_not_found"), "{place}");
            }
        }
        for key in [key, OPERATOR] {
            let admin = nobody.with_token(key);
            assert_eq!(ask(&admin, expired.session()).await?.status, of_expired, "{place}");
            assert_eq!(ask(&admin, live.session()).await?.status, of_live, "{place}");
        }
        let path = format!("/api/v1{}", path.replace("/S/", &format!("/{}/", live.session())));
        let admin = nobody.with_token(OPERATOR);
        let closed = admin.send(&without_keys, method.clone(), &path, body.clone()).await?;
        assert_eq!(closed.problem(), (401, "admin_key_invalid"), "{place}");
    }
    for (method, tail, body, _) in ENDPOINTS {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let admin = nobody.with_token(OPERATOR);
        let refused = admin.send(&replica, method.clone(), &live.path(tail), body).await?;
        assert_eq!(
            refused.problem(),
            (401, "token_invalid"),
            "{method} {tail}: a key opens no session"
        );
    }
    Ok(())
}

/// Proves: G7.
#[test]
fn every_operation_that_takes_a_token_is_in_one_of_these_tables() -> Result<()> {
    let document: Value = serde_json::from_str(include_str!("../../../docs/openapi.json"))?;
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().context("paths")? {
        for (method, operation) in methods.as_object().context("methods")? {
            let takes_one = operation["security"].as_array().is_some_and(|all| !all.is_empty());
            if takes_one {
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    let base = "/api/v1";
    let of_sessions =
        ENDPOINTS.iter().map(|(method, tail, ..)| format!("{method} {base}/sessions/{{id}}{tail}"));
    let others = OTHERS.iter().map(|(method, path, ..)| {
        let path =
            path.replace("/G", "/{id}").replace("/M/", "/{id}/").replace("/t1/", "/{table_token}/");
        format!("{method} {base}{path}")
    });
    let of_admins = OF_ADMINS.iter().map(|(method, path, ..)| {
        let path = path.split('?').next().unwrap_or_default().replace("/S/", "/{id}/");
        format!("{method} {base}{path}")
    });
    assert_eq!(described, of_sessions.chain(others).chain(of_admins).collect());
    Ok(())
}

#[tokio::test]
async fn a_token_is_taken_from_its_header_alone() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let host = single(&replica).await?;
    let token = host.phone.token.clone().unwrap_or_default();
    let nobody = Phone::fresh();
    let in_query = format!("{}?token={token}", host.path(""));
    assert_eq!(nobody.get(&replica, &in_query).await?.status, 401);
    let request = nobody.request(&replica, Method::GET, &host.path(""));
    let in_cookie = request.header("cookie", format!("token={token}")).send().await?;
    assert_eq!(in_cookie.status(), 401);
    let body = json!({"access_method": "direct", "token": token});
    let in_body = nobody.post(&replica, &host.path("/participants"), body).await?;
    assert_eq!(in_body.problem(), (422, "validation_failed"));
    Ok(())
}

#[tokio::test]
async fn a_session_takes_sixty_four_participants() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = single(&replica).await?;
    let fill = format!(
        "INSERT INTO core.session_participants (session_id) SELECT '{}' FROM generate_series(1, 62)",
        host.session()
    );
    sessions.database.execute(&fill).await?;
    let two = [Phone::fresh(), Phone::fresh()];
    let body = json!({"access_method": "direct"});
    let path = host.path("/participants");
    let (one, other) = tokio::join!(
        two[0].post(&replica, &path, body.clone()),
        two[1].post(&replica, &path, body.clone())
    );
    let mut answers = [one?, other?];
    answers.sort_by_key(|answer| answer.status);
    assert_eq!(answers[0].status, 201, "{}", answers[0].body);
    assert_eq!(answers[1].problem(), (409, "session_full"), "the last place is given once");
    Ok(())
}

#[tokio::test]
async fn a_session_that_hundreds_have_left_takes_nobody_more() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = single(&replica).await?;
    let left = format!(
        "INSERT INTO core.session_participants (session_id, left_at) SELECT '{}', now() FROM generate_series(1, 510)",
        host.session()
    );
    sessions.database.execute(&left).await?;
    join(&replica, &host).await?;
    let body = json!({"access_method": "direct"});
    let next = Phone::fresh().post(&replica, &host.path("/participants"), body).await?;
    assert_eq!(next.problem(), (409, "session_full"));
    Ok(())
}
