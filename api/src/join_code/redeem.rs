//! `POST /api/v1/join-codes/redeem`: somebody types a code, and is in.
//!
//! A try is taken before the code is looked at, and given back when it was right. A code that was never
//! there, was used, or is for another table is told from none of the others.

mod judge;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use self::judge::{Verdict, judge};
use crate::answer;
use crate::body::Fields;
use crate::client::{Client, Peer};
use crate::code::Code;
use crate::db::participants::{self, Newcomer};
use crate::db::rate_limits::{self, Limit, Reserved, Try};
use crate::db::{Work, events, join_codes, sessions};
use crate::event::{Actor, Event, EventType};
use crate::limit::{self, left_of, with_left};
use crate::metrics::CodeTry;
use crate::participant::join::{Guest, own_name};
use crate::problem::{self, FieldProblem, Problem};
use crate::session::Session;
use crate::session::create::joined;
use crate::state::App;
use crate::token::{self, Token};

/// Of one client, over all replicas.
const LIMIT: Limit = Limit { name: "join-code", tries: 5, seconds: 60.0 };
/// Of everybody within a minute: after that a guess has to name the table.
const MOST_WRONG: i64 = 300;
/// Codes of everybody that wait: a guess at any of them is right once in 500 times then, and has to name the table.
const MOST_LIVE: i64 = 2_000;

/// What is asked for.
struct Request {
    code: Code,
    table_token: Option<String>,
    guest: Guest,
}

impl Request {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let code = fields.formed("code", Code::is_code, Code::FORM);
        let request = Self {
            code: Code::typed(fields.required("code", code)),
            table_token: fields.name("table_token", 64),
            guest: Guest::read(&mut fields),
        };
        fields.done()?;
        Ok(request)
    }
}

/// `POST /api/v1/join-codes/redeem`
pub async fn redeem(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    let request = Request::read(fields)?;
    let client = Client::find(peer, &headers, app.proxies);
    let actor = Actor::nobody(client);
    let (mut work, key, taken) = take_try(&app, &request, &client.key(), &actor).await?;

    let verdict = judge(&app, &mut work, &request, &actor).await?;
    let (what, code) = match verdict {
        Verdict::Right(session) => {
            rate_limits::give_back(work.connection(), &key, taken.at).await?;
            let answer = welcome(&app, &mut work, *session, &request, &headers, client).await?;
            work.commit().await?;
            app.metrics.tried(CodeTry::Paired);
            return Ok(with_left(answer, LIMIT, &Try { left: taken.left + 1, ..taken }));
        }
        Verdict::Wrong => (CodeTry::Invalid, problem::Code::JoinCodeInvalid),
        Verdict::Expired => (CodeTry::Expired, problem::Code::JoinCodeExpired),
    };
    // What was found out about the code lasts, and so does the try.
    work.commit().await?;
    app.metrics.tried(what);
    Err(left_of(Problem::new(code), LIMIT, &taken))
}

/// Takes a try, for good: in a transaction of its own, so that no other waits for what comes of it.
async fn take_try(
    app: &App,
    request: &Request,
    whose: &str,
    actor: &Actor,
) -> Result<(Work, String, Try), Problem> {
    limit::guard(app, LIMIT, whose).inspect_err(|_| app.metrics.tried(CodeTry::Limited))?;
    let key = limit::key(LIMIT, whose);
    let mut work = app.database.begin().await?;
    demand_table(&mut work, request).await?;
    let reserved = rate_limits::reserve(work.connection(), &key, LIMIT).await?;
    match reserved {
        Reserved::Taken(taken) => Ok((app.database.commit_and_begin(work).await?, key, taken)),
        Reserved::Denied(wait) => {
            app.metrics.tried(CodeTry::Limited);
            if app.blocked.block(key, wait, Instant::now()) {
                let table_token = request.table_token.as_deref();
                let event = Event::failed_code(table_token, None, "rate_limited");
                events::tell(work.connection(), &[event], actor).await?;
                work.commit().await?;
            }
            Err(limit::denied(app, LIMIT, wait))
        }
    }
}

/// While many codes are guessed, or wait, one that may be for any table finds somebody too soon.
async fn demand_table(work: &mut Work, request: &Request) -> Result<(), Problem> {
    if request.table_token.is_some()
        || !join_codes::is_crowded(work.connection(), MOST_WRONG, MOST_LIVE).await?
    {
        return Ok(());
    }
    let message = "must be given while so many codes wait, or wrong ones are tried".to_owned();
    Err(Problem::new(problem::Code::ValidationFailed)
        .errors(vec![FieldProblem { field: "table_token", message }]))
}

/// The second phone is there.
async fn welcome(
    app: &App,
    work: &mut Work,
    session: Session,
    request: &Request,
    headers: &HeaderMap,
    client: Client,
) -> Result<Response, Problem> {
    own_name(work, &session, &request.guest, headers).await?;
    let token = Token::draw(token::SESSION)?;
    let newcomer = Newcomer {
        role: "guest",
        display_name: request.guest.display_name.as_deref(),
        user_id: request.guest.user_id.as_deref(),
        token_hash: token.hash(),
    };
    let guest = participants::join(work.connection(), session.id, &newcomer).await?;
    let guest = guest.ok_or_else(|| Problem::new(problem::Code::SessionFull))?;
    let id = session.id.to_string();
    let seconds = work.now.duration_since(session.created_at).as_secs_f64();
    let told = [
        Event::of(&session, EventType::JoinCodeUsed, json!({"session_id": id, "success": true})),
        Event::of(
            &session,
            EventType::DualPhonePaired,
            json!({
                "session_id": id,
                // A statement of the requirements casts this to a timestamp without a zone.
                "created_at": session.created_at.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string(),
                "pairing_seconds": seconds,
            }),
        ),
        joined(&session, &guest),
    ];
    let actor = Actor::participant(guest.id, client);
    events::tell(work.connection(), &told, &actor).await?;
    // Its guest has been counted meanwhile.
    let session = sessions::lock(work.connection(), session.id).await?.unwrap_or(session);
    let body = json!({
        "session": session.shown(work.now),
        "participant": guest.shown(work.now, app.heartbeat),
        "token": token.shown(),
    });
    Ok(answer::json(StatusCode::OK, body, work.now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_a_code_of_six_digits() {
        let read = |text: &str| Request::read(Fields::parse(text.as_bytes()).expect("an object"));
        let right = read(r#"{"code": "493817", "table_token": "table_042"}"#).expect("right");
        assert_eq!(right.table_token.as_deref(), Some("table_042"));
        for wrong in [
            "{}",
            r#"{"code": 493817}"#,
            r#"{"code": "49381"}"#,
            r#"{"code": "493817", "session": "x"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
