//! How a session ends, by whatever SQL: told once, counted as it was, and nothing of it waits any more.

use anyhow::Result;
use tests::sessions::on_each_version;

use super::requirements::statement;
use super::scene::{execute, participant, rows_of, session};

/// Proves: S1.
#[tokio::test]
async fn phones_and_auditors_hear_of_an_end_once_by_whatever_sql_it_comes() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        let waits = [
            ("mode", "'dual'"),
            ("dual_status", "'waiting'"),
            ("pairing_code_hash", "'\\x00'"),
            ("pairing_expires_at", "now() - interval '1 minute'"),
        ];
        session(database, "table_talk", "waited", &waits).await?;
        session(database, "table_talk", "idle", &[("last_activity_at", "now() - interval '31 minutes'")]).await?;
        session(database, "tarot", "silent", &[("updated_at", "now() - interval '2 hours'")]).await?;
        let over = [("created_at", "now() - interval '3 hours'"), ("expires_at", "now() - interval '2 hours'")];
        session(database, "after_hours", "over", &[&over[..], &[("user_id", "'ann'")]].concat()).await?;
        session(database, "tarot", "lives", &[]).await?;
        participant(database, "lives", "reader", &[]).await?;
        session(database, "tarot", "told", &[]).await?;
        database.execute("UPDATE core.sessions SET ended_at = now(), end_reason = 'ended', end_announced_at = now() WHERE title = 'told'").await?;

        let mut cleanup = sessions.connect(&sessions.roles.cleanup, "table_talk").await?;
        for rule in 1..=2 {
            execute(&mut cleanup, &statement(&format!("000, Cleanup Cron Job, rule {rule}"))?).await?;
        }
        execute(&mut cleanup, "SELECT tarot.cleanup_inactive_sessions()").await?;
        execute(&mut cleanup, "UPDATE after_hours.after_hours_sessions SET ended_at = expires_at WHERE expires_at < now() AND ended_at IS NULL").await?;
        let told = "
            SELECT s.title, count(*), min(e.data ->> 'reason'), min(e.to_user_id)
            FROM core.sessions AS s JOIN core.session_events AS e USING (session_id)
            WHERE e.type = 'session_expired' AND e.session_group_id = s.session_group_id
            GROUP BY s.title ORDER BY s.title";
        let expected = [
            "(idle,1,inactivity,)",
            "(over,1,timeout,ann)",
            "(silent,1,inactivity,)",
            "(waited,1,waiting_timeout,)",
        ];
        assert_eq!(rows_of(database, told).await?, expected);
        // Another change, and the end of the row, is no news.
        execute(&mut cleanup, "UPDATE core.sessions SET updated_at = now(); DELETE FROM core.sessions WHERE title <> 'lives'").await?;
        let kinds = "SELECT 'outbox', count(*) FROM core.session_events WHERE type = 'session_expired'
                     UNION ALL SELECT 'audit', count(*) FROM core.session_audit_log WHERE event_type = 'session_expired'";
        assert_eq!(rows_of(database, kinds).await?, ["(outbox,4)", "(audit,4)"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn who_is_marked_as_gone_is_told_of_while_there_is_a_session_to_be_gone_from() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        for title in ["lives", "over", "left", "told"] {
            session(database, "table_talk", title, &[]).await?;
            let left_at = if title == "left" { "now()" } else { "NULL" };
            participant(database, title, title, &[("left_at", left_at), ("last_seen_at", "now() - interval '6 minutes'")]).await?;
        }
        database.execute("UPDATE core.sessions SET expires_at = now() WHERE title = 'over'").await?;
        let mark = "UPDATE core.session_participants SET disconnected_at = now() WHERE display_name";
        database.execute(&format!("BEGIN; SET LOCAL session_api.tells TO on; {mark} = 'told'; COMMIT")).await?;
        let mut cleanup = sessions.connect(&sessions.roles.cleanup, "table_talk").await?;
        execute(&mut cleanup, &statement("000, Cleanup Cron Job, rule 3")?).await?;
        let told = "SELECT s.title, e.data ->> 'reason' FROM core.session_events AS e JOIN core.sessions AS s USING (session_id)
                    WHERE e.type = 'participant_disconnected'
                    UNION ALL SELECT s.title, l.actor_kind FROM core.session_audit_log AS l JOIN core.sessions AS s USING (session_id)
                    WHERE l.event_type = 'participant_disconnected'";
        assert_eq!(rows_of(database, told).await?, ["(lives,timeout)", "(lives,sql)"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_session_that_is_given_more_time_is_told_of_again_when_that_is_over() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        session(database, "table_talk", "idle", &[]).await?;
        for change in ["expires_at = now()", "expires_at = now() + interval '1 hour'", "created_at = now() - interval '25 hours', expires_at = now()"] {
            database.execute(&format!("UPDATE core.sessions SET {change}")).await?;
        }
        // After its day there is no more time.
        database.execute("UPDATE core.sessions SET expires_at = now() + interval '1 hour'").await?;
        assert_eq!(rows_of(database, "SELECT end_reason, expires_at > now() FROM core.sessions").await?, ["(max_age,f)"]);
        let told = "SELECT data ->> 'reason' FROM core.session_events WHERE type = 'session_expired' ORDER BY seq";
        assert_eq!(rows_of(database, told).await?, ["(inactivity)", "(max_age)"]);
        Ok(())
    })
    .await
}

/// Proves: L6.
#[tokio::test]
async fn a_reading_that_everybody_has_left_is_over_as_the_requirement_has_it() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        for (title, left_at) in [("left", "now()"), ("read", "NULL")] {
            session(database, "tarot", title, &[]).await?;
            participant(database, title, title, &[("left_at", left_at)]).await?;
        }
        session(database, "table_talk", "other", &[]).await?;
        let mut cleanup = sessions.connect(&sessions.roles.cleanup, "tarot").await?;
        execute(&mut cleanup, "SELECT cleanup_inactive_sessions()").await?;
        let live = "SELECT title FROM core.sessions WHERE is_active ORDER BY title";
        assert_eq!(rows_of(database, live).await?, ["(other)", "(read)"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn who_comes_to_look_later_moves_no_end_and_no_bill() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        let over = [("created_at", "now() - interval '3 hours'"), ("expires_at", "now() - interval '2 hours'")];
        let waits = [("mode", "'dual'"), ("dual_status", "'waiting'"), ("pairing_expires_at", "now() - interval '2 hours'"), ("last_activity_at", "now() - interval '3 hours'")];
        session(database, "table_talk", "waited", &[&over[..], &waits].concat()).await?;
        participant(database, "waited", "host", &[("joined_at", "now() - interval '3 hours'"), ("last_seen_at", "now() - interval '150 minutes'")]).await?;
        let bill = "SELECT now() - ended_at AS ago, session_minutes, participant_minutes FROM core.billing_usage";
        let bill = format!("SELECT date_trunc('minute', ago), session_minutes, participant_minutes FROM ({bill}) AS b");
        let before = rows_of(database, &bill).await?;
        assert_eq!(before, ["(02:00:00,30.00,30.00)"]);
        // As a code that is typed too late does it, as the first rule of 000 does it, and as who leaves does it.
        for late in [
            "UPDATE core.session_participants SET left_at = now()",
            "UPDATE core.sessions SET dual_status = 'ended', expires_at = now(), pairing_code_hash = NULL",
            "UPDATE core.sessions SET ended_at = now()",
        ] {
            database.execute(late).await?;
            assert_eq!(rows_of(database, &bill).await?, before, "{late}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn nobody_waits_in_a_session_that_has_ended() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        let waits = [("mode", "'dual'"), ("dual_status", "'waiting'"), ("pairing_code_hash", "'\\x01'"), ("pairing_code_lookup", "'\\xc0'")];
        session(database, "tarot", "silent", &waits).await?;
        database.execute("UPDATE core.sessions SET is_active = false").await?;
        let kept = "SELECT dual_status, pairing_code_hash, pairing_code_lookup, end_reason FROM core.sessions";
        assert_eq!(rows_of(database, kept).await?, ["(ended,,\"\\\\xc0\",inactivity)"], "a tombstone, for 404");
        session(database, "tarot", "next", &waits).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_match_lasts_as_long_as_its_session_whenever_that_is_given_more_time() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        session(database, "after_hours", "party", &[("expires_at", "now() + interval '1 hour'")]).await?;
        database
            .execute(
                "INSERT INTO after_hours.after_hours_matches (session_id, user_a, user_b, expires_at, converted_to_match_id)
                 SELECT session_id, 'ann', pair, expires_at, CASE pair WHEN 'cat' THEN gen_random_uuid() END
                 FROM core.sessions, unnest('{bob, cat}'::text[]) AS pair;
                 UPDATE core.sessions SET expires_at = expires_at + interval '2 hours'",
            )
            .await?;
        for change in ["expires_at = expires_at - interval '1 hour'", "ended_at = now(), expires_at = now()"] {
            database.execute(&format!("UPDATE core.sessions SET {change}")).await?;
        }
        let follows = "SELECT user_b, m.expires_at = s.expires_at FROM after_hours.after_hours_matches AS m JOIN core.sessions AS s USING (session_id) ORDER BY 1";
        assert_eq!(rows_of(database, follows).await?, ["(bob,t)", "(cat,f)"], "a saved one is done with");
        Ok(())
    })
    .await
}

/// Table-Talk's rules end silent sessions by that very column; of the others whose time is set back it has run out.
///
/// Proves: M7.
#[tokio::test]
async fn a_session_whose_time_is_set_back_has_timed_out() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        for app in ["table_talk", "tarot", "after_hours"] {
            session(database, app, app, &[]).await?;
        }
        session(database, "tarot", "waits", &[("mode", "'dual'"), ("dual_status", "'waiting'")]).await?;
        let set_back = "UPDATE core.sessions SET expires_at = now() - interval '1 minute'";
        database.execute(&format!("{set_back}, dual_status = 'ended' WHERE title = 'waits'; {set_back} WHERE title <> 'waits'")).await?;
        database.execute("UPDATE after_hours.after_hours_sessions SET ended_at = expires_at WHERE ended_at IS NULL").await?;
        let told = "SELECT s.title, e.data ->> 'reason', s.end_reason FROM core.session_events AS e JOIN core.sessions AS s USING (session_id) ORDER BY 1";
        assert_eq!(
            rows_of(database, told).await?,
            [
                "(after_hours,timeout,timeout)",
                "(table_talk,inactivity,inactivity)",
                "(tarot,timeout,timeout)",
                "(waits,waiting_timeout,waiting_timeout)",
            ]
        );
        Ok(())
    })
    .await
}
