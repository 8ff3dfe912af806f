//! A migration on a large database while an app reads and writes: nobody waits for as long as a second.
//!
//! `PGSWEEP_TEST_SESSIONS` is the number of sessions. So far only the first steps exist, which find an
//! empty database; what is tried here is all that a later `session-api migrate` does to a full one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, PgConnection};
use tests::sessions::migrate;
use tests::settings::Settings;
use tests::{Sessions, database};

use super::scene::execute;

/// What an app does all day.
const WORK: [&str; 5] = [
    "INSERT INTO core.sessions (session_id, app, session_group_id, title) VALUES (gen_random_uuid(), 'tarot', md5('g')::uuid, 'new')",
    "UPDATE core.sessions SET last_activity_at = now() WHERE session_id = md5('session 7')::uuid",
    "INSERT INTO core.session_events (session_group_id, type) VALUES (md5('g')::uuid, 'x')",
    "INSERT INTO core.analytics_events (event_type) VALUES ('x')",
    "SELECT count(*) FROM tarot.reading_sessions WHERE id = md5('session 7')::uuid",
];

/// Works until it is told to stop; the longest that one statement took, and how many there were.
async fn work(mut connection: PgConnection, stop: Arc<AtomicBool>) -> Result<(Duration, usize)> {
    let (mut longest, mut count) = (Duration::ZERO, 0);
    while !stop.load(Ordering::Relaxed) {
        for sql in WORK {
            let begun = Instant::now();
            sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await?;
            longest = longest.max(begun.elapsed());
            count += 1;
        }
    }
    Ok((longest, count))
}

/// Sessions by the thousand, past the triggers: how they came is not what is tried.
async fn fill(sessions: &Sessions, rows: u64) -> Result<()> {
    let mut owner = sessions.database.pool().acquire().await?;
    execute(
        &mut owner,
        &format!(
            "SET session_replication_role TO replica;
             INSERT INTO core.session_groups (session_group_id, app) VALUES (md5('g')::uuid, 'tarot');
             INSERT INTO core.sessions (session_id, app, session_group_id, title)
             SELECT md5('session ' || n)::uuid, 'tarot', md5('g')::uuid, 's' FROM generate_series(1, {rows}) AS n;
             RESET session_replication_role;
             ANALYZE core.sessions"
        ),
    )
    .await
}

#[tokio::test]
async fn a_migration_beside_traffic_holds_nobody_up_for_a_second() -> Result<()> {
    let rows = Settings::get()?.sessions.unwrap_or(20_000);
    let sessions = Sessions::create_on(&database::shared_server().await?).await?;
    fill(&sessions, rows).await?;
    // Tomorrow's partitions are missing, as after a night in which nobody made them.
    let missing = "SELECT max(relname)::text FROM pg_class WHERE relname LIKE 'session_events_20%' AND relkind = 'r'";
    let day: String = sessions.database.scalar(missing).await?;
    sessions.database.execute(&format!("DROP TABLE core_partitions.{day}")).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let app = sessions.database.pool().acquire().await?.detach();
    let app = tokio::spawn(work(app, Arc::clone(&stop)));
    let said = migrate(&sessions.database.url(), &sessions.roles, &[]).await?;
    stop.store(true, Ordering::Relaxed);
    let (longest, count) = app.await.context("the app panicked")??;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("1 partitions made"), "{}", said.stdout);
    ensure!(count > WORK.len(), "the app worked beside it: {count} statements");
    ensure!(longest < Duration::from_secs(1), "a statement took {longest:?} with {rows} sessions");
    println!("{rows} sessions, {count} statements beside it, the longest took {longest:?}");
    Ok(())
}
