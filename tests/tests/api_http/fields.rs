//! What each of those who ask is sent, member by member: a new one has to be added here, by somebody who has
//! asked who needs it.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tests::sessions::replica::{Answer, Phone};

use super::scene::{begin, join, scene};

const SESSION: &str = "app context created_at dual_status end_reason ended_at expires_at id last_activity_at mode participant_count session_group_id state table_token title";
const PARTICIPANT: &str = "display_name id joined_at presence ready role user_id";
const GROUP: &str =
    "app context created_at id last_activity_at participant_count session_count table_token";

/// Fails unless the object at this pointer has exactly these members.
fn has(answer: &Answer, pointer: &str, members: &str) -> Result<()> {
    let object = answer.body.pointer(pointer).and_then(Value::as_object);
    let object = object.with_context(|| format!("{pointer} in {}", answer.body))?;
    let found: BTreeSet<_> = object.keys().map(String::as_str).collect();
    assert_eq!(found, members.split(' ').collect(), "{pointer} in {}", answer.body);
    Ok(())
}

/// Proves: L15.
#[tokio::test]
async fn nobody_is_sent_more_than_they_need() -> Result<()> {
    let (_sessions, replica) = scene().await?;
    let body = json!({"app": "tarot", "mode": "single", "table_token": "t1", "title": "Cups"});
    let host = begin(&replica, body).await?;
    has(&host.created, "", "group pairing participant server_time session")?;
    has(&host.created, "/session", SESSION)?;
    has(&host.created, "/participant", &format!("{PARTICIPANT} token"))?;
    has(&host.created, "/group", "deck_context_id id is_new")?;

    let invited = host.send(&replica, Method::POST, "/invites", Value::Null).await?;
    has(&invited, "/invite", "expires_at id token")?;
    let link = format!("/api/v1/invites/{}", invited.text("/invite/token"));
    let shown = Phone::fresh().get(&replica, &link).await?;
    has(&shown, "", "expires_at server_time session")?;
    has(&shown, "/session", "app id participant_count title")?;

    let guest = join(&replica, &host).await?;
    let seen = guest.get(&replica, &host.path("")).await?;
    has(&seen, "", "group head participants server_time session")?;
    has(&seen, "/session", SESSION)?;
    has(&seen, "/participants/0", PARTICIPANT)?;
    has(&seen, "/group", "deck_context_id id")?;
    let beat = host.path("/participants/me/heartbeat");
    let beat = guest.send(&replica, Method::PUT, &beat, Value::Null).await?;
    assert_eq!(
        (beat.status, &beat.body),
        (204, &Value::Null),
        "a heartbeat is answered by nothing"
    );

    let own = guest.get(&replica, &format!("/api/v1/groups/{}", host.group())).await?;
    has(&own, "/group", &format!("{GROUP} deck_context_id"))?;
    let table = guest.get(&replica, "/api/v1/tables/t1/groups").await?;
    has(&table, "/groups/0", GROUP)?;
    let ended = host.send(&replica, Method::POST, "/end", Value::Null).await?;
    has(&ended, "", "server_time session")
}
