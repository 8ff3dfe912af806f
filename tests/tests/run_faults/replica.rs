//! A replica that falls behind makes a run wait, and no longer than it may take.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::job::{self, DELETE_OLD, Run, policy, with};
use tests::replica::Replica;
use tests::{Database, Server, wait};

const SOON: Duration = Duration::from_secs(30);

async fn filled(server: &Server) -> Result<Database> {
    let database = server.database().await?;
    database
        .execute(
            "CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz);
             CREATE INDEX ON codes (expires_at);
             INSERT INTO codes SELECT n, now() - interval '1 day' - n * interval '1 second' FROM generate_series(1, 1000) AS n;
             ANALYZE codes",
        )
        .await?;
    Ok(database)
}

fn slowly(longest: &str) -> Value {
    with(
        policy(DELETE_OLD),
        "/execution",
        json!({"batchSize": 20, "targetBatchDuration": "1ms", "maxRowsPerSecond": 200, "maxReplicaLag": "1s", "maxDuration": longest}),
    )
}

async fn count(database: &Database) -> Result<i64> {
    database.scalar("SELECT count(*) FROM codes").await
}

async fn until_it_waits(run: &Run) -> Result<()> {
    wait::until("the run to wait for the replica", SOON, async || {
        Ok(run.written()?.contains("a replica is too far behind").then_some(()))
    })
    .await
}

/// Nothing goes for as long as the run looks at the replica a few times.
async fn check_that_it_waits(database: &Database) -> Result<()> {
    let before = count(database).await?;
    assert!(before > 0, "there is nothing left to wait with");
    database.execute("SELECT pg_sleep(2)").await?;
    assert_eq!(count(database).await?, before, "it did not wait");
    Ok(())
}

#[tokio::test]
async fn a_run_waits_while_a_replica_is_paused_or_frozen_and_ends_when_it_has_caught_up()
-> Result<()> {
    let primary = Server::start(&[]).await?;
    let replica = Replica::start(&primary).await?;
    for frozen in [false, true] {
        let database = filled(&primary).await?;
        replica.catch_up_with(&primary).await?;
        if frozen {
            replica.server().freeze().await?;
        } else {
            replica.pause_replay().await?;
        }
        let run = Run::start(&slowly("5m"), &database.url(), &[])?;
        until_it_waits(&run).await?;
        check_that_it_waits(&database).await?;
        if frozen {
            replica.server().thaw().await?;
        } else {
            replica.resume_replay().await?;
        }
        let ended = run.end().await?;
        assert_eq!(ended.code, Some(0), "{}", ended.output);
        assert_eq!(ended.report["stopReason"], "Drained", "{}", ended.output);
        assert_eq!(ended.rule("affected"), &json!(1000));
    }
    Ok(())
}

#[tokio::test]
async fn a_replica_that_stays_behind_ends_the_run_when_its_time_is_up() -> Result<()> {
    let primary = Server::start(&[]).await?;
    let replica = Replica::start(&primary).await?;
    let database = filled(&primary).await?;
    replica.catch_up_with(&primary).await?;
    replica.pause_replay().await?;
    let ended = job::run(&slowly("4s"), &database.url(), &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(
        (&ended.report["stopReason"], &ended.report["result"]),
        (&json!("ReplicaLag"), &json!("PartiallySucceeded")),
        "{}",
        ended.output
    );
    let left = count(&database).await?;
    assert!(left > 0);
    assert_eq!(ended.rule("affected"), &json!(1000 - left));

    // Who may not see the replicas cannot wait for them: the run goes on, and says so.
    let (url, role) = job::cleaner(&database).await?;
    database.execute(&format!("GRANT SELECT, UPDATE, DELETE ON codes TO {role}")).await?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), slowly("5m").to_string())?;
    let planned = job::pgsweep(&url, &["plan", "-f", &file.path().to_string_lossy()]).await?;
    assert!(planned.stdout.contains("GRANT pg_monitor"), "{}\n{}", planned.stdout, planned.stderr);
    let ended = job::run(&slowly("5m"), &url, &[]).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(left)), "{}", ended.output);
    assert!(ended.output.contains("GRANT pg_monitor"), "{}", ended.output);
    replica.resume_replay().await?;
    Ok(())
}

#[tokio::test]
async fn a_standby_is_refused_before_anything_else() -> Result<()> {
    let primary = Server::start(&[]).await?;
    let database = filled(&primary).await?;
    let replica = Replica::start(&primary).await?;
    replica.catch_up_with(&primary).await?;
    let url = replica.address().database(database.name()).to_string();
    let ended = job::run(&policy(DELETE_OLD), &url, &[]).await?;
    assert_eq!(ended.code, Some(2), "{}", ended.output);
    let message = ended.report["message"].as_str().context("a message")?;
    assert!(message.contains("standby") && message.contains("primary"), "{message}");
    let dry = job::run(&policy(DELETE_OLD), &url, &["--dry-run"]).await?;
    assert_eq!((dry.code, dry.rule("matched")), (Some(0), &json!(1000)), "{}", dry.output);
    Ok(())
}
