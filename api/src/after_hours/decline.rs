//! `POST /api/v1/after-hours/declines`: somebody does not want to meet another one again in this session.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::after_hours::Person;
use crate::answer;
use crate::body::Fields;
use crate::db::rate_limits::Limit;
use crate::db::{after_hours, sessions};
use crate::problem::{Code, FieldProblem, Problem};
use crate::state::App;

/// Of one participant.
const LIMIT: Limit = Limit { name: "decline", tries: 20, seconds: 10.0 };

/// `POST /api/v1/after-hours/declines`
pub async fn decline(
    State(app): State<Arc<App>>,
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
    person.limit(&mut work, LIMIT).await?;
    let id = after_hours::decline(work.connection(), session, &person.user_id, &declined).await?;
    sessions::touch(work.connection(), session).await?;
    let body = json!({"decline": {
        "id": id.to_string(),
        "session_id": session.to_string(),
        "user_id": person.user_id,
        "declined_user_id": declined,
    }});
    let answer = answer::json(StatusCode::CREATED, body, work.now);
    work.commit().await?;
    Ok(answer)
}
