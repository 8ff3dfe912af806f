//! An evening at Table-Talk's tables: what is counted of it, over HTTP and by its cleanup, and where ids of rows
//! go.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tests::Sessions;
use tests::job::Ended;
use tests::sessions::replica::Phone;

use super::scene::{Host, age, begin, clean, dual, other_than, redeem, scene};

/// Those that the document names, and the one that its queries read.
const COUNTED: [&str; 9] = [
    "join_code_generated",
    "join_code_used",
    "join_code_failed",
    "join_code_expired",
    "session_group_created",
    "session_joined_existing_group",
    "session_expired_auto",
    "cleanup_job_completed",
    "dual_phone_paired",
];

/// Sessions that each end in another way, and the run that cleaned up behind them.
struct Evening {
    sessions: Sessions,
    paired: Host,
    /// Of the same party, with a code that a phone typed too late.
    late: Host,
    /// With a code that nobody typed.
    waited: Host,
    /// In which nobody did anything, and whose phone is silent.
    idle: Host,
    /// Which was over long ago.
    over: Host,
    run: Ended,
}

async fn evening() -> Result<Evening> {
    let (sessions, replica) = scene().await?;
    let body = json!({"app": "table_talk", "mode": "dual", "table_token": "table_042", "context": "Exploring"});
    let (paired, late) = (begin(&replica, body.clone()).await?, begin(&replica, body).await?);
    let wrong = json!({"table_token": "table_042", "code": other_than(paired.code())});
    let refused = Phone::fresh().post(&replica, "/api/sessions/join-dual", wrong).await?;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(redeem(&replica, &Phone::fresh(), paired.code()).await?.status, 200);
    age(&sessions, late.session(), "pairing_expires_at = now() - interval '11 minutes'").await?;
    assert_eq!(redeem(&replica, &Phone::fresh(), late.code()).await?.status, 404);

    let waited = dual(&replica, "table_007").await?;
    age(&sessions, waited.session(), "pairing_expires_at = now() - interval '1 second'").await?;
    let single = json!({"app": "table_talk", "mode": "single"});
    let idle = begin(&replica, single.clone()).await?;
    age(&sessions, idle.session(), "last_activity_at = now() - interval '31 minutes'").await?;
    let silent = format!(
        "UPDATE core.session_participants SET last_seen_at = now() - interval '6 minutes' WHERE session_id = '{}'",
        idle.session()
    );
    sessions.database.execute(&silent).await?;
    let over = begin(&replica, single).await?;
    let long_ago =
        "created_at = now() - interval '2 hours', expires_at = now() - interval '61 minutes'";
    age(&sessions, over.session(), long_ago).await?;
    let run = clean(&sessions, "table-talk-sessions").await?;
    Ok(Evening { sessions, paired, late, waited, idle, over, run })
}

/// Proves: G2, G20.
#[tokio::test]
async fn every_event_that_is_counted_is_in_the_database_with_what_it_has_to_say() -> Result<()> {
    let Evening { sessions, paired, late, waited, idle, .. } = evening().await?;
    let all = "SELECT jsonb_agg(jsonb_build_array(event_type, event_data)) FROM core.analytics_events WHERE app IS NULL OR app = 'table_talk'";
    let all: Value = sessions.database.scalar(all).await?;
    let all = all.as_array().context("events")?;
    let named =
        |name: &str| all.iter().filter(|one| one[0] == name).map(|one| &one[1]).collect::<Vec<_>>();

    let generated = json!({"session_id": paired.session(), "expires_at": paired.created.body["pairing"]["expires_at"]});
    let created = json!({"session_group_id": paired.group(), "table_token": "table_042", "context": "Exploring"});
    let ended = |host: &Host, reason: &str| json!({"session_id": host.session(), "reason": reason});
    let counts = json!({"expired_waiting": 1, "expired_inactive": 1, "disconnected_participants": 1, "deleted_sessions": 1, "policy": "table-talk-sessions"});
    let exact = [
        ("join_code_generated", generated),
        ("join_code_used", json!({"session_id": paired.session(), "success": true})),
        ("join_code_failed", json!({"table_token": "table_042", "reason": "invalid_code"})),
        // By the phone that came too late, and by cleanup.
        ("join_code_expired", json!({"session_id": late.session()})),
        ("join_code_expired", json!({"session_id": waited.session()})),
        ("session_group_created", created),
        ("session_expired_auto", ended(&waited, "waiting_timeout")),
        ("session_expired_auto", ended(&idle, "inactivity")),
        ("cleanup_job_completed", counts),
    ];
    for (name, payload) in &exact {
        let found = named(name).into_iter().filter(|found| *found == payload).count();
        assert_eq!(found, 1, "{name} {payload} among {:?}", named(name));
    }
    let joined = named("session_joined_existing_group");
    let minutes = joined.first().and_then(|event| event["minutes_since_last_activity"].as_f64());
    assert_eq!(joined.len(), 1);
    assert_eq!(joined[0]["session_group_id"], paired.group());
    assert!(minutes.is_some_and(|minutes| (0.0..5.0).contains(&minutes)), "{joined:?}");
    let pairings = named("dual_phone_paired");
    assert_eq!(pairings.len(), 1);
    assert_eq!(pairings[0]["session_id"], paired.session());
    assert!(pairings[0]["pairing_seconds"].is_number() && pairings[0]["created_at"].is_string());

    let told: BTreeSet<_> = all.iter().filter_map(|one| one[0].as_str()).collect();
    let missing: Vec<_> = COUNTED.iter().filter(|name| !told.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    Ok(())
}

/// Proves: X9.
#[tokio::test]
async fn ids_of_rows_leave_a_run_as_events_and_in_no_report_and_no_log() -> Result<()> {
    let Evening { sessions, waited, idle, over, run, .. } = evening().await?;
    let silent = idle.created.text("/participant/id");
    for (event, key, id) in [
        ("session_expired_auto", "session_id", waited.session()),
        ("session_expired_auto", "session_id", idle.session()),
        ("session_deleted", "session_id", over.session()),
        ("participant_disconnected", "participant_id", silent),
    ] {
        let told = format!(
            "SELECT count(*) FROM core.analytics_events WHERE event_type = '{event}' AND event_data ->> '{key}' = '{id}'"
        );
        assert_eq!(sessions.database.scalar::<i64>(&told).await?, 1, "{event} {id}");
    }
    let ids = "SELECT array_agg(id::text) FROM (
                 SELECT session_id FROM core.sessions UNION SELECT participant_id FROM core.session_participants
                 UNION SELECT session_group_id FROM core.session_groups UNION SELECT session_id FROM core.session_archive
               ) AS rows (id)";
    let ids: Vec<String> = sessions.database.scalar(ids).await?;
    assert!(ids.len() > 12 && ids.iter().any(|id| id == over.session()), "{ids:?}");
    assert!(run.output.contains("delete-expired"), "it says something: {}", run.output);
    for id in &ids {
        let bare = id.replace('-', "");
        for said in [&run.output, &run.termination, &run.report.to_string()] {
            assert!(!said.contains(id.as_str()) && !said.contains(&bare), "{id} is in {said}");
        }
    }
    Ok(())
}
