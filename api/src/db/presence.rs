//! Signs of life of many participants at once, and `core.api_replicas`.

use sqlx::PgConnection;
use uuid::Uuid;

use super::statement;

/// All of them, for the lists in [`super`].
pub const STATEMENTS: &[&str] = &[WRITE, STANDING, REPORT];

/// Whoever is locked is left for the next time: so this waits for nobody, and nobody's cleanup for this.
const WRITE: &str = "
WITH heard AS (
  SELECT p.participant_id, beat.age
  FROM unnest(CAST($1 AS uuid[]), CAST($2 AS double precision[])) AS beat(participant_id, age)
  JOIN core.session_participants AS p ON p.participant_id = beat.participant_id
  ORDER BY p.participant_id
  FOR NO KEY UPDATE OF p SKIP LOCKED
), written AS (
  UPDATE core.session_participants AS p
  SET last_seen_at = GREATEST(p.last_seen_at, now() - make_interval(secs => heard.age))
  FROM heard
  WHERE p.participant_id = heard.participant_id
)
SELECT participant_id
FROM heard";

const STANDING: &str = "
SELECT
  p.participant_id,
  CAST(EXTRACT(epoch FROM s.expires_at - now()) AS double precision),
  CAST(EXTRACT(epoch FROM clock_timestamp() - p.disconnected_at) AS double precision)
FROM core.session_participants AS p
JOIN core.sessions AS s ON s.session_id = p.session_id
WHERE p.participant_id = ANY($1)
  AND p.left_at IS NULL
  AND s.ended_at IS NULL
  AND s.removed_at IS NULL
  AND s.expires_at > now()";

const REPORT: &str = "
INSERT INTO core.api_replicas (replica_id)
VALUES ($1)
ON CONFLICT (replica_id) DO UPDATE
SET seen_at = now()";

/// Writes down who was heard of, each so many seconds ago. Those who were written.
pub async fn write(
    connection: &mut PgConnection,
    participants: &[Uuid],
    ages: Vec<f64>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let write = statement::query_scalar(WRITE).bind(participants).bind(ages);
    write.fetch_all(connection).await
}

/// Those who are in a session that lives, for how many seconds more it does, and for how many they are marked as gone.
pub async fn standing(
    connection: &mut PgConnection,
    participants: &[Uuid],
) -> Result<Vec<(Uuid, f64, Option<f64>)>, sqlx::Error> {
    statement::query_as(STANDING).bind(participants).fetch_all(connection).await
}

/// A replica is there.
pub async fn report(connection: &mut PgConnection, replica: Uuid) -> Result<(), sqlx::Error> {
    statement::query(REPORT).bind(replica).execute(connection).await?;
    Ok(())
}
