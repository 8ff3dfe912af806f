//! Servers with certificates that are right, and wrong in each way that a client has to see.

use anyhow::Result;
use sqlx::{Connection as _, PgConnection};
use tests::tls::{self, Authority, Identity, Plain};
use tests::{Database, Server};

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// Connects by TLS to a name, trusting one authority. An error is what the client says.
async fn connect(server: &Server, host: &str, trusted: &Authority) -> Result<(), String> {
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    std::fs::write(file.path(), trusted.certificate()).map_err(|error| error.to_string())?;
    let parameters = format!("sslmode=verify-full&sslrootcert={}", file.path().display());
    let url = server.address().host(host).parameters(&parameters).to_string();
    let mut client = PgConnection::connect(&url).await.map_err(|error| error.to_string())?;
    let seen = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let seen: bool =
        sqlx::query_scalar(seen).fetch_one(&mut client).await.map_err(|error| error.to_string())?;
    if seen { Ok(()) } else { Err("the server says that it is no TLS".to_owned()) }
}

async fn start(identity: &Identity) -> Result<Option<Server>> {
    tls::start(identity, Plain::Taken).await
}

#[tokio::test]
async fn a_right_certificate_is_taken_and_another_authority_or_host_is_not() -> Result<()> {
    let (ours, other) = (Authority::create("ours")?, Authority::create("ours")?);
    let Some(server) = start(&ours.identity(&["localhost"])?).await? else { return Ok(()) };
    assert_eq!(connect(&server, "localhost", &ours).await, Ok(()));
    let refused = connect(&server, "localhost", &other).await.unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    let refused = connect(&server, "127.0.0.1", &ours).await.unwrap_err();
    assert!(refused.contains("certificate") && refused.contains("name"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn an_expired_certificate_is_not_taken() -> Result<()> {
    let authority = Authority::create("ours")?;
    let Some(server) = start(&authority.expired_identity(&NAMES)?).await? else { return Ok(()) };
    let refused = connect(&server, "localhost", &authority).await.unwrap_err();
    assert!(refused.to_lowercase().contains("expired"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_server_takes_or_refuses_clients_without_tls_as_it_was_started() -> Result<()> {
    let authority = Authority::create("ours")?;
    let identity = authority.identity(&NAMES)?;
    for (plain, is_taken) in [(Plain::Taken, true), (Plain::Refused, false)] {
        let Some(server) = tls::start(&identity, plain).await? else { return Ok(()) };
        let url = server.address().parameters("sslmode=disable").to_string();
        let client = PgConnection::connect(&url).await;
        assert_eq!(client.is_ok(), is_taken, "{plain:?}");
        assert_eq!(connect(&server, "127.0.0.1", &authority).await, Ok(()), "{plain:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_a_certificate_is_seen_as_one() -> Result<()> {
    let database = Database::create().await?;
    let url = database.address().parameters("sslmode=require").to_string();
    let refused = PgConnection::connect(&url).await.unwrap_err().to_string();
    assert!(refused.contains("TLS"), "{refused}");
    Ok(())
}
