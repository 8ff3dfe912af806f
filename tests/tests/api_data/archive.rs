//! Whoever deletes a session, in whatever SQL, all of it is kept.

use anyhow::{Result, ensure};
use tests::Sessions;
use tests::sessions::on_each_version;

use super::requirements::statement;
use super::scene::{execute, participant, refusal, rows_of, session};

const USAGE: &str = "SELECT * FROM core.billing_usage ORDER BY session_id";

/// Sessions of two apps that are over or forgotten, with participants.
async fn fill(sessions: &Sessions) -> Result<()> {
    let database = &sessions.database;
    for (app, user) in [("table_talk", "user_id"), ("tarot", "host_user_id")] {
        for age in 2..12 {
            let title = format!("{app} {age}");
            let created = format!("now() - interval '{age} hours'");
            let expires = format!("now() - interval '{age} hours' + interval '40 minutes'");
            let values = [
                (user, "'somebody'"),
                ("created_at", created.as_str()),
                ("last_activity_at", &created),
                ("updated_at", &created),
                ("expires_at", &expires),
                ("pairing_code_hash", "'\\xc0de'"),
                ("pairing_salt", "'\\x5a17'"),
                ("pairing_code_lookup", "'\\x100c'"),
            ];
            session(database, app, &title, &values).await?;
            for minutes in [5, 20] {
                let seen = format!("{created} + interval '{minutes} minutes'");
                let values = [
                    ("joined_at", created.as_str()),
                    ("last_seen_at", &seen),
                    (
                        "token_hash",
                        &format!("'\\xfade{age:04}{minutes:02}{}'::bytea", user.len() + 10),
                    ),
                ];
                participant(database, &title, "guest", &values).await?;
            }
        }
    }
    Ok(())
}

/// Proves: S7, X1.
#[tokio::test]
async fn literal_deletes_keep_every_session_with_the_same_bill() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        fill(sessions).await?;
        let all = rows_of(database, "SELECT session_id FROM core.sessions ORDER BY 1").await?;
        let bill = rows_of(database, USAGE).await?;
        ensure!(all.len() == 20 && bill.len() == 20, "{} sessions, {} billed", all.len(), bill.len());

        let mut table_talk = sessions.connect(&sessions.roles.cleanup, "table_talk").await?;
        execute(&mut table_talk, &statement("000, Cleanup Cron Job, rule 4")?).await?;
        let sql = statement("001, Database Cleanup Function")?;
        let run = format!("SET search_path TO tarot; {sql}; SELECT cleanup_inactive_sessions(); RESET search_path");
        database.execute(&run).await?;

        assert_eq!(database.scalar::<i64>("SELECT count(*) FROM core.sessions").await?, 0);
        let kept = "SELECT session_id FROM core.session_archive ORDER BY 1";
        assert_eq!(rows_of(database, kept).await?, all, "all of them, and each once");
        assert_eq!(rows_of(database, USAGE).await?, bill, "deleted or not, the bill is the same");
        let whole = "SELECT count(*) FROM core.session_archive
                     WHERE jsonb_array_length(participant_rows) = 2
                       AND (session_row ->> 'title') LIKE app || ' %'
                       AND user_id = 'somebody'";
        assert_eq!(database.scalar::<i64>(whole).await?, 20);
        let audited = "SELECT count(*) FROM core.session_audit_log WHERE event_type = 'session_deleted' AND actor_id IS NOT NULL";
        assert_eq!(database.scalar::<i64>(audited).await?, 20);
        let text = rows_of(database, "SELECT * FROM core.session_archive").await?.join("\n");
        for secret in ["c0de", "5a17", "100c", "fade"] {
            assert!(!text.contains(&format!("x{secret}")), "the archive holds a hash: {secret}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_delete_that_is_rolled_back_leaves_nothing_and_truncate_is_refused() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        fill(sessions).await?;
        database.execute("BEGIN; DELETE FROM core.sessions; ROLLBACK").await?;
        assert_eq!(database.scalar::<i64>("SELECT count(*) FROM core.session_archive").await?, 0);
        let mut owner = database.pool().acquire().await?;
        let state = refusal(&mut owner, "TRUNCATE core.session_archive").await?;
        assert_eq!(state, "23001", "sums would stay for ever");
        let state = refusal(&mut owner, "TRUNCATE core.sessions CASCADE").await?;
        assert_eq!(state, "23001", "it would leave no archive");
        assert_eq!(database.scalar::<i64>("SELECT count(*) FROM core.sessions").await?, 20);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_session_whose_row_comes_back_and_goes_again_is_kept_twice() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        let again = "INSERT INTO core.sessions (session_id, app) VALUES (md5('again')::uuid, 'tarot'); DELETE FROM core.sessions";
        database.execute(again).await?;
        database.execute(again).await?;
        assert_eq!(database.scalar::<i64>("SELECT count(*) FROM core.session_archive").await?, 2);
        Ok(())
    })
    .await
}
