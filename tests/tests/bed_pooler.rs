//! The pooler does what makes poolers hard: a session's transactions run on any connection.

use anyhow::Result;
use sqlx::{Connection as _, PgConnection};
use tests::job::{DELETE_OLD, codes, policy, run};
use tests::pooler::Pooler;
use tests::{Database, database};

#[tokio::test]
async fn a_run_works_by_way_of_the_pooler() -> Result<()> {
    let server = database::shared_server().await?;
    let Some(pooler) = Pooler::start(&server).await? else { return Ok(()) };
    let database = codes(90).await?;
    let url = pooler.before(&database.address()).to_string();
    let ended = run(&policy(DELETE_OLD), &url, &[]).await?;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.output, pooler.log()?);
    assert_eq!(ended.rule("affected"), 31);
    Ok(())
}

#[tokio::test]
async fn a_session_loses_its_settings_and_statements_between_transactions() -> Result<()> {
    let server = database::shared_server().await?;
    let Some(pooler) = Pooler::start(&server).await? else { return Ok(()) };
    let database = Database::create().await?;
    let user = database.create_user().await?;
    let url = pooler.before(&user).to_string();
    // What sqlx sets for itself at the start, `PgBouncer` does not take.
    let refused = PgConnection::connect(&url).await.unwrap_err().to_string();
    assert!(refused.contains("extra_float_digits"), "{refused}");

    let options: sqlx::postgres::PgConnectOptions = url.parse()?;
    let options = options.extra_float_digits(None).statement_cache_capacity(0);
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(PgConnection::connect_with(&options).await?);
    }
    let mut backends = std::collections::BTreeSet::new();
    for session in &mut sessions {
        let mut transaction = session.begin().await?;
        let backend = sqlx::query_scalar("SELECT pg_backend_pid()").persistent(false);
        backends.insert(backend.fetch_one(&mut *transaction).await.map(|pid: i32| pid)?);
        transaction.commit().await?;
    }
    assert!(backends.len() < sessions.len(), "six sessions, and as many backends: {backends:?}");

    let [one, other, ..] = sessions.as_mut_slice() else { unreachable!() };
    let mut busy = one.begin().await?;
    sqlx::query("SELECT 1").persistent(false).execute(&mut *busy).await?;
    let ours = sqlx::query_scalar("SELECT current_user::text").persistent(false);
    let name: String = ours.fetch_one(&mut *other).await?;
    assert!(user.to_string().contains(&name), "{name} is not the user of the URL");
    busy.rollback().await?;
    Ok(())
}
