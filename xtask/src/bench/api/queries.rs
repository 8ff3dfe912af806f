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

/// Sessions of the last 30 days, over, each with what was used: half of them of 10,000 users and half of nobody, and as
/// long as it happens. A thousand tables, of which one is After Hours' and each tenth tarot's. Each has had all events
/// that one may have, and some twice.
const SESSIONS: &str = "
INSERT INTO core.sessions (session_id, app, session_group_id, table_token, user_id, mode, created_at, updated_at, last_activity_at, expires_at,
  ended_at, end_reason, is_active, participants, session_minutes, participant_minutes, peak_participants, end_announced_at)
SELECT md5('s' || n)::uuid, $app, md5('g' || n % 1000)::uuid, 'table_' || n % 1000, CASE WHEN n % 2 = 0 THEN 'user_' || n % 20000 END, 'single',
  at, at + length, at + length, at + interval '24 hours', at + length, CASE WHEN n % 3 = 0 THEN 'ended' ELSE 'inactivity' END, false,
  2, minutes, 2 * minutes, 1 + n % 3, at
FROM generate_series($first, $last) AS n,
  LATERAL (SELECT now() - interval '2 hours' - (n % 43000) * interval '1 minute' AS at, round(n % 6007 / 100.0, 2) AS minutes) AS times,
  LATERAL (SELECT minutes * interval '1 minute' AS length) AS taken;
INSERT INTO core.analytics_events (event_type, event_data, session_id, app, timestamp)
SELECT
  (ARRAY['session_group_created', 'join_code_generated', 'join_code_generated', 'join_code_failed', 'join_code_failed', 'join_code_used',
    'dual_phone_paired', 'join_code_expired', 'session_expiring', 'session_expired_auto'])[k],
  json_build_object('session_id', md5('s' || n)::uuid, 'created_at', (at - interval '9 seconds')::text, 'pairing_seconds', 9 + n % 100),
  md5('s' || n)::uuid, $app, at + k * interval '1 second'
FROM generate_series($first, $last) AS n, generate_series(1, 10) AS k,
  LATERAL (SELECT now() - interval '2 hours' - (n % 43000) * interval '1 minute' AS at) AS times;
INSERT INTO core.session_audit_log (session_id, app, event_type, actor_kind, created_at)
SELECT md5('s' || n)::uuid, $app, 'session_created', 'participant', now() FROM generate_series($first, $last) AS n";

const GROUPS: &str = "
SELECT core.make_partitions(now() - interval '31 days');
INSERT INTO core.session_groups (session_group_id, app, table_token)
SELECT md5('g' || n)::uuid, $app, 'table_' || n FROM generate_series(0, 999) AS n";

/// The app of the session, the table or the line with the number `n`.
const APP: &str =
    "CASE WHEN n % 1000 = 0 THEN 'after_hours' WHEN n % 10 = 0 THEN 'tarot' ELSE 'table_talk' END";

/// Two thousand sessions that are played, by two each, and a month of cleanup as often as its policies run.
const TODAY: &str = "
INSERT INTO core.sessions (session_id, app, session_group_id, table_token)
SELECT md5('live' || n)::uuid, $app, md5('g' || n % 1000)::uuid, 'table_' || n % 1000 FROM generate_series(1, 2000) AS n;
INSERT INTO core.session_participants (session_id)
SELECT md5('live' || n)::uuid FROM generate_series(1, 2000) AS n, generate_series(1, 2);
INSERT INTO core.analytics_events (event_type, event_data, app, timestamp)
SELECT 'cleanup_job_completed', '{\"expired_waiting\": 1, \"expired_inactive\": 2, \"disconnected_participants\": 3, \"deleted_sessions\": 4}', app, at
FROM (VALUES ('table_talk', interval '5 minutes'), ('tarot', '15 minutes'), ('after_hours', '1 day')) AS policy (app, every),
  generate_series(now() - interval '30 days', now(), every) AS at";

/// `SESSION` stands for one of them, `PERIOD` for the last 30 days.
const PATHS: [&str; 27] = [
    "analytics/join-codes",
    "analytics/join-codes?app=table_talk",
    "analytics/tables",
    "analytics/tables?app=tarot",
    "analytics/cleanup-runs",
    "analytics/cleanup-runs?app=after_hours",
    "analytics/active-sessions",
    "analytics/active-sessions?app=after_hours",
    "analytics/pairing",
    "analytics/pairing?app=tarot",
    "analytics/sessions",
    "analytics/sessions?app=tarot",
    "analytics/sessions?PERIOD",
    "analytics/sessions?app=tarot&PERIOD",
    "analytics/forecast",
    "billing/usage?PERIOD",
    "billing/usage?app=after_hours&PERIOD",
    "billing/usage?user_id=user_8&PERIOD",
    "billing/usage?group_by=day&PERIOD",
    "billing/usage?group_by=app&PERIOD",
    "billing/usage?group_by=user_id&PERIOD",
    "billing/usage?group_by=user_id&app=tarot&PERIOD",
    "audit",
    "audit?app=after_hours",
    "audit?session_id=SESSION",
    "audit?type=session_created",
    "audit?type=session_created&app=after_hours",
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
    database.execute(&GROUPS.replace("$app", APP)).await?;
    let begun = Instant::now();
    let mut first = 1;
    while first <= sessions {
        let last = sessions.min(first + STEP - 1);
        let numbers = [("$first", first), ("$last", last)];
        for statement in SESSIONS.split(";\n") {
            let filled = numbers.iter().fold(statement.replace("$app", APP), |sql, (name, n)| {
                sql.replace(name, &n.to_string())
            });
            database.execute(&filled).await?;
        }
        println!("{last} sessions after {} s", begun.elapsed().as_secs());
        first = last + 1;
    }
    database.execute(&TODAY.replace("$app", APP)).await?;
    // A replica does so each minute.
    database.execute("SELECT core.fold_usage()").await?;
    database.execute("VACUUM ANALYZE").await?;
    // What was written is on the disk before it is read.
    database.execute("CHECKPOINT").await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    Ok(())
}
