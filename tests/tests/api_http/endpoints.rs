//! Every endpoint against every kind of token.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use tests::sessions::replica::Phone;

use super::scene::{age, dual, join, scene, single};

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
