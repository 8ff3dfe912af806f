//! The process: when it is ready, how it ends, and what it says when there is too much to do.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tests::sessions::replica::{CODE_KEYS, Phone, Replica, read};
use tests::sessions::session_api;
use tests::wait;

use super::scene::{scene, single};

const KEYS: (&str, &str) = ("--code-keys", CODE_KEYS[0]);

#[tokio::test]
async fn it_is_ready_with_its_schema_and_not_any_more_when_it_is_asked_to_end() -> Result<()> {
    let (sessions, first) = scene().await?;
    assert_eq!(read(first.request(Method::GET, "/healthz")).await?.status, 200);
    assert_eq!(read(first.request(Method::GET, "/readyz")).await?.status, 200);
    let newer = "INSERT INTO core.migrations (version, description, checksum) SELECT max(version) + $, 'next', '' FROM core.migrations";
    sessions.database.execute(&newer.replace('$', "1")).await?;
    assert_eq!(
        read(first.request(Method::GET, "/readyz")).await?.status,
        200,
        "while a release is rolled out"
    );
    sessions.database.execute(&newer.replace('$', "1")).await?;
    assert_eq!(read(first.request(Method::GET, "/readyz")).await?.status, 503);
    sessions.database.execute("DELETE FROM core.migrations WHERE description = 'next'").await?;

    let mut replica = Replica::start_with(&sessions, &[KEYS, ("--drain-delay", "2s")]).await?;
    replica.terminate()?;
    wait::until("the server to say that it goes", Duration::from_secs(20), async || {
        let ready = read(replica.request(Method::GET, "/readyz")).await?;
        Ok((ready.status == 503).then_some(()))
    })
    .await?;
    let late = Phone::fresh()
        .post(&replica, "/api/v1/sessions", json!({"app": "tarot", "mode": "single"}))
        .await?;
    assert_eq!(late.status, 201, "whoever comes meanwhile is served");
    assert_eq!(late.header("connection"), "close", "and goes to another one with the next request");
    assert_eq!(replica.end().await?, Some(0), "{}", replica.log());
    Ok(())
}

/// Connections to the database that a server has.
async fn connections(replica: &Replica) -> Result<u32> {
    let page = replica.request(Method::GET, "/metrics").send().await?.text().await?;
    let lines = page.lines().filter(|line| line.starts_with("pgsweep_api_pool_connections{"));
    let figures = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok());
    Ok(figures.sum())
}

#[tokio::test]
async fn its_connections_are_open_before_the_first_request_comes() -> Result<()> {
    let (sessions, _) = scene().await?;
    let replica = Replica::start_with(&sessions, &[KEYS, ("--pool-size", "7")]).await?;
    // At once, unless the machine has so much to do that the start went on without the last of them.
    wait::until("all connections to be open", Duration::from_secs(20), async || {
        Ok((connections(&replica).await? == 7).then_some(()))
    })
    .await
}

#[tokio::test]
async fn where_the_database_takes_fewer_connections_those_that_are_open_will_do() -> Result<()> {
    let (sessions, patient) = scene().await?;
    let host = single(&patient).await?;
    let login = sessions.login(&sessions.roles.api).await?.to_string();
    let name =
        login.split("//").nth(1).and_then(|rest| rest.split(':').next()).context("a login")?;
    sessions.database.execute(&format!("ALTER ROLE {name} CONNECTION LIMIT 2")).await?;
    let replica = Replica::start_at(&login, &[KEYS, ("--pool-size", "5")]).await?;
    assert_eq!(host.send(&replica, Method::GET, "", Value::Null).await?.status, 200);
    let lines = replica.lines();
    let told = lines.iter().find(|line| line["lacking"] == 3).context("it is told")?;
    assert_eq!(told["level"], "WARN");
    Ok(())
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_before_the_end() -> Result<()> {
    let (sessions, mut replica) = scene().await?;
    let host = single(&replica).await?;
    // Somebody holds the session, so that the request stays where it is.
    let mut holder = sessions.connect(&sessions.roles.cleanup, "core").await?;
    let mut held = holder.begin().await?;
    sqlx::query("SELECT 1 FROM core.sessions FOR UPDATE").execute(&mut *held).await?;
    let request = host.phone.request(&replica, Method::POST, &host.path("/end"));
    let asked = tokio::spawn(read(request));
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'session-api' AND wait_event_type = 'Lock')";
    wait::until("the request to wait", Duration::from_secs(20), async || {
        Ok(sessions.database.scalar::<bool>(waits).await?.then_some(()))
    })
    .await?;
    replica.terminate()?;
    wait::until("the server to close its door", Duration::from_secs(20), async || {
        let refused = replica.request(Method::GET, "/healthz").send().await.is_err();
        Ok(refused.then_some(()))
    })
    .await?;
    held.rollback().await?;
    let answer = asked.await??;
    assert_eq!((answer.status, answer.text("/session/state")), (200, "ended"));
    assert_eq!(replica.end().await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn too_much_to_do_is_told_at_once_and_passes() -> Result<()> {
    let (sessions, patient) = scene().await?;
    let host = single(&patient).await?;
    let flags =
        [KEYS, ("--pool-size", "1"), ("--acquire-timeout", "100ms"), ("--statement-timeout", "2s")];
    let replica = Replica::start_with(&sessions, &flags).await?;
    let mut holder = sessions.connect(&sessions.roles.cleanup, "core").await?;
    let mut held = holder.begin().await?;
    sqlx::query("SELECT 1 FROM core.sessions FOR UPDATE").execute(&mut *held).await?;
    let end = || read(host.phone.request(&replica, Method::POST, &host.path("/end")));
    let (slow, crowded) = tokio::join!(end(), end());
    for answer in [slow?, crowded?] {
        assert_eq!(answer.problem(), (503, "overloaded"), "{}", answer.body);
        assert_eq!((answer.header("retry-after"), &answer.body["retry_after_s"]), ("1", &json!(1)));
    }
    held.rollback().await?;
    wait::until("the server to work again", Duration::from_mins(1), async || {
        Ok((end().await?.status == 200).then_some(()))
    })
    .await
}

#[tokio::test]
async fn what_no_retry_can_help_ends_it_with_2() -> Result<()> {
    let (sessions, _) = scene().await?;
    let url = sessions.login(&sessions.roles.api).await?.to_string();
    let serve = async |url: &str, keys: &str| {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--code-keys", keys];
        session_api(url, &arguments).await
    };
    let short = serve(&url, "k:0011").await?;
    assert_eq!(short.code, Some(2));
    assert!(
        short.stderr.contains("at least 64 hexadecimal digits") && !short.stderr.contains("0011")
    );
    let stranger = sessions.database.create_user().await?.to_string();
    let lacking = serve(&stranger, CODE_KEYS[0]).await?;
    assert_eq!(lacking.code, Some(2), "{}", lacking.stderr);
    assert!(lacking.stderr.contains("the API's role"), "{}", lacking.stderr);
    sessions
        .database
        .execute(
            "INSERT INTO core.migrations (version, description, checksum) VALUES (99, 'later', '')",
        )
        .await?;
    let newer = serve(&url, CODE_KEYS[0]).await?;
    assert_eq!(newer.code, Some(2), "{}", newer.stderr);
    assert!(newer.stderr.contains("version 99"), "{}", newer.stderr);
    Ok(())
}

#[tokio::test]
async fn partitions_of_events_are_made_ahead() -> Result<()> {
    let (sessions, _) = scene().await?;
    let count =
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'core.session_events'::regclass";
    let all: i64 = sessions.database.scalar(count).await?;
    let last = "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'core.session_events'::regclass";
    let last: String = sessions.database.scalar(last).await?;
    sessions.database.execute(&format!("DROP TABLE {last}")).await?;
    let _replica = Replica::start(&sessions).await?;
    wait::until("the partition to be there again", Duration::from_secs(20), async || {
        Ok((sessions.database.scalar::<i64>(count).await? == all).then_some(()))
    })
    .await
}

#[tokio::test]
async fn figures_are_by_route_and_know_the_pool() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let host = single(&replica).await?;
    host.send(&replica, Method::GET, "", Value::Null).await?;
    let page = replica.request(Method::GET, "/metrics").send().await?.text().await?;
    let line = page
        .lines()
        .find(|line| line.contains("_count{") && line.contains("route=\"/api/v1/sessions/{id}\""))
        .context("the route")?;
    assert!(line.contains("method=\"GET\"") && line.ends_with(" 1"), "{line}");
    assert!(page.contains("pgsweep_api_pool_connections{state=\"idle\"}"), "{page}");
    assert!(!page.contains(host.session()), "no id is a label");
    Ok(())
}

/// Proxies keep connections for later: one that is closed after a few seconds would be closed just when the next
/// request is sent into it.
#[tokio::test]
async fn a_connection_may_rest_between_requests_for_longer_than_a_head_may_take() -> Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    const LONG: Duration = Duration::from_secs(6);
    let (_sessions, replica) = scene().await?;
    let address = replica.base().trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let mut said = [0; 4096];
    for _ in 0..2 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        let read = stream.read(&mut said).await?;
        assert!(said[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&said));
        // That it is still there is what is to be seen.
        tokio::time::sleep(LONG).await;
    }
    // A body has the time of its request.
    let head = "POST /api/v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 32\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    stream.write_all(br#"{"app":"tarot""#).await?;
    tokio::time::sleep(LONG).await;
    stream.write_all(br#","mode":"single"} "#).await?;
    let read = stream.read(&mut said).await?;
    assert!(said[..read].starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&said));
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").await?;
    assert_eq!(stream.read(&mut said).await?, 0, "a head that does not end is not waited for");
    Ok(())
}
