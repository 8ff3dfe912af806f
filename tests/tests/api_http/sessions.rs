//! Sessions and their participants, from the first request to the last.

use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tests::sessions::replica::{Phone, read};
use tests::wait;

use super::scene::{Host, age, begin, dual, join, redeem, scene, single, told};

/// Proves: L12.
#[tokio::test]
async fn a_session_is_begun_joined_readied_left_and_ended_and_all_of_it_is_told() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = begin(
        &replica,
        json!({"app": "tarot", "mode": "single", "title": "Three cards", "display_name": "Ada"}),
    )
    .await?;
    let created = &host.created;
    assert_eq!(created.header("location"), host.path(""));
    assert_eq!(created.text("/session/title"), "Three cards");
    assert_eq!(created.text("/participant/role"), "host");
    assert!(created.text("/participant/token").starts_with("st_"));
    assert_eq!(created.body["session"]["participant_count"], 1);
    assert_eq!(created.body["pairing"], Value::Null);

    let guest = join(&replica, &host).await?;
    let ready = guest
        .send(&replica, Method::PUT, &host.path("/participants/me/ready"), json!({"ready": true}))
        .await?;
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert_eq!((&ready.body["ready_count"], &ready.body["total"]), (&json!(1), &json!(2)));

    let seen = guest.get(&replica, &host.path("")).await?;
    assert_eq!(seen.status, 200, "{}", seen.body);
    assert_eq!(seen.body["participants"].as_array().map(Vec::len), Some(2));
    assert_eq!(seen.text("/participants/1/presence"), "online");
    assert_eq!(seen.text("/head"), "1:3", "two joined, one is ready");
    assert!(seen.header("etag").len() > 2 && !seen.header("date").is_empty());

    let beat = guest
        .send(&replica, Method::PUT, &host.path("/participants/me/heartbeat"), Value::Null)
        .await?;
    assert_eq!((beat.status, beat.header("heartbeat-interval")), (204, "30"));
    let left =
        guest.send(&replica, Method::DELETE, &host.path("/participants/me"), Value::Null).await?;
    assert_eq!(left.status, 204);
    let after = guest.get(&replica, &host.path("")).await?;
    assert_eq!(after.problem(), (401, "token_invalid"), "who has left is nobody");

    for _ in 0..2 {
        let ended = host.send(&replica, Method::POST, "/end", Value::Null).await?;
        assert_eq!((ended.status, ended.text("/session/state")), (200, "ended"));
        assert_eq!(ended.text("/session/end_reason"), "ended");
    }
    let [realtime, analytics, audit] = told(&sessions, host.session()).await?;
    let joined = ["participant_joined", "participant_joined"];
    assert_eq!(realtime[..2], joined);
    assert_eq!(realtime[2..], ["ready_status_update", "participant_left", "session_ended"]);
    assert_eq!(analytics, ["session_group_created"]);
    assert_eq!(
        audit,
        [
            "session_created",
            "participant_joined",
            "participant_joined",
            "participant_left",
            "session_ended"
        ]
    );
    let stored = "SELECT count(*) FROM core.session_participants WHERE token_hash IS NOT NULL AND octet_length(token_hash) = 32";
    assert_eq!(sessions.database.scalar::<i64>(stored).await?, 2, "hashes and no tokens");
    Ok(())
}

#[tokio::test]
async fn a_session_is_its_hosts_to_end_and_one_of_two_phones_is_both_phones() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let host = single(&replica).await?;
    let guest = join(&replica, &host).await?;
    let end = async |phone: &Phone, host: &Host| {
        phone.send(&replica, Method::POST, &host.path("/end"), Value::Null).await
    };
    assert_eq!(end(&guest, &host).await?.problem(), (403, "not_the_host"));
    assert_eq!(guest.get(&replica, &host.path("")).await?.text("/session/state"), "active");
    assert_eq!(end(&host.phone, &host).await?.status, 200);
    assert_eq!(end(&guest, &host).await?.problem(), (403, "not_the_host"));

    for who_ends in ["host", "guest"] {
        let host = dual(&replica, "table_042").await?;
        let paired = redeem(&replica, &Phone::fresh(), host.code()).await?;
        let guest = Phone::fresh().with_token(paired.text("/token"));
        let phone = if who_ends == "host" { &host.phone } else { &guest };
        let ended = end(phone, &host).await?;
        assert_eq!(
            (ended.status, ended.text("/session/dual_status")),
            (200, "ended"),
            "{who_ends}"
        );
    }
    Ok(())
}

/// Proves: M6.
#[tokio::test]
async fn what_happens_to_a_session_of_after_hours_is_told_to_its_user() -> Result<()> {
    let (sessions, replica) = scene().await?;
    for (app, user, expected) in [("after_hours", "ann", Some("ann")), ("table_talk", "bob", None)]
    {
        let body = json!({"app": app, "mode": "dual", "user_id": user});
        let host = begin(&replica, body).await?;
        assert_eq!(host.created.text("/participant/user_id"), user);
        age(&sessions, host.session(), "pairing_expires_at = now()").await?;
        assert_eq!(redeem(&replica, &Phone::fresh(), host.code()).await?.status, 404);
        let told = format!(
            "SELECT to_user_id FROM core.session_events WHERE session_id = '{}' AND type = 'session_expired'",
            host.session()
        );
        assert_eq!(sessions.database.scalar::<Option<String>>(&told).await?.as_deref(), expected);
        let billed = format!(
            "SELECT user_id FROM core.billing_usage WHERE session_id = '{}'",
            host.session()
        );
        assert_eq!(sessions.database.scalar::<String>(&billed).await?, user);
    }
    Ok(())
}

#[tokio::test]
async fn a_session_that_was_ended_can_be_read_and_nothing_else() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let host = single(&replica).await?;
    host.send(&replica, Method::POST, "/end", Value::Null).await?;
    assert_eq!(host.send(&replica, Method::GET, "", Value::Null).await?.status, 200);
    let problem = async |method, tail: &str, body| {
        let answer = host.send(&replica, method, tail, body).await?;
        Ok::<_, anyhow::Error>((answer.status, answer.text("/code").to_owned()))
    };
    let ended = |status| (status, "session_ended".to_owned());
    assert_eq!(problem(Method::PUT, "/participants/me/heartbeat", Value::Null).await?, ended(410));
    assert_eq!(
        problem(Method::PUT, "/participants/me/ready", json!({"ready": true})).await?,
        ended(409)
    );
    assert_eq!(
        problem(Method::POST, "/participants", json!({"access_method": "direct"})).await?,
        ended(409)
    );
    assert_eq!(problem(Method::PATCH, "", json!({})).await?, ended(409));
    Ok(())
}

/// Proves: G15.
#[tokio::test]
async fn a_change_names_the_version_that_it_changes_and_no_session_outlives_a_day() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let body = json!({"app": "tarot", "mode": "single", "ttl_s": 600});
    let host = begin(&replica, body).await?;
    let read_tag = async || {
        let seen = host.send(&replica, Method::GET, "", Value::Null).await?;
        Ok::<_, anyhow::Error>(seen.header("etag").to_owned())
    };
    let change = async |tag: Option<&str>, body: Value| {
        let request = host.phone.request(&replica, Method::PATCH, &host.path("")).json(&body);
        read(match tag {
            Some(tag) => request.header("if-match", tag),
            None => request,
        })
        .await
    };
    let without = change(None, json!({"title": "x"})).await?;
    assert_eq!(without.problem(), (428, "precondition_required"));
    let tag = read_tag().await?;
    let changed = change(Some(&tag), json!({"title": "Cups", "extend_s": 172_800})).await?;
    assert_eq!((changed.status, changed.text("/session/title")), (200, "Cups"), "{}", changed.body);
    let cut = format!(
        "SELECT expires_at = created_at + interval '24 hours' FROM core.sessions WHERE session_id = '{}'",
        host.session()
    );
    assert!(sessions.database.scalar::<bool>(&cut).await?, "{}", changed.body);
    let late = change(Some(&tag), json!({"title": "Swords"})).await?;
    assert_eq!(late.problem(), (412, "precondition_failed"));
    assert_eq!(changed.header("etag"), read_tag().await?);
    let gone = change(Some(&read_tag().await?), json!({"title": null})).await?;
    assert_eq!(gone.body["session"]["title"], Value::Null);

    let guest = join(&replica, &host).await?;
    let request = guest.request(&replica, Method::PATCH, &host.path("")).json(&json!({}));
    let refused = read(request.header("if-match", "*")).await?;
    assert_eq!(refused.problem(), (403, "not_the_host"));
    Ok(())
}

#[tokio::test]
async fn a_deleted_session_is_gone_for_everybody_and_its_row_waits_for_a_policy() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = single(&replica).await?;
    let guest = join(&replica, &host).await?;
    let refused = guest.send(&replica, Method::DELETE, &host.path(""), Value::Null).await?;
    assert_eq!(refused.problem(), (403, "not_the_host"));
    assert_eq!(host.send(&replica, Method::DELETE, "", Value::Null).await?.status, 204);
    for phone in [&guest, &host.phone] {
        let gone = phone.get(&replica, &host.path("")).await?;
        assert_eq!(gone.problem(), (404, "session_not_found"));
    }
    let kept = format!(
        "SELECT end_reason FROM core.sessions WHERE session_id = '{}' AND removed_at IS NOT NULL",
        host.session()
    );
    assert_eq!(sessions.database.scalar::<String>(&kept).await?, "ended");
    Ok(())
}

/// Proves: L3, X7.
#[tokio::test]
async fn expired_is_judged_when_it_is_asked_whatever_cleanup_has_done() -> Result<()> {
    let (sessions, replica) = scene().await?;
    // Nobody has come by; cleanup has expired it; cleanup has closed it.
    for set in [
        "created_at = now() - interval '2 hours', expires_at = now() - interval '1 second'",
        "last_activity_at = now() - interval '31 minutes', expires_at = now()",
        "expires_at = now() - interval '1 minute', ended_at = now(), is_active = FALSE",
    ] {
        let host = single(&replica).await?;
        age(&sessions, host.session(), set).await?;
        for (method, tail, body) in [
            (Method::GET, "", Value::Null),
            (Method::PUT, "/participants/me/heartbeat", Value::Null),
            (Method::PUT, "/participants/me/ready", json!({"ready": true})),
            (Method::POST, "/end", Value::Null),
            (Method::PATCH, "", json!({})),
        ] {
            let answer = host.send(&replica, method.clone(), tail, body).await?;
            assert_eq!(answer.problem(), (410, "session_expired"), "{method} {tail} after {set}");
        }
        let stranger = Phone::fresh();
        let join = stranger
            .post(&replica, &host.path("/participants"), json!({"access_method": "direct"}))
            .await?;
        assert_eq!(join.problem(), (410, "session_expired"), "{set}");
    }
    let host = single(&replica).await?;
    age(&sessions, host.session(), "is_active = FALSE").await?;
    let direct = json!({"access_method": "direct"});
    let join = Phone::fresh().post(&replica, &host.path("/participants"), direct).await?;
    assert_eq!(join.problem(), (404, "session_not_found"));
    assert_eq!(join.text("/detail"), "Session not found or inactive");

    let unknown = "/api/v1/sessions/7d444840-9dc0-11d1-b245-5ffdce74fad2/participants";
    let answer = Phone::fresh().post(&replica, unknown, json!({"access_method": "direct"})).await?;
    assert_eq!(answer.text("/detail"), "Session not found or inactive");

    let host = single(&replica).await?;
    let before = "last_activity_at = now() - interval '20 minutes'";
    age(&sessions, host.session(), before).await?;
    host.send(&replica, Method::PUT, "/participants/me/heartbeat", Value::Null).await?;
    let idle = format!(
        "SELECT last_activity_at < now() - interval '19 minutes' FROM core.sessions WHERE session_id = '{}'",
        host.session()
    );
    assert!(sessions.database.scalar::<bool>(&idle).await?, "a heartbeat is no activity");
    Ok(())
}

#[tokio::test]
async fn whoever_cleanup_took_for_gone_is_back_with_a_heartbeat_and_told_of_once() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = single(&replica).await?;
    sessions
        .database
        .execute("UPDATE core.session_participants SET disconnected_at = now()")
        .await?;
    let seen = host.send(&replica, Method::GET, "", Value::Null).await?;
    assert_eq!(seen.text("/participants/0/presence"), "disconnected");
    for _ in 0..2 {
        host.send(&replica, Method::PUT, "/participants/me/heartbeat", Value::Null).await?;
    }
    let [realtime, ..] = told(&sessions, host.session()).await?;
    let expected = ["participant_joined", "participant_disconnected", "participant_reconnected"];
    assert_eq!(realtime, expected);
    Ok(())
}

#[tokio::test]
async fn a_request_that_is_sent_again_with_its_key_makes_one_session() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let phone = Phone::fresh();
    let create = async |key: &str, phone: &Phone, body: Value| {
        let request = phone.request(&replica, Method::POST, "/api/v1/sessions");
        read(request.header("idempotency-key", key).json(&body)).await
    };
    let dual = json!({"app": "table_talk", "mode": "dual"});
    let first = create("k1", &phone, dual.clone()).await?;
    assert_eq!((first.status, &first.body["replayed"]), (201, &Value::Null));
    let again = create("k1", &phone, dual.clone()).await?;
    assert_eq!((again.status, &again.body["replayed"]), (201, &json!(true)), "{}", again.body);
    assert_eq!(again.text("/session/id"), first.text("/session/id"));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.body["participant"]["token"], Value::Null);
    assert_eq!(again.body["pairing"]["code"], Value::Null);
    assert_eq!(again.text("/pairing/expires_at"), first.text("/pairing/expires_at"));

    let other = json!({"app": "tarot", "mode": "single"});
    let reused = create("k1", &phone, other).await?;
    assert_eq!(reused.problem(), (422, "idempotency_key_reused"));
    let elsewhere = create("k1", &Phone::fresh(), dual.clone()).await?;
    assert_eq!(elsewhere.body["replayed"], Value::Null, "a key is of one client");
    assert_eq!(create("with space", &phone, dual.clone()).await?.status, 422);

    sessions.database.execute("UPDATE core.idempotency_keys SET expires_at = now()").await?;
    let late = create("k1", &phone, dual.clone()).await?;
    assert_ne!(
        late.text("/session/id"),
        first.text("/session/id"),
        "after a day it is a new request"
    );

    let at_once = (0..5).map(|_| create("k2", &phone, dual.clone()));
    let mut ids = std::collections::BTreeSet::new();
    for answer in join_all(at_once).await {
        let answer = answer?;
        match answer.status {
            201 => drop(ids.insert(answer.text("/session/id").to_owned())),
            409 => assert_eq!(answer.problem().1, "idempotency_key_busy"),
            status => panic!("{status}: {}", answer.body),
        }
    }
    assert_eq!(ids.len(), 1);
    Ok(())
}

/// By the clock of the database, whether anybody cleans up or not.
///
/// Proves: G15.
#[tokio::test]
async fn a_session_may_live_for_a_second_and_is_over_then() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let host = begin(&replica, json!({"app": "tarot", "mode": "single", "ttl_s": 1})).await?;
    wait::until("the session to be over", Duration::from_secs(30), async || {
        let seen = host.send(&replica, Method::GET, "", Value::Null).await?;
        Ok((seen.status == 410).then_some(()))
    })
    .await
}
