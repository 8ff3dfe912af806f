//! What was acknowledged lasts, whatever breaks.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future;
use local_postgres::Options;
use reqwest::Method;
use serde_json::{Value, json};
use tests::proxy::Proxy;
use tests::sessions::replica::{CODE_KEYS, Phone, Replica, read};
use tests::settings::Settings;
use tests::{Server, Sessions, wait};

use super::scene::{scene, single};

/// Somebody who goes on beginning sessions, with a key each; a request without an answer is sent again to
/// whoever answers.
struct Load {
    acknowledged: Arc<Mutex<Vec<String>>>,
    unanswered: Arc<Mutex<Vec<(Phone, String)>>>,
}

impl Load {
    fn start(replicas: &[Arc<Replica>]) -> (Self, Vec<tokio::task::JoinHandle<()>>) {
        let load = Self { acknowledged: Arc::default(), unanswered: Arc::default() };
        let workers = replicas.iter().flat_map(|replica| {
            (0..4).map(|_| {
                let replica = Arc::clone(replica);
                let (acknowledged, unanswered) =
                    (Arc::clone(&load.acknowledged), Arc::clone(&load.unanswered));
                tokio::spawn(async move {
                    loop {
                        let (phone, key) = (Phone::fresh(), uuid::Uuid::new_v4().to_string());
                        match create(&replica, &phone, &key).await {
                            Ok((201, id)) => lock(&acknowledged).push(id),
                            Ok(_) => {}
                            Err(_) => {
                                lock(&unanswered).push((phone, key));
                                return;
                            }
                        }
                    }
                })
            })
        });
        let workers = workers.collect();
        (load, workers)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while it is held")
}

async fn create(replica: &Replica, phone: &Phone, key: &str) -> Result<(u16, String)> {
    let request = phone.request(replica, Method::POST, "/api/v1/sessions");
    let body: Value = json!({"app": "table_talk", "mode": "dual"});
    let answer = read(request.header("idempotency-key", key).json(&body)).await?;
    Ok((answer.status, answer.text("/session/id").to_owned()))
}

async fn missing(sessions: &Sessions, acknowledged: &[String]) -> Result<i64> {
    let ids = acknowledged.join(",");
    let sql = format!(
        "SELECT count(*) FROM unnest('{{{ids}}}'::uuid[]) AS acknowledged (session)
         WHERE NOT EXISTS (SELECT FROM core.sessions AS s WHERE s.session_id = acknowledged.session AND s.participant_count = 1)
            OR NOT EXISTS (SELECT FROM core.session_events AS e WHERE e.session_id = acknowledged.session)
            OR NOT EXISTS (SELECT FROM core.session_audit_log AS a WHERE a.session_id = acknowledged.session)"
    );
    sessions.database.scalar(&sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_loses_nothing_that_it_acknowledged() -> Result<()> {
    let (sessions, doomed) = scene().await?;
    let (doomed, other) = (Arc::new(doomed), Arc::new(Replica::start(&sessions).await?));
    let third = Arc::new(Replica::start(&sessions).await?);
    let (load, workers) = Load::start(&[Arc::clone(&doomed), Arc::clone(&other), third]);
    wait::until("some sessions to be there", Duration::from_mins(1), async || {
        Ok((lock(&load.acknowledged).len() >= 60).then_some(()))
    })
    .await?;
    doomed.kill()?;
    wait::until("its clients to notice", Duration::from_mins(1), async || {
        Ok((lock(&load.unanswered).len() >= 4).then_some(()))
    })
    .await?;
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    let unanswered = lock(&load.unanswered).clone();
    for (phone, key) in &unanswered {
        let (status, first) = create(&other, phone, key).await?;
        assert_eq!(status, 201);
        let (_, again) = create(&other, phone, key).await?;
        assert_eq!(first, again, "one session, whether the first request was committed or not");
    }
    let acknowledged = lock(&load.acknowledged).clone();
    assert_eq!(missing(&sessions, &acknowledged).await?, 0);
    let gaps = "SELECT count(*) FROM core.session_groups AS g
                WHERE last_seq <> (SELECT count(*) FROM core.session_events AS e WHERE e.session_group_id = g.session_group_id)";
    assert_eq!(sessions.database.scalar::<i64>(gaps).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_away_is_told_at_once() -> Result<()> {
    let server = Server::start_as(Options::new(&Settings::get()?.cache)).await?;
    let sessions = Sessions::create_on(server.address()).await?;
    let replica = Replica::start(&sessions).await?;
    let create = async || {
        let body = json!({"app": "tarot", "mode": "single"});
        Phone::fresh().post(&replica, "/api/v1/sessions", body).await
    };
    assert_eq!(create().await?.status, 201);
    server.shut_down().await?;
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(create().await?.problem(), (503, "overloaded"));
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let ready = read(replica.request(Method::GET, "/readyz")).await?;
    assert_eq!(ready.status, 503);
    server.start_again().await?;
    wait::until("sessions to be made again", Duration::from_mins(1), async || {
        Ok((create().await?.status == 201).then_some(()))
    })
    .await
}

/// The machine of the database is gone, or the network to it: nothing is refused, and nothing is said.
#[tokio::test]
async fn a_database_that_says_nothing_any_more_holds_nobody_for_ever() -> Result<()> {
    let (sessions, patient) = scene().await?;
    let host = single(&patient).await?;
    let proxy = Proxy::start(&sessions.login(&sessions.roles.api).await?)?;
    let flags = [("--code-keys", CODE_KEYS[0]), ("--request-timeout", "3s"), ("--pool-size", "3")];
    let mut replica = Replica::start_at(&proxy.address().to_string(), &flags).await?;
    let mut holder = sessions.database.pool().begin().await?;
    sqlx::query("SELECT 1 FROM core.sessions FOR UPDATE").execute(&mut *holder).await?;
    // One request is in the midst of its work, and two begin theirs.
    let end = || read(host.phone.request(&replica, Method::POST, &host.path("/end")));
    let show = || host.send(&replica, Method::GET, "", Value::Null);
    let asked = tokio::spawn(end());
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'session-api' AND wait_event_type = 'Lock')";
    wait::until("the request to wait", Duration::from_mins(1), async || {
        Ok(sessions.database.scalar::<bool>(waits).await?.then_some(()))
    })
    .await?;
    proxy.freeze();
    let (one, two) = future::join(show(), show()).await;
    assert_eq!((asked.await??.status, one?.status, two?.status), (503, 503, 503));
    // Those of requests are given up. What the server does beside them tries again and again, each time for a while.
    wait::until("the connections of requests to be given up", Duration::from_mins(3), async || {
        let page = replica.request(Method::GET, "/metrics").send().await?.text().await?;
        let busy = |count| {
            page.contains(&format!("pgsweep_api_pool_connections{{state=\"busy\"}} {count}\n"))
        };
        Ok((busy(0) || busy(1)).then_some(()))
    })
    .await?;
    assert_eq!(end().await?.status, 503);
    let begun = Instant::now();
    replica.terminate()?;
    assert_eq!(replica.end().await?, Some(0), "{}", replica.log());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    holder.rollback().await?;
    Ok(())
}

/// What ends a server of Postgres.
enum End {
    /// An update of its machine.
    ShutDown,
    /// A crash.
    Kill,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_starts_again_is_503_for_a_while_and_nothing_is_lost() -> Result<()> {
    // As a crash leaves it, and not as one that tests usually have.
    let options = Options { durable: true, ..Options::new(&Settings::get()?.cache) };
    let server = Server::start_as(options).await?;
    let sessions = Sessions::create_on(server.address()).await?;
    let flags = [("--code-keys", CODE_KEYS[0]), ("--acquire-timeout", "2s"), ("--pool-size", "4")];
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Arc::new(Replica::start_with(&sessions, &flags).await?));
    }
    let (load, workers) = Load::start(&replicas);
    let reached = async |count: usize| {
        wait::until("sessions to be there", Duration::from_mins(1), async || {
            Ok((lock(&load.acknowledged).len() >= count).then_some(()))
        })
        .await
    };
    for end in [End::ShutDown, End::Kill] {
        let before = lock(&load.acknowledged).len();
        reached(before + 30).await?;
        match end {
            End::ShutDown => server.shut_down().await?,
            End::Kill => server.kill().await?,
        }
        server.start_again().await?;
        let before = lock(&load.acknowledged).len();
        reached(before + 30).await.context("after it was started again")?;
    }
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(lock(&load.unanswered).is_empty(), "every request was answered");
    let acknowledged = lock(&load.acknowledged).clone();
    assert_eq!(missing(&sessions, &acknowledged).await?, 0);
    Ok(())
}
