//! `PATCH /api/v1/sessions/{id}`: its host gives it another title or more time.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use crate::body::{Fields, Replacement};
use crate::client::{Client, Peer};
use crate::db::events;
use crate::db::sessions::{self, Change};
use crate::event::{Event, EventType};
use crate::participant::{Access, Member};
use crate::problem::{Code, Problem};
use crate::session::show::{snapshot, with_etag};
use crate::session::{SessionId, matches};
use crate::state::App;

/// More time than a day from its beginning is none: the database cuts it.
fn read(mut fields: Fields) -> Result<Change, Problem> {
    let change = Change {
        title: fields.replacement("title", 120),
        extend: fields.whole("extend_s", 1..=i32::MAX).unwrap_or_default(),
    };
    fields.done()?;
    Ok(change)
}

/// `PATCH /api/v1/sessions/{id}`
pub async fn change(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    let change = read(fields)?;
    let mut work = app.database.begin().await?;
    let member = Member::find(&mut work, &headers, id, Access::Change).await?;
    member.host()?;
    member.session.live(work.now, StatusCode::CONFLICT)?;
    if !headers.contains_key(header::IF_MATCH) {
        return Err(Problem::new(Code::PreconditionRequired));
    }
    if !matches(&headers, &member.session) {
        return Err(Problem::new(Code::PreconditionFailed));
    }
    let session = sessions::change(work.connection(), id, &change).await?;
    let data = json!({
        "title_changed": change.title != Replacement::Unchanged,
        "expires_at": session.expires_at.to_string(),
    });
    let event = Event::of(&session, EventType::SessionChanged, data);
    let actor = member.actor(Client::find(peer, &headers, app.proxies));
    events::tell(work.connection(), &[event], &actor).await?;
    let body = snapshot(&mut work, &session, app.heartbeat).await?;
    let answer = with_etag(body, &session, &work);
    work.commit().await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_can_be_changed_and_taken_away_and_time_is_only_added() {
        let fields = |text: &str| Fields::parse(text.as_bytes()).expect("an object");
        let nothing = Change { title: Replacement::Unchanged, extend: 0 };
        assert_eq!(read(fields("{}")).expect("nothing"), nothing);
        let gone = read(fields(r#"{"title": null}"#)).expect("no title");
        assert_eq!(gone, Change { title: Replacement::Nothing, ..nothing });
        let more = read(fields(r#"{"extend_s": 600}"#)).expect("more time");
        assert_eq!(more.extend, 600);
        assert!(read(fields(r#"{"extend_s": -1}"#)).is_err());
    }
}
