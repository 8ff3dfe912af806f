//! Groups: who shares a deck, and who does not.

use anyhow::Result;
use serde_json::json;

use super::scene::{age, begin, scene, told};

/// Proves: G32, X4.
#[tokio::test]
async fn parties_at_a_table_that_are_twenty_minutes_apart_have_groups_and_decks_of_their_own()
-> Result<()> {
    let (sessions, replica) = scene().await?;
    let body = json!({"app": "table_talk", "mode": "single", "table_token": "table_042", "context": "Exploring"});
    let first = begin(&replica, body.clone()).await?;
    assert_eq!(first.created.body["group"]["is_new"], true);

    age(&sessions, first.session(), "last_activity_at = now() - interval '14 minutes'").await?;
    let friend = begin(&replica, body.clone()).await?;
    assert_eq!(friend.group(), first.group());
    assert_eq!(
        friend.created.body["group"],
        json!({
            "id": first.group(),
            "deck_context_id": first.created.body["group"]["deck_context_id"],
            "is_new": false,
        })
    );
    let [_, analytics, _] = told(&sessions, friend.session()).await?;
    assert_eq!(analytics, ["session_joined_existing_group"]);
    let minutes = "SELECT (event_data ->> 'minutes_since_last_activity')::float8 FROM core.analytics_events WHERE event_type = 'session_joined_existing_group'";
    let minutes: f64 = sessions.database.scalar(minutes).await?;
    assert!((14.0..15.0).contains(&minutes), "{minutes}");

    for session in [first.session(), friend.session()] {
        age(&sessions, session, "last_activity_at = now() - interval '20 minutes'").await?;
    }
    let second = begin(&replica, body.clone()).await?;
    assert_ne!(second.group(), first.group());
    let decks = format!(
        "SELECT count(DISTINCT deck_context_id) FROM core.deck_sessions WHERE session_group_id IN ('{}', '{}')",
        first.group(),
        second.group()
    );
    assert_eq!(sessions.database.scalar::<i64>(&decks).await?, 2);
    Ok(())
}

#[tokio::test]
async fn app_table_and_context_each_make_a_group_and_an_end_closes_one() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let body = |app: &str, table: Option<&str>, context: Option<&str>| json!({"app": app, "mode": "single", "table_token": table, "context": context});
    let mut groups = std::collections::BTreeSet::new();
    for body in [
        body("table_talk", Some("t1"), Some("a")),
        body("table_talk", Some("t1"), None),
        body("table_talk", Some("t2"), Some("a")),
        body("tarot", Some("t1"), Some("a")),
        body("table_talk", None, Some("a")),
        body("table_talk", None, Some("a")),
    ] {
        groups.insert(begin(&replica, body).await?.group().to_owned());
    }
    assert_eq!(groups.len(), 6, "and without a table everybody is alone");

    let over = begin(&replica, body("table_talk", Some("t3"), None)).await?;
    over.send(&replica, reqwest::Method::POST, "/end", serde_json::Value::Null).await?;
    let next = begin(&replica, body("table_talk", Some("t3"), None)).await?;
    assert_ne!(next.group(), over.group(), "whoever sits down after an end is another party");
    Ok(())
}

#[tokio::test]
async fn events_of_a_group_are_numbered_without_a_gap() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let body = json!({"app": "table_talk", "mode": "dual", "table_token": "table_042"});
    let parties = (0..8).map(|_| begin(&replica, body.clone()));
    let parties =
        futures::future::join_all(parties).await.into_iter().collect::<Result<Vec<_>>>()?;
    let group = parties[0].group();
    assert!(parties.iter().all(|party| party.group() == group), "they sat down at once");
    let numbers = format!(
        "SELECT array_agg(seq ORDER BY seq) FROM core.session_events WHERE session_group_id = '{group}'"
    );
    assert_eq!(sessions.database.scalar::<Vec<i64>>(&numbers).await?, (1..=8).collect::<Vec<_>>());
    Ok(())
}
