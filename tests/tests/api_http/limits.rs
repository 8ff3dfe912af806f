//! Tries are counted for a client over all servers, exactly.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tests::sessions::replica::{CODE_KEYS, Phone, Replica, read};
use tests::wait;

use super::scene::{dual, other_than, redeem, scene};

const PATIENCE: Duration = Duration::from_mins(1);

/// Proves: G28.
#[tokio::test]
async fn five_wrong_codes_are_403_and_the_sixth_is_429() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let phone = Phone::fresh();
    let wrong = json!({"table_token": "table_042", "code": "000000"});
    for left in [4, 3, 2, 1, 0] {
        let answer = phone.post(&replica, "/api/sessions/join-dual", wrong.clone()).await?;
        assert_eq!(answer.problem(), (403, "join_code_invalid"));
        assert_eq!(answer.header("ratelimit-policy"), "\"join-code\";q=5;w=60");
        assert!(answer.header("ratelimit").starts_with(&format!("\"join-code\";r={left};t=")));
    }
    let sixth = phone.post(&replica, "/api/sessions/join-dual", wrong.clone()).await?;
    assert_eq!(sixth.problem(), (429, "quota-exceeded"), "{}", sixth.body);
    assert_eq!(sixth.body["violated-policies"], json!(["join-code"]));
    let wait: u64 = sixth.header("retry-after").parse()?;
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(sixth.body["retry_after_s"], wait);
    assert_eq!(sixth.header("ratelimit"), format!("\"join-code\";r=0;t={wait}"));

    let other = Phone::fresh().post(&replica, "/api/sessions/join-dual", wrong.clone()).await?;
    assert_eq!(other.status, 403, "another client has its own tries");
    let failed = "SELECT array_agg(event_data ->> 'reason' ORDER BY id) FROM core.analytics_events WHERE event_type = 'join_code_failed'";
    let reasons: Vec<String> = sessions.database.scalar(failed).await?;
    assert_eq!(reasons[..5], ["invalid_code"; 5]);
    assert_eq!(reasons[5..], ["rate_limited", "invalid_code"]);

    sessions.database.execute("UPDATE core.rate_limits SET hits = ARRAY(SELECT hit - interval '60 seconds' FROM unnest(hits) AS hit)").await?;
    let restarted = Replica::start(&sessions).await?;
    let later = phone.post(&restarted, "/api/sessions/join-dual", wrong).await?;
    assert_eq!(later.status, 403, "a minute later");
    Ok(())
}

#[tokio::test]
async fn two_servers_let_five_of_many_tries_at_once_through() -> Result<()> {
    let (sessions, one) = scene().await?;
    let two = Replica::start(&sessions).await?;
    for _ in 0..3 {
        let phone = Phone::fresh();
        let tries = (0..30).map(|n| redeem(if n % 2 == 0 { &one } else { &two }, &phone, "271828"));
        let answers = join_all(tries).await.into_iter().collect::<Result<Vec<_>>>()?;
        let of = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((of(403), of(429)), (5, 25));
    }
    Ok(())
}

#[tokio::test]
async fn a_right_code_costs_no_try_an_expired_one_does_and_a_shape_does_not() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let phone = Phone::fresh();
    for _ in 0..7 {
        let host = dual(&replica, "table_042").await?;
        assert_eq!(redeem(&replica, &phone, host.code()).await?.status, 200);
        assert_eq!(redeem(&replica, &phone, "12345").await?.problem(), (422, "validation_failed"));
    }
    let late = dual(&replica, "table_042").await?;
    sessions
        .database
        .execute("UPDATE core.sessions SET pairing_expires_at = now() - interval '11 minutes'")
        .await?;
    for _ in 0..5 {
        assert_eq!(redeem(&replica, &phone, late.code()).await?.status, 404);
    }
    assert_eq!(redeem(&replica, &phone, other_than(late.code())).await?.status, 429);
    Ok(())
}

/// Who is over their limit is turned away without the database, in which nothing can be asked here.
#[tokio::test]
async fn a_flood_of_beginnings_does_not_reach_the_database() -> Result<()> {
    let (sessions, _) = scene().await?;
    let flags = [("--code-keys", CODE_KEYS[0]), ("--statement-timeout", "500ms")];
    let replica = Replica::start_with(&sessions, &flags).await?;
    let phone = Phone::fresh();
    let body = json!({"app": "tarot", "mode": "single"});
    let begin = || phone.post(&replica, "/api/v1/sessions", body.clone());
    wait::until("ten to be begun", PATIENCE, async || {
        Ok((begin().await?.status == 429).then_some(()))
    })
    .await?;
    // What the database said is believed for a second, which a slow machine may miss.
    wait::until("one to be turned away without it", PATIENCE, async || {
        begin().await?;
        let mut somebody = sessions.database.pool().begin().await?;
        sqlx::query("LOCK TABLE core.rate_limits").execute(&mut *somebody).await?;
        let answer = begin().await?;
        somebody.rollback().await?;
        Ok((answer.problem() == (429, "quota-exceeded")).then_some(()))
    })
    .await
}

/// As a crash of the database leaves them.
#[tokio::test]
async fn that_all_tries_were_forgotten_is_noticed() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let lost = async || {
        let page = replica.request(Method::GET, "/metrics").send().await?.text().await?;
        let line = page.lines().find(|line| line.starts_with("pgsweep_api_limits_lost_total "));
        Ok::<_, anyhow::Error>(line.context("the figure")?.ends_with(" 1"))
    };
    let kept = "SELECT count(*) FROM core.rate_limits";
    wait::until("the row that is kept", PATIENCE, async || {
        Ok((sessions.database.scalar::<i64>(kept).await? == 1).then_some(()))
    })
    .await?;
    assert!(!lost().await?, "a server that begins has lost nothing");
    sessions.database.execute("TRUNCATE core.rate_limits").await?;
    wait::until("it to be noticed", PATIENCE, async || Ok(lost().await?.then_some(()))).await?;
    assert!(replica.log().contains("limits were lost"), "{}", replica.log());
    Ok(())
}

#[tokio::test]
async fn a_client_begins_ten_sessions_a_minute() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let phone = Phone::fresh();
    let body = json!({"app": "tarot", "mode": "single"});
    for left in (0..10).rev() {
        let made = phone.post(&replica, "/api/v1/sessions", body.clone()).await?;
        assert_eq!(made.status, 201, "{}", made.body);
        assert_eq!(made.header("ratelimit-policy"), "\"create-session\";q=10;w=60");
        let told = format!("\"create-session\";r={left};t=");
        assert!(made.header("ratelimit").starts_with(&told), "{}", made.header("ratelimit"));
    }
    let eleventh = phone.post(&replica, "/api/v1/sessions", body).await?;
    assert_eq!(eleventh.problem(), (429, "quota-exceeded"));
    assert_eq!(eleventh.body["violated-policies"], json!(["create-session"]));
    let page = replica.request(reqwest::Method::GET, "/metrics").send().await?.text().await?;
    assert!(page.contains("pgsweep_api_limited_total{limit=\"create-session\"} 1"), "{page}");
    Ok(())
}

#[tokio::test]
async fn what_a_client_writes_of_itself_gives_it_no_new_tries() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let request = |forged: u8| {
        // The proxy appends the address that it sees.
        let forwarded = format!("192.0.2.{forged}, 198.51.100.7");
        replica
            .request(reqwest::Method::POST, "/api/v1/join-codes/redeem")
            .header("x-forwarded-for", forwarded)
            .json(&json!({"code": "271828"}))
    };
    for forged in 1..=5 {
        assert_eq!(read(request(forged)).await?.status, 403);
    }
    assert_eq!(read(request(6)).await?.status, 429);
    Ok(())
}

#[tokio::test]
async fn while_many_guess_a_code_has_to_come_with_its_table() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = dual(&replica, "table_042").await?;
    sessions
        .database
        .execute(
            "INSERT INTO core.analytics_events (event_type, event_data)
             SELECT 'join_code_failed', '{\"reason\": \"invalid_code\"}' FROM generate_series(1, 301)",
        )
        .await?;
    let phone = Phone::fresh();
    let alone = redeem(&replica, &phone, host.code()).await?;
    assert_eq!(alone.problem(), (422, "validation_failed"), "{}", alone.body);
    assert_eq!(alone.text("/errors/0/field"), "table_token");
    let body = json!({"code": host.code(), "table_token": "table_042"});
    assert_eq!(phone.post(&replica, "/api/v1/join-codes/redeem", body).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn while_very_many_codes_wait_one_has_to_come_with_its_table() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = dual(&replica, "table_042").await?;
    let wait = |count: u32| {
        format!(
            "INSERT INTO core.sessions (app, mode, dual_status, pairing_code_hash, pairing_code_lookup, pairing_expires_at)
             SELECT 'table_talk', 'dual', 'waiting', '\\x00', int4send(n), now() + interval '5 minutes' FROM generate_series(1, {count}) AS n"
        )
    };
    sessions.database.execute(&wait(1_999)).await?;
    let phone = Phone::fresh();
    assert_eq!(redeem(&replica, &phone, other_than(host.code())).await?.status, 403);
    sessions.database.execute(&wait(2_000).replace("(1, ", "(2000, ")).await?;
    let alone = redeem(&replica, &phone, host.code()).await?;
    assert_eq!(alone.problem(), (422, "validation_failed"), "{}", alone.body);
    let body = json!({"code": host.code(), "table_token": "table_042"});
    assert_eq!(phone.post(&replica, "/api/v1/join-codes/redeem", body).await?.status, 200);
    Ok(())
}
