-- Forgets runs of policy $1 that are older than 90 days and not among its newest 100, a few at a time.
DELETE FROM pgsweep.runs
WHERE policy = $1
  AND run_id IN (
    SELECT old.run_id
    FROM (
      SELECT run_id, started_at
      FROM pgsweep.runs
      WHERE policy = $1
      ORDER BY started_at DESC
      OFFSET 100
    ) AS old
    WHERE old.started_at < clock_timestamp() - CAST('90 days' AS interval)
    ORDER BY old.started_at
    LIMIT 200
  )
