//! P9: figures, bills and the audit log of many sessions, as those who run the service ask for them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use reqwest::Client;

use super::server::{Database, Site};
use crate::bench::figures::{Figures, spread};

/// How often each is asked.
const TIMES: usize = 20;
/// Sessions of one statement: a commit in between keeps its locks few.
const STEP: u32 = 50_000;
const KEY: &str = "ad_000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Sessions of the last 30 days, over, each with what was used; a thousand tables, a thousand users. The
/// events of each are spread over its minutes.
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

/// `SESSION` stands for one of them, `PERIOD` for the last 30 days.
const PATHS: [&str; 11] = [
    "analytics/join-codes",
    "analytics/tables",
    "analytics/cleanup-runs",
    "analytics/active-sessions",
    "analytics/pairing",
    "analytics/sessions",
    "analytics/forecast",
    "billing/usage?user_id=user_7&PERIOD",
    "billing/usage?group_by=day&PERIOD",
    "audit?session_id=SESSION",
    "audit?type=session_created",
];

/// Fills a database, and asks.
///
/// Measures: S6.
pub async fn measure(sessions: u32, site: &Site, figures: &mut Figures) -> Result<()> {
    let database = site.database("bench_queries").await?;
    fill(&database, sessions).await?;
    let known: (String, String) = sqlx::query_as(
        "SELECT
           md5('s1')::uuid::text,
           to_char(now() - interval '30 days', '\"from=\"YYYY-MM-DD\"T\"HH24:MI:SS\"Z&to=\"')
             || to_char(now(), 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    )
    .fetch_one(&mut database.connect().await?)
    .await?;
    let keys = format!("bench:read:{KEY}");
    let replica = site.replica(&database, &["--drain-delay", "0s", "--admin-keys", &keys]).await?;
    let client = Client::builder().no_proxy().build()?;
    for path in PATHS {
        let asked = path.replace("SESSION", &known.0).replace("PERIOD", &known.1);
        let url = format!("{}/api/v1/{asked}", replica.base);
        let (mut times, mut refused) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let begun = Instant::now();
            let answer = client.get(&url).bearer_auth(KEY).send().await.context(path)?;
            let status = answer.status();
            answer.bytes().await?;
            times.push(begun.elapsed());
            refused.extend((!status.is_success()).then_some(status.as_u16()));
        }
        let what = format!("P9 of {sessions} sessions: {path}");
        let refused = match refused.first() {
            Some(status) => format!("; {} told {status}", refused.len()),
            None => String::new(),
        };
        figures.add(&what, "< 100 ms", spread(times) + &refused);
    }
    replica.end().await
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
