//! The functions of requirement 004, on sessions whose figures were reckoned by hand.

use anyhow::Result;
use tests::Sessions;
use tests::sessions::on_each_version;

use super::scene::{participant, rows_of, session};

const DAY: &str = "'2026-03-02Z', '2026-03-03Z'";

/// Five sessions of two days:
///
/// | title | user | began | over | stays | minutes | of people | peak |
/// |---|---|---|---|---|---|---|---|
/// | a | ann | 10:00 | ended 11:00, active until 10:50 | 10:00–10:30, 10:10–10:40 | 50 | 60 | 2 |
/// | b | ann | 10:30 | expired 11:30 | 10:30–10:45 | 15 | 15 | 1 |
/// | c | bob | 20:00 | ended 20:30, active until 20:10 | none | 10 | 0 | 0 |
/// | d, e | ann, cid | the day before | ended after an hour | none | 60 | 0 | 0 |
async fn fill(sessions: &Sessions) -> Result<()> {
    let database = &sessions.database;
    let at = |time: &str| format!("'2026-03-{time}Z'");
    for (title, app, user, began, active, expires) in [
        ("a", "table_talk", "user_id", "02 10:00", "02 10:50", "02 22:00"),
        ("b", "table_talk", "user_id", "02 10:30", "02 10:30", "02 11:30"),
        ("c", "tarot", "host_user_id", "02 20:00", "02 20:10", "02 22:00"),
        ("d", "table_talk", "user_id", "01 12:00", "01 13:00", "01 22:00"),
        ("e", "table_talk", "user_id", "01 12:00", "01 13:00", "01 22:00"),
    ] {
        let name = match title {
            "c" => "'bob'",
            "e" => "'cid'",
            _ => "'ann'",
        };
        let values = [
            (user, name.to_owned()),
            ("created_at", at(began)),
            ("last_activity_at", at(active)),
            ("expires_at", at(expires)),
        ];
        let values: Vec<_> =
            values.iter().map(|(column, value)| (*column, value.as_str())).collect();
        session(database, app, title, &values).await?;
    }
    for (title, name, joined, seen, left) in [
        ("a", "p1", "02 10:00", "02 10:29", "02 10:30"),
        ("a", "p2", "02 10:10", "02 10:39", "02 10:40"),
        ("b", "p3", "02 10:30", "02 10:45", ""),
    ] {
        let left = if left.is_empty() { "NULL".to_owned() } else { at(left) };
        let values = [("joined_at", at(joined)), ("last_seen_at", at(seen)), ("left_at", left)];
        let values: Vec<_> =
            values.iter().map(|(column, value)| (*column, value.as_str())).collect();
        participant(database, title, name, &values).await?;
    }
    database
        .execute(
            "UPDATE core.sessions SET ended_at = '2026-03-02 11:00Z', end_reason = 'ended' WHERE title = 'a';
             UPDATE core.sessions SET ended_at = '2026-03-02 20:30Z', end_reason = 'ended' WHERE title = 'c';
             UPDATE core.sessions SET ended_at = '2026-03-01 13:00Z', end_reason = 'ended' WHERE title IN ('d', 'e')",
        )
        .await
}

/// Proves: S2, S5, S9, L18.
#[tokio::test]
async fn billing_and_analytics_give_the_figures_of_a_hand_before_and_after_the_rows_are_deleted()
-> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        fill(sessions).await?;
        let bill = |rest: &str| {
            format!(
                "SELECT user_id, to_char(ended_at, 'HH24:MI'), end_reason, participants, session_minutes, participant_minutes, peak_participants
                 FROM {rest}"
            )
        };
        let all = bill(&format!("core.get_session_billing_data({DAY})"));
        let ann = bill(&format!("core.get_session_billing_data({DAY}, 'ann')"));
        let tarot = bill(&format!("tarot.get_session_billing_data({DAY})"));
        let analytics = format!("SELECT * FROM core.get_session_analytics({DAY})");
        let of_tarot = format!("SELECT * FROM tarot.get_session_analytics({DAY})");
        let nothing = "SELECT * FROM core.get_session_analytics('2020-01-01Z', '2020-01-02Z')";
        for deleted in [false, true] {
            if deleted {
                database.execute("DELETE FROM core.sessions").await?;
            }
            let a = "(ann,11:00,ended,2,50.00,60.00,2)";
            let b = "(ann,11:30,timeout,1,15.00,15.00,1)";
            let c = "(bob,20:30,ended,0,10.00,0.00,0)";
            assert_eq!(rows_of(database, &all).await?, [a, b, c], "deleted: {deleted}");
            assert_eq!(rows_of(database, &ann).await?, [a, b], "deleted: {deleted}");
            assert_eq!(rows_of(database, &tarot).await?, [c], "deleted: {deleted}");
            // Three ended, two by a person; (50 + 15 + 10) / 3; of ann and cid of the day before, ann came.
            assert_eq!(
                rows_of(database, &analytics).await?,
                ["(3,2,66.67,25.00,15.00,1.00,{10},50.00)"],
                "deleted: {deleted}"
            );
            assert_eq!(rows_of(database, &of_tarot).await?, ["(1,1,100.00,10.00,10.00,0.00,{20},)"]);
            assert_eq!(rows_of(database, nothing).await?, ["(0,0,,,,,,)"]);
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_period_begins_with_its_first_moment_and_ends_before_its_last() -> Result<()> {
    on_each_version(async |sessions| {
        fill(sessions).await?;
        let count = async |from: &str, to: &str| {
            let sql = format!("SELECT count(*) FROM core.get_session_billing_data('2026-03-02 {from}Z', '2026-03-02 {to}Z')");
            sessions.database.scalar::<i64>(&sql).await
        };
        assert_eq!((count("11:00", "11:30").await?, count("11:30", "20:30").await?), (1, 1));
        assert_eq!(count("20:30", "20:30:01").await?, 1);
        Ok(())
    })
    .await
}

/// Proves: L6.
#[tokio::test]
async fn a_session_expires_by_who_is_there_or_by_its_last_change() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        let old = ("updated_at", "now() - interval '61 minutes'");
        for title in ["heard", "silent", "only the one who left was heard", "nobody for long"] {
            session(database, "tarot", title, &[old]).await?;
        }
        session(database, "tarot", "nobody yet", &[]).await?;
        session(database, "tarot", "expired", &[("expires_at", "now()")]).await?;
        session(database, "table_talk", "another app", &[old]).await?;
        let heard = ("last_seen_at", "now() - interval '59 minutes'");
        let silent = ("last_seen_at", "now() - interval '61 minutes'");
        participant(database, "heard", "one", &[silent]).await?;
        participant(database, "heard", "two", &[heard]).await?;
        participant(database, "silent", "one", &[silent]).await?;
        participant(database, "only the one who left was heard", "one", &[heard, ("left_at", "now()")]).await?;
        // Whoever joins changes the session: long ago, here.
        database.execute("UPDATE core.sessions SET updated_at = now() - interval '61 minutes' WHERE title NOT IN ('nobody yet', 'expired')").await?;

        let expired = async |timeout: &str| {
            let sql = format!("SELECT title FROM core.sessions WHERE app = 'tarot' AND core.check_session_expiry(session_id{timeout}) ORDER BY title");
            rows_of(database, &sql).await
        };
        let due = ["(expired)", "(\"nobody for long\")", "(\"only the one who left was heard\")", "(silent)"];
        assert_eq!(expired("").await?, due);
        assert_eq!(expired(", '2 hours'").await?, ["(expired)"], "the timeout can be another");
        assert!(database.scalar::<bool>("SELECT tarot.check_session_expiry(gen_random_uuid())").await?);

        let mut cleanup = sessions.connect(&sessions.roles.cleanup, "tarot").await?;
        for told in [5, 0] {
            let before: i64 = database.scalar("SELECT count(*) FROM core.session_events").await?;
            super::scene::execute(&mut cleanup, "SELECT cleanup_inactive_sessions()").await?;
            let after: i64 = database.scalar("SELECT count(*) FROM core.session_events").await?;
            assert_eq!(after - before, told, "each is told of, and once");
        }
        let ended = "SELECT title FROM core.sessions WHERE NOT is_active AND ended_at IS NOT NULL ORDER BY title";
        let [expired, for_long, left, silent] = due;
        let nobody_there = [expired, for_long, "(\"nobody yet\")", left, silent];
        assert_eq!(rows_of(database, ended).await?, nobody_there, "the last change counts for links alone");
        let reasons = "SELECT event_data ->> 'reason', count(*) FROM core.session_audit_log WHERE event_type = 'session_expired' GROUP BY 1 ORDER BY 1";
        assert_eq!(rows_of(database, reasons).await?, ["(inactivity,4)", "(timeout,1)"]);
        assert_eq!(database.scalar::<i64>("SELECT count(*) FROM core.sessions").await?, 7, "all data is kept");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_event_of_a_session_is_logged_with_its_data_and_can_be_read_by_its_app() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        session(database, "tarot", "mine", &[]).await?;
        session(database, "table_talk", "theirs", &[]).await?;
        let mut cleanup = sessions.connect(&sessions.roles.cleanup, "tarot").await?;
        for title in ["mine", "theirs"] {
            let id: String = database
                .scalar(&format!(
                    "SELECT session_id::text FROM core.sessions WHERE title = '{title}'"
                ))
                .await?;
            let log = format!(
                "SELECT log_session_event('{id}', 'card_drawn', '{{\"card\": \"The Moon\"}}')"
            );
            super::scene::execute(&mut cleanup, &log).await?;
        }
        let read = "SELECT event_type, event_data ->> 'card' FROM session_audit_log";
        assert_eq!(super::scene::rows(&mut cleanup, read).await?, ["(card_drawn,\"The Moon\")"]);
        assert_eq!(database.scalar::<i64>("SELECT count(*) FROM core.session_audit_log").await?, 2);
        Ok(())
    })
    .await
}
