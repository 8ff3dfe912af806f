//! Heartbeats: most of them are answered from memory, all of them are written down, and none of them keeps
//! anybody in who is out.

use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::Value;
use tests::Sessions;
use tests::sessions::replica::{Answer, Phone, Replica};
use tests::wait;

use super::scene::{Host, age, join, scene, single};

const PATIENCE: Duration = Duration::from_mins(1);

async fn beat(replica: &Replica, phone: &Phone, host: &Host) -> Result<Answer> {
    let path = host.path("/participants/me/heartbeat");
    phone.send(replica, Method::PUT, &path, Value::Null).await
}

/// How many heartbeats were answered without the database.
async fn from_memory(replica: &Replica) -> Result<u64> {
    let page = replica.request(Method::GET, "/metrics").send().await?.text().await?;
    let line = page
        .lines()
        .find(|line| line.starts_with("pgsweep_api_heartbeats_total{source=\"memory\"}"));
    Ok(line.and_then(|line| line.rsplit(' ').next()).and_then(|n| n.parse().ok()).unwrap_or(0))
}

/// Everybody was silent for two minutes.
async fn silent(sessions: &Sessions) -> Result<()> {
    let sql = "UPDATE core.session_participants SET last_seen_at = now() - interval '2 minutes'";
    sessions.database.execute(sql).await
}

async fn heard(sessions: &Sessions) -> Result<i64> {
    let sql = "SELECT count(*) FROM core.session_participants WHERE last_seen_at > now() - interval '1 minute'";
    sessions.database.scalar(sql).await
}

/// Proves: L11.
#[tokio::test]
async fn heartbeats_cost_no_statement_each_and_are_written_down_together() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = single(&replica).await?;
    let guest = join(&replica, &host).await?;
    silent(&sessions).await?;
    for phone in [&host.phone, &guest] {
        let first = beat(&replica, phone, &host).await?;
        assert_eq!((first.status, first.header("heartbeat-interval")), (204, "30"));
    }
    wait::until("heartbeats to be written", PATIENCE, async || {
        Ok((heard(&sessions).await? == 2).then_some(()))
    })
    .await?;
    // One that comes between two looks of the server is answered from memory, and is written down too.
    wait::until("one from memory", PATIENCE, async || {
        assert_eq!(beat(&replica, &guest, &host).await?.status, 204);
        Ok((from_memory(&replica).await? > 0).then_some(()))
    })
    .await?;
    silent(&sessions).await?;
    let before = from_memory(&replica).await?;
    wait::until("another one from memory", PATIENCE, async || {
        beat(&replica, &guest, &host).await?;
        Ok((from_memory(&replica).await? > before).then_some(()))
    })
    .await?;
    wait::until("it to be written", PATIENCE, async || {
        Ok((heard(&sessions).await? == 1).then_some(()))
    })
    .await?;
    let replicas =
        "SELECT count(*) FROM core.api_replicas WHERE seen_at > now() - interval '1 minute'";
    assert_eq!(sessions.database.scalar::<i64>(replicas).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_server_that_ends_writes_down_what_it_heard() -> Result<()> {
    let (sessions, mut replica) = scene().await?;
    let host = single(&replica).await?;
    silent(&sessions).await?;
    assert_eq!(beat(&replica, &host.phone, &host).await?.status, 204);
    replica.terminate()?;
    assert_eq!(replica.end().await?, Some(0), "{}", replica.log());
    assert_eq!(heard(&sessions).await?, 1);
    Ok(())
}

#[tokio::test]
async fn who_is_out_is_told_so_at_once_here_and_in_a_moment_elsewhere() -> Result<()> {
    let (sessions, one) = scene().await?;
    let two = Replica::start(&sessions).await?;
    let (host, other) = (single(&one).await?, single(&one).await?);
    let guest = join(&one, &host).await?;
    let away = join(&one, &host).await?;
    let remembered =
        [(&host.phone, &host), (&guest, &host), (&away, &host), (&other.phone, &other)];
    for replica in [&one, &two] {
        for (phone, host) in remembered {
            for _ in 0..2 {
                assert_eq!(beat(replica, phone, host).await?.status, 204);
            }
        }
    }
    let stranger = beat(&one, &other.phone, &host).await?;
    assert_eq!(stranger.problem(), (404, "session_not_found"));

    guest.send(&one, Method::DELETE, &host.path("/participants/me"), Value::Null).await?;
    assert_eq!(beat(&one, &guest, &host).await?.problem(), (401, "token_invalid"));
    host.send(&one, Method::POST, "/end", Value::Null).await?;
    assert_eq!(beat(&one, &host.phone, &host).await?.problem(), (410, "session_ended"));
    other.send(&one, Method::DELETE, "", Value::Null).await?;
    assert_eq!(beat(&one, &other.phone, &other).await?.problem(), (404, "session_not_found"));
    for (phone, host, expected) in
        [(&guest, &host, 401), (&away, &host, 410), (&other.phone, &other, 404)]
    {
        wait::until("the other server to know", PATIENCE, async || {
            let status = beat(&two, phone, host).await?.status;
            Ok((status == expected).then_some(()))
        })
        .await
        .with_context(|| format!("{expected}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn what_cleanup_does_is_known_in_a_moment_too() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let (over, gone) = (single(&replica).await?, single(&replica).await?);
    for host in [&over, &gone] {
        assert_eq!(beat(&replica, &host.phone, host).await?.status, 204);
    }
    age(&sessions, over.session(), "expires_at = now()").await?;
    wait::until("the end to be known", PATIENCE, async || {
        let answer = beat(&replica, &over.phone, &over).await?;
        Ok((answer.problem() == (410, "session_expired")).then_some(()))
    })
    .await?;
    let mark = format!(
        "UPDATE core.session_participants SET disconnected_at = now() WHERE session_id = '{}'",
        gone.session()
    );
    sessions.database.execute(&mark).await?;
    let back = format!(
        "SELECT count(*) FROM core.session_events WHERE session_id = '{}' AND type = 'participant_reconnected'",
        gone.session()
    );
    // One heartbeat is enough, whether it is asked for or answered from memory.
    assert_eq!(beat(&replica, &gone.phone, &gone).await?.status, 204);
    wait::until("them to be back", PATIENCE, async || {
        Ok((sessions.database.scalar::<i64>(&back).await? == 1).then_some(()))
    })
    .await
}

/// A bill is of the whole time, also of the moments before an end that nobody had written down.
///
/// Proves: S9.
#[tokio::test]
async fn who_was_heard_of_until_the_end_is_billed_until_then() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = single(&replica).await?;
    let guest = join(&replica, &host).await?;
    let begun = "
        UPDATE core.sessions SET created_at = now() - interval '10 minutes', last_activity_at = now() - interval '10 minutes';
        UPDATE core.session_participants SET joined_at = now() - interval '10 minutes', last_seen_at = now() - interval '10 minutes'";
    sessions.database.execute(begun).await?;
    assert_eq!(beat(&replica, &guest, &host).await?.status, 204);
    assert_eq!(host.send(&replica, Method::POST, "/end", Value::Null).await?.status, 200);
    let used = "
        SELECT format('%s of %s minutes, to come %s', round(participant_minutes), round(session_minutes), expires_at > now())
        FROM core.sessions";
    let used: String = sessions.database.scalar(used).await?;
    assert_eq!(used, "20 of 10 minutes, to come f");
    Ok(())
}
