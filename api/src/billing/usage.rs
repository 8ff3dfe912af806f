//! `GET /api/v1/billing/usage`: each session that ended in a period, or what they come to by user, app or day.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::Period;
use crate::admin::Reader;
use crate::analytics::APPS;
use crate::answer;
use crate::db::billing::{self, Filter};
use crate::problem::Problem;
use crate::query::{Page, Query};
use crate::state::App;

const GROUPS: &[&str] = &["user_id", "app", "day"];

/// `GET /api/v1/billing/usage`
pub async fn usage(
    State(app): State<Arc<App>>,
    _: Reader,
    mut query: Query,
) -> Result<Response, Problem> {
    let (from, to) = (query.time("from"), query.time("to"));
    let from = query.fields().required("from", from);
    let to = query.fields().required("to", to);
    let user = query.fields().user("user_id");
    let of_app = query.fields().choice("app", APPS);
    let group_by = query.fields().choice("group_by", GROUPS);
    let (page, after) = if group_by.is_none() {
        (query.page(), None)
    } else {
        let limit = query.limit();
        // What apps write by SQL is as long as the index takes.
        let is_key = |text: &str| text.len() <= 2_704;
        let after = query.fields().formed("cursor", is_key, "must be what an answer gave as next");
        (Page { limit, after: None }, after)
    };
    query.done()?;
    let filter = Filter { period: Period::of(from, to)?, user: user.as_deref(), app: of_app };
    let mut work = app.database.begin_long().await?;
    let body = if let Some(group_by) = group_by {
        let mut rows =
            billing::grouped(work.connection(), &filter, group_by, after.as_deref(), page.read())
                .await?;
        let has_more = rows.len() > usize::try_from(page.limit).unwrap_or(usize::MAX);
        if has_more {
            rows.pop();
        }
        let next = rows.last().filter(|_| has_more).map(|row| row[group_by].clone());
        // A user whose sessions were all taken back still has a place on the page.
        rows.retain(|row| row["sessions"] != 0);
        json!({"usage": rows, "next": next})
    } else {
        let mut rows = billing::sessions(work.connection(), &filter, &page).await?;
        let next = page.cut(&mut rows, |row| (row.ended_at, row.session));
        let shown: Vec<Value> = rows.into_iter().map(|row| row.shown).collect();
        json!({"usage": shown, "next": next})
    };
    Ok(answer::json(StatusCode::OK, body, work.now))
}
