//! A reading from the invite to its end, as 001 and 004 describe it.

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tests::sessions::replica::{Phone, Replica};

use super::scene::{begin, clean, policy, scene};

/// Proves: S4.
#[tokio::test]
async fn a_reading_lives_by_its_heartbeats_and_an_hour_without_any_closes_links_and_session()
-> Result<()> {
    let (sessions, mut replica) = scene().await?;
    let readings = policy("tarot-sessions")?;
    assert_eq!(readings["spec"]["schedule"], "*/15 * * * *");

    let host = begin(&replica, json!({"app": "tarot", "mode": "single"})).await?;
    let invited = host.send(&replica, Method::POST, "/invites", Value::Null).await?;
    let link = format!("/api/v1/invites/{}", invited.text("/invite/token"));
    let silent = async |minutes: u32| {
        let sql = format!(
            "UPDATE core.session_participants SET last_seen_at = now() - interval '{minutes} minutes'"
        );
        sessions.database.execute(&sql).await
    };
    let is_active = "SELECT is_active FROM core.sessions";

    // An hour is the limit: with a minute less both the link and the session are open.
    silent(59).await?;
    clean(&sessions, "tarot-sessions").await?;
    assert!(sessions.database.scalar::<bool>(is_active).await?);
    assert_eq!(Phone::fresh().get(&replica, &link).await?.status, 200);
    let beat = "/participants/me/heartbeat";
    let heard = host.send(&replica, Method::PUT, beat, Value::Null).await?;
    assert_eq!((heard.status, heard.header("heartbeat-interval")), (204, "30"));

    // What was heard is written down at the end of a server, so that nothing of it comes later.
    replica.terminate()?;
    assert_eq!(replica.end().await?, Some(0), "{}", replica.log());
    let replica = Replica::start(&sessions).await?;
    // With a minute more the link is closed at once, and the session by the next run.
    silent(61).await?;
    let refused = Phone::fresh().get(&replica, &link).await?;
    assert_eq!(refused.problem(), (410, "invite_expired"));
    assert!(sessions.database.scalar::<bool>(is_active).await?, "cleanup has not come by yet");
    let run = clean(&sessions, "tarot-sessions").await?;
    let closed = run.report["rules"][0]["affected"].as_i64().context("a count")?;
    assert_eq!(closed, 1, "{}", run.output);
    let kept =
        "SELECT count(*) FROM core.sessions WHERE NOT is_active AND end_reason = 'inactivity'";
    assert_eq!(sessions.database.scalar::<i64>(kept).await?, 1, "ended, and kept for billing");
    let late = host.send(&replica, Method::PUT, beat, Value::Null).await?;
    assert_eq!(late.problem(), (410, "session_expired"));
    Ok(())
}
