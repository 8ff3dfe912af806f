//! The partitions of events, and the version of the schema.

use sqlx::PgConnection;

/// All of them, for [`super::STATEMENTS`].
pub const STATEMENTS: &[&str] = &[MAKE, VERSION];

const MAKE: &str = "SELECT core.make_partitions()";

const VERSION: &str = "
SELECT COALESCE(max(version), 0)
FROM core.migrations";

/// Makes the partitions of the next days and months. How many were made.
pub async fn make(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar(MAKE).persistent(false).fetch_one(connection).await
}

/// The version of the schema.
pub async fn schema_version(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(VERSION).persistent(false).fetch_one(connection).await
}
