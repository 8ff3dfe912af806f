//! P9: figures, bills and the audit log over many sessions, by the statements that answer for them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sqlx::{Connection as _, PgConnection};
use tests::sql;

use super::server::{Database, Site};
use crate::bench::figures::{Figures, spread};
use crate::workspace;

/// How often each is asked.
const TIMES: usize = 20;
/// Sessions of one statement: a commit in between keeps its locks few.
const STEP: u32 = 50_000;

/// Sessions of the last 30 days, over, each with what was used; ten people a table, a thousand users.
const SESSIONS: &str = "
INSERT INTO core.sessions (session_id, app, session_group_id, table_token, user_id, mode, created_at, last_activity_at, expires_at,
  ended_at, end_reason, is_active, participants, session_minutes, participant_minutes, peak_participants, end_announced_at)
SELECT md5('s' || n)::uuid, 'table_talk', md5('g' || n % 1000)::uuid, 'table_' || n % 1000, 'user_' || n % 1000, 'single',
  at, at + interval '20 minutes', at + interval '24 hours', at + interval '20 minutes', 'inactivity', false, 2, 20, 40, 2, at
FROM generate_series($first, $last) AS n, LATERAL (SELECT now() - interval '2 hours' - (n % 43000) * interval '1 minute' AS at) AS times;
INSERT INTO core.analytics_events (event_type, event_data, session_id, app, timestamp)
SELECT
  (ARRAY['join_code_generated', 'join_code_used', 'join_code_failed', 'dual_phone_paired', 'session_expired_auto'])[1 + k % 5],
  json_build_object('session_id', md5('s' || n)::uuid, 'created_at', (at - interval '9 seconds')::text),
  md5('s' || n)::uuid, 'table_talk', at + k * interval '1 second'
FROM generate_series($first, $last) AS n, generate_series(1, 10) AS k,
  LATERAL (SELECT now() - interval '2 hours' - (n % 43000) * interval '1 minute' AS at) AS times;
INSERT INTO core.session_audit_log (session_id, app, event_type, actor_kind, created_at)
SELECT md5('s' || n)::uuid, 'table_talk', 'session_created', 'participant', now() FROM generate_series($first, $last) AS n";

const GROUPS: &str = "
SELECT core.make_partitions(now() - interval '31 days');
INSERT INTO core.session_groups (session_group_id, app, table_token)
SELECT md5('g' || n)::uuid, 'table_talk', 'table_' || n FROM generate_series(0, 999) AS n";

/// Beside the queries of the page for operations.
const STATEMENTS: [(&str, &str); 4] = [
    (
        "billing of a user, 30 days",
        "SELECT * FROM core.get_session_billing_data(now() - interval '30 days', now(), 'user_7', 'table_talk')",
    ),
    (
        "analytics of a day",
        "SELECT * FROM core.get_session_analytics(now() - interval '1 day', now(), 'table_talk')",
    ),
    (
        "audit log of a session",
        "SELECT * FROM core.session_audit_log WHERE session_id = md5('s' || 4711)::uuid ORDER BY id LIMIT 100",
    ),
    (
        "audit log by type, newest first",
        "SELECT * FROM core.session_audit_log WHERE event_type = 'session_created' ORDER BY created_at DESC LIMIT 100",
    ),
];

/// Fills a database, and asks.
pub async fn measure(sessions: u32, site: &Site, figures: &mut Figures) -> Result<()> {
    let database = site.database("bench_queries").await?;
    fill(&database, sessions).await?;
    let mut connection = PgConnection::connect(&database.url("bench_readonly")).await?;
    let page = workspace::read("docs/session-api-operations.md")?;
    let (_, section) = page.split_once("\n## Watching it\n").context("the page has queries")?;
    let printed = section.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let printed = printed.filter_map(|query| {
        let name = query.lines().next()?.trim_start_matches("-- ");
        Some((name, query.trim_end().trim_end_matches(';')))
    });
    for (name, query) in printed.chain(STATEMENTS) {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let begun = Instant::now();
            sql::count(&mut connection, query).await?;
            times.push(begun.elapsed());
        }
        let what = format!("P9 of {sessions} sessions: {name}");
        figures.add(&what, "< 100 ms", spread(times));
    }
    Ok(())
}

async fn fill(database: &Database, sessions: u32) -> Result<()> {
    database.execute(GROUPS).await?;
    let begun = Instant::now();
    let mut first = 1;
    while first <= sessions {
        let last = sessions.min(first + STEP - 1);
        let numbers = [("$first", first), ("$last", last)];
        for statement in SESSIONS.split(";\n") {
            let filled = numbers
                .iter()
                .fold(statement.to_owned(), |sql, (name, n)| sql.replace(name, &n.to_string()));
            database.execute(&filled).await?;
        }
        println!("{last} sessions after {} s", begun.elapsed().as_secs());
        first = last + 1;
    }
    database.execute("VACUUM ANALYZE").await?;
    // What was written is on the disk before it is read.
    database.execute("CHECKPOINT").await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    Ok(())
}
