//! `POST /api/v1/after-hours/matches`: two who are in one session like each other. One of them says so, or the
//! host of the session.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use uuid::Uuid;

use crate::after_hours::Person;
use crate::answer;
use crate::body::Fields;
use crate::client::{Client, Peer};
use crate::db::{after_hours, events, participants, sessions};
use crate::event::{Event, EventType};
use crate::problem::{Code, FieldProblem, Problem};
use crate::state::App;

/// What is asked for.
#[derive(Debug)]
struct Request {
    session: Uuid,
    users: [String; 2],
}

impl Request {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let session = fields.id("session_id");
        let session = fields.required("session_id", session);
        let users = fields.users("user_ids");
        let users = fields.required("user_ids", users);
        fields.done()?;
        <[String; 2]>::try_from(users).ok().filter(|[a, b]| a != b).map_or_else(
            || {
                let message = "must be two of them, who are not the same".to_owned();
                Err(Problem::new(Code::ValidationFailed)
                    .errors(vec![FieldProblem { field: "user_ids", message }]))
            },
            |users| Ok(Self { session, users }),
        )
    }
}

/// `POST /api/v1/after-hours/matches`
pub async fn make(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    let Request { session, users } = Request::read(fields)?;
    let mut work = app.database.begin().await?;
    let person = Person::find(&mut work, &headers, session).await?;
    let is_theirs = users.contains(&person.user_id);
    if !is_theirs {
        person.member.host()?;
    }
    for user in &users {
        if !participants::find_user(work.connection(), session, user).await? {
            return Err(Problem::new(Code::UserAbsent));
        }
    }
    // The session is locked: whoever comes second sees what the first has made.
    if after_hours::has_declined(work.connection(), session, &users).await? {
        return Err(Problem::new(Code::UserDeclined));
    }
    if after_hours::has_match(work.connection(), session, &users).await? {
        return Err(Problem::new(Code::AlreadyMatched));
    }
    let made = after_hours::make_match(work.connection(), session, &users).await?;
    sessions::touch(work.connection(), session).await?;
    let data = json!({"match_id": made.id.to_string()});
    let event = Event::of(&person.member.session, EventType::MatchMade, data);
    let actor = person.member.actor(Client::find(peer, &headers, app.proxies));
    events::tell(work.connection(), &[event], &actor).await?;
    let body = json!({"match": made.shown()});
    let answer = answer::json(StatusCode::CREATED, body, work.now);
    work.commit().await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_is_of_two_who_are_not_the_same() {
        let read = |users: &str| {
            let body = format!(r#"{{"session_id": "{}", "user_ids": {users}}}"#, Uuid::nil());
            Request::read(Fields::parse(body.as_bytes()).expect("an object"))
        };
        assert_eq!(read(r#"["a", "b"]"#).expect("right").users, ["a", "b"]);
        for wrong in [
            "null",
            "[]",
            r#""a""#,
            r#"["a"]"#,
            r#"["a", "a"]"#,
            r#"["a", "b", "c"]"#,
            r#"["a", 1]"#,
            r#"["a", ""]"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
