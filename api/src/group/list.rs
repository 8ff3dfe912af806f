//! `GET /api/v1/tables/{table_token}/groups`: whoever sits at a table sees who else does, newest first; of the
//! same app alone.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use crate::answer;
use crate::db::groups;
use crate::participant::{Access, Member};
use crate::problem::{Code, Problem};
use crate::query::Query;
use crate::state::App;

/// `GET /api/v1/tables/{table_token}/groups`
pub async fn list(
    State(app): State<Arc<App>>,
    table_token: Result<Path<String>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let page = query.page();
    query.done()?;
    let mut work = app.database.begin().await?;
    let member = Member::any(&mut work, &headers, Access::Read).await?;
    member.session.live(work.now, StatusCode::GONE)?;
    let elsewhere = || Problem::new(Code::NotAtTheTable);
    let Path(table_token) = table_token.map_err(|_| elsewhere())?;
    // Told of every other table, whether anybody sits there or not.
    if member.session.table_token.as_ref() != Some(&table_token) {
        return Err(elsewhere());
    }
    let mut groups =
        groups::list(work.connection(), &member.session.app, &table_token, &page).await?;
    let next = page.cut(&mut groups, |group| (group.created_at, group.id));
    let shown: Vec<Value> = groups.iter().map(super::Group::shown).collect();
    Ok(answer::json(StatusCode::OK, json!({"groups": shown, "next": next}), work.now))
}
