//! When the examples run, and what they are called.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::job::binary;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::example::text;

/// The next five runs, as `pgsweep validate` tells them, such as `Fri 2026-11-27 04:00 UTC`.
pub async fn next_runs(text: &str) -> Result<Vec<String>> {
    let mut child = Command::new(binary("pgsweep")?)
        .args(["validate", "--file", "-", "--output", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("failed to start pgsweep")?;
    let mut input = child.stdin.take().context("a piped program has standard input")?;
    input.write_all(text.as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    let said: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(said["valid"] == true, "{said}");
    let runs = said["nextRuns"].as_array().into_iter().flatten();
    let runs: Vec<_> = runs.filter_map(|run| run.as_str().map(str::to_owned)).collect();
    ensure!(runs.len() == 5, "{said}");
    Ok(runs)
}

/// Minutes of the day, of a time such as `Fri 2026-11-27 04:00 UTC`.
fn minute_of_day(time: &str) -> Option<u32> {
    let (hours, minutes) = time.split(' ').nth(2)?.split_once(':')?;
    Some(hours.parse::<u32>().ok()? * 60 + minutes.parse::<u32>().ok()?)
}

/// Proves: A1, M1.
#[tokio::test]
async fn messages_are_cleaned_at_three_and_sessions_an_hour_later_every_day_by_utc() -> Result<()> {
    for (name, time) in
        [("after-hours-messages", "03:00 UTC"), ("after-hours-sessions", "04:00 UTC")]
    {
        let runs = next_runs(&text(name)?).await?;
        assert!(runs.iter().all(|run| run.ends_with(time)), "{name}: {runs:?}");
        let mut days: Vec<_> = runs.iter().map(|run| run.split(' ').nth(1)).collect();
        days.dedup();
        assert_eq!(days.len(), 5, "{name}: {runs:?}");
    }
    Ok(())
}

/// Proves: G11, L5.
#[tokio::test]
async fn tables_are_cleaned_every_five_minutes_and_readings_every_fifteen() -> Result<()> {
    for (name, interval) in [("table-talk-sessions", 5), ("tarot-reading-sessions", 15)] {
        let runs = next_runs(&text(name)?).await?;
        let minutes: Vec<_> = runs.iter().filter_map(|run| minute_of_day(run)).collect();
        for pair in minutes.windows(2) {
            let apart = (pair[1] + 24 * 60 - pair[0]) % (24 * 60);
            assert_eq!((apart, pair[0] % interval), (interval, 0), "{name}: {runs:?}");
        }
        assert_eq!(minutes.len(), 5, "{name}: {runs:?}");
    }
    Ok(())
}
