//! What the log says of a run of an example that ends well, and of one that does not.

use anyhow::{Context, Result};
use serde_json::Value;
use tests::job::Ended;

use super::example::{loaded, run};

const EXAMPLE: &str = "after-hours-sessions";

/// The lines of the log that name the Job.
fn lines_of(job: &str, ended: &Ended) -> Vec<Value> {
    let lines = ended.output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["level"].is_string() && line["run_id"] == job).collect()
}

/// Proves: A9.
#[tokio::test]
async fn a_run_that_ends_and_one_that_fails_are_logged_with_their_job_and_the_failure_is_passed_on()
-> Result<()> {
    let database = loaded(&[EXAMPLE]).await?;
    let completed = run(EXAMPLE, &database, &["--job-uid", "first-job"]).await?;
    assert_eq!(completed.code, Some(0), "{}", completed.output);
    let lines = lines_of("first-job", &completed);
    let last = lines.last().context("a line of the end")?;
    assert_eq!((&last["level"], &last["result"]), (&"INFO".into(), &"Succeeded".into()), "{last}");

    database.execute("DROP TABLE after_hours.after_hours_declines").await?;
    let failed = run(EXAMPLE, &database, &["--job-uid", "second-job"]).await?;
    assert_eq!(failed.code, Some(2), "the Job fails with it: {}", failed.output);
    let errors: Vec<_> = lines_of("second-job", &failed)
        .into_iter()
        .filter(|line| line["level"] == "ERROR")
        .collect();
    assert_eq!(errors.len(), 1, "once: {}", failed.output);
    let message = errors[0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("after_hours_declines does not exist"), "{message}");
    Ok(())
}
