//! Invites and recovery: ways back in, and when they are closed.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use tests::sessions::replica::{Answer, CODE_KEYS, Phone, Replica, read};

use super::scene::{Host, age, begin, dual, join, scene, single, told};

const KEYS: (&str, &str) = ("--code-keys", CODE_KEYS[0]);
const EXPIRED: &str =
    "This invitation link has expired. Sessions become inactive after 1 hour of no activity.";

async fn invite(replica: &Replica, host: &Host) -> Result<Answer> {
    host.send(replica, Method::POST, "/invites", Value::Null).await
}

/// Proves: L1, X6.
#[tokio::test]
async fn a_link_lets_in_until_nobody_was_there_for_an_hour() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = begin(&replica, json!({"app": "tarot", "mode": "single", "title": "Cups"})).await?;
    let invited = invite(&replica, &host).await?;
    assert_eq!(invited.status, 201, "{}", invited.body);
    let path = format!("/api/v1/invites/{}", invited.text("/invite/token"));
    let accept = format!("{path}/accept");
    let shown = Phone::fresh().get(&replica, &path).await?;
    assert_eq!((shown.status, shown.text("/session/title")), (200, "Cups"), "{}", shown.body);
    for _ in 0..2 {
        let accepted =
            Phone::fresh().post(&replica, &accept, json!({"display_name": "Bob"})).await?;
        assert_eq!(accepted.status, 201, "{}", accepted.body);
        let nameless = read(replica.request(Method::POST, &accept)).await?;
        assert_eq!(nameless.status, 201, "nothing has to be told: {}", nameless.body);
        let guest = Phone::fresh().with_token(accepted.text("/token"));
        assert_eq!(guest.get(&replica, &host.path("")).await?.status, 200);
    }
    let token = invited.text("/invite/token");
    let by_session = json!({"access_method": "invite", "invite_token": token});
    let joined =
        Phone::fresh().post(&replica, &host.path("/participants"), by_session.clone()).await?;
    assert_eq!(joined.status, 201, "{}", joined.body);
    assert_eq!(joined.body["snapshot"]["participants"].as_array().map(Vec::len), Some(6));
    let other = single(&replica).await?;
    let elsewhere =
        Phone::fresh().post(&replica, &other.path("/participants"), by_session.clone()).await?;
    assert_eq!(elsewhere.problem(), (404, "session_not_found"), "an invite is for its own session");

    // One who has been silent for 59 minutes is enough; those who left or were marked are not there.
    let seen = async |minutes: i32, which: &str| {
        let sql = format!(
            "UPDATE core.session_participants SET last_seen_at = now() - interval '{minutes} minutes' WHERE {which}"
        );
        sessions.database.execute(&sql).await
    };
    seen(61, "role = 'guest'").await?;
    seen(59, "role = 'host'").await?;
    assert_eq!(Phone::fresh().get(&replica, &path).await?.status, 200);
    seen(61, "role = 'host'").await?;
    for answer in [
        Phone::fresh().get(&replica, &path).await?,
        Phone::fresh().post(&replica, &accept, json!({})).await?,
        Phone::fresh().post(&replica, &host.path("/participants"), by_session).await?,
    ] {
        assert_eq!(answer.problem(), (410, "invite_expired"));
        assert_eq!(answer.text("/detail"), EXPIRED);
    }
    let [realtime, _, audit] = told(&sessions, host.session()).await?;
    for sink in [realtime, audit] {
        let expired = sink.iter().filter(|name| *name == "invite_expired").count();
        assert_eq!(expired, 1, "by the first who found out");
    }
    // Where nobody is there, the last change counts.
    sessions.database.execute("UPDATE core.session_participants SET left_at = now()").await?;
    assert_eq!(Phone::fresh().get(&replica, &path).await?.status, 200, "that was just now");
    age(&sessions, host.session(), "updated_at = now() - interval '61 minutes'").await?;
    assert_eq!(Phone::fresh().get(&replica, &path).await?.status, 410);
    Ok(())
}

/// Proves: L8.
#[tokio::test]
async fn links_and_heartbeats_may_have_other_times() -> Result<()> {
    let (sessions, hourly) = scene().await?;
    let flags = [KEYS, ("--invite-timeout", "2h"), ("--heartbeat-interval", "60s")];
    let slow = Replica::start_with(&sessions, &flags).await?;
    let host = single(&slow).await?;
    let invited = invite(&slow, &host).await?;
    let path = format!("/api/v1/invites/{}", invited.text("/invite/token"));
    let seen = async |ago: &str| {
        let sql =
            format!("UPDATE core.session_participants SET last_seen_at = now() - interval '{ago}'");
        sessions.database.execute(&sql).await
    };
    let presence = async |replica: &Replica| {
        let shown = host.send(replica, Method::GET, "", Value::Null).await?;
        Ok::<_, anyhow::Error>(shown.text("/participants/0/presence").to_owned())
    };
    seen("70 seconds").await?;
    assert_eq!(
        (presence(&hourly).await?, presence(&slow).await?),
        ("away".into(), "online".into())
    );
    seen("91 seconds").await?;
    assert_eq!(presence(&slow).await?, "away");
    seen("90 minutes").await?;
    assert_eq!(Phone::fresh().get(&slow, &path).await?.status, 200);
    let closed = Phone::fresh().get(&hourly, &path).await?;
    assert_eq!(closed.text("/detail"), EXPIRED);
    seen("121 minutes").await?;
    let closed = Phone::fresh().get(&slow, &path).await?;
    assert_eq!(closed.problem(), (410, "invite_expired"));
    assert_eq!(closed.text("/detail"), EXPIRED.replace("1 hour", "2 hours"));
    let beat = "/participants/me/heartbeat";
    let beat = host.send(&slow, Method::PUT, beat, Value::Null).await?;
    assert_eq!((beat.status, beat.header("heartbeat-interval")), (204, "60"));
    Ok(())
}

#[tokio::test]
async fn a_link_lasts_as_long_as_its_session_also_when_that_is_given_more_time() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = begin(&replica, json!({"app": "tarot", "mode": "single", "ttl_s": 600})).await?;
    let invited = invite(&replica, &host).await?;
    let path = format!("/api/v1/invites/{}", invited.text("/invite/token"));
    let etag = host.send(&replica, Method::GET, "", Value::Null).await?;
    let more = replica
        .request(Method::PATCH, &host.path(""))
        .bearer_auth(host.created.text("/participant/token"))
        .header("if-match", etag.header("etag"))
        .json(&json!({"extend_s": 600}));
    let more = read(more).await?;
    assert_eq!(more.status, 200, "{}", more.body);
    let shown = Phone::fresh().get(&replica, &path).await?;
    assert_eq!(shown.text("/expires_at"), more.text("/session/expires_at"));
    // When it would have ended without.
    age(
        &sessions,
        host.session(),
        "created_at = now() - interval '11 minutes', expires_at = now() + interval '9 minutes'",
    )
    .await?;
    sessions
        .database
        .execute("UPDATE core.invites SET expires_at = now() - interval '1 minute'")
        .await?;
    assert_eq!(Phone::fresh().get(&replica, &path).await?.status, 200);
    age(&sessions, host.session(), "expires_at = now()").await?;
    let over = Phone::fresh().get(&replica, &path).await?;
    assert_eq!(over.problem(), (404, "session_not_found"), "somebody was there a moment ago");
    Ok(())
}

/// Proves: L3.
#[tokio::test]
async fn a_link_into_what_is_over_or_never_was_leads_to_no_session() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = single(&replica).await?;
    let invited = invite(&replica, &host).await?;
    host.send(&replica, Method::POST, "/end", Value::Null).await?;
    let ended = format!("/api/v1/invites/{}", invited.text("/invite/token"));
    let unknown = format!("/api/v1/invites/in_{}", "0".repeat(64));
    for path in [ended.as_str(), &unknown, "/api/v1/invites/in_zz", "/api/v1/invites/st_0"] {
        for answer in [
            Phone::fresh().get(&replica, path).await?,
            Phone::fresh().post(&replica, &format!("{path}/accept"), json!({})).await?,
        ] {
            assert_eq!(answer.problem(), (404, "session_not_found"), "{path}");
            assert_eq!(answer.text("/detail"), "Session not found or inactive");
        }
    }
    let two_phones = dual(&replica, "table_042").await?;
    assert_eq!(invite(&replica, &two_phones).await?.problem(), (403, "code_required"));
    let log = replica.log();
    assert!(!log.contains(&invited.text("/invite/token")[3..]), "no token is in the log");
    let kept = "SELECT count(*) FROM core.invites WHERE octet_length(token_hash) = 32";
    assert_eq!(sessions.database.scalar::<i64>(kept).await?, 1);
    Ok(())
}

/// Proves: S11.
#[tokio::test]
async fn a_session_that_has_just_expired_comes_back_and_no_other_does() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let recover =
        async |host: &Host| host.send(&replica, Method::POST, "/recover", Value::Null).await;
    let host = single(&replica).await?;
    assert_eq!(recover(&host).await?.problem(), (409, "session_live"));
    let guest = join(&replica, &host).await?;
    // As cleanup leaves it, and as it is before cleanup comes.
    for set in [
        "expires_at = now() - interval '14 minutes'",
        "ended_at = now() - interval '1 minute', end_reason = 'inactivity', expires_at = now()",
    ] {
        age(&sessions, host.session(), set).await?;
        let stranger = guest.post(&replica, &host.path("/recover"), Value::Null).await?;
        assert_eq!(stranger.problem(), (403, "not_the_host"));
        let back = recover(&host).await?;
        assert_eq!((back.status, back.text("/session/state")), (200, "active"), "{}", back.body);
        assert_eq!(guest.get(&replica, &host.path("")).await?.status, 200, "with everybody in it");
    }
    age(&sessions, host.session(), "expires_at = now() - interval '16 minutes'").await?;
    assert_eq!(recover(&host).await?.problem(), (410, "recovery_over"));
    let [realtime, ..] = told(&sessions, host.session()).await?;
    assert_eq!(realtime.iter().filter(|name| *name == "session_recovered").count(), 2);

    let ended = single(&replica).await?;
    ended.send(&replica, Method::POST, "/end", Value::Null).await?;
    assert_eq!(recover(&ended).await?.problem(), (409, "session_ended"));
    let waiting = dual(&replica, "table_042").await?;
    age(
        &sessions,
        waiting.session(),
        "dual_status = 'ended', expires_at = now(), pairing_code_hash = NULL",
    )
    .await?;
    let back = recover(&waiting).await?;
    assert_eq!(back.text("/session/dual_status"), "waiting", "{}", back.body);
    let issued = waiting.send(&replica, Method::POST, "/join-code", Value::Null).await?;
    assert_eq!(issued.status, 201, "{}", issued.body);
    Ok(())
}

/// Whoever does something in a session is there, also when no heartbeat says so.
#[tokio::test]
async fn who_acts_was_heard_of_then() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = single(&replica).await?;
    let silent = "UPDATE core.session_participants SET last_seen_at = now() - interval '61 minutes', disconnected_at = now()";
    sessions.database.execute(silent).await?;
    let invited = invite(&replica, &host).await?;
    let path = format!("/api/v1/invites/{}", invited.text("/invite/token"));
    assert_eq!(Phone::fresh().get(&replica, &path).await?.status, 200);

    // Cleanup would end again at once what has come back, if nobody was there.
    sessions.database.execute(silent).await?;
    age(&sessions, host.session(), "expires_at = now()").await?;
    assert_eq!(host.send(&replica, Method::POST, "/recover", Value::Null).await?.status, 200);
    sessions.database.execute("SELECT tarot.cleanup_inactive_sessions()").await?;
    assert_eq!(host.send(&replica, Method::GET, "", Value::Null).await?.status, 200);
    Ok(())
}
