//! `POST /api/v1/after-hours/fingerprints`: a device is seen in a session. Only a hash of what tells it from
//! others is kept.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::after_hours::Person;
use crate::answer;
use crate::body::Fields;
use crate::client::{Client, Peer};
use crate::db::rate_limits::Limit;
use crate::db::{after_hours, events};
use crate::event::{Event, EventType};
use crate::limit;
use crate::problem::Problem;
use crate::state::App;

/// Of one participant.
const LIMIT: Limit = Limit { name: "fingerprint", tries: 10, seconds: 60.0 };

/// `POST /api/v1/after-hours/fingerprints`
pub async fn fingerprint(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let session = fields.id("session_id");
    let session = fields.required("session_id", session);
    let fingerprint = fields.text("fingerprint", 512);
    let fingerprint = fields.required("fingerprint", fingerprint);
    fields.done()?;
    let mut work = app.database.begin().await?;
    let person = Person::find(&mut work, &headers, session).await?;
    let taken = limit::take(&app, &mut work, LIMIT, &person.key()).await?;
    let hash = Sha256::digest(format!("after-hours fingerprint\u{1f}{fingerprint}"));
    let id = after_hours::see_device(work.connection(), session, hash.as_slice()).await?;
    let data = json!({"fingerprint_id": id.to_string()});
    let event = Event::of(&person.member.session, EventType::DeviceSeen, data);
    let actor = person.member.actor(Client::find(peer, &headers, app.proxies));
    events::tell(work.connection(), &[event], &actor).await?;
    let body = json!({"fingerprint": {"id": id.to_string(), "session_id": session.to_string()}});
    let answer = answer::json(StatusCode::CREATED, body, work.now);
    work.commit().await?;
    Ok(limit::with_left(answer, LIMIT, &taken))
}
