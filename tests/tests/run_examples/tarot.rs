//! Requirements 001 and 004 against `tarot-reading-sessions`.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::Database;
use tests::job;

use super::example::{Example, Proof, changed, ids, loaded, switched_on, text};
use super::schedules::next_runs;

/// 001 chooses the sessions, in the words of its function; 004 keeps their data. The archive after
/// ninety days is ours.
const EXAMPLE: Example = Example {
    name: "tarot-reading-sessions",
    schema: "tarot",
    tables: &["reading_sessions", "session_participants"],
    keys: "ALTER TABLE witness.session_participants
             ADD FOREIGN KEY (session_id) REFERENCES witness.reading_sessions ON DELETE CASCADE",
    statements: &[
        (
            "deactivate-silent",
            "UPDATE reading_sessions
             SET is_active = false, ended_at = NOW()
             WHERE id IN (
               SELECT rs.id
               FROM reading_sessions rs
               WHERE rs.is_active = true
               AND NOT EXISTS (
                 SELECT 1
                 FROM session_participants sp
                 WHERE sp.session_id = rs.id
                 AND sp.is_active = true
                 AND sp.last_seen_at > NOW() - INTERVAL '1 hour'
               )
             )
             RETURNING id",
        ),
        (
            "archive-participants",
            "DELETE FROM session_participants
             WHERE joined_at < NOW() - INTERVAL '90 days' AND session_id IN (
               SELECT id FROM reading_sessions
               WHERE is_active = false AND ended_at < NOW() - INTERVAL '90 days'
             )
             RETURNING id",
        ),
        (
            "archive-sessions",
            "DELETE FROM reading_sessions rs
             WHERE is_active = false AND ended_at < NOW() - INTERVAL '90 days'
               AND NOT EXISTS (SELECT 1 FROM session_participants sp WHERE sp.session_id = rs.id)
             RETURNING id",
        ),
    ],
    reports: "SELECT FROM tarot.session_audit_log WHERE event_type = 'cleanup_job_completed'",
};

/// The statement of 001's `cleanup_inactive_sessions()`, word for word.
const DELETE_INACTIVE: &str = "
  DELETE FROM reading_sessions
  WHERE id IN (
    SELECT rs.id
    FROM reading_sessions rs
    WHERE rs.is_active = true
    AND NOT EXISTS (
      SELECT 1
      FROM session_participants sp
      WHERE sp.session_id = rs.id
      AND sp.is_active = true
      AND sp.last_seen_at > NOW() - INTERVAL '1 hour'
    )
  )
  RETURNING id";

/// Everything that billing reads, of all time.
const BILL: &str =
    "SELECT b::text FROM tarot.get_session_billing_data('-infinity', 'infinity') AS b";

/// What is bought by the hour is still on the bill after the session is off, and after it moved.
///
/// Proves: L5, S7.
#[tokio::test]
async fn silent_sessions_are_switched_off_and_nothing_that_is_billed_is_lost() -> Result<()> {
    let Proof { database, ended } = EXAMPLE.prove().await?;
    let told = ids(
        &database,
        "SELECT session_id FROM tarot.session_audit_log
         WHERE event_type = 'session_expired' AND event_data ->> 'reason' = 'inactivity'",
    )
    .await?;
    assert_eq!(told, changed(&database, "deactivate-silent").await?);

    // What has left its table is in the archive, to the last column, with the run that moved it.
    let run = ended.report["runId"].as_str().context("a run has an id")?;
    for (table, rule) in
        [("reading_sessions", "archive-sessions"), ("session_participants", "archive-participants")]
    {
        let archived = ids(
            &database,
            &format!(
                "SELECT id FROM tarot.{table}_archive
                 WHERE pgsweep_run_id = '{run}' AND pgsweep_rule = '{rule}'
                   AND pgsweep_archived_at IS NOT NULL"
            ),
        )
        .await?;
        assert_eq!(archived, changed(&database, rule).await?);
    }
    // The same data, loaded anew, on which no policy has run.
    let fresh = loaded(&[EXAMPLE.name]).await?;
    let total = "SELECT t::text FROM (
                   SELECT count(*), sum(participants), sum(session_minutes), sum(participant_minutes)
                   FROM tarot.get_session_billing_data('-infinity', 'infinity')
                 ) AS t";
    let (after, before): (String, String) =
        (database.scalar(total).await?, fresh.scalar(total).await?);
    assert_eq!(after, before, "the sum of all bills");

    let report: Value = database
        .scalar(
            "SELECT event_data FROM tarot.session_audit_log
             WHERE event_type = 'cleanup_job_completed' ORDER BY id LIMIT 1",
        )
        .await?;
    let counts = json!({"deactivated_sessions": 700, "archived_participants": 700, "archived_sessions": 300});
    assert_eq!(report, counts);
    Ok(())
}

/// Proves: L6, S2, S7.
#[tokio::test]
async fn the_functions_of_the_requirements_and_the_policy_say_the_same() -> Result<()> {
    let database = loaded(&[EXAMPLE.name]).await?;
    let expired = ids(
        &database,
        "SELECT id FROM tarot.reading_sessions WHERE is_active AND tarot.check_session_expiry(id)",
    )
    .await?;
    // The function, in a transaction that is undone.
    let mut transaction = database.pool().begin().await?;
    sqlx::raw_sql("SELECT tarot.cleanup_inactive_sessions()").execute(&mut *transaction).await?;
    let by_function: Vec<String> = sqlx::query_scalar(
        "SELECT id::text FROM tarot.reading_sessions WHERE NOT is_active AND ended_at = now()",
    )
    .fetch_all(&mut *transaction)
    .await?;
    let logged: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM tarot.session_audit_log WHERE event_type = 'session_expired'",
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.rollback().await?;
    assert_eq!(usize::try_from(logged)?, by_function.len());

    let bill = ids(&database, BILL).await?;
    let ended = super::example::run(EXAMPLE.name, &database, &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let now = ended.report["startTime"].as_str().context("a run has a start")?;
    let by_policy = ids(
        &database,
        &format!(
            "SELECT id FROM tarot.reading_sessions WHERE NOT is_active AND ended_at = '{now}'"
        ),
    )
    .await?;
    assert_eq!(by_policy, by_function.into_iter().collect(), "cleanup_inactive_sessions()");
    assert_eq!(by_policy, expired, "check_session_expiry()");
    assert!(!by_policy.is_empty());
    assert_eq!(ids(&database, BILL).await?, bill, "get_session_billing_data()");

    let analytics: String = database
        .scalar("SELECT a::text FROM tarot.get_session_analytics('-infinity', 'infinity') AS a")
        .await?;
    assert!(analytics.starts_with("(3000,1800,"), "{analytics}");
    database
        .execute("SELECT tarot.log_session_event(id, 'noted', '{\"by\": \"hand\"}') FROM (SELECT id FROM tarot.reading_sessions LIMIT 1) AS s")
        .await?;
    let noted: i64 = database
        .scalar("SELECT count(*) FROM tarot.session_audit_log WHERE event_type = 'noted'")
        .await?;
    assert_eq!(noted, 1);
    Ok(())
}

/// Runs a policy that a test has changed, and compares what it leaves with what the statement does.
async fn run_beside(policy: &Value, statement: &str) -> Result<Database> {
    let database = loaded(&[EXAMPLE.name]).await?;
    EXAMPLE.copy(&database).await?;
    let ended = job::run(policy, &database.url(), &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    EXAMPLE.witness(&database, &ended, &[("silent", statement)]).await?;
    EXAMPLE.agrees(&database).await?;
    let changed = changed(&database, "silent").await?;
    assert_eq!(ended.rule("affected"), &json!(changed.len()));
    Ok(database)
}

/// The example with this rule alone.
fn only(text: &str, rule: &str) -> Result<Value> {
    let mut policy: Value = serde_saphyr::from_str(text)?;
    let spec = policy["spec"].as_object_mut().context("a policy has a spec")?;
    spec.remove("report");
    let rules = spec["rules"].as_array_mut().context("a policy has rules")?;
    rules.retain(|found| found["name"] == rule);
    Ok(policy)
}

/// 004's way with the sessions that 001's statement deletes.
fn deactivating(delete: &str) -> String {
    let (_, which) = delete.split_once("WHERE").unwrap_or_default();
    format!("UPDATE reading_sessions SET is_active = false, ended_at = NOW() WHERE{which}")
}

/// 001 deletes where 004 keeps: the rule that the example holds ready for that.
#[tokio::test]
async fn the_rule_that_deletes_ends_what_the_function_of_the_requirements_deletes() -> Result<()> {
    let policy = only(&switched_on(&text(EXAMPLE.name)?), "delete-silent")?;
    let database = run_beside(&policy, DELETE_INACTIVE).await?;
    let left: i64 = database.scalar("SELECT count(*) FROM tarot.reading_sessions").await?;
    assert_eq!(left, 2300);
    Ok(())
}

/// What is configurable in 001 is a word of the policy: timeout and interval. The interval of the
/// presence is the app's own.
///
/// Proves: L8.
#[tokio::test]
async fn another_timeout_is_another_age_and_another_interval_another_schedule() -> Result<()> {
    let text = text(EXAMPLE.name)?.replace("age: 1h}", "age: 2h}").replace("*/15 ", "*/30 ");
    let times = next_runs(&text).await?;
    assert!(times.iter().all(|time| time.ends_with(":00 UTC") || time.ends_with(":30 UTC")));
    let statement = deactivating(DELETE_INACTIVE).replace("'1 hour'", "'2 hours'");
    let database = run_beside(&only(&text, "deactivate-silent")?, &statement).await?;
    let left: i64 =
        database.scalar("SELECT count(*) FROM tarot.reading_sessions WHERE is_active").await?;
    assert_eq!(left, 1300, "those that were seen ninety minutes ago are still on");
    Ok(())
}

/// Proves: L9.
#[tokio::test]
async fn the_two_more_criteria_of_the_requirements_are_two_more_conditions() -> Result<()> {
    let text = switched_on(&text(EXAMPLE.name)?);
    let statement = deactivating(DELETE_INACTIVE).replace(
        "AND NOT EXISTS",
        "AND rs.created_at < NOW() - INTERVAL '24 hours' -- Add age limit
         AND rs.participant_count < 2 -- Add minimum participants
         AND NOT EXISTS",
    );
    let database = run_beside(&only(&text, "deactivate-silent")?, &statement).await?;
    let left: i64 =
        database.scalar("SELECT count(*) FROM tarot.reading_sessions WHERE is_active").await?;
    assert!((1750..1900).contains(&left), "{left}");
    Ok(())
}
