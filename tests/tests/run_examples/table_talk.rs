//! Requirements 000 against `table-talk-sessions`.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::example::{Example, Proof, changed, ids, loaded, run};

/// The statements as 000 prints them. It has none for the hard expiry: that one is ours.
const EXAMPLE: Example = Example {
    name: "table-talk-sessions",
    schema: "table_talk",
    tables: &["sessions", "session_participants"],
    keys: "ALTER TABLE witness.session_participants
             ADD FOREIGN KEY (session_id) REFERENCES witness.sessions ON DELETE CASCADE",
    statements: &[
        (
            "expire-waiting-dual",
            "UPDATE sessions
             SET dual_status = 'ended',
                 expires_at = NOW(),
                 pairing_code_hash = NULL  -- Clear code hash
             WHERE dual_status = 'waiting'
               AND pairing_expires_at < NOW()
             RETURNING session_id",
        ),
        (
            "expire-inactive",
            "UPDATE sessions
             SET expires_at = NOW()
             WHERE last_activity_at < NOW() - INTERVAL '30 minutes'
               AND expires_at > NOW()
             RETURNING session_id",
        ),
        (
            "mark-disconnected",
            "UPDATE session_participants
             SET disconnected_at = NOW()
             WHERE last_seen_at < NOW() - INTERVAL '5 minutes'
               AND disconnected_at IS NULL
             RETURNING participant_id",
        ),
        (
            "delete-expired",
            "DELETE FROM sessions
             WHERE expires_at < NOW() - INTERVAL '1 hour'
             RETURNING session_id",
        ),
        (
            "hard-expiry",
            "UPDATE sessions
             SET expires_at = NOW()
             WHERE created_at < NOW() - INTERVAL '24 hours'
               AND expires_at > NOW()
             RETURNING session_id",
        ),
    ],
    reports: "SELECT FROM table_talk.analytics_events WHERE event_type = 'cleanup_job_completed'",
};

/// The query of 000's dashboard for the last runs, word for word.
const CLEANUP_EFFECTIVENESS: &str = "
  SELECT
    event_data->>'expired_waiting' as waiting_expired,
    event_data->>'expired_inactive' as inactive_expired,
    event_data->>'disconnected_participants' as participants_disconnected,
    event_data->>'deleted_sessions' as sessions_deleted,
    timestamp
  FROM table_talk.analytics_events
  WHERE event_type = 'cleanup_job_completed'
  ORDER BY timestamp DESC
  LIMIT 10";

/// Proves: G12, G13, G14, G15, G16, G18, G19.
#[tokio::test]
async fn table_talk_ends_what_the_statements_of_its_requirements_end_and_tells_of_each_row()
-> Result<()> {
    let Proof { database, ended } = EXAMPLE.prove().await?;

    let first: Value = database
        .scalar(
            "SELECT event_data FROM table_talk.analytics_events
             WHERE event_type = 'cleanup_job_completed' ORDER BY timestamp LIMIT 1",
        )
        .await?;
    let counts = json!({
        "expired_waiting": 1600,
        "expired_inactive": 1600,
        "disconnected_participants": 3200,
        "deleted_sessions": 2000,
    });
    assert_eq!(first, counts);
    let shown: String = database
        .scalar(&format!(
            "SELECT string_agg(concat_ws(' ', waiting_expired, inactive_expired, participants_disconnected, sessions_deleted), ', ')
             FROM ({CLEANUP_EFFECTIVENESS}) AS last_runs"
        ))
        .await?;
    assert_eq!(shown, "0 0 0 0, 1600 1600 3200 2000");

    for (rule, event, reason, id) in [
        ("expire-waiting-dual", "join_code_expired", None, "session_id"),
        ("expire-waiting-dual", "session_expired_auto", Some("waiting_timeout"), "session_id"),
        ("expire-inactive", "session_expired_auto", Some("inactivity"), "session_id"),
        ("mark-disconnected", "participant_disconnected", None, "participant_id"),
        ("delete-expired", "session_deleted", None, "session_id"),
        ("hard-expiry", "session_expired_auto", Some("max_age"), "session_id"),
    ] {
        let now = ended.report["startTime"].as_str().context("a run has a start")?;
        let reason = reason.map_or("IS NULL".to_owned(), |reason| format!("= '{reason}'"));
        let told = ids(
            &database,
            &format!(
                "SELECT event_data ->> '{id}' FROM table_talk.analytics_events
                 WHERE event_type = '{event}' AND event_data ->> 'reason' {reason} AND timestamp = '{now}'"
            ),
        )
        .await?;
        assert_eq!(told, changed(&database, rule).await?, "{rule} {event}");
    }
    let others: i64 = database.scalar("SELECT count(*) FROM table_talk.analytics_events").await?;
    assert_eq!(others, 2 * 1600 + 1600 + 3200 + 2000 + 800 + 2, "nothing else is told");
    Ok(())
}

/// Proves: G17.
#[tokio::test]
async fn the_log_tells_of_the_start_of_each_count_and_of_the_end() -> Result<()> {
    let database = loaded(&[EXAMPLE.name]).await?;
    let ended = run(EXAMPLE.name, &database, &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let lines: Vec<Value> =
        ended.output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let at = |what: &dyn Fn(&Value) -> bool, name: &str| {
        let found = lines.iter().position(what);
        found.with_context(|| format!("no line for {name} in {}", ended.output))
    };
    let says = |line: &Value, text: &str| {
        line["message"].as_str().is_some_and(|message| message.starts_with(text))
    };
    let mut order = vec![at(&|line| says(line, "run begins"), "the start")?];
    for (rule, rows) in super::example::of_rules(&ended.report, "affected") {
        let told = |line: &Value| {
            says(line, "rule ended") && line["rule.name"] == rule && line["rows.affected"] == rows
        };
        order.push(at(&told, &rule)?);
    }
    order.push(at(&|line| says(line, "run ended"), "the end")?);
    assert!(order.is_sorted(), "{order:?}");
    Ok(())
}
