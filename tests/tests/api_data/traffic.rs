//! A migration of a large database while an app reads and writes: nobody waits for as long as a second.
//!
//! `PGSWEEP_TEST_SESSIONS` is the number of sessions. The first five steps find an empty database; those after them, and
//! all that is done at each migration, find a full one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, PgConnection};
use tests::sessions::{Roles, migrate};
use tests::settings::Settings;
use tests::{Database, Sessions, database};

use super::scene::{execute, run_script};

/// What an app does all day.
const WORK: [&str; 6] = [
    "INSERT INTO core.sessions (session_id, app, session_group_id, title) VALUES (gen_random_uuid(), 'tarot', md5('g')::uuid, 'new')",
    "UPDATE core.sessions SET last_activity_at = now() WHERE session_id = md5('session 7')::uuid",
    "INSERT INTO core.session_events (session_group_id, type) VALUES (md5('g')::uuid, 'x')",
    "INSERT INTO core.analytics_events (event_type) VALUES ('x')",
    "INSERT INTO core.session_audit_log (app, event_type, actor_kind) VALUES ('tarot', 'x', 'system')",
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

/// Where a step of the script begins.
const STEP_SIX: &str =
    "DO $migration$ BEGIN IF NOT EXISTS (SELECT FROM core.migrations WHERE version = 6)";

/// A database as it was before anything was found to be amiss.
async fn of_five_steps() -> Result<Sessions> {
    let (database, roles) =
        (Database::create_on(&database::shared_server().await?).await?, Roles::fresh());
    for role in roles.names() {
        database.owns_role(role);
    }
    let script = migrate(&database.url(), &roles, &["--print"]).await?.stdout;
    let (first, _) = script.split_once(STEP_SIX).context("the script has a sixth step")?;
    database.execute(&format!("{first}; SELECT core.make_partitions(); COMMIT")).await?;
    Ok(Sessions { database, roles })
}

/// Sessions by the thousand, every second one over and reckoned, with lines of the audit log; past the triggers: how
/// they came is not what is tried.
async fn fill(sessions: &Sessions, rows: u64) -> Result<()> {
    let mut owner = sessions.database.pool().acquire().await?;
    execute(
        &mut owner,
        &format!(
            "SET session_replication_role TO replica;
             INSERT INTO core.session_groups (session_group_id, app) VALUES (md5('g')::uuid, 'tarot');
             INSERT INTO core.sessions (session_id, app, session_group_id, title)
             SELECT md5('session ' || n)::uuid, 'tarot', md5('g')::uuid, 's' FROM generate_series(1, {rows} / 2) AS n;
             INSERT INTO core.sessions (session_id, app, session_group_id, title, user_id, created_at, expires_at, ended_at,
               end_reason, is_active, participants, session_minutes, participant_minutes, peak_participants)
             SELECT md5('over ' || n)::uuid, 'tarot', md5('g')::uuid, 'o', 'user ' || n % 1000, at, at + interval '1 day',
               at + interval '1 hour', 'ended', false, 2, n % 60, n % 90, 2
             FROM generate_series(1, {rows} / 2) AS n, LATERAL (SELECT now() - n % 720 * interval '1 hour' AS at) AS times;
             INSERT INTO core.session_audit_log (session_id, app, event_type, actor_kind)
             SELECT md5('over ' || n)::uuid, 'tarot', 'session_created', 'system' FROM generate_series(1, {rows}) AS n;
             RESET session_replication_role;
             ANALYZE core.sessions"
        ),
    )
    .await
}

/// Brings the schema up to date by this program; what it says.
async fn by_program(sessions: &Sessions) -> Result<()> {
    let said = migrate(&sessions.database.url(), &sessions.roles, &[]).await?;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    ensure!(!said.stdout.contains(": 0 migrations"), "there were steps to take: {}", said.stdout);
    assert!(said.stdout.contains("1 partitions made"), "{}", said.stdout);
    Ok(())
}

/// The same by the SQL that it prints.
async fn by_script(sessions: &Sessions) -> Result<()> {
    let script = migrate("", &sessions.roles, &["--print"]).await?.stdout;
    run_script(&sessions.database, &script).await
}

#[tokio::test]
async fn a_migration_beside_traffic_holds_nobody_up_for_a_second() -> Result<()> {
    println!("{}", beside_traffic(by_program).await?);
    Ok(())
}

#[tokio::test]
async fn the_printed_sql_beside_traffic_holds_nobody_up_for_a_second() -> Result<()> {
    println!("{}", beside_traffic(by_script).await?);
    Ok(())
}

/// Migrates in this way while an app works; what the app felt of it.
async fn beside_traffic(migrate: impl AsyncFnOnce(&Sessions) -> Result<()>) -> Result<String> {
    let rows = Settings::get()?.sessions.unwrap_or(20_000);
    let sessions = of_five_steps().await?;
    fill(&sessions, rows).await?;
    // Tomorrow's partitions are missing, as after a night in which nobody made them.
    let missing = "SELECT max(relname)::text FROM pg_class WHERE relname LIKE 'session_events_20%' AND relkind = 'r'";
    let day: String = sessions.database.scalar(missing).await?;
    sessions.database.execute(&format!("DROP TABLE core_partitions.{day}")).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let app = sessions.database.pool().acquire().await?.detach();
    let app = tokio::spawn(work(app, Arc::clone(&stop)));
    let migrated = migrate(&sessions).await;
    stop.store(true, Ordering::Relaxed);
    let (longest, count) = app.await.context("the app panicked")??;
    migrated?;
    let summed = "SELECT sum(sessions)::bigint FROM core.usage_by_hour";
    assert_eq!(sessions.database.scalar::<i64>(summed).await?, i64::try_from(rows / 2)?);
    ensure!(count > WORK.len(), "the app worked beside it: {count} statements");
    ensure!(longest < Duration::from_secs(1), "a statement took {longest:?} with {rows} sessions");
    Ok(format!("{rows} sessions, {count} statements beside it, the longest took {longest:?}"))
}
