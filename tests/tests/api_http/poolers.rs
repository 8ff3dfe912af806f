//! What stands between the server and Postgres: a pooler of transactions, and how much goes over the wire.

use anyhow::{Context as _, Result, ensure};
use futures::future;
use reqwest::Method;
use serde_json::{Value, json};
use tests::pooler::Pooler;
use tests::proxy::{Kind, Message, Proxy};
use tests::sessions::replica::{Answer, CODE_KEYS, Phone, Replica, read};
use tests::{Sessions, database};

use super::scene::{dual, redeem, single};

/// More than the pooler has connections to the server.
const TABLES: usize = 12;

fn done(answer: Answer) -> Result<Answer> {
    ensure!((200..300).contains(&answer.status), "{}: {}", answer.status, answer.body);
    Ok(answer)
}

/// What two phones at a table do, from the first code to the end.
async fn evening(replica: &Replica, table: &str) -> Result<()> {
    let host = dual(replica, table).await?;
    let alone = single(replica).await?;
    let guest = Phone::fresh();
    let joined = done(redeem(replica, &guest, host.code()).await?)?;
    let guest = guest.with_token(joined.text("/token"));
    let seen = done(host.send(replica, Method::GET, "", Value::Null).await?)?;
    let change = host.phone.request(replica, Method::PATCH, &host.path(""));
    let change = change.header("if-match", seen.header("etag"));
    done(read(change.json(&json!({"title": "an evening"}))).await?)?;
    let group = format!("/api/v1/groups/{}", host.group());
    let tables = format!("/api/v1/tables/{table}/groups");
    let steps = [
        (&guest, Method::PUT, host.path("/participants/me/heartbeat"), Value::Null),
        (&guest, Method::PUT, host.path("/participants/me/ready"), json!({"ready": true})),
        (&alone.phone, Method::POST, alone.path("/invites"), Value::Null),
        (&host.phone, Method::GET, group, Value::Null),
        (&host.phone, Method::GET, tables, Value::Null),
        (&guest, Method::DELETE, host.path("/participants/me"), Value::Null),
        (&host.phone, Method::POST, host.path("/end"), Value::Null),
        (&host.phone, Method::DELETE, host.path(""), Value::Null),
    ];
    for (phone, method, path, body) in steps {
        done(phone.send(replica, method, &path, body).await?)?;
    }
    Ok(())
}

/// `PgBouncer` of Debian 12 knows no prepared statements: the next transaction would find others.
#[tokio::test]
async fn behind_a_pooler_that_knows_no_prepared_statements_it_works_without() -> Result<()> {
    let server = database::shared_server().await?;
    let Some(pooler) = Pooler::start(&server).await? else { return Ok(()) };
    let sessions = Sessions::create_on(&server).await?;
    let url = pooler.before(&sessions.login(&sessions.roles.api).await?).to_string();
    let flags = [("--code-keys", CODE_KEYS[0]), ("--prepared-statements", "false")];
    let replica = Replica::start_at(&url, &flags).await?;
    let tables: Vec<_> = (0..TABLES).map(|number| format!("table_{number}")).collect();
    future::try_join_all(tables.iter().map(|table| evening(&replica, table))).await?;
    Ok(())
}

/// What a request costs the database is mostly statements that are parsed again, and ways to it and back.
#[tokio::test]
async fn a_request_has_nothing_parsed_and_few_ways_to_the_database() -> Result<()> {
    let sessions = Sessions::create_on(&database::shared_server().await?).await?;
    let proxy = Proxy::start(&sessions.login(&sessions.roles.api).await?)?;
    let flags = [("--code-keys", CODE_KEYS[0])];
    let replica = Replica::start_at(&proxy.address().to_string(), &flags).await?;
    let before = proxy.count();
    evening(&replica, "table_042").await?;
    let sent = proxy.messages().split_off(before);
    // Partitions are made when they are, and that is no request.
    let parsed =
        sent.iter().filter(|one| one.kind == Kind::Parse && !one.text.contains("make_partitions"));
    assert_eq!(parsed.map(|message| message.text.as_str()).collect::<Vec<_>>(), [""; 0]);

    // The most that any request has: a group, a code, a session, who began it, and what is told of that.
    let made = |message: &&Message| {
        message.runs_a_statement() && message.text.starts_with("INSERT INTO core.sessions")
    };
    let connection = sent.iter().find(made).context("a session was made")?.connection;
    let on_it = sent.iter().filter(|message| message.connection == connection);
    let work = on_it.skip_while(|message| !message.text.starts_with("BEGIN"));
    let work: Vec<_> = work.collect();
    let mut pieces = work.split_inclusive(|message| message.is_commit());
    let creation = pieces.find(|piece| piece.iter().any(made)).context("it was committed")?;
    let ways = creation.iter().filter(|one| matches!(one.kind, Kind::Query | Kind::Sync)).count();
    assert!(ways <= 12, "{ways}: {creation:#?}");
    Ok(())
}
