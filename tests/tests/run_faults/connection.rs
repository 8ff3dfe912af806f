//! The connection is cut, or the server goes away, anywhere in a run: it goes on by itself.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::job::{Ended, Launch, Run};
use tests::proxy::{Proxy, When};
use tests::shop::interrupt::{self, Moment, Site, at_each, moments};
use tests::shop::{self, Undisturbed};
use tests::{Database, Server, database};

fn start(url: &str) -> Result<Run> {
    Launch::run(&shop::policy(), url).job_uid("job-1").start()
}

async fn changes(database: &Database) -> Result<i64> {
    database.scalar("SELECT count(*) FROM witness.changes").await
}

/// What a batch in the middle of a run does.
const IN_THE_MIDDLE: &str = r#"INSERT INTO "shop"."orders_archive""#;

async fn cut(site: &Site, undisturbed: &Undisturbed, moment: Moment) -> Result<bool> {
    let database = site.shop().await?;
    let proxy = Proxy::start(&site.address(&database))?;
    proxy.cut_at(moment.number, moment.when);
    let mut ended = start(&proxy.address().to_string())?.end().await?;
    interrupt::server_is_done(&database).await?;
    let gave_up = ended.code == Some(10);
    if gave_up {
        // Before it has begun it is the Job that tries again.
        let measured = "SELECT count(*) FROM pgsweep.run_rules WHERE matched IS NOT NULL";
        if shop::has_ledger(&database).await? {
            ensure!(database.scalar::<i64>(measured).await? == 0, "it gave up: {}", ended.output);
        }
        ended = start(&database.url())?.end().await?;
    } else {
        ensure!(shop::attempts(&database).await? == 1, "{}", ended.output);
    }
    undisturbed.check(&database, &ended).await?;
    site.take_back(database);
    Ok(proxy.connections() > 1 || gave_up)
}

/// Proves: R2.
#[tokio::test]
async fn a_run_whose_connection_is_cut_between_any_two_messages_goes_on_by_itself() -> Result<()> {
    let site = Site::new(database::shared_server().await?);
    let (undisturbed, messages) = site.undisturbed().await?;
    let every = interrupt::every_message()?;
    let step = if every { 1 } else { 3 };
    let moments = moments(&messages, every, 60).into_iter().step_by(step).collect();
    at_each(moments, async |moment| cut(&site, &undisturbed, moment).await).await
}

/// Runs through a proxy and does something to the world in the middle of it.
async fn meanwhile(
    database: &Database,
    fault: impl AsyncFnOnce(&Proxy) -> Result<()>,
) -> Result<Ended> {
    let proxy = Proxy::start(&database.address())?;
    let mut stop = proxy.stop_at_commit_of(IN_THE_MIDDLE, When::Before);
    let run = start(&proxy.address().to_string())?;
    stop.reached().await?;
    fault(&proxy).await?;
    stop.release();
    run.end().await
}

#[tokio::test]
async fn a_restart_a_crash_and_an_ended_session_in_mid_run_cost_nothing() -> Result<()> {
    // Elsewhere in the tests a crash may lose what was committed.
    let server = Server::start(&[("synchronous_commit", "on")]).await?;
    let site = Site::new(server.address().clone());
    let (undisturbed, _) = site.undisturbed().await?;

    let database = site.shop().await?;
    let ended = meanwhile(&database, async |_| server.restart().await).await?;
    undisturbed.check(&database, &ended).await.context("after a restart")?;
    ensure!(ended.report["attempts"] == 1, "{}", ended.output);

    let database = site.shop().await?;
    let crash = async |_: &Proxy| {
        server.kill().await?;
        server.start_again().await
    };
    let ended = meanwhile(&database, crash).await?;
    undisturbed.check(&database, &ended).await.context("after a crash")?;

    let database = site.shop().await?;
    let end_sessions = async |_: &Proxy| {
        database
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'pgsweep'",
            )
            .await
    };
    let ended = meanwhile(&database, end_sessions).await?;
    undisturbed.check(&database, &ended).await.context("after an ended session")?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_away_for_longer_than_a_run_tries_ends_it_with_10_until_the_next_attempt()
-> Result<()> {
    let site = Site::new(database::shared_server().await?);
    let (undisturbed, _) = site.undisturbed().await?;
    let database = site.shop().await?;
    let unplug = async |proxy: &Proxy| {
        proxy.unplug();
        Ok(())
    };
    let ended = meanwhile(&database, unplug).await?;
    assert_eq!((ended.code, &ended.report["result"]), (Some(10), &json!("Failed")));
    assert!(changes(&database).await? > 0, "it had begun");
    interrupt::server_is_done(&database).await?;
    shop::check_laws(&database).await?;
    let ended = start(&database.url())?.end().await?;
    undisturbed.check(&database, &ended).await?;
    assert_eq!(ended.report["attempts"], 2);
    Ok(())
}
