//! The outbox: numbered without a gap, in the order of commits, whoever writes to it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::Connection as _;
use tests::sessions::on_each_version;
use tests::wait;
use tokio::task::JoinSet;

use super::scene::{execute, participant, refusal, rows_of, session};

const WRITERS: u32 = 6;
const EACH: i64 = 30;

#[tokio::test]
async fn events_of_a_group_have_no_gap_and_a_reader_with_a_cursor_misses_none() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        database.execute("INSERT INTO core.session_groups (session_group_id, app) VALUES (md5('g')::uuid, 'tarot')").await?;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let mut connection = sessions.connect(&sessions.roles.api, "core").await?;
            writers.spawn(async move {
                for number in 0..EACH {
                    let mut transaction = connection.begin().await?;
                    // A number that a writer asks for is not the one that it gets.
                    execute(
                        &mut transaction,
                        "INSERT INTO core.session_events (session_group_id, type, seq) VALUES (md5('g')::uuid, 'message_posted', 999)",
                    )
                    .await?;
                    // Every third is taken back, and its number with it.
                    if (number + i64::from(writer)) % 3 == 0 {
                        transaction.rollback().await?;
                    } else {
                        transaction.commit().await?;
                    }
                }
                anyhow::Ok(())
            });
        }
        let expected = i64::from(WRITERS) * EACH * 2 / 3;
        let mut cursor = 0;
        let mut seen = Vec::new();
        wait::until("all events to be read", Duration::from_mins(1), async || {
            let next = format!("SELECT seq FROM core.session_events WHERE session_group_id = md5('g')::uuid AND seq > {cursor} ORDER BY seq");
            for row in rows_of(database, &next).await? {
                cursor = row.trim_matches(['(', ')']).parse()?;
                seen.push(cursor);
            }
            Ok((cursor >= expected).then_some(()))
        })
        .await?;
        while let Some(writer) = writers.join_next().await {
            writer.context("a writer panicked")??;
        }
        assert_eq!(seen, (1..=expected).collect::<Vec<i64>>());
        let head: i64 = database.scalar("SELECT last_seq FROM core.session_groups").await?;
        assert_eq!(head, expected);
        Ok(())
    })
    .await
}

/// Proves: M7.
#[tokio::test]
async fn a_row_that_sql_deletes_is_told_of_once_with_its_reason() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        let old = ("created_at", "now() - interval '5 hours'");
        let expired = ("expires_at", "now() - interval '2 hours'");
        session(database, "after_hours", "timeout", &[old, expired, ("user_id", "'ann'")]).await?;
        let dual = [("mode", "'dual'"), ("dual_status", "'waiting'"), ("pairing_expires_at", "now() - interval '1 minute'")];
        session(database, "table_talk", "waiting_timeout", &dual).await?;
        session(database, "tarot", "inactivity", &[]).await?;
        session(database, "table_talk", "told", &[old, expired, ("end_announced_at", "now()")]).await?;
        session(database, "table_talk", "ended", &[]).await?;
        database
            .execute(
                "UPDATE core.sessions SET ended_at = now(), end_reason = 'ended' WHERE title = 'ended';
                 DELETE FROM core.sessions",
            )
            .await?;
        let events = "SELECT e.data ->> 'reason', e.to_user_id, e.type, e.app, e.data ->> 'sessionId' = e.session_id::text, a.session_row ->> 'title'
                      FROM core.session_events AS e
                      JOIN core.session_archive AS a USING (session_id)
                      ORDER BY 1";
        assert_eq!(
            rows_of(database, events).await?,
            [
                "(ended,,session_expired,table_talk,t,ended)",
                "(inactivity,,session_expired,tarot,t,inactivity)",
                "(timeout,ann,session_expired,after_hours,t,timeout)",
                "(waiting_timeout,,session_expired,table_talk,t,waiting_timeout)",
            ]
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_event_without_a_group_or_a_partition_fails_loudly() -> Result<()> {
    on_each_version(async |sessions| {
        let mut api = sessions.connect(&sessions.roles.api, "core").await?;
        let lost = "INSERT INTO session_events (session_group_id, type) VALUES (gen_random_uuid(), 'x')";
        assert_eq!(refusal(&mut api, lost).await?, "23503");
        execute(&mut api, "INSERT INTO session_groups (session_group_id, app) VALUES (md5('g')::uuid, 'tarot')").await?;
        let late = "INSERT INTO session_events (session_group_id, type, created_at) VALUES (md5('g')::uuid, 'x', now() + interval '1 year')";
        assert_eq!(refusal(&mut api, late).await?, "23514", "there is no default partition");
        let head: i64 = sessions.database.scalar("SELECT last_seq FROM core.session_groups").await?;
        assert_eq!(head, 0, "what failed used up no number");
        Ok(())
    })
    .await
}

/// Proves: L13, X7.
#[tokio::test]
async fn what_a_participant_does_is_a_sign_of_life_and_what_cleanup_does_is_none() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        session(database, "table_talk", "s", &[("last_activity_at", "now() - interval '29 minutes'")]).await?;
        participant(database, "s", "p", &[("last_seen_at", "now() - interval '10 minutes'")]).await?;
        let ago = "SELECT round(extract(epoch FROM now() - last_seen_at) / 60) FROM core.session_participants";
        let minutes = async || rows_of(database, ago).await;
        database.execute("UPDATE core.session_participants SET disconnected_at = now()").await?;
        assert_eq!(minutes().await?, ["(10)"], "a mark of cleanup");
        database.execute("UPDATE core.session_participants SET ready = true, last_seen_at = now() - interval '3 minutes'").await?;
        assert_eq!(minutes().await?, ["(3)"], "a time that is given stands");
        database.execute("UPDATE core.session_participants SET ready = false").await?;
        assert_eq!(minutes().await?, ["(0)"], "something that the participant did");
        let idle = "SELECT round(extract(epoch FROM now() - last_activity_at) / 60) FROM core.sessions";
        database.execute("UPDATE core.session_participants SET last_seen_at = now()").await?;
        assert_eq!(rows_of(database, idle).await?, ["(29)"], "a heartbeat is no activity");

        database.execute("UPDATE core.sessions SET updated_at = now() - interval '1 hour'; UPDATE core.sessions SET title = 't'").await?;
        let touched: bool = database.scalar("SELECT updated_at > now() - interval '1 minute' FROM core.sessions").await?;
        ensure!(touched, "a change of a session moves updated_at");
        Ok(())
    })
    .await
}
