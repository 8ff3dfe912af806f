//! The proxy before Postgres counts each message, and acts exactly where it is told to.

use std::time::Duration;

use anyhow::Result;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::Database;
use tests::proxy::{Kind, Proxy, When};

/// What a client of this crate's own does: one transaction that inserts a row.
async fn insert(proxy: &Proxy, id: i64) -> Result<()> {
    let mut client = PgConnection::connect(&proxy.address().to_string()).await?;
    let mut transaction = client.begin().await?;
    sqlx::query("INSERT INTO seen VALUES ($1)")
        .bind(id)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    client.close().await?;
    Ok(())
}

async fn database_and_proxy() -> Result<(Database, Proxy)> {
    let database = Database::create().await?;
    database.execute("CREATE TABLE seen (id bigint PRIMARY KEY)").await?;
    let proxy = Proxy::start(&database.address())?;
    Ok((database, proxy))
}

async fn is_there(database: &Database, id: i64) -> Result<bool> {
    database.scalar(&format!("SELECT EXISTS (SELECT FROM seen WHERE id = {id})")).await
}

/// The number of the message that commits.
fn commit(proxy: &Proxy) -> usize {
    let messages = proxy.messages();
    let commit = messages.iter().find(|message| message.text == "COMMIT");
    commit.expect("the client commits").number
}

#[tokio::test]
async fn messages_are_counted_and_named_and_a_second_run_has_the_same() -> Result<()> {
    let (_database, proxy) = database_and_proxy().await?;
    insert(&proxy, 1).await?;
    proxy.reset().await?;
    insert(&proxy, 2).await?;
    proxy.reset().await?;
    assert_eq!(proxy.count(), 0);
    insert(&proxy, 3).await?;
    proxy.quiet().await?;
    let first = proxy.messages();
    proxy.reset().await?;
    insert(&proxy, 4).await?;
    proxy.quiet().await?;
    let kinds = |messages: &[tests::proxy::Message]| {
        messages.iter().map(|message| message.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&proxy.messages()), kinds(&first));
    assert_eq!(first.iter().filter(|message| message.kind == Kind::Startup).count(), 1);
    assert_eq!(first.last().map(|message| message.kind), Some(Kind::Terminate));
    assert_eq!(proxy.transactions(), [["BEGIN", "INSERT INTO seen VALUES ($1)", "COMMIT"]]);
    Ok(())
}

#[tokio::test]
async fn a_cut_before_the_commit_loses_it_and_one_after_its_answer_does_not() -> Result<()> {
    let (database, proxy) = database_and_proxy().await?;
    insert(&proxy, 0).await?;
    let commit = commit(&proxy);
    for (id, when, kept) in [(1, When::Before, false), (2, When::Answered, true)] {
        proxy.reset().await?;
        proxy.cut_at(commit, when);
        insert(&proxy, id).await.expect_err("the connection was cut");
        assert_eq!(proxy.count(), commit, "{when:?}");
        assert_eq!(is_there(&database, id).await?, kept, "{when:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_can_be_cut_at_every_message_one_after_the_other() -> Result<()> {
    let (database, proxy) = database_and_proxy().await?;
    insert(&proxy, 0).await?;
    proxy.quiet().await?;
    let count = proxy.count();
    let commit = commit(&proxy);
    let mut id = 0;
    for number in 1..=count {
        for when in When::ALL {
            id += 1;
            proxy.reset().await?;
            proxy.cut_at(number, when);
            let end = insert(&proxy, id).await;
            // The client does not wait for an answer to its farewell.
            assert!(end.is_err() || number == count, "message {number} {when:?} was not cut");
            proxy.quiet().await?;
            assert_eq!(proxy.count(), number, "{when:?}");
            if number < commit || (number == commit && when == When::Before) {
                assert!(!is_there(&database, id).await?, "message {number} {when:?}");
            } else if number > commit || when == When::Answered {
                assert!(is_there(&database, id).await?, "message {number} {when:?}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_message_is_held_until_the_test_lets_it_go() -> Result<()> {
    let (database, proxy) = database_and_proxy().await?;
    insert(&proxy, 0).await?;
    let commit = commit(&proxy);
    for (id, when, meanwhile) in [(1, When::Before, false), (2, When::Answered, true)] {
        proxy.reset().await?;
        let mut stop = proxy.stop_at(commit, when);
        let client = insert(&proxy, id);
        let test = async {
            stop.reached().await?;
            assert_eq!(is_there(&database, id).await?, meanwhile, "{when:?}");
            stop.release();
            anyhow::Ok(())
        };
        let (client, test) = tokio::join!(client, test);
        client?;
        test?;
        assert!(is_there(&database, id).await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_at_work_can_be_stopped_after_it_was_sent() -> Result<()> {
    let (database, proxy) = database_and_proxy().await?;
    let mut holder = database.pool().begin().await?;
    sqlx::query("LOCK TABLE seen").execute(&mut *holder).await?;
    insert_blocked(&database, &proxy, holder).await
}

/// The server waits for a lock, so that no answer can come.
async fn insert_blocked(
    database: &Database,
    proxy: &Proxy,
    holder: sqlx::Transaction<'_, sqlx::Postgres>,
) -> Result<()> {
    let mut client = PgConnection::connect(&proxy.address().to_string()).await?;
    let next = proxy.count() + 1;
    let mut stop = proxy.stop_at(next, When::Sent);
    let statement = AssertSqlSafe("INSERT INTO seen VALUES (1)".to_owned());
    let work = sqlx::raw_sql(statement).execute(&mut client);
    let test = async {
        stop.reached().await?;
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted
                       AND relation = 'public.seen'::regclass";
        tests::wait::until("the insert to wait", Duration::from_secs(10), async || {
            Ok((database.scalar::<i64>(waiting).await? == 1).then_some(()))
        })
        .await?;
        stop.cut();
        holder.rollback().await?;
        anyhow::Ok(())
    };
    let (work, test) = tokio::join!(work, test);
    test?;
    assert!(work.is_err(), "the connection was cut");
    Ok(())
}

#[tokio::test]
async fn the_server_can_be_out_of_reach_for_a_while_in_two_ways() -> Result<()> {
    let (database, proxy) = database_and_proxy().await?;
    let mut client = PgConnection::connect(&proxy.address().to_string()).await?;
    proxy.unplug();
    assert!(client.ping().await.is_err(), "unplugging cuts");
    assert!(insert(&proxy, 1).await.is_err(), "an unplugged server takes nobody");
    proxy.plug_in();
    insert(&proxy, 2).await?;

    let mut client = PgConnection::connect(&proxy.address().to_string()).await?;
    proxy.freeze();
    let silence = tokio::time::timeout(Duration::from_millis(200), client.ping()).await;
    assert!(silence.is_err(), "a frozen network passes nothing on");
    proxy.thaw();
    insert(&proxy, 3).await?;
    assert_eq!(database.scalar::<i64>("SELECT sum(id)::bigint FROM seen").await?, 5);
    Ok(())
}
