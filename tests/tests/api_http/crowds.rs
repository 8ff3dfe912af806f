//! More clients, or more to do, than there is room for: who can be served is served, and the others are told so.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::Value;
use sqlx::Connection as _;
use tests::Sessions;
use tests::sessions::replica::{CODE_KEYS, Replica, read};
use tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::scene::{Host, scene, single};

const KEYS: (&str, &str) = ("--code-keys", CODE_KEYS[0]);
const PATIENCE: Duration = Duration::from_mins(1);
const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

async fn connect(replica: &Replica) -> Result<TcpStream> {
    Ok(TcpStream::connect(replica.base().trim_start_matches("http://")).await?)
}

/// What the server says next; nothing when it has closed the connection.
async fn said(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 4096];
    let read = stream.read(&mut bytes).await.unwrap_or_default();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

/// Clients that take a place and never say what they want.
async fn silent(replica: &Replica, count: usize) -> Result<Vec<TcpStream>> {
    let mut all = Vec::new();
    for _ in 0..count {
        let mut stream = connect(replica).await?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost:").await?;
        all.push(stream);
    }
    Ok(all)
}

/// A figure of the server.
async fn figure(replica: &Replica, name: &str) -> Result<u64> {
    let page = replica.probe("/metrics")?.send().await?.text().await?;
    let line = page.lines().find(|line| line.starts_with(name)).context("no such figure")?;
    Ok(line.rsplit(' ').next().context("a value")?.parse()?)
}

#[tokio::test]
async fn a_cluster_is_answered_while_clients_take_every_place() -> Result<()> {
    let (sessions, _) = scene().await?;
    let flags = [KEYS, ("--connections", "2"), ("--admin-listen", "127.0.0.1:0")];
    let mut replica = Replica::start_with(&sessions, &flags).await?;
    let _silent = silent(&replica, 2).await?;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(read(replica.probe(path)?).await?.status, 200, "{path}");
    }
    let other = read(replica.probe("/api/v1/sessions")?).await?;
    assert_eq!(other.problem(), (404, "route_not_found"), "clients have nothing to do there");
    replica.terminate()?;
    assert_eq!(replica.end().await?, Some(0), "{}", replica.log());
    Ok(())
}

#[tokio::test]
async fn whoever_finds_no_place_is_told_so_and_comes_in_when_there_is_one() -> Result<()> {
    let (sessions, _) = scene().await?;
    let origin = "https://a.example";
    let flags = [KEYS, ("--connections", "2"), ("--cors-origins", origin)];
    let replica = Replica::start_with(&sessions, &flags).await?;
    let third = || read(replica.request(Method::GET, "/healthz").header("origin", origin));
    // On a slow machine the silent ones are ended before the third has come.
    let (silent, told) = wait::until("nobody to find a place", PATIENCE, async || {
        let silent = silent(&replica, 2).await?;
        let told = third().await?;
        Ok((told.status != 200).then_some((silent, told)))
    })
    .await?;
    assert_eq!(told.problem(), (503, "overloaded"), "{}", told.body);
    assert_eq!(told.header("content-type"), "application/problem+json");
    assert_eq!((told.header("retry-after"), told.header("connection")), ("1", "close"));
    assert_eq!(told.header("access-control-allow-origin"), origin, "a page is shown it, too");
    // A head that does not come is not waited for.
    wait::until("a place to be free", PATIENCE, async || {
        Ok((third().await?.status == 200).then_some(()))
    })
    .await?;
    for mut stream in silent {
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await?;
        assert!(!String::from_utf8_lossy(&said).contains(" 200 "));
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_that_rests_makes_room_for_whoever_comes() -> Result<()> {
    let (sessions, _) = scene().await?;
    let replica = Replica::start_with(&sessions, &[KEYS, ("--connections", "3")]).await?;
    let mut resting = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(&replica).await?;
        stream.write_all(ASK).await?;
        assert!(said(&mut stream).await.starts_with("HTTP/1.1 200"));
        resting.push(stream);
    }
    let mut late = connect(&replica).await?;
    late.write_all(ASK).await?;
    assert!(said(&mut late).await.starts_with("HTTP/1.1 200"), "it is served at once");
    assert_eq!(said(&mut resting[0]).await, "", "the one that rested for longest is closed");
    for stream in &mut resting[1..] {
        stream.write_all(ASK).await?;
        assert!(said(stream).await.starts_with("HTTP/1.1 200"), "the others stay");
    }
    Ok(())
}

/// As in a pod of a node whose runtime leaves the limit of the system, and more clients than that.
#[tokio::test]
async fn clients_take_no_file_that_the_cluster_or_the_database_needs() -> Result<()> {
    let (sessions, _) = scene().await?;
    let flags = [KEYS, ("--admin-listen", "127.0.0.1:0")];
    let replica = Replica::start_with_files(&sessions, 160, &flags).await?;
    let mut resting = Vec::new();
    for _ in 0..200 {
        let mut stream = connect(&replica).await?;
        stream.write_all(ASK).await?;
        assert!(said(&mut stream).await.starts_with("HTTP/1.1 200"), "{}", resting.len());
        resting.push(stream);
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(read(replica.probe(path)?).await?.status, 200, "{path}");
    }
    let log = replica.log();
    assert!(log.contains("fewer connections of clients than asked for"), "{log}");
    assert!(!log.contains("could not be taken"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_head_has_a_bound_and_so_has_an_answer_that_nobody_reads() -> Result<()> {
    let (sessions, _) = scene().await?;
    let flags = [KEYS, ("--admin-listen", "127.0.0.1:0")];
    let replica = Replica::start_with(&sessions, &flags).await?;
    for (length, status) in [(16 * 1024, "HTTP/1.1 200"), (48 * 1024, "HTTP/1.1 431")] {
        let mut stream = connect(&replica).await?;
        let head =
            format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: {}\r\n\r\n", "a".repeat(length));
        // It may hang up before it has read all of it.
        let _ = stream.write_all(head.as_bytes()).await;
        assert!(said(&mut stream).await.starts_with(status), "{length}");
    }
    let mut deaf = connect(&replica).await?;
    // Answers of some megabytes, more than the system keeps for both ends.
    let ask = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
    deaf.write_all(&ask).await?;
    wait::until("the server to give up", PATIENCE, async || {
        Ok((figure(&replica, "pgsweep_api_client_connections").await? == 0).then_some(()))
    })
    .await
}

/// Somebody holds all sessions, and a request of this host waits for them.
async fn wait_for_a_lock(
    sessions: &Sessions,
    replica: &Replica,
    host: &Host,
) -> Result<(sqlx::PgConnection, tokio::task::JoinHandle<Result<tests::sessions::replica::Answer>>)>
{
    let mut holder = sessions.connect(&sessions.roles.cleanup, "core").await?;
    sqlx::raw_sql("BEGIN; SELECT 1 FROM core.sessions FOR UPDATE").execute(&mut holder).await?;
    let request = host.phone.request(replica, Method::POST, &host.path("/end"));
    let asked = tokio::spawn(read(request));
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'session-api' AND wait_event_type = 'Lock')";
    wait::until("the request to wait", PATIENCE, async || {
        Ok(sessions.database.scalar::<bool>(waits).await?.then_some(()))
    })
    .await?;
    Ok((holder, asked))
}

/// All replicas have the same crowd at the same time, and would leave their Service together.
#[tokio::test]
async fn that_all_connections_are_at_work_is_no_reason_to_leave() -> Result<()> {
    let (sessions, patient) = scene().await?;
    let host = single(&patient).await?;
    let flags = [KEYS, ("--pool-size", "1"), ("--acquire-timeout", "50ms")];
    let replica = Replica::start_with(&sessions, &flags).await?;
    let (holder, asked) = wait_for_a_lock(&sessions, &replica, &host).await?;
    let crowded = host.send(&replica, Method::GET, "", Value::Null).await?;
    assert_eq!(crowded.problem(), (503, "overloaded"));
    let ready = || read(replica.request(Method::GET, "/readyz"));
    assert_eq!(ready().await?.status, 200);
    // The database has begun nothing for some seconds: then nobody knows whether it is there.
    wait::until("it not to be ready", PATIENCE, async || {
        Ok((ready().await?.status == 503).then_some(()))
    })
    .await?;
    holder.close().await?;
    assert_eq!(asked.await??.status, 200);
    assert_eq!(ready().await?.status, 200);
    Ok(())
}

/// If each heartbeat asked by itself as soon as there is too much to do, there would never be less.
#[tokio::test]
async fn heartbeats_are_answered_from_memory_while_all_connections_are_at_work() -> Result<()> {
    const LONGER_THAN_BELIEVED: Duration = Duration::from_secs(9);
    let (sessions, patient) = scene().await?;
    let (host, other) = (single(&patient).await?, single(&patient).await?);
    let flags = [KEYS, ("--pool-size", "1"), ("--acquire-timeout", "50ms")];
    let replica = Replica::start_with(&sessions, &flags).await?;
    let beat = || {
        let path = "/participants/me/heartbeat";
        host.send(&replica, Method::PUT, path, Value::Null)
    };
    wait::until("it to be remembered", PATIENCE, async || {
        Ok((beat().await?.status == 204).then_some(()))
    })
    .await?;
    let (holder, asked) = wait_for_a_lock(&sessions, &replica, &other).await?;
    let begun = Instant::now();
    while begun.elapsed() < LONGER_THAN_BELIEVED {
        assert_eq!(beat().await?.status, 204, "after {:?}", begun.elapsed());
        // Nothing is waited for: that it holds all the time is what is to be seen, by a phone that takes a breath.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    holder.close().await?;
    assert_eq!(asked.await??.status, 200);
    Ok(())
}
