//! Whether a code is right, and what comes of one that is not.

use serde_json::json;
use uuid::Uuid;

use super::Request;
use crate::code::Purpose;
use crate::db::join_codes::FoundCode;
use crate::db::rate_limits::{self, Limit, Reserved};
use crate::db::{Work, events, join_codes};
use crate::event::{Actor, Event, EventType};
use crate::problem::Problem;
use crate::session::{Session, Standing};
use crate::state::App;

/// Of one table within the life of a code: the twentieth wrong try burns what waits there.
const LIMIT: Limit = Limit { name: "table", tries: 20, seconds: 600.0 };

/// What a code is.
pub enum Verdict {
    /// It was right, and is used now.
    Right(Box<Session>),
    /// Wrong, used, or for another table.
    Wrong,
    /// It came too late.
    Expired,
}

/// What a code that was found is, before anything is changed.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Live,
    Elsewhere,
    Expired,
    Void,
}

/// Judges a code, and does what follows.
pub async fn judge(
    app: &App,
    work: &mut Work,
    request: &Request,
    actor: &Actor,
) -> Result<Verdict, Problem> {
    let found = join_codes::find(work.connection(), &app.code_keys.lookups(&request.code)).await?;
    // Done whether something was found or not, so that the time tells nothing.
    let is_proved = proves(app, request, found.as_ref());
    let Some(FoundCode { session, hash, .. }) = found else {
        return wrong(work, request, None, actor).await;
    };
    match finding(&session, request.table_token.as_deref(), work.now) {
        Finding::Live if is_proved => {
            let hash = hash.unwrap_or_default();
            match join_codes::use_up(work.connection(), session.id, &hash).await? {
                Some(session) => Ok(Verdict::Right(Box::new(session))),
                // Somebody was faster.
                None => wrong(work, request, None, actor).await,
            }
        }
        Finding::Live | Finding::Void => wrong(work, request, None, actor).await,
        Finding::Elsewhere => wrong(work, request, Some(&session), actor).await,
        Finding::Expired => expired(work, request, &session, actor).await,
    }
}

fn proves(app: &App, request: &Request, found: Option<&FoundCode>) -> bool {
    let nobody = Purpose { app: "", session: Uuid::nil() };
    let purpose = found.map_or(nobody, |FoundCode { session, .. }| Purpose {
        app: &session.app,
        session: session.id,
    });
    let key_id = found.and_then(|found| found.key_id.as_deref()).unwrap_or_default();
    let salt = found.and_then(|found| found.salt.as_deref()).unwrap_or(&[0; 16]);
    let hash = found.and_then(|found| found.hash.as_deref()).unwrap_or(&[0; 32]);
    app.code_keys.proves(&request.code, purpose, key_id, salt, hash)
}

fn finding(session: &Session, table_token: Option<&str>, now: jiff::Timestamp) -> Finding {
    let waits = session.dual_status.as_deref() == Some("waiting");
    if session.is_removed || session.standing(now) == Standing::Ended {
        return Finding::Void;
    }
    if table_token.is_some() && table_token != session.table_token.as_deref() {
        return if waits { Finding::Elsewhere } else { Finding::Void };
    }
    let in_time = session.code_expires_at.is_some_and(|at| now < at);
    if waits && in_time && session.standing(now) == Standing::Live {
        Finding::Live
    } else {
        Finding::Expired
    }
}

/// A wrong code costs the table, and a right one at the wrong table costs itself.
async fn wrong(
    work: &mut Work,
    request: &Request,
    misused: Option<&Session>,
    actor: &Actor,
) -> Result<Verdict, Problem> {
    let mut burned = Vec::new();
    if let Some(table_token) = request.table_token.as_deref() {
        let key = format!("{}:{table_token}", LIMIT.name);
        let is_last = match rate_limits::reserve(work.connection(), &key, LIMIT).await? {
            Reserved::Taken(taken) => taken.left == 0,
            Reserved::Denied(_) => true,
        };
        if is_last {
            burned = join_codes::waiting_at(work.connection(), table_token).await?;
            rate_limits::forget(work.connection(), &key).await?;
        }
    }
    if let Some(session) = misused
        && join_codes::count_misuse(work.connection(), session.id).await?
    {
        burned.push(session.clone());
    }
    let reason = if burned.is_empty() { "invalid_code" } else { "burned" };
    let app = misused.map(|session| session.app.as_str());
    let mut told = vec![Event::failed_code(request.table_token.as_deref(), app, reason)];
    let now = work.now;
    for session in &burned {
        join_codes::revoke(work.connection(), session.id).await?;
        // Of one whose time was over a trigger tells.
        if session.code_expires_at.is_some_and(|at| now < at) {
            let data = json!({"session_id": session.id.to_string(), "reason": "burned"});
            told.push(Event::of(session, EventType::JoinCodeExpired, data));
        }
    }
    events::tell(work.connection(), &told, actor).await?;
    Ok(Verdict::Wrong)
}

/// The first who notices does what cleanup would do, and tells of it; once. Of the code a trigger tells.
async fn expired(
    work: &mut Work,
    request: &Request,
    session: &Session,
    actor: &Actor,
) -> Result<Verdict, Problem> {
    let table_token = request.table_token.as_deref();
    let mut told = vec![Event::failed_code(table_token, Some(&session.app), "expired")];
    if let Some(session) = join_codes::expire(work.connection(), session.id).await? {
        let reason = json!({"sessionId": session.id.to_string(), "reason": "waiting_timeout"});
        told.push(Event::of(&session, EventType::SessionExpired, reason));
    }
    events::tell(work.connection(), &told, actor).await?;
    Ok(Verdict::Expired)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::session::tests::session;

    #[test]
    fn a_code_is_judged_by_its_session_its_table_and_the_time() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let noon = at("2026-01-01T12:00:00Z");
        let waiting = || Session {
            mode: "dual".to_owned(),
            dual_status: Some("waiting".to_owned()),
            table_token: Some("table_042".to_owned()),
            code_expires_at: Some(at("2026-01-01T12:00:01Z")),
            ..session()
        };
        let status = |word: &str| Some(word.to_owned());
        assert_eq!(finding(&waiting(), Some("table_042"), noon), Finding::Live);
        assert_eq!(finding(&waiting(), None, noon), Finding::Live);
        assert_eq!(finding(&waiting(), Some("table_043"), noon), Finding::Elsewhere);
        let late = Session { code_expires_at: Some(noon), ..waiting() };
        assert_eq!(finding(&late, None, noon), Finding::Expired);
        let swept = Session {
            dual_status: status("ended"),
            expires_at: noon,
            end_reason: status("waiting_timeout"),
            ..late
        };
        assert_eq!(finding(&swept, None, noon), Finding::Expired, "after cleanup too");
        assert_eq!(finding(&swept, Some("table_043"), noon), Finding::Void);
        let over = Session { expires_at: noon, ..waiting() };
        assert_eq!(finding(&over, None, noon), Finding::Expired);
        let removed = Session { is_removed: true, ..waiting() };
        assert_eq!(finding(&removed, None, noon), Finding::Void);
    }
}
