//! `core.billing_usage` and its sums: what was used, as the objects that are shown.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::statement;
use crate::billing::Period;
use crate::query::Page;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[SESSIONS, WHOLE_HOURS, BY_USER, BY_APP_OR_DAY, FOLD];

const SESSIONS: &str = include_str!("usage.sql");

/// Asked before the sums, so that the range that is read is known where that is planned.
const WHOLE_HOURS: &str = "
SELECT first, last
FROM core.whole_hours($1, $2)";

/// Sessions of nobody have the key of an empty text, so that it can be gone on after. What is taken back leaves a
/// group of no sessions, which is none.
const BY_USER: &str = include_str!("usage_by_user.sql");

/// The sums of one user where there is one, and else those of all.
const BY_APP_OR_DAY: &str = include_str!("usage_by_app_or_day.sql");

const FOLD: &str = "SELECT core.fold_usage()";

/// Which sessions are counted.
pub struct Filter<'a> {
    /// Those that ended in it.
    pub period: Period,
    /// Those of one user.
    pub user: Option<&'a str>,
    /// Those of one app.
    pub app: Option<&'a str>,
}

/// A session that was used.
pub struct Used {
    /// When it ended.
    pub ended_at: Timestamp,
    /// Which it was.
    pub session: Uuid,
    /// All of it.
    pub shown: Value,
}

/// The sessions, in the order of their ends.
pub async fn sessions(
    connection: &mut PgConnection,
    filter: &Filter<'_>,
    page: &Page,
) -> Result<Vec<Used>, sqlx::Error> {
    let rows: Vec<(jiff_sqlx::Timestamp, Uuid, Value)> = statement::query_as(SESSIONS)
        .bind(jiff_sqlx::Timestamp::from(filter.period.from))
        .bind(jiff_sqlx::Timestamp::from(filter.period.to))
        .bind(filter.user)
        .bind(filter.app)
        .bind(page.after.map(|(at, _)| jiff_sqlx::Timestamp::from(at)))
        .bind(page.after.map(|(_, id)| id))
        .bind(page.read())
        .fetch_all(connection)
        .await?;
    let used = rows.into_iter();
    Ok(used
        .map(|(ended_at, session, shown)| Used { ended_at: ended_at.into(), session, shown })
        .collect())
}

/// What they come to, by `user_id`, `app` or `day`, in the order of that.
pub async fn grouped(
    connection: &mut PgConnection,
    filter: &Filter<'_>,
    group_by: &str,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Value>, sqlx::Error> {
    let from = jiff_sqlx::Timestamp::from(filter.period.from);
    let to = jiff_sqlx::Timestamp::from(filter.period.to);
    let (first, last): (jiff_sqlx::Timestamp, jiff_sqlx::Timestamp) =
        statement::query_as(WHOLE_HOURS).bind(from).bind(to).fetch_one(&mut *connection).await?;
    let rows = if group_by == "user_id" {
        statement::query_scalar(BY_USER)
    } else {
        statement::query_scalar(BY_APP_OR_DAY)
    };
    let rows = rows.bind(from).bind(to).bind(first).bind(last);
    let rows = rows.bind(filter.user).bind(filter.app).bind(after).bind(limit);
    let rows = if group_by == "user_id" { rows } else { rows.bind(group_by) };
    rows.fetch_all(connection).await
}

/// Moves what was written down since the last time into the sums.
pub async fn fold(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    statement::query_scalar(FOLD).fetch_one(connection).await
}
