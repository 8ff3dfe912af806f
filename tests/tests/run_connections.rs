//! The URL alone says how a run connects: nothing of the environment or of a file at home does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::process::Stdio;

use anyhow::{Context, Result};
use local_postgres::{LocalPostgres, Options};
use serde_json::{Value, json};
use tests::Database;
use tests::job::{self, binary, policy};
use tests::settings::Settings;

const RULES: &str = "
- name: delete-old
  table: {schema: app, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
";

const CANARY: &str = "canary-c3d8";

async fn create_table(database: &Database) -> Result<()> {
    let sql =
        "CREATE SCHEMA app; CREATE TABLE app.codes (id int PRIMARY KEY, expires_at timestamptz)";
    database.execute(sql).await
}

struct Ended {
    code: Option<i32>,
    message: String,
    output: String,
}

/// Runs with these variables beside the URL.
async fn run(url: &str, variables: &[(&str, &str)]) -> Result<Ended> {
    run_policy(&policy(RULES), url, variables).await
}

async fn run_policy(policy: &Value, url: &str, variables: &[(&str, &str)]) -> Result<Ended> {
    let output = tokio::process::Command::new(binary("pgsweep")?)
        .args(["run", "--output", "json"])
        .env(job::CONNECT_TIMEOUT, job::IN_TIME)
        .env("PGSWEEP_POLICY", policy.to_string())
        .env("DATABASE_URL", url)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .context("failed to start pgsweep")?;
    let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    let report: Value = serde_json::from_str(stdout.trim()).context("one object")?;
    Ok(Ended {
        code: output.status.code(),
        message: report["message"].as_str().unwrap_or_default().to_owned(),
        output: stdout + &stderr,
    })
}

/// User, password and `host:port` of a test's database.
fn parts(database: &Database) -> Result<(String, String, String)> {
    let url = database.url();
    let (login, rest) =
        url.trim_start_matches("postgresql://").split_once('@').context("a login")?;
    let (user, password) = login.split_once(':').context("a password")?;
    let (host, _) = rest.split_once('/').context("a database")?;
    Ok((user.to_owned(), password.to_owned(), host.to_owned()))
}

/// Proves: R6.
#[tokio::test]
async fn variables_and_files_of_libpq_fill_in_nothing() -> Result<()> {
    let database = Database::create().await?;
    create_table(&database).await?;
    let (user, password, host) = parts(&database)?;
    let (address, port) = host.split_once(':').context("a port")?;
    let name = database.name();
    let home = tempfile::tempdir()?;
    let passwords = home.path().join(".pgpass");
    std::fs::write(&passwords, format!("*:*:*:*:{password}\n"))?;
    std::fs::set_permissions(&passwords, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let (home, passwords) = (home.path().display().to_string(), passwords.display().to_string());
    let variables = [
        ("PGHOST", address),
        ("PGHOSTADDR", address),
        ("PGPORT", port),
        ("PGUSER", &user),
        ("PGPASSWORD", &password),
        ("PGDATABASE", name),
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", "/nowhere"),
        ("PGPASSFILE", &passwords),
        ("HOME", &home),
    ];
    for (url, words) in [
        (format!("postgres://{user}@{host}/{name}"), "the password of the database role is wrong"),
        (format!("postgres://:{password}@{host}/{name}"), "the database URL names no user"),
        (format!("postgres://{user}:{password}@/{name}"), "the database URL names no host"),
        (format!("postgres://{user}:{password}@{host}"), "the database URL names no database"),
    ] {
        let ended = run(&url, &variables).await?;
        assert_eq!(ended.code, Some(2), "{words}: {}", ended.output);
        assert!(ended.message.contains(words), "{words}: {}", ended.message);
        assert!(!ended.output.contains(&password), "{words}: {}", ended.output);
    }
    // Where the URL has no port it is 5432, and whatever may run there has no such database.
    let url = format!("postgres://{user}:{password}@{address}/{name}");
    let ended = run(&url, &variables).await?;
    assert_ne!(ended.code, Some(0), "{}", ended.output);

    let elsewhere = [
        ("PGHOST", "nowhere.invalid"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGPASSWORD", "wrong"),
        ("PGDATABASE", "nowhere"),
        ("PGSSLMODE", "verify-full"),
    ];
    let ended = run(&database.url(), &elsewhere).await?;
    assert_eq!(ended.code, Some(0), "nor do they replace anything: {}", ended.output);
    Ok(())
}

/// Proves: R6.
#[tokio::test]
async fn variables_that_the_driver_would_obey_are_refused_by_name() -> Result<()> {
    let database = Database::create().await?;
    create_table(&database).await?;
    for variable in ["PGOPTIONS", "PGSSLCERT", "PGSSLKEY"] {
        let ended = run(&database.url(), &[(variable, CANARY)]).await?;
        assert_eq!(ended.code, Some(2), "{variable}: {}", ended.output);
        assert!(ended.message.contains(variable), "{variable}: {}", ended.message);
        assert!(!ended.output.contains(CANARY), "{variable}: {}", ended.output);
    }
    Ok(())
}

/// Proves: R6.
#[tokio::test]
async fn in_a_job_what_is_wrong_with_url_or_ca_is_named_by_the_keys_of_their_secrets() -> Result<()>
{
    let mut policy = policy(RULES);
    policy["spec"]["database"]["caFrom"] =
        json!({"secretKeyRef": {"name": "db-ca", "key": "ca.crt"}});
    let keys = "reading Secret db, key uri and Secret db-ca, key ca.crt: ";
    for (url, ca, words) in [
        (CANARY, "", "the database URL must begin with postgres://"),
        ("postgres://u:canary-c3d8@db:port/d", "", "the database URL cannot be read"),
        ("postgres://u:canary-c3d8@db/d", "", "the CA of the database is empty"),
        ("postgres://u:canary-c3d8@db/d", CANARY, "the CA of the database is neither PEM"),
    ] {
        let variables = [("PGSWEEP_DATABASE_CA", ca), ("PGSWEEP_JOB_UID", "1")];
        let ended = run_policy(&policy, url, &variables).await?;
        assert_eq!(ended.code, Some(2), "{words}: {}", ended.output);
        assert!(ended.message.starts_with(&format!("{keys}{words}")), "{}", ended.message);
        assert!(!ended.output.contains(CANARY), "{words}: {}", ended.output);
    }
    Ok(())
}

#[tokio::test]
async fn a_password_of_special_characters_works_when_it_is_percent_encoded() -> Result<()> {
    let database = Database::create().await?;
    create_table(&database).await?;
    let user = parts_of(&database.create_user().await?.to_string())?;
    let password = r##" !"#$%&'()*+,-./:;<=>?@[\]^_`{|}~ 10% äöü€日本"##;
    let quoted = password.replace('\'', "''");
    database.execute(&format!("ALTER ROLE {user} SUPERUSER PASSWORD '{quoted}'")).await?;
    let ended = run(&database.address().login(&user, password).to_string(), &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (_, _, host) = parts(&database)?;
    let url = format!("postgres://{user}@{host}/{}?password={encoded}", database.name());
    let ended = run(&url, &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    Ok(())
}

fn parts_of(url: &str) -> Result<String> {
    let login = url.split("//").nth(1).and_then(|rest| rest.split(':').next());
    Ok(login.context("a user")?.to_owned())
}

#[tokio::test]
async fn a_socket_is_reached_by_its_folder_and_an_address_in_brackets() -> Result<()> {
    let mut options = Options::new(&Settings::get()?.cache);
    let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    options.listen_addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    if has_ipv6 {
        options.listen_addresses.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
    }
    let postgres = tokio::task::spawn_blocking(move || LocalPostgres::start(&options)).await??;
    let database = Database::create_on(postgres.address()).await?;
    create_table(&database).await?;
    let folder: String = database.scalar("SHOW unix_socket_directories").await?;
    let (user, password, host) = parts(&database)?;
    let (_, port) = host.split_once(':').context("a port")?;
    let (login, name) = (format!("{user}:{password}"), database.name());
    let encoded = folder.replace('/', "%2F");
    let mut urls = vec![
        format!("postgres://{login}@/{name}?host={folder}&port={port}"),
        format!("postgres://{login}@{encoded}:{port}/{name}"),
        format!("postgres://{login}@localhost:{port}/{name}"),
    ];
    if has_ipv6 {
        urls.push(format!("postgres://{login}@[::1]:{port}/{name}"));
    }
    for url in urls {
        let ended = run(&url, &[]).await?;
        assert_eq!(ended.code, Some(0), "{url}: {}", ended.output);
        let warned = ended.output.contains("UnverifiedConnection");
        assert_eq!(warned, !url.contains("pgsweep-postgres"), "{url}: {}", ended.output);
    }
    let nowhere = format!("postgres://{login}@/{name}?host=/nowhere");
    let ended = run(&nowhere, &[(job::CONNECT_TIMEOUT, job::SOON)]).await?;
    assert_eq!(ended.code, Some(10), "{}", ended.output);
    assert!(ended.message.contains("no such socket"), "{}", ended.message);
    Ok(())
}

#[tokio::test]
async fn a_role_whose_idle_sessions_are_ended_loses_its_pauses_and_not_its_run() -> Result<()> {
    let database = Database::create().await?;
    create_table(&database).await?;
    database
        .execute("INSERT INTO app.codes SELECT n, now() - interval '1 day' FROM generate_series(1, 6) AS n")
        .await?;
    let user = parts_of(&database.create_user().await?.to_string())?;
    database
        .execute(&format!(
            "ALTER ROLE {user} SUPERUSER PASSWORD 'p'; ALTER ROLE {user} SET idle_session_timeout = '100ms'"
        ))
        .await?;
    let mut policy = policy(RULES);
    policy["spec"]["execution"] = json!({"batchSize": 1, "maxRowsPerSecond": 2});
    let url = database.address().login(&user, "p").to_string();
    let ended = run_policy(&policy, &url, &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let lost = "the connection was lost in mid-run, connecting again";
    assert!(ended.output.contains(lost), "{}", ended.output);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM app.codes").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_yaml_gives_one_object_too() -> Result<()> {
    for (command, problem) in
        [("validate", "/problems/0/message"), ("plan", "/problems/0/message"), ("run", "/message")]
    {
        for text in ["a: [1\nb: 2\n", "---\n"] {
            let output = tokio::process::Command::new(binary("pgsweep")?)
                .args([command, "--output", "json"])
                .env("PGSWEEP_POLICY", text)
                .stdin(Stdio::null())
                .output()
                .await
                .context("failed to start pgsweep")?;
            assert_eq!(output.status.code(), Some(2), "{command}");
            let object: Value = serde_json::from_slice(&output.stdout)
                .with_context(|| format!("{command} prints one object"))?;
            let said = object.pointer(problem).and_then(Value::as_str).unwrap_or_default();
            let words = if text.starts_with('a') { "is not YAML" } else { "there is no document" };
            assert!(said.contains(words), "{command}: {object}");
        }
    }
    Ok(())
}
