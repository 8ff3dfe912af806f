//! The replica follows its primary, and stops where it is told to.

use std::time::Duration;

use anyhow::Result;
use sqlx::{Connection as _, PgConnection};
use tests::replica::Replica;
use tests::{Server, Version, wait};

async fn check_on(version: Version) -> Result<()> {
    let Some(primary) = Server::of_version(version, &[]).await? else { return Ok(()) };
    let database = primary.database().await?;
    database.execute("CREATE TABLE seen (id bigint)").await?;
    let replica = Replica::start(&primary).await?;
    let there = replica.address().database(database.name()).to_string();
    let count = async || -> Result<i64> {
        let mut connection = PgConnection::connect(&there).await?;
        Ok(sqlx::query_scalar("SELECT count(*) FROM seen").fetch_one(&mut connection).await?)
    };

    database.execute("INSERT INTO seen VALUES (1)").await?;
    replica.catch_up_with(&primary).await?;
    assert_eq!(count().await?, 1);

    replica.pause_replay().await?;
    database.execute("INSERT INTO seen VALUES (2)").await?;
    let lag = "SELECT count(*) FROM pg_stat_replication
               WHERE flush_lsn > replay_lsn AND flush_lsn = pg_current_wal_flush_lsn()";
    wait::until("a lag that the primary sees", Duration::from_secs(20), async || {
        Ok((database.scalar::<i64>(lag).await? == 1).then_some(()))
    })
    .await?;
    assert_eq!(count().await?, 1, "a paused replica shows what it showed");
    replica.resume_replay().await?;
    replica.catch_up_with(&primary).await?;
    assert_eq!(count().await?, 2);

    replica.server().freeze().await?;
    database.execute("INSERT INTO seen VALUES (3)").await?;
    assert!(tokio::time::timeout(Duration::from_millis(200), count()).await.is_err());
    replica.server().thaw().await?;
    replica.catch_up_with(&primary).await?;
    assert_eq!(count().await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_replica_follows_postgres_15_pauses_and_freezes() -> Result<()> {
    check_on(Version::V15).await
}

#[tokio::test]
async fn a_replica_follows_postgres_17_pauses_and_freezes() -> Result<()> {
    check_on(Version::V17).await
}

#[tokio::test]
async fn a_replica_follows_postgres_18_pauses_and_freezes() -> Result<()> {
    check_on(Version::V18).await
}
