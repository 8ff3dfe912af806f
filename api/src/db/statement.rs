//! How a statement of ours is run: by name where its connection has prepared it, and else without one.
//!
//! The driver looks for a prepared statement by its text, whatever a query asks for. So which statements are
//! prepared is said in one place, [`super::PREPARED`], and nothing else knows of it.

use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{Executor as _, FromRow, Postgres};

/// Parses the statements of requests, under the settings of the transaction in which this runs: under others they
/// would be parsed again. What a parameter is, the server infers, so a statement says it where something else
/// is bound.
pub async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    for (_, statements) in super::PREPARED {
        for sql in *statements {
            connection.prepare(sqlx::SqlStr::from_static(sql)).await?;
        }
    }
    Ok(())
}

/// `sqlx::query`, which names nothing on the server.
pub fn query(sql: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// `sqlx::query_as`, which names nothing on the server.
pub fn query_as<O>(sql: &'static str) -> QueryAs<'static, Postgres, O, PgArguments>
where
    O: for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_as(sql).persistent(false)
}

/// `sqlx::query_scalar`, which names nothing on the server.
pub fn query_scalar<O>(sql: &'static str) -> QueryScalar<'static, Postgres, O, PgArguments>
where
    (O,): for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_scalar(sql).persistent(false)
}
