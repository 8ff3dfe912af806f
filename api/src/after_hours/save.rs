//! `POST /api/v1/after-hours/matches/{id}/save`: one of the two keeps a match beyond its session. Again it is the
//! same.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use uuid::Uuid;

use crate::after_hours::{MatchId, Person};
use crate::answer;
use crate::client::{Client, Peer};
use crate::db::{after_hours, events, sessions};
use crate::event::{Event, EventType};
use crate::participant::Access;
use crate::problem::Problem;
use crate::state::App;

/// `POST /api/v1/after-hours/matches/{id}/save`
pub async fn save(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    MatchId(id): MatchId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut work = app.database.begin().await?;
    let person = Person::any(&mut work, &headers, Access::Change).await?;
    // The session is locked, and so is nobody saving it at the same time.
    let mut found = person.their_match(&mut work, id?).await?;
    if found.saved_as.is_none() {
        found = after_hours::save(work.connection(), found.id, Uuid::new_v4()).await?;
        sessions::touch(work.connection(), found.session).await?;
        let data = json!({
            "match_id": found.id.to_string(),
            "converted_to_match_id": found.saved_as.map(|id| id.to_string()),
        });
        let event = Event::of(&person.member.session, EventType::MatchSaved, data);
        let actor = person.member.actor(Client::find(peer, &headers, app.proxies));
        events::tell(work.connection(), &[event], &actor).await?;
    }
    let answer = answer::json(StatusCode::OK, json!({"match": found.shown()}), work.now);
    work.commit().await?;
    Ok(answer)
}
