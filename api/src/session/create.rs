//! `POST /api/v1/sessions`: somebody begins a session and is its host.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer;
use crate::body::Fields;
use crate::client::{Client, Peer};
use crate::code::{Code, KeptCode, Purpose};
use crate::db::groups::{self, Group, Place};
use crate::db::idempotency_keys::{self, Key, Known};
use crate::db::participants::{self, Newcomer};
use crate::db::rate_limits::Limit;
use crate::db::sessions::{self, Draft};
use crate::db::{Work, events, join_codes};
use crate::event::{Actor, Event, EventType};
use crate::limit;
use crate::participant::Participant;
use crate::problem::{self, FieldProblem, Problem};
use crate::session::Session;
use crate::state::App;
use crate::token::{self, Token};

const PATH: &str = "/api/v1/sessions";
/// Of one client.
const LIMIT: Limit = Limit { name: "create-session", tries: 10, seconds: 60.0 };
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Codes that wait are few against a million: that so many in a row are taken does not happen.
const DRAWS: usize = 20;

const DAY_SECONDS: i32 = 24 * 60 * 60;

/// What is asked for.
#[derive(Debug)]
struct Request {
    app: &'static str,
    mode: &'static str,
    table_token: Option<String>,
    context: Option<String>,
    title: Option<String>,
    display_name: Option<String>,
    user_id: Option<String>,
    life_seconds: i32,
}

impl Request {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let app = fields.choice("app", &["table_talk", "tarot", "after_hours"]);
        let mode = fields.choice("mode", &["single", "dual"]);
        let request = Self {
            app: fields.required("app", app),
            mode: fields.required("mode", mode),
            table_token: fields.name("table_token", 64),
            context: fields.text("context", 64),
            title: fields.text("title", 120),
            display_name: fields.text("display_name", 40),
            user_id: fields.user("user_id"),
            life_seconds: fields.whole("ttl_s", 1..=DAY_SECONDS).unwrap_or(DAY_SECONDS),
        };
        fields.done()?;
        Ok(request)
    }
}

/// What was made.
struct Made {
    session: Session,
    group: Group,
    host: Participant,
    token: Token,
    code: Option<Code>,
}

/// `POST /api/v1/sessions`
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    let client = Client::find(peer, &headers, app.proxies);
    let client_key = client.key();
    let idempotency_key = idempotency_key(&headers)?;
    let digest = fields.digest();
    let request = Request::read(fields)?;

    // An answer that was given may be asked for again.
    if idempotency_key.is_none() {
        limit::guard(&app, LIMIT, &client_key)?;
    }
    let mut work = app.database.begin().await?;
    let key =
        idempotency_key.as_deref().map(|value| Key { client: &client_key, path: PATH, value });
    if let Some(key) = &key {
        match idempotency_keys::take(work.connection(), key).await? {
            Known::New => {}
            Known::Busy => return Err(Problem::new(problem::Code::IdempotencyKeyBusy)),
            Known::Answered(before, _) if before != digest => {
                return Err(Problem::new(problem::Code::IdempotencyKeyReused));
            }
            Known::Answered(_, body) => return Ok(answered(body, &work)),
        }
    }
    let taken = limit::take(&app, &mut work, LIMIT, &client_key).await?;
    let made = make(&app, &mut work, &request).await?;
    let actor = Actor::participant(made.host.id, client);
    events::tell(work.connection(), &told(&made, &request), &actor).await?;
    if let Some(key) = &key {
        let body = shown(&app, &made, &work, true);
        idempotency_keys::keep(work.connection(), key, &digest, &body).await?;
    }
    let answer = answered(shown(&app, &made, &work, false), &work);
    work.commit().await?;
    Ok(limit::with_left(answer, LIMIT, &taken))
}

/// The key of a request that may be sent again, where it has one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let is_key =
        |key: &&str| (1..=128).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    let key = value.to_str().ok().filter(is_key).map(|key| Some(key.to_owned()));
    key.ok_or_else(|| {
        let message = "must be 1 to 128 characters of ASCII without spaces".to_owned();
        Problem::new(problem::Code::ValidationFailed)
            .errors(vec![FieldProblem { field: "Idempotency-Key", message }])
    })
}

async fn make(app: &App, work: &mut Work, request: &Request) -> Result<Made, Problem> {
    let place = Place {
        app: request.app,
        table_token: request.table_token.as_deref(),
        context: request.context.as_deref(),
    };
    let group = groups::choose(work.connection(), &place).await?;
    let draft = Draft {
        id: Uuid::new_v4(),
        app: request.app,
        mode: request.mode,
        group: group.id,
        table_token: request.table_token.as_deref(),
        context: request.context.as_deref(),
        title: request.title.as_deref(),
        user_id: request.user_id.as_deref(),
        life: request.life_seconds,
    };
    let (session, code) = with_code(app, work, &draft).await?;
    let token = Token::draw(token::SESSION)?;
    let newcomer = Newcomer {
        role: "host",
        display_name: request.display_name.as_deref(),
        user_id: request.user_id.as_deref(),
        token_hash: token.hash(),
    };
    let host = participants::join(work.connection(), session.id, &newcomer).await?;
    let host = host.ok_or_else(|| Problem::new(problem::Code::SessionFull))?;
    // Its host has been counted meanwhile.
    let session = sessions::lock(work.connection(), session.id).await?.unwrap_or(session);
    Ok(Made { session, group, host, token, code })
}

/// Makes the session; a dual one with a code that nobody else waits with.
async fn with_code(
    app: &App,
    work: &mut Work,
    draft: &Draft<'_>,
) -> Result<(Session, Option<Code>), Problem> {
    if draft.mode == "single" {
        let made = sessions::create(work.connection(), draft, None).await?;
        return made.map(|session| (session, None)).ok_or_else(no_code);
    }
    for _ in 0..DRAWS {
        let (code, kept) = draw(app, Purpose { app: draft.app, session: draft.id })?;
        if join_codes::is_live(work.connection(), &app.code_keys.lookups(&code)).await? {
            continue;
        }
        if let Some(session) = sessions::create(work.connection(), draft, Some(&kept)).await? {
            return Ok((session, Some(code)));
        }
    }
    Err(no_code())
}

/// A new code, and what is kept of it.
pub fn draw(app: &App, purpose: Purpose<'_>) -> Result<(Code, KeptCode), getrandom::Error> {
    let code = Code::draw(|| {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map(|()| u32::from_ne_bytes(bytes))
    })?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    let kept = app.code_keys.keep(&code, purpose, salt);
    Ok((code, kept))
}

/// Too many that were drawn are taken.
pub fn no_code() -> Problem {
    Problem::overloaded().detail("There is no code that is free at the moment; try again.")
}

fn told(made: &Made, request: &Request) -> Vec<Event> {
    let Made { session, group, host, .. } = made;
    let group_id = group.id.to_string();
    let sat_down = match group.idle_minutes {
        None => Event::of(
            session,
            EventType::SessionGroupCreated,
            json!({
                "session_group_id": group_id,
                "table_token": request.table_token,
                "context": request.context,
            }),
        ),
        Some(minutes) => Event::of(
            session,
            EventType::SessionJoinedExistingGroup,
            json!({"session_group_id": group_id, "minutes_since_last_activity": minutes}),
        ),
    };
    let mut events = vec![
        sat_down,
        Event::of(session, EventType::SessionCreated, json!({"mode": session.mode})),
        joined(session, host),
    ];
    if made.code.is_some() {
        events.push(generated(session));
    }
    events
}

/// Somebody came in.
pub fn joined(session: &Session, participant: &Participant) -> Event {
    let data = json!({"participant_id": participant.id.to_string(), "role": participant.role});
    Event::of(session, EventType::ParticipantJoined, data)
}

/// A code was made; which one is told to nobody.
pub fn generated(session: &Session) -> Event {
    let expires_at = session.code_expires_at.map(|at| at.to_string());
    let data = json!({"session_id": session.id.to_string(), "expires_at": expires_at});
    Event::of(session, EventType::JoinCodeGenerated, data)
}

/// The body. Again it is shown without token and code, of which only hashes are kept.
fn shown(app: &App, made: &Made, work: &Work, again: bool) -> Value {
    let Made { session, group, host, token, code } = made;
    let secret = |shown: &str| if again { Value::Null } else { json!(shown) };
    let mut participant = host.shown(work.now, app.heartbeat);
    participant["token"] = secret(token.shown());
    let mut body = json!({
        "session": session.shown(work.now),
        "participant": participant,
        "group": {
            "id": group.id.to_string(),
            "deck_context_id": group.deck.map(|deck| deck.to_string()),
            "is_new": group.idle_minutes.is_none(),
        },
        "pairing": code.as_ref().map(|code| json!({
            "code": secret(code.shown()),
            "expires_at": session.code_expires_at.map(|at| at.to_string()),
        })),
    });
    if again {
        body["replayed"] = json!(true);
    }
    body
}

fn answered(body: Value, work: &Work) -> Response {
    let id = body["session"]["id"].as_str().unwrap_or_default();
    let location = HeaderValue::from_str(&format!("{PATH}/{id}"));
    let mut answer = answer::json(StatusCode::CREATED, body, work.now);
    if let Ok(location) = location {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Value) -> Result<Request, Problem> {
        Request::read(Fields::parse(body.to_string().as_bytes()).expect("an object"))
    }

    #[test]
    fn a_session_needs_app_and_mode_and_lives_for_a_day_at_the_most() {
        let request = read(&json!({"app": "tarot", "mode": "single"})).expect("enough");
        assert_eq!(request.life_seconds, DAY_SECONDS);
        assert!(read(&json!({"app": "tarot"})).is_err());
        for (field, value) in [
            ("ttl_s", json!(DAY_SECONDS + 1)),
            ("ttl_s", json!(0)),
            ("table_token", json!("a b")),
            ("context", json!("")),
            ("title", json!("x".repeat(121))),
            ("display_name", json!("x".repeat(41))),
            ("host", json!("me")),
        ] {
            let mut body = json!({"app": "tarot", "mode": "single"});
            body[field] = value;
            assert!(read(&body).is_err(), "{body}");
        }
    }

    #[test]
    fn an_idempotency_key_is_short_and_plain() {
        let key = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IDEMPOTENCY_KEY, value.parse().expect("a header"));
            idempotency_key(&headers)
        };
        assert_eq!(idempotency_key(&HeaderMap::new()).expect("none"), None);
        assert_eq!(key("k-1").expect("a key"), Some("k-1".to_owned()));
        assert!(key("").is_err() && key("a b").is_err() && key(&"x".repeat(129)).is_err());
    }
}
