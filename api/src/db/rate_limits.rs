//! `core.rate_limits`: sliding logs, one for each client or table. They are the truth for all replicas: the
//! lock on a row lets one try after the other through.

use jiff::Timestamp;
use sqlx::PgConnection;

use super::statement;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[RESERVE, WAIT, GIVE_BACK, FORGET, KEEP];

/// Takes a try where there is one left. The row is judged as it is when its lock was got.
const RESERVE: &str = "
INSERT INTO core.rate_limits AS known (k, hits)
VALUES ($1, ARRAY[clock_timestamp()])
ON CONFLICT (k) DO UPDATE
SET hits = ARRAY(
      SELECT hit
      FROM unnest(known.hits) AS hit
      WHERE hit > clock_timestamp() - make_interval(secs => $3)
      ORDER BY hit
    ) || clock_timestamp(),
    updated_at = now()
WHERE (
  SELECT count(*)
  FROM unnest(known.hits) AS hit
  WHERE hit > clock_timestamp() - make_interval(secs => $3)
) < CAST($2 AS integer)
RETURNING
  hits[cardinality(hits)],
  CAST($2 AS integer) - cardinality(hits),
  CAST(EXTRACT(epoch FROM hits[1] + make_interval(secs => $3) - clock_timestamp()) AS double precision)";

const WAIT: &str = "
SELECT CAST(EXTRACT(epoch FROM min(hit) + make_interval(secs => $2) - clock_timestamp()) AS double precision)
FROM core.rate_limits
CROSS JOIN LATERAL unnest(hits) AS hit
WHERE k = $1
  AND hit > clock_timestamp() - make_interval(secs => $2)";

const GIVE_BACK: &str = "
UPDATE core.rate_limits
SET hits = array_remove(hits, $2), updated_at = now()
WHERE k = $1";

const FORGET: &str = "
UPDATE core.rate_limits
SET hits = '{}', updated_at = now()
WHERE k = $1";

/// A row that is there for as long as the others are: the table is empty after the database has crashed.
const KEEP: &str = "
INSERT INTO core.rate_limits (k, hits)
VALUES ('kept', ARRAY[clock_timestamp()])
ON CONFLICT (k) DO UPDATE
SET updated_at = now()
RETURNING hits[1]";

/// So many tries in so many seconds.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Its name in headers and problems.
    pub name: &'static str,
    /// How many; at most 20.
    pub tries: i32,
    /// In which time.
    pub seconds: f64,
}

/// What came of asking for a try.
pub enum Reserved {
    /// It was let through.
    Taken(Try),
    /// None is left; in so many seconds one is.
    Denied(f64),
}

/// A try that was let through.
pub struct Try {
    /// When, which is its name.
    pub at: Timestamp,
    /// How many are left.
    pub left: i32,
    /// In how many seconds the oldest is forgotten.
    pub reset: f64,
}

/// Asks for a try.
pub async fn reserve(
    connection: &mut PgConnection,
    key: &str,
    limit: Limit,
) -> Result<Reserved, sqlx::Error> {
    let taken: Option<(jiff_sqlx::Timestamp, i32, f64)> = statement::query_as(RESERVE)
        .bind(key)
        .bind(limit.tries)
        .bind(limit.seconds)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some((at, left, reset)) = taken {
        return Ok(Reserved::Taken(Try { at: at.into(), left, reset }));
    }
    let wait: Option<f64> =
        statement::query_scalar(WAIT).bind(key).bind(limit.seconds).fetch_one(connection).await?;
    Ok(Reserved::Denied(wait.unwrap_or_default()))
}

/// Gives a try back that was none after all.
pub async fn give_back(
    connection: &mut PgConnection,
    key: &str,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    let at = jiff_sqlx::Timestamp::from(at);
    statement::query(GIVE_BACK).bind(key).bind(at).execute(connection).await?;
    Ok(())
}

/// Since when all tries are kept.
pub async fn keep(connection: &mut PgConnection) -> Result<Timestamp, sqlx::Error> {
    let since: jiff_sqlx::Timestamp = statement::query_scalar(KEEP).fetch_one(connection).await?;
    Ok(since.into())
}

/// Forgets every try.
pub async fn forget(connection: &mut PgConnection, key: &str) -> Result<(), sqlx::Error> {
    statement::query(FORGET).bind(key).execute(connection).await?;
    Ok(())
}
