//! Servers of each version beside each other, and servers that a test may break.

use std::time::Duration;

use anyhow::Result;
use sqlx::{Connection as _, PgConnection};
use tests::{Database, Server, Version, database, wait};

#[tokio::test]
async fn each_version_has_a_server_that_runs_beside_the_others() -> Result<()> {
    let mut places = Vec::new();
    for version in Version::ALL {
        let Some(server) = database::server_of(version).await? else { return Ok(()) };
        assert!(!places.contains(&server.port()), "{version} shares a port: {places:?}");
        places.push(server.port());
        let database = Database::create_on(&server).await?;
        let number: String = database.scalar("SHOW server_version_num").await?;
        assert_eq!(number.parse::<u32>()? / 10_000, version.number());
        database.execute("SET TimeZone = 'Europe/Berlin'").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_of_the_tests_own_has_its_settings_and_shows_its_log() -> Result<()> {
    let server = Server::start(&[("wal_level", "logical"), ("log_statement", "all")]).await?;
    let database = server.database().await?;
    assert_eq!(database.scalar::<String>("SHOW wal_level").await?, "logical");
    database.execute("SELECT 'seen in the log'").await?;
    assert!(server.log()?.contains("SELECT 'seen in the log'"), "{}", server.log()?);
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_restarted_or_killed_comes_back_with_its_data_at_its_address() -> Result<()>
{
    let server = Server::start(&[]).await?;
    let database = server.database().await?;
    database.execute("CREATE TABLE kept AS SELECT 1 AS id").await?;

    let mut cut_off = PgConnection::connect(&database.url()).await?;
    server.restart().await?;
    assert!(cut_off.ping().await.is_err(), "a restart cuts sessions off");
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM kept").await?, 1);

    let mut cut_off = PgConnection::connect(&database.url()).await?;
    sqlx::query("CHECKPOINT").execute(&mut cut_off).await?;
    server.kill().await?;
    assert!(PgConnection::connect(&database.url()).await.is_err(), "a killed server is away");
    server.start_again().await?;
    assert!(cut_off.ping().await.is_err(), "a kill cuts sessions off");
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM kept").await?, 1);
    assert!(server.log()?.contains("not properly shut down"), "{}", server.log()?);
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_answers_nothing_until_it_is_thawed() -> Result<()> {
    let server = Server::start(&[]).await?;
    let database = server.database().await?;
    let mut session = PgConnection::connect(&database.url()).await?;
    server.freeze().await?;
    let answer = tokio::time::timeout(Duration::from_millis(200), session.ping()).await;
    assert!(answer.is_err(), "a frozen server has answered");
    server.thaw().await?;
    let answer = wait::until("an answer", Duration::from_secs(5), async || {
        Ok(Some(database.scalar::<i32>("SELECT 1").await?))
    });
    assert_eq!(answer.await?, 1);
    Ok(())
}
