//! `POST` and `GET /api/v1/after-hours/matches/{id}/messages`: what two who match write to each other, while
//! their session lasts. It is kept for 30 days after that, for moderation, and shown to nobody here.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use crate::after_hours::{MatchId, Message, Person};
use crate::answer;
use crate::body::Fields;
use crate::client::{Client, Peer};
use crate::db::rate_limits::Limit;
use crate::db::{after_hours, events, sessions};
use crate::event::{Event, EventType};
use crate::limit;
use crate::participant::Access;
use crate::problem::Problem;
use crate::query::Query;
use crate::state::App;

/// Of one participant.
const LIMIT: Limit = Limit { name: "message", tries: 20, seconds: 10.0 };
const LONGEST: usize = 2000;

/// `POST /api/v1/after-hours/matches/{id}/messages`
pub async fn post(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    MatchId(id): MatchId,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let message = format!("must be 1 to {LONGEST} characters");
    let text = fields.formed("body", is_message, &message);
    let text = fields.required("body", text);
    fields.done()?;
    let mut work = app.database.begin().await?;
    let person = Person::any(&mut work, &headers, Access::Change).await?;
    let found = person.their_match(&mut work, id?).await?;
    let taken = limit::take(&app, &mut work, LIMIT, &person.key()).await?;
    let message = after_hours::write(work.connection(), found.id, &person.user_id, &text).await?;
    sessions::touch(work.connection(), found.session).await?;
    let data = json!({
        "match_id": found.id.to_string(),
        "message_id": message.id.to_string(),
        "sender_id": person.user_id,
    });
    let event = Event::of(&person.member.session, EventType::MessagePosted, data);
    let actor = person.member.actor(Client::find(peer, &headers, app.proxies));
    events::tell(work.connection(), &[event], &actor).await?;
    let body = json!({"message": message.shown()});
    let answer = answer::json(StatusCode::CREATED, body, work.now);
    work.commit().await?;
    Ok(limit::with_left(answer, LIMIT, &taken))
}

/// `GET /api/v1/after-hours/matches/{id}/messages`
pub async fn list(
    State(app): State<Arc<App>>,
    MatchId(id): MatchId,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let page = query.page();
    query.done()?;
    let mut work = app.database.begin().await?;
    let person = Person::any(&mut work, &headers, Access::Read).await?;
    let found = person.their_match(&mut work, id?).await?;
    let mut messages = after_hours::messages(work.connection(), found.id, &page).await?;
    let next = page.cut(&mut messages, |message| (message.sent_at, message.id));
    let shown: Vec<Value> = messages.iter().map(Message::shown).collect();
    Ok(answer::json(StatusCode::OK, json!({"messages": shown, "next": next}), work.now))
}

/// Lines of text.
fn is_message(text: &str) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= LONGEST
        && !text.chars().any(|c| c.is_control() && c != '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_lines_and_nothing_that_steers_a_terminal() {
        assert!(is_message("hi\nthere") && is_message(&"ä".repeat(LONGEST)));
        for wrong in ["", " \n", "a\u{0}", "a\u{1b}[2J", &"a".repeat(LONGEST + 1)] {
            assert!(!is_message(wrong), "{wrong:?}");
        }
    }
}
