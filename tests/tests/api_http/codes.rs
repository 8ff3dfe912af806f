//! Join codes: one winner, and exact answers to everybody else.

use anyhow::Result;
use futures::future::join_all;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::Row as _;
use tests::Sessions;
use tests::sessions::replica::{CODE_KEYS, Phone, Replica};

use super::scene::{age, clean, dual, other_than, redeem, scene, single, told};

/// Proves: G20, G30, G31.
#[tokio::test]
async fn a_right_code_pairs_two_phones_and_leaves_no_hash() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = dual(&replica, "table_042").await?;
    assert_eq!(host.code().len(), 6);
    // Without the table, as the requirement has it, and by its path.
    let body = json!({"code": host.code(), "display_name": "Bob"});
    let paired = Phone::fresh().post(&replica, "/api/sessions/join-dual", body).await?;
    assert_eq!(paired.status, 200, "{}", paired.body);
    assert_eq!(paired.text("/session/id"), host.session());
    assert_eq!(paired.text("/session/dual_status"), "paired");
    assert_eq!(paired.body["session"]["participant_count"], 2);
    assert_eq!(paired.header("ratelimit"), "\"join-code\";r=5;t=60", "the try was given back");

    let guest = Phone::fresh().with_token(paired.text("/token"));
    assert_eq!(guest.get(&replica, &host.path("")).await?.status, 200);
    let kept = format!(
        "SELECT pairing_code_hash IS NULL AND pairing_salt IS NULL AND pairing_code_lookup IS NULL
         FROM core.sessions WHERE session_id = '{}'",
        host.session()
    );
    assert!(sessions.database.scalar::<bool>(&kept).await?);

    let [realtime, analytics, audit] = told(&sessions, host.session()).await?;
    let paired = ["join_code_used", "dual_phone_paired"];
    assert_eq!(realtime, ["participant_joined", paired[0], paired[1], "participant_joined"]);
    assert_eq!(analytics, ["session_group_created", "join_code_generated", paired[0], paired[1]]);
    assert_eq!(audit.len(), 6, "{audit:?}");
    let payloads = format!(
        "SELECT jsonb_object_agg(event_type, event_data) FROM core.analytics_events WHERE session_id = '{}'",
        host.session()
    );
    let payloads: Value = sessions.database.scalar(&payloads).await?;
    assert_eq!(payloads["join_code_used"], json!({"session_id": host.session(), "success": true}));
    let generated = &payloads["join_code_generated"];
    assert_eq!(generated["session_id"], host.session());
    assert_eq!(generated["expires_at"], host.created.body["pairing"]["expires_at"]);
    let created = json!({
        "session_group_id": host.group(),
        "table_token": "table_042",
        "context": null,
    });
    assert_eq!(payloads["session_group_created"], created);
    // The statement of the requirement casts it.
    let seconds =
        "SELECT EXTRACT(EPOCH FROM (timestamp - (event_data->>'created_at')::timestamp))::float8
                   FROM core.analytics_events WHERE event_type = 'dual_phone_paired'";
    let seconds: f64 = sessions.database.scalar(seconds).await?;
    assert!((0.0..600.0).contains(&seconds), "{seconds}");
    Ok(())
}

/// A code that nobody could be told of is no code: the one before it is as good as it was.
#[tokio::test]
async fn a_code_that_cannot_be_told_of_is_not_issued() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = dual(&replica, "table_042").await?;
    let before = kept(&sessions, host.session()).await?;
    let mut somebody = sessions.database.pool().begin().await?;
    sqlx::query("LOCK TABLE core.analytics_events").execute(&mut *somebody).await?;
    let refused = host.send(&replica, Method::POST, "/join-code", Value::Null).await?;
    assert_eq!(refused.problem(), (503, "overloaded"), "{}", refused.body);
    somebody.rollback().await?;
    let after = kept(&sessions, host.session()).await?;
    assert_eq!((after.hash, after.lookup), (before.hash, before.lookup));
    let [_, analytics, audit] = told(&sessions, host.session()).await?;
    for sink in [analytics, audit] {
        assert_eq!(sink.iter().filter(|name| *name == "join_code_generated").count(), 1);
    }
    assert_eq!(redeem(&replica, &Phone::fresh(), host.code()).await?.status, 200);
    Ok(())
}

/// Proves: G29, X5.
#[tokio::test]
async fn a_wrong_or_used_code_is_403_and_an_expired_one_404_also_after_cleanup() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let answer = async |code: &str, table: Option<&str>| {
        let body = json!({"code": code, "table_token": table});
        let answer = Phone::fresh().post(&replica, "/api/v1/join-codes/redeem", body).await?;
        Ok::<_, anyhow::Error>((answer.status, answer.text("/code").to_owned()))
    };
    let wrong = (403, "join_code_invalid".to_owned());
    let expired = (404, "join_code_expired".to_owned());
    assert_eq!(answer("000000", Some("table_042")).await?, wrong, "nobody waits at the table");

    let used = dual(&replica, "table_042").await?;
    assert_eq!(answer(used.code(), Some("table_043")).await?, wrong, "it is of another table");
    assert_eq!(answer(used.code(), Some("table_042")).await?.0, 200);
    assert_eq!(answer(used.code(), Some("table_042")).await?, wrong, "it was used");

    let late = dual(&replica, "table_042").await?;
    age(&sessions, late.session(), "pairing_expires_at = now() - interval '11 minutes'").await?;
    for _ in 0..2 {
        assert_eq!(answer(late.code(), Some("table_042")).await?, expired);
    }
    let [realtime, analytics, _] = told(&sessions, late.session()).await?;
    assert_eq!(realtime, ["participant_joined", "join_code_expired", "session_expired"], "once");
    assert_eq!(analytics.last().map(String::as_str), Some("join_code_expired"));
    let hosts = late.send(&replica, Method::GET, "", Value::Null).await?;
    assert_eq!(hosts.problem(), (410, "session_expired"), "as cleanup would have done");

    let swept = dual(&replica, "table_042").await?;
    age(&sessions, swept.session(), "pairing_expires_at = now() - interval '1 second'").await?;
    let cleanup = "SET search_path TO table_talk;
        UPDATE sessions SET dual_status = 'ended', expires_at = NOW(), pairing_code_hash = NULL
        WHERE dual_status = 'waiting' AND pairing_expires_at < NOW()";
    sessions.database.execute(cleanup).await?;
    assert_eq!(answer(swept.code(), None).await?, expired);

    let ended = dual(&replica, "table_042").await?;
    ended.send(&replica, Method::POST, "/end", Value::Null).await?;
    assert_eq!(answer(ended.code(), None).await?, wrong, "a session that was ended has no code");
    Ok(())
}

/// Proves: G27.
#[tokio::test]
async fn what_is_kept_of_a_code_is_made_with_a_salt_and_a_key_that_is_not_in_the_database()
-> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = dual(&replica, "table_042").await?;
    let kept = kept(&sessions, host.session()).await?;
    assert_eq!(kept.key_id, "new");
    let secret: Vec<u8> = (0..32).collect();
    let mac = |key: &[u8], parts: &[&[u8]]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    };
    let proof_key = mac(&secret, &[b"session-api join code proof"]);
    let session = host.session().parse::<uuid::Uuid>()?;
    let parts = [&kept.salt[..], b"table_talk", session.as_bytes(), host.code().as_bytes()];
    assert_eq!(kept.hash, mac(&proof_key, &parts));
    let lookup_key = mac(&secret, &[b"session-api join code lookup"]);
    assert_eq!(kept.lookup, mac(&lookup_key, &[host.code().as_bytes()]));
    assert!(CODE_KEYS[0].contains("000102"), "the key of this test");
    let other = dual(&replica, "table_042").await?;
    assert_ne!(kept.salt, self::kept(&sessions, other.session()).await?.salt);
    Ok(())
}

struct Kept {
    hash: Vec<u8>,
    salt: Vec<u8>,
    lookup: Vec<u8>,
    key_id: String,
}

async fn kept(sessions: &Sessions, session: &str) -> Result<Kept> {
    let row = sqlx::query(
        "SELECT pairing_code_hash, pairing_salt, pairing_code_lookup, pairing_key_id
         FROM core.sessions WHERE session_id::text = $1",
    )
    .bind(session)
    .fetch_one(sessions.database.pool())
    .await?;
    Ok(Kept {
        hash: row.try_get(0)?,
        salt: row.try_get(1)?,
        lookup: row.try_get(2)?,
        key_id: row.try_get(3)?,
    })
}

#[tokio::test]
async fn of_many_who_type_a_code_at_once_at_two_servers_one_wins() -> Result<()> {
    let (sessions, one) = scene().await?;
    let two = Replica::start(&sessions).await?;
    for _ in 0..5 {
        let host = dual(&one, "table_042").await?;
        let phones: Vec<_> = (0..20).map(|_| Phone::fresh()).collect();
        let tries = phones.iter().enumerate().map(|(number, phone)| {
            redeem(if number % 2 == 0 { &one } else { &two }, phone, host.code())
        });
        let answers = join_all(tries).await.into_iter().collect::<Result<Vec<_>>>()?;
        let of = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((of(200), of(403)), (1, 19));
        let seen = host.send(&two, Method::GET, "", Value::Null).await?;
        assert_eq!(seen.body["participants"].as_array().map(Vec::len), Some(2));
    }
    Ok(())
}

#[tokio::test]
async fn a_key_is_exchanged_while_codes_wait() -> Result<()> {
    let (sessions, _new) = scene().await?;
    let old = Replica::start_with(&sessions, &[("--code-keys", CODE_KEYS[1])]).await?;
    let waiting = [dual(&old, "table_042").await?, dual(&old, "table_042").await?];
    // First everybody gets to know the next key: whoever is started last does not know it before.
    let next = format!("{},{}", CODE_KEYS[1], CODE_KEYS[0]);
    let knowing = Replica::start_with(&sessions, &[("--code-keys", &next)]).await?;
    let meanwhile = dual(&knowing, "table_042").await?;
    assert_eq!(kept(&sessions, meanwhile.session()).await?.key_id, "old");
    assert_eq!(redeem(&old, &Phone::fresh(), meanwhile.code()).await?.status, 200);
    let both = CODE_KEYS.join(",");
    let rotated = Replica::start_with(&sessions, &[("--code-keys", &both)]).await?;
    let early = dual(&rotated, "table_042").await?;
    assert_eq!(redeem(&knowing, &Phone::fresh(), early.code()).await?.status, 200);
    let fresh = dual(&rotated, "table_042").await?;
    assert_eq!(kept(&sessions, fresh.session()).await?.key_id, "new");
    assert_eq!(redeem(&rotated, &Phone::fresh(), waiting[0].code()).await?.status, 200);
    assert_eq!(redeem(&rotated, &Phone::fresh(), fresh.code()).await?.status, 200);
    let dropped = Replica::start_with(&sessions, &[("--code-keys", CODE_KEYS[0])]).await?;
    assert_eq!(redeem(&dropped, &Phone::fresh(), waiting[1].code()).await?.status, 403);
    Ok(())
}

#[tokio::test]
async fn a_host_gets_a_new_code_in_place_of_the_old_one_and_can_take_it_back() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = dual(&replica, "table_042").await?;
    let issued = host.send(&replica, Method::POST, "/join-code", Value::Null).await?;
    assert_eq!(issued.status, 201, "{}", issued.body);
    let code = issued.text("/pairing/code");
    if code != host.code() {
        assert_eq!(redeem(&replica, &Phone::fresh(), host.code()).await?.status, 403);
    }
    assert_eq!(host.send(&replica, Method::DELETE, "/join-code", Value::Null).await?.status, 204);
    assert_eq!(redeem(&replica, &Phone::fresh(), code).await?.status, 403);
    let again = host.send(&replica, Method::POST, "/join-code", Value::Null).await?;
    let guest = Phone::fresh();
    let paired = redeem(&replica, &guest, again.text("/pairing/code")).await?;
    assert_eq!(paired.status, 200, "{}", paired.body);
    for method in [Method::POST, Method::DELETE] {
        let late = host.send(&replica, method, "/join-code", Value::Null).await?;
        assert_eq!(late.problem(), (409, "already_paired"));
    }
    let guest = guest.with_token(paired.text("/token"));
    let refused = guest.post(&replica, &host.path("/join-code"), Value::Null).await?;
    assert_eq!(refused.problem(), (403, "not_the_host"));
    let single = single(&replica).await?;
    let none = single.send(&replica, Method::POST, "/join-code", Value::Null).await?;
    assert_eq!(none.problem(), (409, "not_dual"));
    let direct = Phone::fresh()
        .post(&replica, &host.path("/participants"), json!({"access_method": "direct"}))
        .await?;
    assert_eq!(direct.problem(), (403, "code_required"));
    let [.., audit] = told(&sessions, host.session()).await?;
    assert!(audit.contains(&"join_code_revoked".to_owned()), "{audit:?}");
    Ok(())
}

#[tokio::test]
async fn the_twentieth_wrong_try_at_a_table_burns_the_codes_that_wait_there() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = dual(&replica, "table_042").await?;
    let elsewhere = dual(&replica, "table_043").await?;
    let wrong = other_than(host.code());
    for number in 1..=20 {
        let alive = format!(
            "SELECT pairing_code_hash IS NOT NULL FROM core.sessions WHERE session_id = '{}'",
            host.session()
        );
        assert!(sessions.database.scalar::<bool>(&alive).await?, "before try {number}");
        let body = json!({"code": wrong, "table_token": "table_042"});
        let answer = Phone::fresh().post(&replica, "/api/v1/join-codes/redeem", body).await?;
        assert_eq!(answer.status, 403, "{}", answer.body);
    }
    assert_eq!(redeem(&replica, &Phone::fresh(), host.code()).await?.status, 403);
    assert_eq!(redeem(&replica, &Phone::fresh(), elsewhere.code()).await?.status, 200);
    let [realtime, ..] = told(&sessions, host.session()).await?;
    assert_eq!(realtime.last().map(String::as_str), Some("join_code_expired"));
    let burned = "SELECT count(*) FROM core.analytics_events WHERE event_data ->> 'reason' = 'burned' AND event_type = 'join_code_failed'";
    assert_eq!(sessions.database.scalar::<i64>(burned).await?, 1);
    let again = host.send(&replica, Method::POST, "/join-code", Value::Null).await?;
    let paired = redeem(&replica, &Phone::fresh(), again.text("/pairing/code")).await?;
    assert_eq!(paired.status, 200, "the host asked for a new one");
    Ok(())
}

/// A code that is gone before its time is over has been told of, and one that is exchanged after it is told of then.
#[tokio::test]
async fn that_a_code_expired_is_told_once_and_only_where_it_did() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let [withdrawn, burned, exchanged, swept] = [
        dual(&replica, "table_001").await?,
        dual(&replica, "table_002").await?,
        dual(&replica, "table_003").await?,
        dual(&replica, "table_004").await?,
    ];
    withdrawn.send(&replica, Method::DELETE, "/join-code", Value::Null).await?;
    for _ in 0..10 {
        let body = json!({"code": burned.code(), "table_token": "table_043"});
        Phone::fresh().post(&replica, "/api/v1/join-codes/redeem", body).await?;
    }
    let late = "pairing_expires_at = now() - interval '1 second'";
    for host in [&withdrawn, &burned, &exchanged, &swept] {
        age(&sessions, host.session(), late).await?;
    }
    let issued = exchanged.send(&replica, Method::POST, "/join-code", Value::Null).await?;
    assert_eq!(issued.status, 201, "{}", issued.body);
    clean(&sessions, "table-talk-sessions").await?;
    for (host, times) in [(&withdrawn, 0), (&burned, 1), (&exchanged, 1), (&swept, 1)] {
        let [realtime, analytics, _] = told(&sessions, host.session()).await?;
        for sink in [realtime, analytics] {
            let found = sink.iter().filter(|name| *name == "join_code_expired").count();
            assert_eq!(found, times, "{:?}: {sink:?}", host.created.text("/session/table_token"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_right_code_at_the_wrong_table_burns_itself_the_tenth_time() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let host = dual(&replica, "table_042").await?;
    for _ in 0..10 {
        let body = json!({"code": host.code(), "table_token": "table_043"});
        let answer = Phone::fresh().post(&replica, "/api/v1/join-codes/redeem", body).await?;
        assert_eq!(answer.status, 403, "{}", answer.body);
    }
    assert_eq!(redeem(&replica, &Phone::fresh(), host.code()).await?.status, 403);
    Ok(())
}
