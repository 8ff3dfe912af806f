//! Those who run the service: what they see, what they do, and that it is written down.

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tests::sessions::replica::{Answer, CODE_KEYS, Phone, Replica};
use tests::{Sessions, database};

use super::scene::{Host, age, begin, dual, join, other_than, redeem, single, told};

pub const READER: &str = "ad_1111111111111111111111111111111111111111111111111111111111111111";
pub const OPERATOR: &str = "ad_2222222222222222222222222222222222222222222222222222222222222222";

/// A server that two admins have keys of.
pub async fn scene() -> Result<(Sessions, Replica)> {
    let sessions = Sessions::create_on(&database::shared_server().await?).await?;
    let keys = format!("eve:read:{READER},ops:operate:{OPERATOR}");
    let flags = [("--code-keys", CODE_KEYS[0]), ("--admin-keys", keys.as_str())];
    let replica = Replica::start_with(&sessions, &flags).await?;
    Ok((sessions, replica))
}

/// What an admin sees.
pub async fn see(replica: &Replica, path: &str) -> Result<Answer> {
    let answer = Phone::fresh().with_token(READER).get(replica, &format!("/api/v1{path}")).await?;
    anyhow::ensure!(answer.status == 200, "{path}: {}", answer.body);
    Ok(answer)
}

async fn act(replica: &Replica, host: &Host, what: &str, body: Value) -> Result<Answer> {
    let path = format!("/api/v1/admin/sessions/{}/{what}", host.session());
    Phone::fresh().with_token(OPERATOR).post(replica, &path, body).await
}

/// Proves: S1.
#[tokio::test]
async fn what_an_admin_does_to_a_session_is_told_and_audited_with_their_name() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = single(&replica).await?;
    let guest = join(&replica, &host).await?;
    let said = act(&replica, &host, "broadcast", json!({"message": "Back in a minute"})).await?;
    assert_eq!((said.status, said.text("/id")), (202, "1:3"), "{}", said.body);
    let gone = act(&replica, &host, "disconnect", json!({})).await?;
    assert_eq!((gone.status, gone.body["disconnected"].as_array().map(Vec::len)), (202, Some(2)));
    let seen = guest.get(&replica, &host.path("")).await?;
    assert_eq!(seen.text("/participants/1/presence"), "disconnected");
    let beat = host.path("/participants/me/heartbeat");
    assert_eq!(guest.send(&replica, Method::PUT, &beat, Value::Null).await?.status, 204);
    let nobody = json!({"participant_id": "7d444840-9dc0-11d1-b245-5ffdce74fad2"});
    let absent = act(&replica, &host, "disconnect", nobody).await?;
    assert_eq!(absent.problem(), (404, "participant_not_found"));
    for _ in 0..2 {
        let ended = act(&replica, &host, "end", Value::Null).await?;
        assert_eq!((ended.status, ended.text("/session/end_reason")), (200, "ended"));
    }
    assert_eq!(guest.send(&replica, Method::PUT, &beat, Value::Null).await?.status, 410);
    let late = act(&replica, &host, "broadcast", json!({"message": "x"})).await?;
    assert_eq!(late.problem(), (409, "session_ended"));

    let [realtime, _, _] = told(&sessions, host.session()).await?;
    assert_eq!(
        realtime[2..],
        [
            "broadcast",
            "participant_disconnected",
            "participant_disconnected",
            "participant_reconnected",
            "session_ended"
        ]
    );
    let audited = see(&replica, &format!("/audit?session_id={}", host.session())).await?;
    let lines = audited.body["lines"].as_array().context("lines")?;
    let admins: Vec<_> = lines
        .iter()
        .filter(|line| line["actor_kind"] == "admin" && line["actor_id"] == "ops")
        .map(|line| line["type"].as_str().unwrap_or_default())
        .collect();
    let all =
        ["session_ended", "participant_disconnected", "participant_disconnected", "broadcast"];
    assert_eq!(admins, all);
    assert!(lines[0]["network"].as_str().is_some_and(|network| network.ends_with("/24")));
    Ok(())
}

/// Proves: S1.
#[tokio::test]
async fn the_audit_log_is_read_page_by_page_and_by_session_type_and_app() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let (one, two) = (single(&replica).await?, dual(&replica, "table_042").await?);
    let mut seen = Vec::new();
    let mut next = Some(String::new());
    while let Some(cursor) = next {
        let page = see(&replica, &format!("/audit?limit=2{cursor}")).await?;
        let lines = page.body["lines"].as_array().context("lines")?;
        assert!((1..=2).contains(&lines.len()));
        seen.extend(lines.iter().map(|line| line["id"].as_i64().unwrap_or_default()));
        next = page.body["next"].as_str().map(|cursor| format!("&cursor={cursor}"));
    }
    let all = "SELECT array_agg(id ORDER BY id DESC) FROM core.session_audit_log";
    assert_eq!(seen, sessions.database.scalar::<Vec<i64>>(all).await?);
    let count = async |filter: &str| {
        let answer = see(&replica, &format!("/audit?{filter}")).await?;
        Ok::<_, anyhow::Error>(answer.body["lines"].as_array().map_or(0, Vec::len))
    };
    assert_eq!(count(&format!("session_id={}", one.session())).await?, 2);
    assert_eq!(count(&format!("session_id={}", two.session())).await?, 3);
    assert_eq!(count("type=session_created").await?, 2);
    assert_eq!(count("type=session_created&app=tarot").await?, 1);
    Ok(())
}

/// Proves: G21, G22, G23, G24, G25.
#[tokio::test]
async fn figures_are_those_of_the_requirements() -> Result<()> {
    let (sessions, replica) = scene().await?;
    assert_eq!(see(&replica, "/analytics/join-codes").await?.body["success_rate_pct"], Value::Null);
    let paired = dual(&replica, "table_042").await?;
    redeem(&replica, &Phone::fresh(), paired.code()).await?;
    let waiting = dual(&replica, "table_007").await?;
    for _ in 0..2 {
        redeem(&replica, &Phone::fresh(), other_than(waiting.code())).await?;
    }
    age(&sessions, waiting.session(), "pairing_expires_at = now()").await?;
    redeem(&replica, &Phone::fresh(), waiting.code()).await?;
    let with_context =
        json!({"app": "table_talk", "mode": "single", "table_token": "table_042", "context": "b"});
    begin(&replica, with_context).await?;
    let run = "INSERT INTO core.analytics_events (event_type, app, event_data) SELECT 'cleanup_job_completed', 'table_talk', jsonb_build_object('expired_waiting', n, 'expired_inactive', 0, 'disconnected_participants', 0, 'deleted_sessions', 0) FROM generate_series(1, 12) AS n";
    sessions.database.execute(run).await?;

    let codes = see(&replica, "/analytics/join-codes").await?;
    assert_eq!((&codes.body["successful"], &codes.body["failed"]), (&json!(1), &json!(3)));
    assert_eq!(codes.body["success_rate_pct"], json!(25.0));
    let tables = see(&replica, "/analytics/tables?limit=5").await?;
    assert_eq!(
        tables.body["tables"],
        json!([
            {"table_token": "table_042", "concurrent_groups": 2, "total_sessions": 2},
            {"table_token": "table_007", "concurrent_groups": 1, "total_sessions": 1},
        ])
    );
    let runs = see(&replica, "/analytics/cleanup-runs?limit=10").await?;
    assert_eq!(runs.body["runs"].as_array().map(Vec::len), Some(10));
    assert_eq!(runs.body["runs"][0]["deleted_sessions"], 0);
    let active = see(&replica, "/analytics/active-sessions?app=table_talk").await?;
    let groups = active.body["groups"].as_array().context("groups")?;
    let group = groups.iter().find(|group| group["dual_status"] == "paired").context("the pair")?;
    assert_eq!((&group["participants"], &group["table_token"]), (&json!(2), &json!("table_042")));
    assert!(group["minutes_inactive"].as_f64().is_some_and(|minutes| minutes < 10.0), "{group}");
    assert_eq!(groups.len(), 2, "what waited has expired");
    let hours = see(&replica, "/analytics/pairing").await?;
    let sum = |field: &str| {
        let hours = hours.body["hours"].as_array();
        hours.into_iter().flatten().filter_map(|hour| hour[field].as_i64()).sum::<i64>()
    };
    assert_eq!((sum("pairings"), sum("expired_codes")), (1, 1), "{}", hours.body);
    let other = see(&replica, "/analytics/tables?app=tarot").await?;
    assert_eq!(other.body["tables"], json!([]));
    // What cleanup takes in the meantime was there all the same.
    sessions.database.execute("DELETE FROM core.sessions").await?;
    for of in ["", "&app=table_talk"] {
        let again = see(&replica, &format!("/analytics/tables?limit=5{of}")).await?;
        assert_eq!(again.body["tables"], tables.body["tables"], "{of}");
    }
    Ok(())
}

/// Proves: L18, S5.
#[tokio::test]
async fn sessions_are_counted_by_their_ends_and_foretold_by_their_begins() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let empty = see(&replica, "/analytics/forecast").await?;
    assert_eq!(empty.body["hours"].as_array().map(Vec::len), Some(24));
    assert_eq!(
        empty.body["hours"][0]["expected_sessions"],
        Value::Null,
        "nobody has seen such an hour"
    );
    let (ended, expired) = (single(&replica).await?, single(&replica).await?);
    ended.send(&replica, Method::POST, "/end", Value::Null).await?;
    age(&sessions, expired.session(), "expires_at = now()").await?;
    let figures = see(&replica, "/analytics/sessions").await?;
    assert_eq!((&figures.body["sessions"], &figures.body["completed"]), (&json!(2), &json!(1)));
    assert_eq!(figures.body["completion_rate_pct"], json!(50.0));
    assert_eq!(figures.body["peak_usage_hours"].as_array().map(Vec::len), Some(1));
    assert!(figures.body["average_session_minutes"].is_number(), "{}", figures.body);
    assert_eq!(figures.body["user_retention_rate_pct"], Value::Null, "nobody was there before");
    let before =
        see(&replica, "/analytics/sessions?from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z")
            .await?;
    assert_eq!(before.body["sessions"], 0);

    // Next hour a week ago there were three, and two weeks ago five. One of each week was ended, and a day later.
    let past = "INSERT INTO core.sessions (app, title, created_at, expires_at)
                SELECT 'tarot', number::text, at, at + interval '24 hours'
                FROM (VALUES (7, 3), (14, 5)) AS week(days, sessions)
                CROSS JOIN LATERAL (SELECT date_trunc('hour', now()) + interval '61 minutes' - make_interval(days => week.days) AS at) AS begin
                CROSS JOIN LATERAL generate_series(1, week.sessions) AS number;
                UPDATE core.sessions SET ended_at = expires_at WHERE title = '1'; SELECT core.fold_usage();
                DELETE FROM core.sessions WHERE title = '2'";
    sessions.database.execute(past).await?;
    let foretold = see(&replica, "/analytics/forecast?app=tarot").await?;
    let next = &foretold.body["hours"][0];
    assert_eq!((&next["weeks"], &next["expected_sessions"]), (&json!(2), &json!(4.0)), "{next}");
    Ok(())
}

/// Proves: S9.
#[tokio::test]
async fn a_bill_has_each_session_once_and_sums_by_user_app_and_day() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    for (app, user) in [
        ("tarot", Some("ann")),
        ("tarot", Some("bob")),
        ("table_talk", Some("ann")),
        ("tarot", None),
    ] {
        let host = begin(&replica, json!({"app": app, "mode": "single", "user_id": user})).await?;
        host.send(&replica, Method::POST, "/end", Value::Null).await?;
    }
    single(&replica).await?;
    let period = "from=2026-01-01T00:00:00Z&to=2027-01-01T00:00:00Z";
    let mut seen = std::collections::BTreeSet::new();
    let mut next = Some(String::new());
    while let Some(cursor) = next {
        let page = see(&replica, &format!("/billing/usage?{period}&limit=1{cursor}")).await?;
        let rows = page.body["usage"].as_array().context("rows")?;
        assert_eq!(rows.len(), 1);
        assert!(seen.insert(rows[0]["session_id"].to_string()), "{}", rows[0]);
        next = page.body["next"].as_str().map(|cursor| format!("&cursor={cursor}"));
    }
    assert_eq!(seen.len(), 4, "what lives is not billed yet");

    let sums = async |query: &str, key: &str| {
        let answer = see(&replica, &format!("/billing/usage?{period}&{query}")).await?;
        let rows = answer.body["usage"].as_array().context("rows")?.clone();
        let pair = |row: &Value| {
            (row[key].as_str().unwrap_or_default().to_owned(), row["sessions"].as_i64())
        };
        Ok::<_, anyhow::Error>(rows.iter().map(pair).collect::<Vec<_>>())
    };
    let named = |rows: &[(&str, i64)]| {
        rows.iter().map(|(key, n)| ((*key).to_owned(), Some(*n))).collect::<Vec<_>>()
    };
    assert_eq!(
        sums("group_by=user_id", "user_id").await?,
        named(&[("", 1), ("ann", 2), ("bob", 1)])
    );
    assert_eq!(sums("group_by=user_id&cursor=ann", "user_id").await?, named(&[("bob", 1)]));
    assert_eq!(
        sums("group_by=app&user_id=ann", "app").await?,
        named(&[("table_talk", 1), ("tarot", 1)])
    );
    assert_eq!(
        sums("group_by=day&app=tarot", "day").await?.iter().filter_map(|row| row.1).sum::<i64>(),
        3
    );
    let first = see(&replica, &format!("/billing/usage?{period}&group_by=user_id&limit=1")).await?;
    assert_eq!(first.text("/usage/0/user_id"), "");
    assert_eq!(first.body["next"], "", "and so one can go on after it");
    Ok(())
}

#[tokio::test]
async fn health_knows_every_server_that_is_there() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let _other = Replica::start(&sessions).await?;
    let patience = std::time::Duration::from_mins(1);
    let health = tests::wait::until("both servers to be known", patience, async || {
        let health = see(&replica, "/admin/health").await?;
        let both = health.body["replicas"].as_array().is_some_and(|replicas| replicas.len() == 2);
        Ok(both.then_some(health))
    })
    .await?;
    assert_eq!(health.body["last_cleanup_at"], Value::Null);
    assert_eq!(health.body["overdue_sessions"], 0);
    assert!(health.body["schema_version"].as_i64().is_some_and(|version| version > 0));
    assert_eq!(health.body["replica"]["is_draining"], false);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_counted_is_refused_and_nothing_is_a_500() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let admin = Phone::fresh().with_token(READER);
    for path in [
        "/billing/usage",
        "/billing/usage?from=2026-01-01T00:00:00Z",
        "/billing/usage?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "/billing/usage?from=-009999-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "/billing/usage?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z&group_by=password",
        "/billing/usage?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z&cursor=9223372036854775807.7d444840-9dc0-11d1-b245-5ffdce74fad2",
        "/billing/usage?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z&user_id=%00",
        "/audit?session_id=1",
        "/audit?cursor=-1",
        "/audit?cursor=99999999999999999999",
        "/audit?type=a%27--",
        "/audit?limit=1000000000000",
        "/analytics/tables?app=chess",
        "/analytics/sessions?from=9999-12-31T23:59:59Z",
        "/analytics/sessions?to=1970-01-01T00:00:00Z&from=1970-01-01T00:00:00Z",
        "/analytics/forecast?hours=5",
    ] {
        let answer = admin.get(&replica, &format!("/api/v1{path}")).await?;
        assert_eq!(answer.problem(), (422, "validation_failed"), "{path}: {}", answer.body);
    }
    Ok(())
}

#[tokio::test]
async fn keys_that_cannot_be_read_end_the_server_and_are_not_repeated() -> Result<()> {
    let (sessions, _) = scene().await?;
    let url = sessions.login(&sessions.roles.api).await?.to_string();
    let arguments = ["serve", "--code-keys", CODE_KEYS[0], "--admin-keys", "ops:operate:canary"];
    let said = tests::sessions::session_api(&url, &arguments).await?;
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("64 hexadecimal digits") && !said.stderr.contains("canary"));
    Ok(())
}
