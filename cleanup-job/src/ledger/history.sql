-- Runs, newest first: of policy $1, of namespace $2, that ended as $3, begun within $4; at most $5.
SELECT
  runs.policy,
  runs.run_id,
  runs.epoch,
  runs.generation,
  runs.rules_hash,
  runs.attempts,
  runs.message,
  runs.report,
  CAST(runs.started_at AS text) AS started_at,
  runs.ended_at IS NOT NULL AS ended,
  COALESCE(CAST(extract(epoch FROM runs.ended_at - runs.started_at) AS double precision), 0) AS seconds,
  COALESCE(leases.holder = runs.run_id AND leases.expires_at > clock_timestamp(), FALSE) AS holds_lease
FROM pgsweep.runs AS runs
LEFT JOIN pgsweep.leases AS leases ON leases.policy = runs.policy
WHERE (CAST($1 AS text) IS NULL OR runs.policy = $1)
  AND (CAST($2 AS text) IS NULL OR split_part(runs.policy, '/', 1) = $2)
  AND (CAST($3 AS text) IS NULL OR runs.result = $3)
  AND (CAST($4 AS text) IS NULL OR runs.started_at > clock_timestamp() - CAST($4 AS interval))
ORDER BY runs.started_at DESC
LIMIT $5
