//! The job is killed between any two messages to the server: no row is lost, none is counted
//! wrongly, and the next attempt ends where an undisturbed run does.
//!
//! By default some of all moments are taken; `PGSWEEP_TEST_EVERY_MESSAGE=true` takes each.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::job::{Launch, Run};
use tests::proxy::Proxy;
use tests::shop::interrupt::{self, Moment, Site, at_each, moments};
use tests::shop::{self, Undisturbed};
use tests::{Database, database};

async fn run(url: &str) -> Result<tests::job::Ended> {
    Launch::run(&shop::policy(), url).job_uid("job-1").end().await
}

fn start(proxy: &Proxy) -> Result<Run> {
    Launch::run(&shop::policy(), &proxy.address().to_string()).job_uid("job-1").start()
}

/// Kills the run at one moment, looks, and lets its next attempt end it. Whether it was alive then.
async fn kill(site: &Site, undisturbed: &Undisturbed, moment: Moment) -> Result<bool> {
    let database = site.shop().await?;
    let proxy = Proxy::start(&site.address(&database))?;
    let stop = proxy.stop_at(moment.number, moment.when);
    let killed = start(&proxy)?.killed_at(stop).await?;
    interrupt::server_is_done(&database).await?;
    shop::check_laws(&database).await.context("after the kill")?;
    let attempts = shop::attempts(&database).await?;
    let ended = run(&site.address(&database).to_string()).await?;
    undisturbed.check(&database, &ended).await.context("after the next attempt")?;
    ensure!(
        ended.report["attempts"] == json!(attempts + 1),
        "attempt {attempts} was killed, and then: {}",
        ended.output
    );
    ensure!(shop::attempts(&database).await? == attempts + 1, "the ledger counts attempts wrongly");
    site.check_that_nothing_is_left(&database).await?;
    site.take_back(database);
    Ok(killed.code.is_none())
}

/// Proves: R2, E9.
#[tokio::test]
async fn a_kill_between_any_two_messages_loses_nothing_and_the_next_attempt_ends_the_run()
-> Result<()> {
    let site = Site::new(database::shared_server().await?);
    let (undisturbed, messages) = site.undisturbed().await?;
    let every = interrupt::every_message()?;
    at_each(moments(&messages, every, 80), async |moment| kill(&site, &undisturbed, moment).await)
        .await
}

/// Proves: R2.
#[tokio::test]
async fn a_kill_behind_a_pooler_loses_nothing_either() -> Result<()> {
    let site = Site::behind_pooler(database::shared_server().await?).await?;
    let Some(site) = site else { return Ok(()) };
    let (undisturbed, messages) = site.undisturbed().await?;
    let some = moments(&messages, false, 200).into_iter().step_by(12).collect();
    at_each(some, async |moment| kill(&site, &undisturbed, moment).await).await
}

/// Proves: R2, E9.
#[tokio::test]
async fn a_job_that_is_killed_again_and_again_is_still_one_run() -> Result<()> {
    let site = Site::new(database::shared_server().await?);
    let (undisturbed, _) = site.undisturbed().await?;
    let database: Database = site.shop().await?;
    let proxy = Proxy::start(&database.address())?;
    let numbers = [300, 380, 420, 480, 540, 600, 660, 720, 600, 500, 430];
    for (number, when) in numbers.into_iter().zip(tests::proxy::When::ALL.into_iter().cycle()) {
        proxy.reset().await?;
        let stop = proxy.stop_at(number, when);
        start(&proxy)?.killed_at(stop).await?;
        interrupt::server_is_done(&database).await?;
        shop::check_laws(&database).await.with_context(|| format!("after a kill at {number}"))?;
    }
    let attempts = shop::attempts(&database).await?;
    ensure!(attempts >= 8, "there were {attempts} attempts, so most kills came too early");
    let ended = run(&database.url()).await?;
    undisturbed.check(&database, &ended).await?;
    assert_eq!(ended.report["attempts"], json!(attempts + 1));
    Ok(())
}
