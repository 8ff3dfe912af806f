//! The policies of the chart on a database of the session API, by logins with the roles that its values
//! ask for, and nothing more.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::sessions::{chart, on_each_version};
use tests::{Sessions, job};

use super::has_helm;

/// For each rule one row that is due, and one that is not.
const ROWS: &str = include_str!("rows.sql");

/// Rules with the number of rows that each changes.
type Rules = &'static [(&'static str, i64)];

/// Each policy, its login's roles beside the cleanup's, and what its rules find in these rows.
const EXPECTED: [(&str, bool, Rules); 6] = [
    (
        "table-talk-sessions",
        false,
        &[
            ("expire-waiting-dual", 1),
            ("expire-inactive", 1),
            ("mark-disconnected", 1),
            ("delete-expired", 1),
            // The database lets none live longer: this rule is for where it does not.
            ("hard-expiry", 0),
        ],
    ),
    ("tarot-sessions", false, &[("deactivate-silent", 2), ("archive-sessions", 1)]),
    ("after-hours-messages", false, &[("delete-messages", 2), ("delete-matches", 1)]),
    (
        "after-hours-sessions",
        false,
        &[("close-expired", 1), ("delete-old-declines", 1), ("delete-orphaned-fingerprints", 2)],
    ),
    (
        "leftovers",
        false,
        &[
            ("delete-taken-back", 1),
            ("delete-empty-groups", 1),
            ("delete-idempotency-keys", 1),
            ("delete-invites", 1),
            ("delete-tickets", 1),
            ("delete-rate-limits", 1),
            ("delete-replicas", 1),
        ],
    ),
    ("events", true, &[("drop-outbox", 2), ("drop-analytics", 1)]),
];

/// Phones hear of each end that nobody has told of, and auditors of each that left the row there. Those who count
/// hear of what cleanup did, of which session it was.
const TOLD: [(&str, &[&str]); 3] = [
    (
        "SELECT app, type AS name FROM core.session_events WHERE type <> 'x'",
        &[
            "after_hours session_expired 1",
            "table_talk join_code_expired 1",
            "table_talk participant_disconnected 1",
            "table_talk session_expired 4",
            "tarot session_expired 4",
        ],
    ),
    (
        "SELECT app, event_type AS name FROM core.session_audit_log WHERE event_type <> 'session_deleted'",
        &[
            "after_hours session_expired 1",
            "table_talk participant_disconnected 1",
            "table_talk session_expired 2",
            "tarot session_expired 4",
        ],
    ),
    (
        "SELECT app, concat_ws(' ', event_type, event_data ->> 'reason') AS name FROM core.analytics_events
         WHERE session_id = (event_data ->> 'session_id')::uuid",
        &[
            "after_hours session_expired_auto timeout 1",
            "table_talk join_code_expired 1",
            "table_talk participant_disconnected 1",
            "table_talk session_deleted 1",
            "table_talk session_expired_auto inactivity 1",
            "table_talk session_expired_auto waiting_timeout 1",
            "tarot session_expired_auto inactivity 1",
            "tarot session_expired_auto timeout 1",
        ],
    ),
];

/// The policies by the names of their files.
async fn policies() -> Result<BTreeMap<String, Value>> {
    let values = ["--set", "cleanupPolicies.enabled=true,cleanupPolicies.mode=Enforce"];
    let objects = chart::rendered(&values).await?.into_iter();
    let policies = objects.filter(|object| object["kind"] == "CleanupPolicy");
    policies
        .map(|policy| {
            let name = policy["metadata"]["name"].as_str().context("a policy has a name")?;
            let file = name.strip_prefix("session-api-").context("and the release's before it")?;
            Ok((file.to_owned(), policy))
        })
        .collect()
}

async fn url(sessions: &Sessions, owns_events: bool) -> Result<String> {
    let (url, login) = job::cleaner(&sessions.database).await?;
    let roles = &sessions.roles;
    let mut granted = vec![&roles.cleanup];
    granted.extend(owns_events.then_some(&roles.events));
    for role in granted {
        sessions.database.execute(&format!("GRANT {role} TO {login}")).await?;
    }
    Ok(url)
}

/// What the rules of a run changed, by their names.
fn changed(report: &Value) -> Vec<(&str, i64)> {
    let rules = report["rules"].as_array().into_iter().flatten();
    rules
        .map(|rule| {
            (rule["name"].as_str().unwrap_or_default(), rule["affected"].as_i64().unwrap_or(-1))
        })
        .collect()
}

/// Proves: G12, G13, G14, G16, L5, A2, A3, A4, M2, X2.
#[tokio::test]
async fn each_policy_of_the_chart_takes_what_is_due_of_its_app_and_nothing_else() -> Result<()> {
    if !has_helm()? {
        return Ok(());
    }
    let policies = policies().await?;
    assert_eq!(policies.len(), EXPECTED.len(), "{:?}", policies.keys());
    on_each_version(async |sessions| {
        sessions.database.execute(ROWS).await?;
        for (name, owns_events, expected) in EXPECTED {
            let policy = policies.get(name).with_context(|| format!("{name} is rendered"))?;
            let url = url(sessions, owns_events).await?;
            let ended = job::run(policy, &url, &[]).await?;
            ensure!(ended.code == Some(0), "{name}: {}", ended.output);
            assert_eq!(changed(&ended.report), expected, "{name}: {}", ended.output);
            let again = job::run(policy, &url, &[]).await?;
            ensure!(again.code == Some(0), "{name}: {}", again.output);
            assert!(changed(&again.report).iter().all(|(_, rows)| *rows == 0), "{}", again.output);
        }
        leaves_what_is_not_due(sessions).await
    })
    .await
}

async fn leaves_what_is_not_due(sessions: &Sessions) -> Result<()> {
    let database = &sessions.database;
    let untouched: Vec<String> = sqlx::query_scalar(
        "SELECT title FROM core.sessions WHERE ended_at IS NULL AND expires_at > now() ORDER BY title",
    )
    .fetch_all(database.pool())
    .await?;
    assert_eq!(
        untouched,
        ["after hours lives", "table talk lives", "tarot lives", "the new group's"]
    );
    let archived: Vec<String> =
        sqlx::query_scalar("SELECT session_row ->> 'title' FROM core.session_archive ORDER BY 1")
            .fetch_all(database.pool())
            .await?;
    assert_eq!(archived, ["table talk is over", "tarot ended long ago", "was taken back"]);
    let told: Vec<String> = sqlx::query_scalar(
        "SELECT app FROM core.analytics_events WHERE event_type = 'cleanup_job_completed' GROUP BY 1 ORDER BY 1",
    )
    .fetch_all(database.pool())
    .await?;
    assert_eq!(told, ["after_hours", "table_talk", "tarot"]);
    for (sink, expected) in TOLD {
        let each = format!(
            "SELECT concat_ws(' ', app, name, count(*)) AS line FROM ({sink}) AS e GROUP BY app, name"
        );
        let told = format!("SELECT array_agg(line ORDER BY line) FROM ({each}) AS l");
        let told: Vec<String> = database.scalar(&told).await?;
        assert_eq!(told, expected, "{sink}");
    }
    Ok(())
}

/// The timeout is a number in the policy: an hour, or a minute for a developer.
///
/// Proves: L17.
#[tokio::test]
async fn the_timeout_of_a_reading_may_be_a_minute() -> Result<()> {
    if !has_helm()? {
        return Ok(());
    }
    let mut policy = policies().await?.remove("tarot-sessions").context("it is rendered")?;
    let silence = policy.pointer_mut("/spec/rules/0/where/2/notExists/where/2/age");
    let silence = silence.context("the age of a sign of life")?;
    assert_eq!(silence, "1h");
    *silence = json!("1m");
    on_each_version(async |sessions| {
        let rows = "
            INSERT INTO core.sessions (session_id, app, title) VALUES
              (md5('silent')::uuid, 'tarot', 'silent'), (md5('here')::uuid, 'tarot', 'here');
            INSERT INTO core.session_participants (session_id, last_seen_at) VALUES
              (md5('silent')::uuid, now() - interval '61 seconds'), (md5('here')::uuid, now() + interval '10 minutes')";
        sessions.database.execute(rows).await?;
        let ended = job::run(&policy, &url(sessions, false).await?, &[]).await?;
        ensure!(ended.code == Some(0), "{}", ended.output);
        let over = "SELECT string_agg(title, ' ') FROM core.sessions WHERE NOT is_active";
        assert_eq!(sessions.database.scalar::<String>(over).await?, "silent");
        Ok(())
    })
    .await
}
