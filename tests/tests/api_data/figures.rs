//! The sums of what was used say what its rows say: in every snapshot, whoever changed them and whenever the sums
//! were brought up to date.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use sqlx::PgConnection;
use tests::sessions::on_each_version;
use tests::{Database, Sessions, database};

use super::scene::{execute, rows, rows_of};

/// Sums, and what of a line is their key.
const SUMS: [(&str, &str, &str); 4] = [
    (
        "usage_by_user",
        "user_id, ended_hour, app, peak_participants, sessions, participants, session_minutes, participant_minutes",
        "COALESCE(user_id, ''), date_trunc('hour', ended_at), app, peak_participants, sessions, sessions * participants, sessions * session_minutes, sessions * participant_minutes",
    ),
    (
        "usage_by_hour",
        "ended_hour, app, started_hour, is_completed, peak_participants, sessions, participants, session_minutes, participant_minutes",
        "date_trunc('hour', ended_at), app, date_trunc('hour', started_at), end_reason = 'ended', peak_participants, sessions, sessions * participants, sessions * session_minutes, sessions * participant_minutes",
    ),
    (
        "usage_by_minute",
        "ended_hour, app, minute, sessions",
        "date_trunc('hour', ended_at), app, floor(session_minutes)::integer, sessions",
    ),
    (
        "usage_by_length",
        "ended_hour, app, session_minutes, sessions",
        "date_trunc('hour', ended_at), app, session_minutes, sessions",
    ),
];

/// Where the sums and their lines differ from the rows.
fn differences() -> String {
    let each = SUMS.map(|(table, columns, of_line)| {
        let (keys, added) = columns.split_at(columns.find("sessions").unwrap_or_default());
        // The minutes of a session are a key where they are not summed up.
        let (keys, added) = match added.strip_prefix("session_minutes, ") {
            Some(added) if table == "usage_by_length" => {
                (format!("{keys}session_minutes, "), added)
            }
            _ => (keys.to_owned(), added),
        };
        let added: Vec<_> = added.split(", ").map(|column| format!("sum({column})")).collect();
        let keys = keys.trim_end_matches(", ");
        let grouped = |from: &str| {
            format!(
                "SELECT {keys}, {} FROM ({from}) AS parts ({columns}) GROUP BY {keys} HAVING sum(sessions) <> 0",
                added.join(", ")
            )
        };
        let sums = grouped(&format!(
            "SELECT {columns} FROM core.{table} UNION ALL SELECT {of_line} FROM core.usage_changes"
        ));
        let kept = grouped(&format!(
            "SELECT {of_line} FROM (SELECT 1 AS sessions, * FROM core.reckoned_usage UNION ALL SELECT 1, * FROM core.archived_usage) AS kept"
        ));
        format!(
            "SELECT '{table}', differ::text FROM (({sums} EXCEPT {kept}) UNION ALL ({kept} EXCEPT {sums})) AS differ"
        )
    });
    each.join(" UNION ALL ")
}

/// `core.get_session_analytics` by the rows alone.
const BY_THE_ROWS: &str = "
WITH ended AS (
  SELECT * FROM core.billing_usage WHERE ended_at >= FROM_TIME AND ended_at < TO_TIME AND app = ANY (APPS)
), hours AS (
  SELECT EXTRACT(hour FROM started_at AT TIME ZONE 'UTC')::integer AS hour, count(*) AS sessions FROM ended GROUP BY 1
), before AS (
  SELECT DISTINCT user_id FROM core.billing_usage
  WHERE ended_at >= FROM_TIME - (TO_TIME - FROM_TIME) AND ended_at < FROM_TIME AND app = ANY (APPS) AND user_id IS NOT NULL
)
SELECT
  count(*),
  count(*) FILTER (WHERE end_reason = 'ended'),
  round(100.0 * count(*) FILTER (WHERE end_reason = 'ended') / NULLIF(count(*), 0), 2),
  round(avg(session_minutes), 2),
  round(percentile_cont(0.5) WITHIN GROUP (ORDER BY session_minutes)::numeric, 2),
  round(avg(participants), 2),
  (SELECT array_agg(hour ORDER BY hour) FROM hours WHERE sessions = (SELECT max(sessions) FROM hours)),
  (SELECT round(100.0 * count(*) FILTER (WHERE user_id IN (SELECT user_id FROM ended)) / NULLIF(count(*), 0), 2) FROM before)
FROM ended";

/// Whole hours, parts of hours on both sides, less than an hour, and the edges of one.
const PERIODS: [(&str, &str); 6] = [
    ("2026-03-03 08:10", "2026-03-03 08:50"),
    ("2026-03-02", "2026-03-04"),
    ("2026-03-02 09:30", "2026-03-05 13:15"),
    ("2026-03-03 08:00", "2026-03-03 20:00"),
    ("2026-03-02 00:00:00.000001", "2026-03-03 23:59:59.999999"),
    ("2026-03-01 12:00", "2026-03-02"),
];

async fn compare(database: &Database, after: &str) -> Result<()> {
    let differ = rows_of(database, &differences()).await?;
    assert!(differ.is_empty(), "after {after}: {differ:#?}");
    for (from, to) in PERIODS {
        for (app, apps) in [("NULL", "{table_talk,tarot,after_hours}"), ("'tarot'", "{tarot}")] {
            let (from, to) = (format!("timestamptz '{from}Z'"), format!("timestamptz '{to}Z'"));
            let by_rows = BY_THE_ROWS
                .replace("FROM_TIME", &from)
                .replace("TO_TIME", &to)
                .replace("APPS", &format!("'{apps}'::text[]"));
            let by_sums = format!("SELECT * FROM core.get_session_analytics({from}, {to}, {app})");
            assert_eq!(
                rows_of(database, &by_sums).await?,
                rows_of(database, &by_rows).await?,
                "after {after}: {from} to {to} of {app}"
            );
        }
    }
    Ok(())
}

/// Two hundred sessions of five days, of twelve users and of nobody, each with up to three people.
const FILL: &str = "
INSERT INTO core.sessions (session_id, app, title, user_id, host_user_id, created_at, last_activity_at, expires_at)
SELECT md5(n::text)::uuid, CASE WHEN n % 3 = 0 THEN 'tarot' ELSE 'table_talk' END, n::text,
  CASE WHEN n % 5 > 1 THEN 'user ' || n % 12 END, CASE WHEN n % 5 = 0 THEN 'user ' || n % 12 END,
  at, at + n * interval '7 seconds', at + interval '2 hours'
FROM generate_series(1, 200) AS n, LATERAL (SELECT timestamptz '2026-03-01Z' + n * interval '36 minutes' AS at) AS times;
INSERT INTO core.session_participants (session_id, joined_at, last_seen_at)
SELECT session_id, created_at, created_at + k * interval '5 minutes'
FROM core.sessions, generate_series(1, 3) AS k WHERE title::integer % 4 >= k";

/// What may become of them, by whomever.
const CHANGES: [(&str, &str); 9] = [
    (
        "some were ended",
        "UPDATE core.sessions SET ended_at = created_at + interval '1 hour', end_reason = CASE WHEN title::integer % 2 = 0 THEN 'ended' END WHERE title::integer <= 150",
    ),
    ("some came back", "UPDATE core.sessions SET ended_at = NULL WHERE title::integer % 10 = 1"),
    (
        "some are another's",
        "UPDATE core.sessions SET user_id = 'user 12' WHERE title::integer % 10 = 2",
    ),
    (
        "those who came back were ended again, by a word of the app's",
        "UPDATE core.sessions SET is_active = false WHERE title::integer % 20 = 1",
    ),
    ("the figures of one were changed", "UPDATE core.sessions SET session_minutes = 1000 WHERE title = '4'"),
    (
        "some were deleted, reckoned or not",
        "DELETE FROM core.sessions WHERE title::integer % 7 = 3",
    ),
    (
        "a deletion was undone",
        "BEGIN; DELETE FROM core.sessions; ROLLBACK",
    ),
    (
        "archived ones were erased and given away",
        "DELETE FROM core.session_archive WHERE user_id = 'user 3'; UPDATE core.session_archive SET user_id = NULL WHERE user_id = 'user 10'",
    ),
    (
        "one came with its figures",
        "INSERT INTO core.sessions (app, created_at, ended_at, end_reason, is_active, participants, session_minutes, participant_minutes, peak_participants)
         VALUES ('after_hours', '2026-03-03 10:00Z', '2026-03-03 11:00Z', 'ended', false, 1, 60, 60, 1)",
    ),
];

/// Proves: S9.
#[tokio::test]
async fn the_sums_of_what_was_used_are_those_of_the_rows_whatever_becomes_of_them() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        database.execute(FILL).await?;
        compare(database, "they were there").await?;
        for (what, change) in CHANGES {
            database.execute(change).await?;
            compare(database, what).await?;
            let lines: i64 = database.scalar("SELECT core.fold_usage()").await?;
            assert_eq!(lines == 0, what.contains("undone"), "{what}: {lines} lines");
            compare(database, &format!("the lines of \"{what}\" were moved")).await?;
        }
        let left: i64 = database.scalar("SELECT count(*) FROM core.usage_changes").await?;
        assert_eq!(left, 0);

        // As after a migration that was broken off: the rows alone are asked, and the next one sums them up.
        database
            .execute("TRUNCATE core.usage_by_user, core.usage_by_hour, core.usage_by_minute, core.usage_by_length, core.usage_summed")
            .await?;
        database.execute("UPDATE core.sessions SET ended_at = NULL WHERE title::integer % 10 = 5").await?;
        let all = "SELECT sessions FROM core.get_session_analytics('2026-03-01Z', '2026-03-09Z')";
        let known: i64 = database.scalar(all).await?;
        assert_eq!(known, database.scalar::<i64>("SELECT count(*) FROM core.billing_usage").await?);
        database.scalar::<i64>("SELECT core.fold_usage()").await?;
        compare(database, "all was summed up anew").await?;

        // And where nothing is written down, this would notice.
        database
            .execute("ALTER TABLE core.sessions DISABLE TRIGGER count_session; UPDATE core.sessions SET ended_at = NULL WHERE title = '8'")
            .await?;
        assert!(!rows_of(database, &differences()).await?.is_empty());
        Ok(())
    })
    .await
}

/// A deleted session that was reckoned is counted already: to delete many writes no lines.
#[tokio::test]
async fn a_session_that_moves_to_the_archive_changes_no_sum() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        database.execute(FILL).await?;
        database
            .execute("UPDATE core.sessions SET ended_at = created_at + interval '1 hour'")
            .await?;
        assert_eq!(database.scalar::<i64>("SELECT core.fold_usage()").await?, 200);
        database.execute("DELETE FROM core.sessions").await?;
        assert_eq!(database.scalar::<i64>("SELECT count(*) FROM core.usage_changes").await?, 0);
        compare(database, "all were deleted").await
    })
    .await
}

/// Ends, brings back and deletes sessions of its own until it is told to stop.
async fn work(mut connection: PgConnection, number: usize, stop: Arc<AtomicBool>) -> Result<usize> {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        for change in [
            "INSERT INTO core.sessions (app, title, created_at, expires_at) VALUES ('tarot', 'TITLE', now() - interval '2 days', now() - interval '1 day')",
            "UPDATE core.sessions SET ended_at = now() WHERE title = 'TITLE' AND ended_at IS NULL",
            "UPDATE core.sessions SET ended_at = NULL WHERE session_id = (SELECT session_id FROM core.sessions WHERE title = 'TITLE' AND ended_at IS NOT NULL LIMIT 1)",
            "DELETE FROM core.sessions WHERE session_id = (SELECT session_id FROM core.sessions WHERE title = 'TITLE' ORDER BY random() LIMIT 1)",
        ] {
            execute(&mut connection, &change.replace("TITLE", &format!("of {number}"))).await?;
        }
        rounds += 1;
    }
    Ok(rounds)
}

#[tokio::test]
async fn sums_and_rows_agree_in_each_snapshot_beside_writers_and_two_who_bring_them_up_to_date()
-> Result<()> {
    let sessions = Sessions::create_on(&database::shared_server().await?).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for number in 0..3 {
        let connection = sessions.database.pool().acquire().await?.detach();
        writers.push(tokio::spawn(work(connection, number, Arc::clone(&stop))));
    }
    let (mut one, mut other) =
        (sessions.database.pool().acquire().await?, sessions.database.pool().acquire().await?);
    let mut reader = sessions.database.pool().acquire().await?;
    let fold = "SELECT core.fold_usage()";
    let (mut folded, all) = (0, differences());
    for _ in 0..50 {
        let (first, second, differ) =
            tokio::join!(rows(&mut one, fold), rows(&mut other, fold), rows(&mut reader, &all));
        assert_eq!(differ?, Vec::<String>::new());
        folded += [first?, second?].iter().filter(|lines| **lines != ["(0)"]).count();
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        assert!(writer.await.context("a writer panicked")?? > 5, "they wrote beside it");
    }
    assert!(folded > 5, "sums were brought up to date beside them");
    assert_eq!(rows(&mut reader, &all).await?, Vec::<String>::new());
    Ok(())
}
