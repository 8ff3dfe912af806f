//! `GET /api/v1/analytics/tables`: the groups and sessions of each table today (UTC), the busiest first.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::admin::Reader;
use crate::answer;
use crate::db::analytics;
use crate::problem::Problem;
use crate::query::{Place, Query, whole};
use crate::state::App;

/// A table of today. The one with more groups goes before another, then that with more sessions, then by name, and
/// the sessions at no table are the last of their like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Which it is.
    pub token: Option<String>,
    /// The groups at it.
    pub groups: i64,
    /// The sessions at it.
    pub sessions: i64,
}

impl Table {
    fn body(&self) -> Value {
        json!({
            "table_token": self.token,
            "concurrent_groups": self.groups,
            "total_sessions": self.sessions,
        })
    }
}

impl Place for Table {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (groups, sessions) = (whole(parts.next()?)?, whole(parts.next()?)?);
        Some(Self { token: parts.next().map(str::to_owned), groups, sessions })
    }

    fn shown(&self) -> String {
        let name = self.token.as_ref().map(|token| format!(".{token}")).unwrap_or_default();
        format!("{}.{}{name}", self.groups, self.sessions)
    }
}

/// `GET /api/v1/analytics/tables`
pub async fn tables(
    State(app): State<Arc<App>>,
    _: Reader,
    query: Query,
) -> Result<Response, Problem> {
    let (of_app, page) = super::app_and_page(query)?;
    let mut work = app.database.begin_long().await?;
    let mut rows = analytics::tables(work.connection(), of_app, &page).await?;
    let next = page.cut(&mut rows, Table::clone);
    let shown: Vec<Value> = rows.iter().map(Table::body).collect();
    Ok(answer::json(StatusCode::OK, json!({"tables": shown, "next": next}), work.now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_table_is_read_as_it_was_shown() {
        for token in [None, Some(String::new()), Some("table.042".to_owned())] {
            let table = Table { token, groups: 2, sessions: 3 };
            assert_eq!(Table::read(&table.shown()), Some(table));
        }
        for wrong in ["", "2", "2.x", "-1.3", "2.3x"] {
            assert_eq!(Table::read(wrong), None, "{wrong}");
        }
    }
}
