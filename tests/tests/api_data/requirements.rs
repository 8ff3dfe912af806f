//! Every SQL statement that the requirements print, from fixtures that hold it letter for letter.
//!
//! `${…}` of the documents' JavaScript is filled in with the constant that stands above it. Two
//! statements make an index on what is a view here, which no Postgres allows: the migration has made
//! the indexes of those names.

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection as _};
use tests::Sessions;
use tests::sessions::on_each_version;

use super::scene::{execute, participant, rows, rows_of, session};

const DOCUMENTS: [&str; 4] = [
    include_str!("requirements/000.sql"),
    include_str!("requirements/001.sql"),
    include_str!("requirements/002.sql"),
    include_str!("requirements/003.sql"),
];

/// One statement of the documents.
pub struct Statement {
    /// Schema of the app that it is written for.
    app: &'static str,
    /// Document and section.
    name: String,
    /// Its text.
    sql: String,
}

/// All of them, in their order.
fn statements() -> Vec<Statement> {
    let blocks = DOCUMENTS.iter().flat_map(|document| document.split("\n--- ").skip(1));
    blocks
        .filter_map(|block| {
            let (title, sql) = block.split_once('\n')?;
            let mut parts = title.split(" | ");
            let (document, app, section) = (parts.next()?, parts.next()?, parts.next()?);
            let sql =
                sql.replace("${SESSION_RETENTION_DAYS}", "7").replace("${RETENTION_DAYS}", "30");
            Some(Statement { app, name: format!("{document}, {section}"), sql })
        })
        .collect()
}

/// The text of the one statement of this name.
pub fn statement(name: &str) -> Result<String> {
    let found = statements().into_iter().find(|statement| statement.name == name);
    Ok(found.with_context(|| format!("no statement is named {name}"))?.sql)
}

/// With each parameter filled in: drivers of JavaScript send a text whose type the server finds out.
fn with_parameters(sql: &str) -> String {
    if sql.contains("$$") {
        return sql.to_owned();
    }
    (1..=2).fold(sql.to_owned(), |sql, number| {
        sql.replace(&format!("${number}"), &format!("'{}'", uuid::Uuid::new_v4()))
    })
}

/// Runs one where its app would, and gives back what it did.
async fn runs_as_it_is_printed(sessions: &Sessions, statement: &Statement) -> Result<()> {
    let Statement { app, name, sql } = statement;
    let mut connection = sessions.connect(&sessions.roles.cleanup, app).await?;
    if sql.contains("CREATE ") {
        // A step of the app's own migration, which is its owner's to make.
        connection = sessions.database.pool().acquire().await?.detach();
        execute(&mut connection, &format!("SET search_path TO {app}")).await?;
    }
    let mut transaction = connection.begin().await?;
    sqlx::query(AssertSqlSafe(with_parameters(sql)))
        .fetch_all(&mut *transaction)
        .await
        .with_context(|| format!("{name} does not run as it is printed"))?;
    Ok(transaction.rollback().await?)
}

/// An index of the documents, by its name, with the column that it leads with.
async fn has_the_index(sessions: &Sessions, sql: &str) -> Result<()> {
    let mut words = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let name = words.find(|word| word.starts_with("idx_")).context("an index has a name")?;
    let column = sql.rsplit(['(', ')']).nth(1).context("an index has a column")?;
    let definition: String = sessions
        .database
        .scalar(&format!("SELECT pg_get_indexdef('core.{name}'::regclass)"))
        .await?;
    ensure!(definition.contains(&format!(" ({column})")), "{name}: {definition}");
    Ok(())
}

/// Proves: L14.
#[tokio::test]
async fn every_statement_that_is_printed_runs_as_it_is_printed() -> Result<()> {
    let statements = statements();
    assert_eq!(statements.len(), 20, "as many as the documents print");
    on_each_version(async |sessions| {
        for statement in &statements {
            if statement.sql.contains("CREATE INDEX") {
                has_the_index(sessions, &statement.sql).await?;
            } else {
                runs_as_it_is_printed(sessions, statement).await?;
            }
        }
        Ok(())
    })
    .await
}

/// Sessions of each app in each state that the statements know; the same three times.
async fn three_apps(sessions: &Sessions) -> Result<()> {
    let database = &sessions.database;
    for app in ["table_talk", "tarot", "after_hours"] {
        let dual =
            [("mode", "'dual'"), ("dual_status", "'waiting'"), ("pairing_code_hash", "'\\x00'")];
        let code = |expiry| [&dual[..], &[("pairing_expires_at", expiry)]].concat();
        let title = |name: &str| format!("{app} {name}");
        session(database, app, &title("waits"), &code("now() + interval '1 minute'")).await?;
        session(database, app, &title("waited"), &code("now() - interval '1 minute'")).await?;
        let idle = ("last_activity_at", "now() - interval '31 minutes'");
        session(database, app, &title("idle"), &[idle]).await?;
        session(database, app, &title("busy"), &[]).await?;
        let expired = |age| [("created_at", "now() - interval '3 hours'"), ("expires_at", age)];
        session(database, app, &title("over"), &expired("now() - interval '59 minutes'")).await?;
        session(database, app, &title("long over"), &expired("now() - interval '61 minutes'"))
            .await?;
        for (name, seen) in
            [("silent", "6 minutes"), ("gone", "61 minutes"), ("heard", "4 minutes")]
        {
            let seen = format!("now() - interval '{seen}'");
            participant(database, &title("busy"), &title(name), &[("last_seen_at", &seen)]).await?;
        }
    }
    Ok(())
}

/// What the other two apps have: all of it.
async fn others(sessions: &Sessions, app: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for table in ["sessions", "session_participants"] {
        let sql = format!("SELECT * FROM core.{table} WHERE app <> '{app}' ORDER BY 1");
        found.extend(rows_of(&sessions.database, &sql).await?);
    }
    Ok(found)
}

/// Titles of sessions, or names of participants, that a statement changes.
async fn changed(
    sessions: &Sessions,
    name: &str,
    table: &str,
    id: &str,
    shown: &str,
) -> Result<Vec<String>> {
    let mut connection = sessions.connect(&sessions.roles.cleanup, "table_talk").await?;
    let query = format!("SELECT {id} AS id, {shown} AS name FROM {table}");
    let names = rows_of(&sessions.database, &query).await?;
    let ids = sqlx::query_scalar::<_, String>(AssertSqlSafe(format!(
        "WITH changed (id) AS ({}) SELECT id::text FROM changed",
        statement(name)?
    )))
    .fetch_all(&mut connection)
    .await?;
    let mut found: Vec<_> = ids
        .iter()
        .filter_map(|id| names.iter().find(|row| row.contains(id.as_str())))
        .map(|row| {
            row.trim_matches(['(', ')'])
                .split(',')
                .nth(1)
                .unwrap_or_default()
                .trim_matches('"')
                .to_owned()
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Proves: G12, G13, G14, G16.
#[tokio::test]
async fn the_four_rules_of_table_talk_do_what_they_say_to_their_own_app_alone() -> Result<()> {
    on_each_version(async |sessions| {
        three_apps(sessions).await?;
        let before = others(sessions, "table_talk").await?;
        ensure!(before.len() == 18, "two apps with six sessions and three participants each");
        let rule = async |number: u32| {
            let name = format!("000, Cleanup Cron Job, rule {number}");
            match number {
                3 => changed(sessions, &name, "core.session_participants", "participant_id", "display_name").await,
                _ => changed(sessions, &name, "core.sessions", "session_id", "title").await,
            }
        };
        assert_eq!(rule(1).await?, ["table_talk waited"]);
        assert_eq!(rule(2).await?, ["table_talk idle"]);
        assert_eq!(rule(3).await?, ["table_talk gone", "table_talk silent"]);
        assert_eq!(rule(4).await?, ["table_talk long over"]);
        for number in 1..=4 {
            assert!(rule(number).await?.is_empty(), "rule {number} has nothing more to do");
        }
        assert_eq!(others(sessions, "table_talk").await?, before);
        let reasons = "SELECT title, end_reason FROM core.sessions WHERE end_reason IS NOT NULL ORDER BY title";
        assert_eq!(
            rows_of(&sessions.database, reasons).await?,
            ["(\"table_talk idle\",inactivity)", "(\"table_talk waited\",waiting_timeout)"],
            "the statements do not say why a session ended, and it is known"
        );
        Ok(())
    })
    .await
}

/// Proves: L5, L9.
#[tokio::test]
async fn the_function_that_001_prints_can_stand_in_for_ours_and_deletes_its_own_apps_sessions()
-> Result<()> {
    on_each_version(async |sessions| {
        three_apps(sessions).await?;
        let before = others(sessions, "tarot").await?;
        let sql = statement("001, Database Cleanup Function")?;
        let database = &sessions.database;
        database.execute(&format!("SET search_path TO tarot; {sql}; RESET search_path")).await?;
        let mut owner = database.pool().acquire().await?;
        execute(&mut owner, "SET search_path TO tarot; SELECT cleanup_inactive_sessions(); RESET search_path").await?;
        drop(owner);
        let left = "SELECT title FROM core.sessions WHERE app = 'tarot'";
        assert_eq!(rows_of(database, left).await?, ["(\"tarot busy\")"]);
        assert_eq!(others(sessions, "tarot").await?, before);
        // The criteria that it says may be added spare a session that is young, or has people in it.
        let criteria = "AND rs.created_at < NOW() - INTERVAL '24 hours' AND rs.participant_count < 2";
        let more = sql.replace("WHERE rs.is_active = true", &format!("WHERE rs.is_active = true {criteria}"));
        database.execute("UPDATE core.session_participants SET last_seen_at = now() - interval '2 hours'").await?;
        for (sql, left) in [(&more, 1), (&sql, 0)] {
            let run = format!("SET search_path TO tarot; {sql}; SELECT cleanup_inactive_sessions(); RESET search_path");
            database.execute(&run).await?;
            let count = "SELECT count(*) FROM core.sessions WHERE app = 'tarot'";
            assert_eq!(database.scalar::<i64>(count).await?, left);
        }
        Ok(())
    })
    .await
}

/// Proves: A2, A3, A4, A7.
#[tokio::test]
async fn the_statements_of_after_hours_sessions_close_and_delete_their_own() -> Result<()> {
    on_each_version(async |sessions| {
        three_apps(sessions).await?;
        let database = &sessions.database;
        let before = others(sessions, "after_hours").await?;
        database
            .execute(
                "INSERT INTO after_hours.after_hours_declines (user_id, declined_user_id, created_at)
                 VALUES ('old', 'x', now() - interval '7 days 1 minute'), ('young', 'x', now() - interval '6 days 23 hours');
                 INSERT INTO after_hours.device_fingerprints (fingerprint_hash, session_id)
                 VALUES ('\\x01', NULL), ('\\x02', gen_random_uuid()),
                        ('\\x03', (SELECT session_id FROM core.sessions WHERE title = 'after_hours busy')),
                        ('\\x04', (SELECT session_id FROM core.sessions WHERE title = 'tarot busy'));
                 INSERT INTO after_hours.after_hours_matches (user_a, user_b, expires_at) VALUES ('a', 'b', now() - interval '1 year')",
            )
            .await?;
        let mut connection = sessions.connect(&sessions.roles.cleanup, "after_hours").await?;
        let mut affected = Vec::new();
        for number in 1..=3 {
            let sql = statement(&format!("002, cleanupExpiredSessions, {number}"))?;
            affected.push(sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await?.len());
        }
        assert_eq!(affected, [2, 1, 2]);
        let closed = "SELECT title, ended_at = expires_at, is_active, end_reason FROM core.sessions WHERE ended_at IS NOT NULL ORDER BY title";
        assert_eq!(
            rows_of(database, closed).await?,
            ["(\"after_hours long over\",t,f,timeout)", "(\"after_hours over\",t,f,timeout)"]
        );
        let left = "SELECT user_id FROM after_hours.after_hours_declines";
        assert_eq!(rows(&mut connection, left).await?, ["(young)"]);
        let left = "SELECT fingerprint_hash FROM after_hours.device_fingerprints ORDER BY 1";
        assert_eq!(rows(&mut connection, left).await?, [r#"("\\x01")"#, r#"("\\x03")"#]);
        assert_eq!(others(sessions, "after_hours").await?, before);
        assert_eq!(database.scalar::<i64>("SELECT count(*) FROM after_hours.after_hours_matches").await?, 1);
        Ok(())
    })
    .await
}

/// Proves: M2, M3.
#[tokio::test]
async fn the_statements_of_after_hours_messages_delete_what_was_not_saved_for_thirty_days()
-> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        database
            .execute(
                "INSERT INTO after_hours.after_hours_matches (user_a, user_b, expires_at, converted_to_match_id)
                 VALUES ('due', 'x', now() - interval '30 days 1 minute', NULL),
                        ('saved', 'x', now() - interval '31 days', gen_random_uuid()),
                        ('young', 'x', now() - interval '29 days 23 hours', NULL);
                 INSERT INTO after_hours.after_hours_messages (match_id, sender_id, body)
                 SELECT id, user_a, line FROM after_hours.after_hours_matches, unnest('{hello,there}'::text[]) AS line",
            )
            .await?;
        let mut connection = sessions.connect(&sessions.roles.cleanup, "after_hours").await?;
        // Both by one NOW(): a match that comes of age between them would go with its messages uncounted.
        let mut transaction = connection.begin().await?;
        for (part, affected) in [("messages", 2), ("matches", 1)] {
            let sql = statement(&format!("003, cleanupExpiredMessages, {part}"))?;
            let deleted = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *transaction).await?;
            assert_eq!(deleted.len(), affected, "{part}");
        }
        transaction.commit().await?;
        let left = "SELECT DISTINCT user_a FROM after_hours.after_hours_matches JOIN after_hours.after_hours_messages ON match_id = after_hours_matches.id ORDER BY 1";
        assert_eq!(rows(&mut connection, left).await?, ["(saved)", "(young)"]);
        Ok(())
    })
    .await
}

/// Proves: G21, G22, G23, G24, G25.
#[tokio::test]
async fn the_dashboards_statements_give_the_figures_that_a_hand_gives() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        // 60 and 120 seconds to pair, in one hour of UTC; another app's events count nowhere.
        database
            .execute(
                "INSERT INTO core.analytics_events (app, event_type, event_data, timestamp)
                 SELECT 'table_talk', type, data::jsonb, date_trunc('hour', now()) FROM (VALUES
                   ('join_code_used', '{}'), ('join_code_used', '{}'), ('join_code_failed', '{}'),
                   ('join_code_expired', '{}'),
                   ('dual_phone_paired', jsonb_build_object('created_at', to_char(date_trunc('hour', now()) - interval '60 s', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'))::text),
                   ('dual_phone_paired', jsonb_build_object('created_at', to_char(date_trunc('hour', now()) - interval '120 s', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'))::text),
                   ('cleanup_job_completed', '{\"expired_waiting\": 1, \"expired_inactive\": 2, \"disconnected_participants\": 3, \"deleted_sessions\": 4}')
                 ) AS event (type, data);
                 INSERT INTO core.analytics_events (app, event_type) VALUES ('tarot', 'join_code_failed'), ('tarot', 'dual_phone_paired')",
            )
            .await?;
        for (title, group) in [("a", 1), ("b", 1), ("c", 2)] {
            let group = format!("md5('{group}')::uuid");
            database.execute(&format!("INSERT INTO core.session_groups (session_group_id, app) VALUES ({group}, 'table_talk') ON CONFLICT DO NOTHING")).await?;
            let values = [("session_group_id", group.as_str()), ("table_token", "'table_042'"), ("context", "'Exploring'")];
            session(database, "table_talk", title, &values).await?;
        }
        participant(database, "a", "one", &[]).await?;
        participant(database, "a", "two", &[]).await?;
        let mut connection = sessions.connect(&sessions.roles.cleanup, "table_talk").await?;
        let mut shown = async |name: &str, columns: &str| {
            let sql = statement(name)?;
            let sql = sql.trim_end().trim_end_matches(';');
            let all = format!("SELECT {columns} FROM ({sql}) AS printed");
            rows(&mut connection, &all).await
        };
        assert_eq!(shown("000, Verification Queries, join code success rate", "*").await?, ["(2,1,66.67)"]);
        assert_eq!(shown("000, Verification Queries, session groups per table", "*").await?, ["(table_042,2,3)"]);
        let cleanup = "waiting_expired, inactive_expired, participants_disconnected, sessions_deleted";
        assert_eq!(shown("000, Verification Queries, cleanup effectiveness", cleanup).await?, ["(1,2,3,4)"]);
        let active = "table_token, context, mode, participants, round(minutes_inactive)";
        assert_eq!(
            shown("000, Monitoring Dashboard Queries, active sessions by table", active).await?.len(),
            2
        );
        let codes = "hour = date_trunc('hour', now()), round(avg_pairing_time_seconds), pairings, expired_codes";
        assert_eq!(shown("000, Monitoring Dashboard Queries, join code performance", codes).await?, ["(t,90,2,1)"]);
        Ok(())
    })
    .await
}
