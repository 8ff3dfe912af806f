//! Requirements 002 and 003 against `after-hours-sessions` and `after-hours-messages`.

use anyhow::Result;
use serde_json::{Value, json};
use tests::Database;
use tests::job::{self, fingerprint};

use super::example::{Example, Proof, loaded, of_rules, run, switched_on, text};

/// The statements as 002 prints them, with seven days for `SESSION_RETENTION_DAYS`. It promises
/// that orphaned profiles go, and has no statement for it: that one is ours.
const SESSIONS: Example = Example {
    name: "after-hours-sessions",
    schema: "after_hours",
    tables: &[
        "after_hours_sessions",
        "after_hours_declines",
        "device_fingerprints",
        "after_hours_profiles",
        "users",
    ],
    keys: "",
    statements: &[
        (
            "close-expired",
            "UPDATE after_hours_sessions
             SET ended_at = expires_at
             WHERE ended_at IS NULL
               AND expires_at < NOW()
             RETURNING id",
        ),
        (
            "delete-old-declines",
            "DELETE FROM after_hours_declines
             WHERE created_at < NOW() - INTERVAL '7 days'
             RETURNING id",
        ),
        (
            "delete-orphaned-fingerprints",
            "DELETE FROM device_fingerprints
             WHERE session_id IS NOT NULL
               AND session_id NOT IN (SELECT id FROM after_hours_sessions)
             RETURNING id",
        ),
        (
            "delete-orphaned-profiles",
            "DELETE FROM after_hours_profiles
             WHERE user_id NOT IN (SELECT id FROM users)
             RETURNING user_id",
        ),
    ],
    reports: "SELECT FROM after_hours.cleanup_log",
};

/// The statements as 003 prints them, with thirty days for `RETENTION_DAYS`.
const MESSAGES: Example = Example {
    name: "after-hours-messages",
    schema: "after_hours",
    tables: &["after_hours_matches", "after_hours_messages"],
    keys: "ALTER TABLE witness.after_hours_messages
             ADD FOREIGN KEY (match_id) REFERENCES witness.after_hours_matches",
    statements: &[
        (
            "delete-messages",
            "DELETE FROM after_hours_messages
             WHERE match_id IN (
               SELECT id FROM after_hours_matches
               WHERE expires_at < NOW() - INTERVAL '30 days'
                 AND converted_to_match_id IS NULL
             )
             RETURNING id",
        ),
        (
            "delete-matches",
            "DELETE FROM after_hours_matches
             WHERE expires_at < NOW() - INTERVAL '30 days'
               AND converted_to_match_id IS NULL
             RETURNING id",
        ),
    ],
    reports: "SELECT FROM after_hours.cleanup_log",
};

async fn first_report(database: &Database) -> Result<Value> {
    database.scalar("SELECT data FROM after_hours.cleanup_log ORDER BY id LIMIT 1").await
}

/// Proves: A2, A3, A4, A5, A6.
#[tokio::test]
async fn sessions_are_closed_and_what_they_leave_goes_as_the_statements_say() -> Result<()> {
    let Proof { database, .. } = SESSIONS.prove().await?;
    let counts = json!({
        "expiredSessionsClosed": 600,
        "oldDeclinesDeleted": 1200,
        "orphanedFingerprintsDeleted": 800,
        "orphanedProfilesDeleted": 100,
        "retentionDays": 7,
    });
    assert_eq!(first_report(&database).await?, counts);
    let never_had_one: i64 = database
        .scalar("SELECT count(*) FROM after_hours.device_fingerprints WHERE session_id IS NULL")
        .await?;
    assert_eq!(never_had_one, 400);
    let others: i64 = database
        .scalar("SELECT count(*) FROM after_hours.after_hours_sessions WHERE ended_at > expires_at")
        .await?;
    assert_eq!(others, 0, "closed at their end, not at ours");
    Ok(())
}

/// Proves: A7.
#[tokio::test]
async fn the_cleanup_of_sessions_touches_no_match() -> Result<()> {
    let database = loaded(&[SESSIONS.name, MESSAGES.name]).await?;
    let tables = ["after_hours.after_hours_matches", "after_hours.after_hours_messages"];
    let mut before = Vec::new();
    for table in tables {
        before.push(fingerprint(&database, table).await?);
    }
    let ended = run(SESSIONS.name, &database, &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    for (table, before) in tables.iter().zip(before) {
        assert_eq!(fingerprint(&database, table).await?, before, "{table}");
    }
    Ok(())
}

/// Sessions that ended a week ago stay, until the rule for them is switched on; their fingerprints
/// then go in the same run.
///
/// Proves: X3.
#[tokio::test]
async fn ended_sessions_go_after_a_week_where_a_team_asks_for_it() -> Result<()> {
    let database = loaded(&[SESSIONS.name]).await?;
    SESSIONS.copy(&database).await?;
    let policy: Value = serde_saphyr::from_str(&switched_on(&text(SESSIONS.name)?))?;
    let ended = job::run(&policy, &database.url(), &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let affected = of_rules(&ended.report, "affected");
    assert_eq!(affected[2], ("delete-ended-sessions".to_owned(), 600));

    let mut statements = SESSIONS.statements.to_vec();
    let ended_sessions = "DELETE FROM after_hours_sessions
                          WHERE ended_at < NOW() - INTERVAL '7 days'
                          RETURNING id";
    statements.insert(2, ("delete-ended-sessions", ended_sessions));
    SESSIONS.witness(&database, &ended, &statements).await?;
    SESSIONS.agrees(&database).await
}

/// Proves: M2, M3, M4.
#[tokio::test]
async fn messages_and_then_matches_go_after_thirty_days_unless_they_were_saved() -> Result<()> {
    let Proof { database, .. } = MESSAGES.prove().await?;
    let counts = json!({"deletedMessages": 2400, "deletedMatches": 800, "retentionDays": 30});
    assert_eq!(first_report(&database).await?, counts);
    let kept: i64 = database
        .scalar(
            "SELECT count(*) FROM after_hours.after_hours_messages AS m
             JOIN after_hours.after_hours_matches AS t ON t.id = m.match_id
             WHERE t.expires_at < now() - interval '29 days' AND t.converted_to_match_id IS NULL",
        )
        .await?;
    assert_eq!(kept, 800, "those of the thirtieth day are still there for moderation");
    Ok(())
}

/// The app writes to matches that are due, and holds a row: a match with a message left is none that
/// the second rule takes, and so no foreign key refuses.
#[tokio::test]
async fn a_message_that_comes_late_keeps_its_match_and_fails_no_rule() -> Result<()> {
    let database = loaded(&[MESSAGES.name]).await?;
    // A message that was sent long after its match was over.
    let late: String = database
        .scalar(
            "INSERT INTO after_hours.after_hours_messages
             SELECT gen_random_uuid(), id, user_a, 'are you still there?', now()
             FROM after_hours.after_hours_matches
             WHERE expires_at < now() - interval '31 days' AND converted_to_match_id IS NULL
             ORDER BY id LIMIT 1
             RETURNING match_id::text",
        )
        .await?;
    // And one that the first rule cannot take, since the app holds it.
    let mut app = database.pool().begin().await?;
    let held: String = sqlx::query_scalar(
        "SELECT match_id::text FROM after_hours.after_hours_messages AS m
         JOIN after_hours.after_hours_matches AS t ON t.id = m.match_id
         WHERE t.expires_at < now() - interval '31 days' AND t.converted_to_match_id IS NULL
           AND t.id <> $1::uuid
         ORDER BY m.id LIMIT 1
         FOR UPDATE OF m",
    )
    .bind(&late)
    .fetch_one(&mut *app)
    .await?;
    let ended = run(MESSAGES.name, &database, &[]).await?;
    app.rollback().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.report["result"], "PartiallySucceeded");
    let affected = of_rules(&ended.report, "affected");
    assert_eq!((affected[0].1, affected[1].1), (2399, 798));
    let left: i64 = database
        .scalar(&format!(
            "SELECT count(*) FROM after_hours.after_hours_messages WHERE match_id IN ('{held}', '{late}')"
        ))
        .await?;
    assert_eq!(left, 2);
    let rest = run(MESSAGES.name, &database, &[]).await?;
    let affected = of_rules(&rest.report, "affected");
    assert_eq!((affected[0].1, affected[1].1), (1, 1), "{}", rest.output);
    Ok(())
}
