//! `docs/session-api-verify.sql`: it passes on what `migrate` makes, and on nothing less.

use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tests::Sessions;
use tests::sessions::on_each_version;

use super::scene::{execute, participant, rows_of, session};

const SCRIPT: &str = include_str!("../../../docs/session-api-verify.sql");
const PASSED: &str = "All tests completed successfully!";

/// What is taken away, and the check that notices.
const BREACHES: [(&str, &str, &str); 8] = [
    ("DROP FUNCTION core.get_session_analytics", "check 1 of 6", "core.get_session_analytics"),
    (
        "ALTER TABLE core.session_participants DROP COLUMN last_seen_at CASCADE",
        "check 2 of 6",
        "last_seen_at",
    ),
    (
        "DROP INDEX core.idx_session_participants_last_seen",
        "check 3 of 6",
        "idx_session_participants_last_seen",
    ),
    ("DROP INDEX core.sessions_removed", "check 3 of 6", "sessions_removed"),
    (
        "CREATE OR REPLACE FUNCTION tarot.cleanup_inactive_sessions() RETURNS void LANGUAGE sql AS 'SELECT 1 / 0'",
        "check 4 of 6",
        "division by zero",
    ),
    (
        "CREATE OR REPLACE FUNCTION core.check_session_expiry(session uuid, timeout interval DEFAULT '1 hour') RETURNS boolean LANGUAGE sql STABLE AS 'SELECT false'",
        "check 5 of 6",
        "expiry",
    ),
    (
        "ALTER TABLE core.sessions DISABLE TRIGGER archive_session",
        "check 6 of 6",
        "archive_session on core.sessions",
    ),
    (
        "DROP TRIGGER touch_participant ON core.session_participants",
        "check 6 of 6",
        "touch_participant on core.session_participants",
    ),
];

/// What the script says, after something was done in its transaction.
async fn verify(connection: &mut PgConnection, breach: &str) -> Result<String> {
    let script = SCRIPT.replacen("BEGIN;", &format!("BEGIN;\n{breach};"), 1);
    let said = sqlx::raw_sql(AssertSqlSafe(script)).fetch_all(&mut *connection).await;
    let said = match said {
        Ok(rows) => rows.last().context("it says something")?.try_get(0)?,
        Err(sqlx::Error::Database(error)) => error.message().to_owned(),
        Err(error) => return Err(error.into()),
    };
    execute(connection, "ROLLBACK").await?;
    Ok(said)
}

/// Proves: L16, S3.
#[tokio::test]
async fn six_checks_pass_on_what_one_migration_makes_and_on_nothing_less() -> Result<()> {
    on_each_version(async |sessions| {
        let Sessions { database, roles } = sessions;
        session(database, "tarot", "heard", &[]).await?;
        participant(database, "heard", "one", &[]).await?;
        session(database, "tarot", "over", &[("updated_at", "now() - interval '2 hours'")]).await?;
        let kept = "SELECT title, is_active, ended_at FROM core.sessions ORDER BY title";
        let before = rows_of(database, kept).await?;
        let mut cleanup = sessions.connect(&roles.cleanup, "public").await?;
        assert_eq!(verify(&mut cleanup, "SELECT 1").await?, PASSED);
        let mut owner = database.pool().acquire().await?;
        for (breach, check, what) in BREACHES {
            let said = verify(&mut owner, breach).await?;
            ensure!(said.starts_with(check) && said.contains(what), "{breach}: {said}");
        }
        assert_eq!(verify(&mut owner, "SELECT 1").await?, PASSED, "nothing of it stays");
        assert_eq!(rows_of(database, kept).await?, before);

        // The script knows each index and each trigger that there is.
        let all = "
            SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
            WHERE indrelid IN ('core.sessions'::regclass, 'core.session_participants'::regclass)
              AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
            UNION
            SELECT tgname FROM pg_trigger
            WHERE NOT tgisinternal AND tgrelid::regclass::text IN ('core.sessions', 'core.session_participants', 'core.session_events')";
        let all = rows_of(database, all).await?;
        ensure!(all.len() == 30, "{all:?}");
        for row in all {
            let name = row.trim_matches(['(', ')']);
            ensure!(SCRIPT.contains(&format!("'{name}'")), "the script does not look for {name}");
        }
        Ok(())
    })
    .await
}
