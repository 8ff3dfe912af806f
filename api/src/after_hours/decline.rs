//! `POST /api/v1/after-hours/declines`: somebody does not want to meet another one again in this session.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::after_hours::Person;
use crate::answer;
use crate::body::Fields;
use crate::client::{Client, Peer};
use crate::db::rate_limits::Limit;
use crate::db::{after_hours, events, sessions};
use crate::event::{Event, EventType};
use crate::limit;
use crate::problem::{Code, FieldProblem, Problem};
use crate::state::App;

/// Of one participant.
const LIMIT: Limit = Limit { name: "decline", tries: 20, seconds: 10.0 };

/// `POST /api/v1/after-hours/declines`
pub async fn decline(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let session = fields.id("session_id");
    let session = fields.required("session_id", session);
    let declined = fields.user("declined_user_id");
    let declined = fields.required("declined_user_id", declined);
    fields.done()?;
    let mut work = app.database.begin().await?;
    let person = Person::find(&mut work, &headers, session).await?;
    if declined == person.user_id {
        let message = "must be somebody else".to_owned();
        return Err(Problem::new(Code::ValidationFailed)
            .errors(vec![FieldProblem { field: "declined_user_id", message }]));
    }
    let taken = limit::take(&app, &mut work, LIMIT, &person.key()).await?;
    let id = after_hours::decline(work.connection(), session, &person.user_id, &declined).await?;
    sessions::touch(work.connection(), session).await?;
    let data = json!({"decline_id": id.to_string()});
    let event = Event::of(&person.member.session, EventType::MatchDeclined, data);
    let actor = person.member.actor(Client::find(peer, &headers, app.proxies));
    events::tell(work.connection(), &[event], &actor).await?;
    let body = json!({"decline": {
        "id": id.to_string(),
        "session_id": session.to_string(),
        "user_id": person.user_id,
        "declined_user_id": declined,
    }});
    let answer = answer::json(StatusCode::CREATED, body, work.now);
    work.commit().await?;
    Ok(limit::with_left(answer, LIMIT, &taken))
}
