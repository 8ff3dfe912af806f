//! The partitions of events, and the version of the schema.

use sqlx::PgConnection;

use super::statement;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[MAKE, VERSION];

const MAKE: &str = "SELECT core.make_partitions()";

const VERSION: &str = "
SELECT COALESCE(max(version), 0)
FROM core.migrations";

/// Makes the partitions of the next days and months. How many were made.
pub async fn make(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    statement::query_scalar(MAKE).fetch_one(connection).await
}

/// The version of the schema.
pub async fn schema_version(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    statement::query_scalar(VERSION).fetch_one(connection).await
}
