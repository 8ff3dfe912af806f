//! `DELETE /api/v1/sessions/{id}`: its host ends a session and lets nobody see it any more. The row is
//! removed by a policy, and archived by that.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};

use crate::client::{Client, Peer};
use crate::db::sessions;
use crate::participant::{Access, Member};
use crate::problem::Problem;
use crate::session::{SessionId, Standing, end};
use crate::state::App;

/// `DELETE /api/v1/sessions/{id}`
pub async fn remove(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    SessionId(id): SessionId,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let mut work = app.database.begin().await?;
    let member = Member::find(&mut work, &headers, id, Access::Change).await?;
    member.host()?;
    if member.session.standing(work.now) == Standing::Live {
        let actor = member.actor(Client::find(peer, &headers, app.proxies));
        sessions::touch(work.connection(), id).await?;
        end::over(&app, &mut work, &member.session, &actor).await?;
    }
    sessions::remove(work.connection(), id).await?;
    work.commit().await?;
    app.presence.forget_session(id);
    Ok(StatusCode::NO_CONTENT)
}
