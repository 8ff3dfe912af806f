//! What a test can do to a run: through a proxy, frozen, killed, measured.

use std::time::Duration;

use anyhow::Result;
use tests::job::{DELETE_OLD, Launch, Run, codes, policy, run};
use tests::proxy::{Proxy, When};
use tests::{Database, wait};

const SIGKILL: i32 = 9;

async fn left(database: &Database) -> Result<i64> {
    database.scalar("SELECT count(*) FROM codes").await
}

#[tokio::test]
async fn a_run_can_be_killed_at_a_message_and_what_it_sent_after_that_is_lost() -> Result<()> {
    let database = codes(90).await?;
    let proxy = Proxy::start(&database.address())?;
    let url = proxy.address().to_string();
    let policy = policy(DELETE_OLD);
    let whole = run(&policy, &url, &[]).await?;
    assert_eq!(whole.code, Some(0), "{}", whole.output);
    proxy.quiet().await?;
    let messages = proxy.messages();
    let commits = messages.iter().filter(|message| message.text == "COMMIT").collect::<Vec<_>>();
    assert!(!commits.is_empty(), "{:?}", proxy.transactions());

    for when in [When::Before, When::Answered] {
        let database = codes(90).await?;
        let proxy = Proxy::start(&database.address())?;
        let url = proxy.address().to_string();
        let delete = messages.iter().find(|message| {
            let text = &message.text;
            message.runs_a_statement()
                && text.contains("DELETE FROM")
                && !text.starts_with("EXPLAIN")
        });
        let delete = delete.expect("the run deletes").number;
        let commit = commits.iter().find(|commit| commit.number > delete);
        let commit = commit.expect("the run commits what it deletes").number;
        let killed = Run::start(&policy, &url, &[])?.killed_at(proxy.stop_at(commit, when)).await?;
        assert_eq!((killed.code, killed.signal), (None, Some(SIGKILL)), "{}", killed.output);
        database.left_by_runs().await?;
        let expected = if when == When::Before { 90 } else { 59 };
        assert_eq!(left(&database).await?, expected, "{when:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_run_that_does_not_get_to_a_message_ends_as_it_would() -> Result<()> {
    let database = codes(90).await?;
    let proxy = Proxy::start(&database.address())?;
    let run = Run::start(&policy(DELETE_OLD), &proxy.address().to_string(), &[])?;
    let ended = run.killed_at(proxy.stop_at(1_000_000, When::Before)).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    Ok(())
}

#[tokio::test]
async fn a_frozen_run_does_nothing_until_it_is_thawed() -> Result<()> {
    let database = codes(90).await?;
    let proxy = Proxy::start(&database.address())?;
    let mut stop = proxy.stop_at(1, When::Before);
    let run = Launch::run(&policy(DELETE_OLD), &proxy.address().to_string())
        .job_uid("3b241101-e2bb-4255-8caf-4136c566a962")
        .start()?;
    stop.reached().await?;
    run.freeze().await?;
    // A process that is about to run stops as soon as it does.
    let state = format!("/proc/{}/stat", run.pid()?);
    wait::until("the run to stand still", Duration::from_secs(5), async || {
        Ok(std::fs::read_to_string(&state)?.contains(") T ").then_some(()))
    })
    .await?;
    stop.release();
    assert_eq!(left(&database).await?, 90);
    run.thaw().await?;
    let ended = run.end().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    Ok(())
}

#[tokio::test]
async fn the_most_memory_of_a_run_is_known_at_its_end() -> Result<()> {
    let database = codes(90).await?;
    let run = Run::start(&policy(DELETE_OLD), &database.url(), &[])?;
    let now = wait::until("some memory", Duration::from_secs(5), async || {
        Ok(Some(run.peak_memory()?).filter(|peak| *peak > 0))
    })
    .await?;
    let (ended, peak) = run.end_with_peak_memory().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(peak >= now && peak > 1024 * 1024, "{now} and then {peak}");
    Ok(())
}
