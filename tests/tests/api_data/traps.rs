//! The traps that were found in the documents' statements, and what became of each.

use anyhow::Result;
use sqlx::Connection as _;
use tests::sessions::on_each_version;

use super::scene::{execute, participant, refusal, rows, rows_of, session};

#[tokio::test]
async fn what_is_written_through_the_view_of_an_app_stays_in_it() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        for app in ["table_talk", "tarot", "after_hours"] {
            session(database, app, app, &[]).await?;
        }
        let mut owner = database.pool().acquire().await?;
        for (view, stranger) in [
            ("table_talk.sessions", "tarot"),
            ("tarot.reading_sessions", "after_hours"),
            ("after_hours.after_hours_sessions", "table_talk"),
            ("table_talk.analytics_events", "tarot"),
        ] {
            let columns = if view.ends_with("events") { "(event_type, app) VALUES ('x', " } else { "(app) VALUES (" };
            let foreign = format!("INSERT INTO {view} {columns}'{stranger}')");
            assert_eq!(refusal(&mut owner, &foreign).await?, "44000", "{view}");
            let own = foreign.replace(", app)", ")").replace(&format!(", '{stranger}')"), ")").replace(&format!("(app) VALUES ('{stranger}')"), "DEFAULT VALUES");
            assert_eq!(refusal(&mut owner, &own).await?, "", "{view}: {own}");
        }
        for (view, app) in [("table_talk.sessions", "tarot"), ("tarot.reading_sessions", "table_talk")] {
            let state = refusal(&mut owner, &format!("UPDATE {view} SET app = '{app}'")).await?;
            assert_eq!(state, "23514", "a session stays with its app");
        }
        execute(&mut owner, "UPDATE tarot.reading_sessions SET title = 'seen'; DELETE FROM after_hours.after_hours_sessions").await?;
        drop(owner);
        let left = "SELECT app, count(*), count(*) FILTER (WHERE title = 'seen') FROM core.sessions GROUP BY app ORDER BY app";
        assert_eq!(rows_of(database, left).await?, ["(table_talk,2,0)", "(tarot,2,2)"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_printed_count_of_participants_is_one_where_there_is_none_and_ours_is_none()
-> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        session(database, "table_talk", "empty", &[("table_token", "'table_1'")]).await?;
        session(database, "table_talk", "two", &[("table_token", "'table_2'")]).await?;
        for (name, gone) in [("one", "NULL"), ("two", "NULL"), ("gone", "now()")] {
            participant(database, "two", name, &[("disconnected_at", gone)]).await?;
        }
        let counts =
            |view: &str| format!("SELECT table_token, participants FROM {view} ORDER BY 1");
        let printed = rows_of(database, &counts("table_talk.active_sessions")).await?;
        assert_eq!(printed, ["(table_1,1)", "(table_2,3)"]);
        let right = rows_of(database, &counts("core.active_sessions")).await?;
        assert_eq!(right, ["(table_1,0)", "(table_2,2)"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_session_is_in_utc_whatever_the_server_is_set_to() -> Result<()> {
    on_each_version(async |sessions| {
        let mut connection = sessions.connect(&sessions.roles.readonly, "core").await?;
        assert_eq!(rows(&mut connection, "SELECT current_setting('TimeZone')").await?, ["(UTC)"]);
        // The cast of the documents, of a text that says UTC.
        let seconds = "SELECT extract(epoch FROM timestamptz '2026-07-01 12:01:30Z' - '2026-07-01T12:00:00Z'::timestamp)::integer AS s";
        assert_eq!(rows(&mut connection, seconds).await?, ["(90)"]);
        execute(&mut connection, "SET TimeZone TO 'Europe/Vienna'").await?;
        assert_eq!(rows(&mut connection, seconds).await?, ["(7290)"], "why it has to be UTC");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_code_is_found_without_its_table_and_an_expired_one_is_still_known() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        let code = [("mode", "'dual'"), ("dual_status", "'waiting'"), ("pairing_code_hash", "'\\x01'"), ("pairing_code_lookup", "'\\xc0'")];
        let fresh = [&code[..], &[("pairing_expires_at", "now() + interval '10 minutes'")]].concat();
        session(database, "table_talk", "one", &fresh).await?;
        let twin = session(database, "tarot", "two", &fresh).await;
        assert!(twin.is_err(), "two codes that wait are never alike, in whatever app");
        // As the test of 000 lets eleven minutes pass, and then as its first rule ends it.
        let mut cleanup = sessions.connect(&sessions.roles.cleanup, "table_talk").await?;
        execute(&mut cleanup, "UPDATE sessions SET pairing_expires_at = NOW() - INTERVAL '11 minutes'").await?;
        execute(&mut cleanup, &super::requirements::statement("000, Cleanup Cron Job, rule 1")?).await?;
        let known = "SELECT dual_status, pairing_code_hash IS NULL FROM core.sessions WHERE pairing_code_lookup = '\\xc0'";
        assert_eq!(rows_of(database, known).await?, ["(ended,t)"], "a tombstone, for 404");
        session(database, "table_talk", "three", &fresh).await?;
        assert_eq!(rows_of(database, known).await?.len(), 2, "the code is free again beside it");
        Ok(())
    })
    .await
}

/// Proves: G15.
#[tokio::test]
async fn no_session_lives_longer_than_a_day_whatever_is_written() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        session(database, "table_talk", "default", &[]).await?;
        session(database, "table_talk", "for ever", &[("expires_at", "'infinity'")]).await?;
        session(database, "tarot", "extended", &[("expires_at", "now() + interval '1 hour'")]).await?;
        database.execute("UPDATE core.sessions SET expires_at = expires_at + interval '3 days' WHERE title = 'extended'").await?;
        let lives = "SELECT DISTINCT expires_at - created_at FROM core.sessions";
        assert_eq!(rows_of(database, lives).await?, ["(\"1 day\")"]);
        database.execute("UPDATE core.sessions SET created_at = now() - interval '25 hours'; UPDATE core.sessions SET title = title").await?;
        let alive = "SELECT count(*) FROM core.sessions WHERE expires_at > now()";
        assert_eq!(database.scalar::<i64>(alive).await?, 0);
        let reasons = "SELECT DISTINCT end_reason FROM core.sessions";
        assert_eq!(rows_of(database, reasons).await?, ["(max_age)"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn each_group_has_a_deck_of_its_own_and_its_app_sees_it() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        for (title, app) in [("a", "table_talk"), ("b", "table_talk"), ("c", "tarot")] {
            session(database, app, title, &[("table_token", "'table_042'"), ("context", "'Exploring'")]).await?;
        }
        database.execute("INSERT INTO core.deck_sessions (session_group_id) SELECT session_group_id FROM core.sessions").await?;
        let mut table_talk = sessions.connect(&sessions.roles.cleanup, "table_talk").await?;
        let decks = "SELECT count(DISTINCT deck_context_id), count(DISTINCT session_group_id) FROM deck_sessions";
        assert_eq!(rows(&mut table_talk, decks).await?, ["(2,2)"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn ended_and_active_say_the_same_and_a_session_that_is_recovered_is_as_new() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        for title in ["ended", "switched off"] {
            session(database, "tarot", title, &[]).await?;
            participant(database, title, "one", &[]).await?;
        }
        session(database, "after_hours", "late", &[("created_at", "now() - interval '3 hours'"), ("expires_at", "now() - interval '2 hours'")]).await?;
        database
            .execute(
                "UPDATE core.sessions SET ended_at = now(), end_reason = 'ended', end_announced_at = now() WHERE title = 'ended';
                 UPDATE tarot.reading_sessions SET is_active = false WHERE title = 'switched off';
                 UPDATE core.sessions SET ended_at = now() WHERE title = 'late'",
            )
            .await?;
        let state = "SELECT title, is_active, ended_at = LEAST(now(), expires_at) OR ended_at > now() - interval '1 minute', end_reason, participants, peak_participants
                     FROM core.sessions ORDER BY title";
        assert_eq!(
            rows_of(database, state).await?,
            ["(ended,f,t,ended,1,1)", "(late,f,t,timeout,0,0)", "(\"switched off\",f,t,inactivity,1,1)"]
        );
        let late: bool = database.scalar("SELECT ended_at = expires_at FROM core.sessions WHERE title = 'late'").await?;
        assert!(late, "it ended when it expired");
        database.execute("UPDATE core.sessions SET ended_at = NULL WHERE title = 'ended'").await?;
        let recovered = "SELECT is_active, ended_at, end_reason, end_announced_at, session_minutes FROM core.sessions WHERE title = 'ended'";
        assert_eq!(rows_of(database, recovered).await?, ["(t,,,,)"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_session_counts_those_who_have_not_left_also_when_all_come_and_go_at_once() -> Result<()>
{
    on_each_version(async |sessions| {
        let database = &sessions.database;
        session(database, "tarot", "s", &[]).await?;
        let mut joins = tokio::task::JoinSet::new();
        for number in 0..8 {
            let mut connection = sessions.connect(&sessions.roles.api, "core").await?;
            joins.spawn(async move {
                let mut transaction = connection.begin().await?;
                execute(&mut transaction, "INSERT INTO session_participants (session_id) SELECT session_id FROM sessions").await?;
                if number % 4 == 0 { transaction.rollback().await? } else { transaction.commit().await? }
                anyhow::Ok(())
            });
        }
        while let Some(join) = joins.join_next().await {
            join??;
        }
        let count = "SELECT participant_count FROM core.sessions";
        assert_eq!(database.scalar::<i32>(count).await?, 6);
        database.execute("UPDATE core.session_participants SET disconnected_at = now()").await?;
        assert_eq!(database.scalar::<i32>(count).await?, 6, "away is not gone");
        let two = "WITH two AS (SELECT participant_id FROM core.session_participants LIMIT 2)";
        database.execute(&format!("{two} UPDATE core.session_participants SET left_at = now() WHERE participant_id IN (SELECT * FROM two)")).await?;
        database.execute("DELETE FROM core.session_participants WHERE left_at IS NOT NULL").await?;
        assert_eq!(database.scalar::<i32>(count).await?, 4);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_heartbeat_stays_on_its_page_from_16_on() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        let version: i32 =
            database.scalar("SELECT current_setting('server_version_num')::integer").await?;
        session(database, "tarot", "s", &[]).await?;
        for number in 0..20 {
            participant(database, "s", &number.to_string(), &[]).await?;
        }
        let mut connection = database.pool().acquire().await?;
        let hot =
            "SELECT pg_stat_get_xact_tuples_hot_updated('core.session_participants'::regclass)";
        let mut transaction = connection.begin().await?;
        execute(
            &mut transaction,
            "UPDATE core.session_participants SET last_seen_at = now() + interval '1 second'",
        )
        .await?;
        let hot: i64 = sqlx::query_scalar(hot).fetch_one(&mut *transaction).await?;
        transaction.rollback().await?;
        assert_eq!(hot > 0, version >= 160_000, "{hot} of 20 on {version}");
        Ok(())
    })
    .await
}
