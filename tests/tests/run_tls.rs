//! Whom a run trusts: on real servers with certificates of every kind, and on one that cheats.

mod run_tls {
    pub mod server;
}

use anyhow::{Context, Result};
use run_tls::server::{Cheat, Pki, TlsServer};
use serde_json::{Value, json};
use tests::Database;
use tests::job::{self, Ended, Launch, policy};

const RULES: &str = "
- name: delete-old
  table: {schema: app, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
";

/// Part of every URL that is refused: no output may repeat it.
const CANARY: &str = "canary-9b2e";

const OLD_ROW: &str = "CREATE SCHEMA app;
    CREATE TABLE app.codes (id int PRIMARY KEY, expires_at timestamptz);
    INSERT INTO app.codes VALUES (1, now() - interval '1 day')";

async fn codes(server: &TlsServer) -> Result<Database> {
    let database = Database::create_on(server.address()).await?;
    database.execute(OLD_ROW).await?;
    Ok(database)
}

/// Runs on a database, with options in its URL and a CA in the variable that a Job has.
async fn run(url: &str, options: &str, ca: Option<&str>) -> Result<Ended> {
    let arguments: Vec<&str> = ca.into_iter().flat_map(|ca| ["--database-ca", ca]).collect();
    job::run(&policy(RULES), &format!("{url}?{options}"), &arguments).await
}

fn message(ended: &Ended) -> &str {
    ended.report["message"].as_str().unwrap_or_default()
}

async fn rows(database: &Database) -> Result<i64> {
    database.scalar("SELECT count(*) FROM app.codes").await
}

#[tokio::test]
async fn the_right_ca_is_enough_and_the_connection_is_encrypted() -> Result<()> {
    let pki = Pki::new("ours")?;
    let Some(server) = TlsServer::start(&pki.server(&["localhost", "127.0.0.1"])?).await? else {
        return Ok(());
    };
    let file = pki.file()?;
    let path = file.path().to_str().context("a path")?;
    let by_name = |database: &Database| database.address().host("localhost").to_string();
    for (options, ca) in [
        (String::new(), Some(pki.authority())),
        (String::new(), Some(path.to_owned())),
        (format!("sslrootcert={path}"), None),
        (format!("sslmode=verify-full&sslrootcert={path}"), None),
        ("sslmode=verify-full".to_owned(), Some(pki.authority())),
        ("sslmode=verify-ca".to_owned(), Some(pki.authority())),
    ] {
        let database = codes(&server).await?;
        for url in [by_name(&database), database.url()] {
            let before = server.encrypted_runs()?;
            let ended = run(&url, &options, ca.as_deref()).await?;
            assert_eq!(ended.code, Some(0), "{options}: {}", ended.output);
            assert_eq!(ended.report["warnings"], Value::Null, "{options}: {}", ended.report);
            assert_eq!(server.encrypted_runs()?, before + 1, "{options}");
        }
        assert_eq!(rows(&database).await?, 0, "{options}");
    }
    assert_eq!(server.plain_runs()?, 0);
    Ok(())
}

/// Proves: R6.
#[tokio::test]
async fn a_certificate_that_is_wrong_ends_the_run_and_is_named() -> Result<()> {
    let (pki, another, renewed) = (Pki::new("ours")?, Pki::new("another")?, Pki::new("ours")?);
    let authority = Some(pki.authority());
    let unknown = "of an unknown issuer";
    let name = "is not valid for the host name of the URL";
    for (identity, cases) in [
        (
            pki.server(&["localhost"])?,
            vec![
                // The server is called by its number, and the certificate holds its name.
                ("", authority.clone(), name),
                ("sslmode=verify-full", authority.clone(), name),
                ("", Some(another.authority()), unknown),
                ("sslmode=verify-ca", Some(another.authority()), unknown),
                ("", Some(renewed.authority()), "by a CA of the same name with another key"),
                ("sslmode=verify-full", None, unknown),
                ("sslmode=verify-ca", None, unknown),
                ("sslrootcert=system", None, unknown),
            ],
        ),
        (
            pki.expired(&["127.0.0.1"])?,
            vec![
                ("", authority.clone(), "the server's certificate has expired"),
                ("sslmode=verify-ca", authority.clone(), "the server's certificate has expired"),
            ],
        ),
        (
            pki.not_yet_valid(&["127.0.0.1"])?,
            vec![("", authority.clone(), "the server's certificate is not valid yet")],
        ),
        (
            pki.for_clients(&["127.0.0.1"])?,
            vec![("", authority.clone(), "the server's certificate is not made for a server")],
        ),
        (
            pki.itself(),
            vec![("", authority.clone(), "the server's certificate cannot be accepted")],
        ),
    ] {
        let Some(server) = TlsServer::start(&identity).await? else { return Ok(()) };
        let database = codes(&server).await?;
        let url = database.url();
        for (options, ca, words) in cases {
            let ended = run(&url, options, ca.as_deref()).await?;
            assert_eq!(ended.code, Some(2), "{options} {words}: {}", ended.output);
            assert!(message(&ended).contains(words), "{options} {words}: {}", message(&ended));
            let password = url.split([':', '@']).nth(2).context("a password")?;
            assert!(!ended.output.contains(password), "{options}: {}", ended.output);
        }
        assert_eq!((server.encrypted_runs()?, server.plain_runs()?), (0, 0));
        assert_eq!(rows(&database).await?, 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_ca_that_sslmode_would_not_use_is_refused() -> Result<()> {
    let pki = Pki::new("ours")?;
    for mode in ["disable", "allow", "prefer", "require"] {
        let url = format!("postgres://u:{CANARY}@127.0.0.1:1/x");
        let ended = run(&url, &format!("sslmode={mode}"), Some(&pki.authority())).await?;
        assert_eq!(ended.code, Some(2), "{mode}: {}", ended.output);
        let words = "a CA is given, but sslmode of the database URL is weaker than verify-ca";
        assert!(message(&ended).contains(words), "{mode}: {}", message(&ended));
        assert!(!ended.output.contains(CANARY), "{}", ended.output);
    }
    Ok(())
}

/// Proves: R6.
#[tokio::test]
async fn a_server_without_tls_gets_no_password_where_tls_is_asked_for() -> Result<()> {
    let pki = Pki::new("ours")?;
    let authority = pki.authority();
    let plain = Cheat::answering(b"N").await?;
    for (options, ca) in [
        ("", Some(authority.as_str())),
        ("sslmode=verify-ca", Some(&authority)),
        ("sslmode=verify-full", Some(&authority)),
        ("sslmode=verify-full", None),
        ("sslmode=verify-ca", None),
        ("sslmode=require", None),
    ] {
        let ended = run(&plain.url(CANARY), options, ca).await?;
        assert_eq!(ended.code, Some(2), "{options}: {}", ended.output);
        assert!(message(&ended).contains("the server offers no TLS"), "{}", message(&ended));
        assert!(!ended.output.contains(CANARY), "{}", ended.output);
        assert_eq!(plain.heard_after_the_answer(), "", "{options}");
    }
    // The same on a real one.
    let database = Database::create().await?;
    database.execute(OLD_ROW).await?;
    for (options, ca) in [("sslmode=require", None), ("", Some(authority.as_str()))] {
        let ended = run(&database.url(), options, ca).await?;
        assert_eq!(ended.code, Some(2), "{options}: {}", ended.output);
    }
    assert_eq!(rows(&database).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_handshake_is_tried_again_and_never_made_plain()
-> Result<()> {
    let authority = Pki::new("ours")?.authority();
    for answer in [&b"S"[..], b"SHTTP/1.1 400 Bad Request\r\n\r\n", b"", b"E"] {
        let cheat = Cheat::answering(answer).await?;
        let ended = Launch::run(&policy(RULES), &cheat.url(CANARY))
            .env("PGSWEEP_DATABASE_CA", &authority)
            .env(job::CONNECT_TIMEOUT, job::SOON)
            .end()
            .await?;
        assert_eq!(ended.code, Some(10), "{answer:?}: {}", ended.output);
        assert!(!ended.output.contains(CANARY), "{}", ended.output);
        let heard = cheat.heard_after_the_answer();
        assert!(!heard.contains("canary-user"), "{answer:?}: {heard}");
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_that_nobody_asked_to_verify_is_warned_of_in_report_log_and_plan() -> Result<()>
{
    let database = Database::create().await?;
    database.execute(OLD_ROW).await?;
    let name = "UnverifiedConnection";
    let ended = run(&database.url(), "", None).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.report["warnings"], json!([name]));
    let termination: Value = serde_json::from_str(&ended.termination)?;
    assert_eq!(termination["warnings"], json!([name]));
    let logged = ended.output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut logged = logged.filter(|line| line["level"] == "WARN");
    assert!(logged.any(|line| line.to_string().contains(name)), "{}", ended.output);

    for (output, words) in [("json", r#""name":"UnverifiedConnection""#), ("table", name)] {
        let planned = plan(&database.url(), output).await?;
        assert!(planned.contains(words), "{planned}");
    }
    // Who says what is wanted gets no warning.
    for options in ["sslmode=disable", "sslmode=prefer"] {
        let ended = run(&database.url(), options, None).await?;
        assert_eq!(ended.report["warnings"], Value::Null, "{options}: {}", ended.report);
        let planned = plan(&format!("{}?{options}", database.url()), "json").await?;
        assert!(planned.contains(r#""warnings":[]"#), "{planned}");
    }
    Ok(())
}

async fn plan(url: &str, output: &str) -> Result<String> {
    let mut command = tokio::process::Command::new(job::binary("pgsweep")?);
    command
        .args(["plan", "--output", output])
        .env("PGSWEEP_POLICY", policy(RULES).to_string())
        .env("DATABASE_URL", url);
    tests::command::run_async(command, None).await
}
