//! Groups: who shares a deck, and who does not.

use anyhow::Result;
use serde_json::json;

use super::scene::{age, begin, join, scene, told};

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

#[tokio::test]
async fn a_group_is_shown_to_those_in_it_and_a_table_to_those_who_sit_there() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let body = |app: &str, table: &str, context: &str| json!({"app": app, "mode": "single", "table_token": table, "context": context});
    let host = begin(&replica, body("table_talk", "t1", "a")).await?;
    let guest = join(&replica, &host).await?;
    let path = format!("/api/v1/groups/{}", host.group());
    let shown = guest.get(&replica, &path).await?;
    assert_eq!(shown.status, 200, "{}", shown.body);
    assert_eq!(shown.body["group"]["participant_count"], 2);
    assert_eq!(shown.text("/group/deck_context_id"), host.created.text("/group/deck_context_id"));
    assert_eq!(shown.text("/head"), "1:2");

    let mut groups = vec![host.group().to_owned()];
    for context in ["b", "c", "d"] {
        groups.push(begin(&replica, body("table_talk", "t1", context)).await?.group().to_owned());
    }
    let elsewhere = begin(&replica, body("table_talk", "t2", "a")).await?;
    let of_another_app = begin(&replica, body("tarot", "t1", "a")).await?;
    for stranger in [&elsewhere, &of_another_app] {
        let refused = stranger.phone.get(&replica, &path).await?;
        assert_eq!(refused.problem(), (404, "group_not_found"));
    }
    let table = "/api/v1/tables/t1/groups";
    let refused = elsewhere.phone.get(&replica, table).await?;
    assert_eq!(refused.problem(), (403, "not_at_the_table"));

    let mut seen = Vec::new();
    let mut next = Some(String::new());
    while let Some(cursor) = next {
        let page = guest.get(&replica, &format!("{table}?limit=2{cursor}")).await?;
        assert_eq!(page.status, 200, "{}", page.body);
        let rows = page.body["groups"].as_array().expect("a list").clone();
        assert!((1..=2).contains(&rows.len()), "{}", page.body);
        assert_eq!(rows[0].get("deck_context_id"), None, "a deck is of its group alone");
        seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap_or_default().to_owned()));
        next = page.body["next"].as_str().map(|cursor| format!("&cursor={cursor}"));
    }
    groups.reverse();
    assert_eq!(seen, groups, "newest first, each once, and none of another app or table");
    for wrong in ["limit=0", "cursor=x", "who=1", "limit=1&limit=2"] {
        let answer = guest.get(&replica, &format!("{table}?{wrong}")).await?;
        assert_eq!(answer.problem(), (422, "validation_failed"), "{wrong}");
    }
    age(&sessions, host.session(), "expires_at = now()").await?;
    let over = guest.get(&replica, &path).await?;
    assert_eq!(over.problem(), (410, "session_expired"));
    let rest = of_another_app.phone.get(&replica, table).await?;
    assert_eq!(rest.body["groups"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn a_session_is_of_the_app_of_its_group() -> Result<()> {
    let (sessions, replica) = scene().await?;
    let host = begin(&replica, json!({"app": "tarot", "mode": "single"})).await?;
    let foreign = format!(
        "INSERT INTO core.sessions (app, session_group_id) VALUES ('table_talk', '{}')",
        host.group()
    );
    let refused = sessions.database.execute(&foreign).await.expect_err("another app");
    assert!(format!("{refused:#}").contains("foreign key"), "{refused:#}");
    Ok(())
}
