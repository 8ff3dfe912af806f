//! Those who run the service: they bear a key of their own, which opens no session, as no token of a
//! participant opens what is theirs.

pub mod broadcast;
pub mod disconnect;
pub mod end;
pub mod health;
mod keys;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use uuid::Uuid;

use crate::db::{Work, sessions};
use crate::problem::{Code, Problem};
use crate::session::Session;
use crate::state::App;

pub use keys::{AdminKeys, AdminKeysProblem};

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Figures, bills and the audit log.
    Read,
    /// That, and what is done to sessions.
    Operate,
}

/// Somebody who may read.
pub struct Reader;

/// Somebody who may act, by the id of their key.
pub struct Operator(pub String);

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        app.admin_keys.find(&parts.headers).map(|_| Self)
    }
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let (id, scope) = app.admin_keys.find(&parts.headers)?;
        match scope {
            Scope::Operate => Ok(Self(id.to_owned())),
            Scope::Read => Err(Problem::new(Code::ScopeInsufficient)),
        }
    }
}

/// A session, locked.
async fn session(work: &mut Work, id: Uuid) -> Result<Session, Problem> {
    let session = sessions::lock(work.connection(), id).await?;
    session.ok_or_else(|| Problem::new(Code::SessionNotFound))
}
