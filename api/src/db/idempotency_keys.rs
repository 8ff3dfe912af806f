//! `core.idempotency_keys`: what was answered to a request, for the same request sent again.
//!
//! The row is written in the transaction of the request, so a key that is known was answered.

use serde_json::Value;
use sqlx::PgConnection;

use super::statement;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[LOCK, FIND, KEEP];

/// Of two requests with one key the second is told so, and does not wait.
const LOCK: &str = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 1))";

const FIND: &str = "
SELECT request_hash, response_body
FROM core.idempotency_keys
WHERE client = $1
  AND path = $2
  AND key = $3
  AND expires_at > now()
  AND response_body IS NOT NULL";

/// A key that has expired is as good as new.
const KEEP: &str = "
INSERT INTO core.idempotency_keys (client, path, key, request_hash, session_id, response_status, response_body)
VALUES ($1, $2, $3, $4, CAST(CAST($5 AS jsonb) ->> 'id' AS uuid), 201, $6)
ON CONFLICT (client, path, key) DO UPDATE
SET request_hash = EXCLUDED.request_hash,
    session_id = EXCLUDED.session_id,
    response_status = EXCLUDED.response_status,
    response_body = EXCLUDED.response_body,
    created_at = now(),
    expires_at = now() + interval '24 hours'";

/// A key and who sent it, where.
pub struct Key<'a> {
    /// The client's network.
    pub client: &'a str,
    /// The path.
    pub path: &'a str,
    /// What the header said.
    pub value: &'a str,
}

/// What is known of a key.
pub enum Known {
    /// Nothing: it is ours until the end of the transaction.
    New,
    /// Its first request runs.
    Busy,
    /// What was asked, by its hash, and what was answered.
    Answered(Vec<u8>, Value),
}

/// Takes a key.
pub async fn take(connection: &mut PgConnection, key: &Key<'_>) -> Result<Known, sqlx::Error> {
    let name = [key.client, key.path, key.value].join("\u{1f}");
    let is_ours: bool =
        statement::query_scalar(LOCK).bind(name).fetch_one(&mut *connection).await?;
    if !is_ours {
        return Ok(Known::Busy);
    }
    let answered: Option<(Vec<u8>, Value)> = statement::query_as(FIND)
        .bind(key.client)
        .bind(key.path)
        .bind(key.value)
        .fetch_optional(connection)
        .await?;
    Ok(answered.map_or(Known::New, |(hash, body)| Known::Answered(hash, body)))
}

/// Keeps what is answered.
pub async fn keep(
    connection: &mut PgConnection,
    key: &Key<'_>,
    request_hash: &[u8],
    body: &Value,
) -> Result<(), sqlx::Error> {
    statement::query(KEEP)
        .bind(key.client)
        .bind(key.path)
        .bind(key.value)
        .bind(request_hash)
        .bind(&body["session"])
        .bind(body)
        .execute(connection)
        .await?;
    Ok(())
}
