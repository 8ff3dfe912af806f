//! Figures and bills of many sessions: they are cut into pages, and their sums say what the rows say.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tests::sessions::replica::{Phone, Replica};
use tests::{Sessions, database, wait};

use super::admin::{scene, see};
use super::scene::{dual, other_than, redeem};

/// The statement of requirement 000, as it is printed.
const PRINTED: &str = include_str!("../api_data/requirements/000.sql");

/// All rows of a list that is read two at a time.
async fn pages(replica: &Replica, path: &str, list: &str) -> Result<Vec<Value>> {
    let and = if path.contains('?') { '&' } else { '?' };
    let (mut all, mut next) = (Vec::new(), Some(String::new()));
    while let Some(cursor) = next {
        let page = see(replica, &format!("{path}{and}limit=2{cursor}")).await?;
        let rows = page.body[list].as_array().context("rows")?;
        anyhow::ensure!(rows.len() <= 2, "{}", page.body);
        all.extend(rows.iter().cloned());
        next = page.body["next"].as_str().map(|cursor| format!("&cursor={cursor}"));
    }
    Ok(all)
}

fn of(rows: &[Value], field: &str) -> Vec<Value> {
    rows.iter().map(|row| row[field].clone()).collect()
}

/// A table with three groups, two with two, of which one is no table, and two with one.
const TABLES: &str = "
INSERT INTO core.session_groups (session_group_id, app) SELECT md5('g' || n)::uuid, 'tarot' FROM generate_series(1, 9) AS n;
INSERT INTO core.sessions (app, session_group_id, table_token, last_activity_at)
SELECT 'tarot', md5('g' || n)::uuid, token, date_trunc('second', now())
FROM unnest(ARRAY['c', 'c', 'c', 'b.1', 'b.1', NULL, NULL, 'a', 'd']) WITH ORDINALITY AS made (token, n);
INSERT INTO core.analytics_events (event_type, app, event_data, timestamp)
SELECT 'cleanup_job_completed', 'tarot', jsonb_build_object('run', n), date_trunc('hour', now())
FROM generate_series(1, 5) AS n";

#[tokio::test]
async fn lists_of_figures_are_read_page_by_page_also_where_rows_are_alike() -> Result<()> {
    let (sessions, replica) = scene().await?;
    sessions.database.execute(TABLES).await?;
    let tables = pages(&replica, "/analytics/tables", "tables").await?;
    assert_eq!(
        of(&tables, "table_token"),
        [json!("c"), json!("b.1"), Value::Null, json!("a"), json!("d")]
    );
    assert_eq!(of(&tables, "concurrent_groups"), [3, 2, 2, 1, 1].map(Value::from));
    // All of them at the same moment.
    let runs = pages(&replica, "/analytics/cleanup-runs?app=tarot", "runs").await?;
    assert_eq!(of(&runs, "run"), [5, 4, 3, 2, 1].map(Value::from));
    let groups = pages(&replica, "/analytics/active-sessions", "groups").await?;
    let ids: std::collections::BTreeSet<_> =
        of(&groups, "session_group_id").iter().map(Value::to_string).collect();
    assert_eq!((groups.len(), ids.len()), (9, 9), "each of them, and once");
    for path in ["tables?cursor=1", "cleanup-runs?cursor=1.x", "active-sessions?cursor=1.2"] {
        let admin = Phone::fresh().with_token(super::admin::READER);
        let answer = admin.get(&replica, &format!("/api/v1/analytics/{path}")).await?;
        assert_eq!(answer.problem(), (422, "validation_failed"), "{path}");
    }
    Ok(())
}

/// Reckoned sessions of six days, of seven users and of nobody.
const USED: &str = "
INSERT INTO core.sessions (app, title, user_id, created_at, last_activity_at, expires_at)
SELECT CASE WHEN n % 3 = 0 THEN 'tarot' ELSE 'table_talk' END, n::text, CASE WHEN n % 4 > 0 THEN 'user_' || n % 7 END,
  at, at + n * interval '11 seconds', at + interval '1 hour'
FROM generate_series(1, 120) AS n, LATERAL (SELECT timestamptz '2026-03-01Z' + n * interval '71 minutes' AS at) AS times;
UPDATE core.sessions SET ended_at = expires_at WHERE title::integer % 9 > 0;
SELECT core.fold_usage();
UPDATE core.sessions SET ended_at = NULL, expires_at = now() + interval '1 hour', created_at = now() WHERE user_id = 'user_3';
DELETE FROM core.sessions WHERE title::integer % 5 = 0";

/// What is billed, by the rows alone.
async fn by_the_rows(
    sessions: &Sessions,
    group_by: &str,
    key: &str,
    filter: &str,
) -> Result<Vec<Value>> {
    let sql = format!(
        "SELECT COALESCE(jsonb_agg(shown ORDER BY key COLLATE \"C\"), '[]')::text FROM (
           SELECT {key} AS key, jsonb_build_object('{group_by}', {key}, 'sessions', count(*), 'participants', sum(participants),
             'session_minutes', sum(session_minutes), 'participant_minutes', sum(participant_minutes),
             'peak_participants', max(peak_participants)) AS shown
           FROM core.billing_usage WHERE {filter} GROUP BY {key}
         ) AS grouped"
    );
    Ok(serde_json::from_str(&sessions.database.scalar::<String>(&sql).await?)?)
}

/// Proves: S9.
#[tokio::test]
async fn bills_by_user_app_and_day_are_those_of_the_rows_whatever_part_of_a_day_is_asked_for()
-> Result<()> {
    let (sessions, replica) = scene().await?;
    sessions.database.execute(USED).await?;
    for (from, to) in [
        ("2026-03-02T00:00:00Z", "2026-03-05T00:00:00Z"),
        ("2026-03-01T05:30:00Z", "2026-03-06T17:45:00Z"),
        ("2026-03-03T05:30:00Z", "2026-03-03T17:45:00Z"),
    ] {
        for (group_by, key) in [
            ("user_id", "COALESCE(user_id, '')"),
            ("app", "app"),
            ("day", "to_char(ended_at, 'YYYY-MM-DD')"),
        ] {
            for (asked, rows) in [
                ("", "true"),
                ("&app=tarot", "app = 'tarot'"),
                ("&user_id=user_5", "user_id = 'user_5'"),
                ("&user_id=user_5&app=tarot", "user_id = 'user_5' AND app = 'tarot'"),
            ] {
                let filter = format!("ended_at >= '{from}' AND ended_at < '{to}' AND {rows}");
                let wanted = by_the_rows(&sessions, group_by, key, &filter).await?;
                let path = format!("/billing/usage?from={from}&to={to}&group_by={group_by}{asked}");
                assert_eq!(pages(&replica, &path, "usage").await?, wanted, "{path}");
            }
        }
        let path = format!("/billing/usage?from={from}&to={to}");
        let ids = format!(
            "SELECT array_agg(session_id::text ORDER BY ended_at, session_id) FROM core.billing_usage WHERE ended_at >= '{from}' AND ended_at < '{to}'"
        );
        let wanted: Vec<String> = sessions.database.scalar(&ids).await?;
        assert_eq!(of(&pages(&replica, &path, "usage").await?, "session_id"), wanted, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_brings_the_sums_up_to_date_beside_its_requests() -> Result<()> {
    let sessions = Sessions::create_on(&database::shared_server().await?).await?;
    sessions.database.execute(USED).await?;
    let left = "SELECT count(*) FROM core.usage_changes";
    assert_ne!(sessions.database.scalar::<i64>(left).await?, 0);
    let _replica = Replica::start(&sessions).await?;
    let patience = std::time::Duration::from_secs(30);
    wait::until("no line to be left", patience, async || {
        Ok((sessions.database.scalar::<i64>(left).await? == 0).then_some(()))
    })
    .await
}

/// Proves: G20, G21.
#[tokio::test]
async fn a_wrong_code_at_a_table_is_a_failure_that_the_printed_statement_counts() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = dual(&replica, "table_042").await?;
    let wrong = json!({"code": other_than(host.code()), "table_token": "table_042"});
    let refused = Phone::fresh().post(&replica, "/api/v1/join-codes/redeem", wrong).await?;
    assert_eq!(refused.problem(), (403, "join_code_invalid"));
    let at_no_table = redeem(&replica, &Phone::fresh(), other_than(host.code())).await?;
    assert_eq!(at_no_table.problem(), (403, "join_code_invalid"));
    assert_eq!(redeem(&replica, &Phone::fresh(), host.code()).await?.status, 200);

    let (_, after) = PRINTED.split_once("join code success rate\n").context("it is printed")?;
    let (printed, _) = after.split_once("\n---").context("another follows")?;
    let printed = printed.trim_end().trim_end_matches(';');
    let mut login = sessions.connect(&sessions.roles.cleanup, "table_talk").await?;
    let counted = format!("SELECT printed::text FROM ({printed}) AS printed");
    let counted: String =
        sqlx::query_scalar(sqlx::AssertSqlSafe(counted)).fetch_one(&mut login).await?;
    assert_eq!(counted, "(1,2,33.33)");
    let figures = see(&replica, "/analytics/join-codes?app=table_talk").await?;
    assert_eq!((&figures.body["successful"], &figures.body["failed"]), (&json!(1), &json!(2)));
    let other = see(&replica, "/analytics/join-codes?app=tarot").await?;
    assert_eq!(other.body["failed"], 0);
    Ok(())
}

#[tokio::test]
async fn a_session_that_was_ended_and_is_kept_is_not_overdue() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let expired = "INSERT INTO core.sessions (app, title, created_at, expires_at)
                   SELECT 'tarot', n::text, now() - interval '3 days', now() - interval '2 days' FROM generate_series(1, 3) AS n";
    sessions.database.execute(expired).await?;
    assert_eq!(see(&replica, "/admin/health").await?.body["overdue_sessions"], 3);
    let end = "UPDATE core.sessions SET ended_at = now() WHERE title <> '3'";
    sessions.database.execute(end).await?;
    assert_eq!(see(&replica, "/admin/health").await?.body["overdue_sessions"], 1);
    Ok(())
}
