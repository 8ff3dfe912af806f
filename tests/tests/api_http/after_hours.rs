//! After Hours: who matches, writes and declines, and who may see it.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use tests::sessions::replica::{Answer, Phone, Replica};

use super::scene::{Host, age, begin, scene, single, told};

const BASE: &str = "/api/v1/after-hours";

/// A session of three: ann, who is its host, bob and cat.
async fn party(replica: &Replica) -> Result<(Host, Phone, Phone)> {
    let body = json!({"app": "after_hours", "mode": "single", "user_id": "ann"});
    let host = begin(replica, body).await?;
    let (bob, cat) = (come(replica, &host, "bob").await?, come(replica, &host, "cat").await?);
    Ok((host, bob, cat))
}

async fn come(replica: &Replica, host: &Host, user_id: &str) -> Result<Phone> {
    let phone = Phone::fresh();
    let body = json!({"access_method": "direct", "user_id": user_id});
    let joined = phone.post(replica, &host.path("/participants"), body).await?;
    Ok(phone.with_token(joined.text("/token")))
}

async fn make(replica: &Replica, phone: &Phone, host: &Host, users: [&str; 2]) -> Result<Answer> {
    let body = json!({"session_id": host.session(), "user_ids": users});
    phone.post(replica, &format!("{BASE}/matches"), body).await
}

#[tokio::test]
async fn two_match_write_and_save_and_nobody_else_sees_it() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let (host, bob, cat) = party(&replica).await?;
    let made = make(&replica, &bob, &host, ["ann", "bob"]).await?;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["match"]["user_ids"], json!(["ann", "bob"]));
    assert_eq!(made.text("/match/expires_at"), host.created.text("/session/expires_at"));
    let again = make(&replica, &host.phone, &host, ["bob", "ann"]).await?;
    assert_eq!(again.problem(), (409, "already_matched"), "whoever is named first");

    let path = format!("{BASE}/matches/{}/messages", made.text("/match/id"));
    for (phone, text) in [(&bob, "hi"), (&host.phone, "hello\nthere"), (&bob, "well")] {
        let written = phone.post(&replica, &path, json!({"body": text})).await?;
        assert_eq!(
            (written.status, written.text("/message/body")),
            (201, text),
            "{}",
            written.body
        );
    }
    let first = bob.get(&replica, &format!("{path}?limit=2")).await?;
    assert_eq!(first.text("/messages/1/body"), "hello\nthere");
    assert_eq!(first.text("/messages/1/sender_id"), "ann");
    let next = first.text("/next");
    let rest = bob.get(&replica, &format!("{path}?cursor={next}")).await?;
    assert_eq!(rest.text("/messages/0/body"), "well");
    assert_eq!(
        (rest.body["messages"].as_array().map(Vec::len), &rest.body["next"]),
        (Some(1), &Value::Null)
    );

    let save = format!("{BASE}/matches/{}/save", made.text("/match/id"));
    let saved = host.phone.post(&replica, &save, Value::Null).await?;
    assert_eq!(saved.status, 200, "{}", saved.body);
    let saved_as = saved.text("/match/converted_to_match_id");
    assert_eq!(saved_as.len(), 36);
    let again = bob.post(&replica, &save, Value::Null).await?;
    assert_eq!(again.text("/match/converted_to_match_id"), saved_as);

    let (elsewhere, ..) = party(&replica).await?;
    for stranger in [&cat, &elsewhere.phone] {
        for answer in [
            stranger.get(&replica, &path).await?,
            stranger.post(&replica, &path, json!({"body": "me too"})).await?,
            stranger.post(&replica, &save, Value::Null).await?,
        ] {
            assert_eq!(answer.problem(), (404, "match_not_found"));
        }
    }
    let [realtime, _, audit] = told(&sessions, host.session()).await?;
    let own = ["match_made", "message_posted", "message_posted", "message_posted", "match_saved"];
    assert_eq!(
        (&realtime[3..], &audit[4..]),
        (&own.map(str::to_owned)[..], &own.map(str::to_owned)[..])
    );
    let words = "SELECT count(*) FROM core.session_events WHERE data::text LIKE '%hello%'";
    assert_eq!(sessions.database.scalar::<i64>(words).await?, 0, "ids and no words");
    Ok(())
}

/// Proves: M3.
#[tokio::test]
async fn messages_are_kept_when_nobody_is_shown_them_any_more() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let (host, bob, _) = party(&replica).await?;
    let made = make(&replica, &bob, &host, ["ann", "bob"]).await?;
    let path = format!("{BASE}/matches/{}/messages", made.text("/match/id"));
    bob.post(&replica, &path, json!({"body": "hi"})).await?;
    age(&sessions, host.session(), "expires_at = now()").await?;
    for answer in [
        bob.get(&replica, &path).await?,
        bob.post(&replica, &path, json!({"body": "late"})).await?,
        bob.post(&replica, &format!("{BASE}/matches/{}/save", made.text("/match/id")), Value::Null)
            .await?,
    ] {
        assert_eq!(answer.problem(), (410, "session_expired"));
    }
    let kept = "SELECT count(*) FROM after_hours.after_hours_messages";
    assert_eq!(sessions.database.scalar::<i64>(kept).await?, 1);
    Ok(())
}

#[tokio::test]
async fn who_declined_is_not_matched_and_who_is_not_there_neither() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let (host, bob, cat) = party(&replica).await?;
    let path = format!("{BASE}/declines");
    let decline = json!({"session_id": host.session(), "declined_user_id": "cat"});
    let declined = bob.post(&replica, &path, decline.clone()).await?;
    assert_eq!(
        (declined.status, declined.text("/decline/user_id")),
        (201, "bob"),
        "{}",
        declined.body
    );
    for phone in [&bob, &cat, &host.phone] {
        let refused = make(&replica, phone, &host, ["cat", "bob"]).await?;
        assert_eq!(refused.problem(), (409, "user_declined"));
    }
    assert_eq!(make(&replica, &cat, &host, ["ann", "bob"]).await?.problem(), (403, "not_the_host"));
    let absent = make(&replica, &bob, &host, ["bob", "dan"]).await?;
    assert_eq!(absent.problem(), (409, "user_absent"));
    assert_eq!(
        cat.post(&replica, &path, decline).await?.problem(),
        (422, "validation_failed"),
        "herself"
    );
    let kept = "SELECT count(*) FROM after_hours.after_hours_declines WHERE session_id IS NOT NULL AND user_id = 'bob'";
    assert_eq!(sessions.database.scalar::<i64>(kept).await?, 1);
    let [realtime, _, audit] = told(&sessions, host.session()).await?;
    assert!(audit.contains(&"match_declined".to_owned()), "{audit:?}");
    assert!(!realtime.contains(&"match_declined".to_owned()), "who was declined is not told");
    Ok(())
}

#[tokio::test]
async fn a_device_is_kept_as_a_hash() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let (host, bob, _) = party(&replica).await?;
    let path = format!("{BASE}/fingerprints");
    let body = json!({"session_id": host.session(), "fingerprint": "canary-device"});
    let first = bob.post(&replica, &path, body.clone()).await?;
    assert_eq!(first.status, 201, "{}", first.body);
    assert!(!first.body.to_string().contains("canary"), "{}", first.body);
    let [_, _, audit] = told(&sessions, host.session()).await?;
    assert_eq!(audit.last().map(String::as_str), Some("device_seen"));
    for _ in 0..9 {
        bob.post(&replica, &path, body.clone()).await?;
    }
    assert_eq!(bob.post(&replica, &path, body).await?.problem(), (429, "quota-exceeded"));
    let hashes = "SELECT count(DISTINCT fingerprint_hash) FROM after_hours.device_fingerprints WHERE octet_length(fingerprint_hash) = 32";
    assert_eq!(sessions.database.scalar::<i64>(hashes).await?, 1, "the same device is known again");
    Ok(())
}

#[tokio::test]
async fn nobody_is_somebody_else_and_who_has_no_name_is_known_by_their_id() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let (host, bob, _) = party(&replica).await?;
    let body = json!({"access_method": "direct", "user_id": "bob"});
    let second = Phone::fresh().post(&replica, &host.path("/participants"), body.clone()).await?;
    assert_eq!(second.problem(), (409, "user_present"));
    bob.send(&replica, Method::DELETE, &host.path("/participants/me"), Value::Null).await?;
    for stranger in [&Phone::fresh(), &host.phone] {
        let posing = stranger.post(&replica, &host.path("/participants"), body.clone()).await?;
        assert_eq!(posing.problem(), (409, "user_present"), "what was written to him is his");
    }
    let back = bob.post(&replica, &host.path("/participants"), body).await?;
    assert_eq!(back.status, 201, "he had left, and has his token: {}", back.body);

    let direct = json!({"access_method": "direct"});
    let joined = Phone::fresh().post(&replica, &host.path("/participants"), direct).await?;
    let (id, nameless) = (joined.text("/participant/id"), Phone::fresh());
    let nameless = nameless.with_token(joined.text("/token"));
    let posing = json!({"access_method": "direct", "user_id": id});
    let posing = Phone::fresh().post(&replica, &host.path("/participants"), posing).await?;
    assert_eq!(posing.problem(), (409, "user_present"));
    let refused = make(&replica, &nameless, &host, ["ann", "cat"]).await?;
    assert_eq!(refused.problem(), (403, "not_the_host"), "it is of two others");
    let made = make(&replica, &nameless, &host, ["ann", id]).await?;
    assert_eq!(made.status, 201, "{}", made.body);
    let reading = single(&replica).await?;
    let refused = make(&replica, &reading.phone, &reading, ["ann", "cat"]).await?;
    assert_eq!(refused.problem(), (403, "wrong_app"));
    let elsewhere = make(&replica, &host.phone, &reading, ["ann", "cat"]).await?;
    assert_eq!(elsewhere.problem(), (404, "session_not_found"));
    Ok(())
}
