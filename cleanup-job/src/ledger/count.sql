-- Brings the totals of policy $1 up to what its runs $2 hold now. What an earlier attempt of a run
-- has put there is known by the run itself, so each run, failure and row is counted exactly once.
WITH now AS (
  SELECT
    run.run_id,
    run.counted,
    run.counted_failure,
    run.counted_rows,
    COALESCE(run.result IN ('Failed', 'Aborted'), FALSE) AS failure,
    COALESCE((
      SELECT sum(rules.affected)
      FROM pgsweep.run_rules AS rules
      WHERE rules.policy = run.policy AND rules.run_id = run.run_id
    ), 0) AS affected
  FROM pgsweep.runs AS run
  WHERE run.policy = $1 AND run.run_id = ANY (CAST($2 AS text[]))
), marked AS (
  UPDATE pgsweep.runs AS run
  SET counted = TRUE,
      counted_failure = now.failure,
      counted_rows = now.affected
  FROM now
  WHERE run.policy = $1 AND run.run_id = now.run_id
)
INSERT INTO pgsweep.totals AS totals (policy, runs, failures, rows_affected)
SELECT
  $1,
  count(*) FILTER (WHERE NOT counted),
  COALESCE(sum(CAST(failure AS integer) - CAST(counted_failure AS integer)), 0),
  COALESCE(sum(affected - counted_rows), 0)
FROM now
ON CONFLICT (policy) DO UPDATE
SET runs = totals.runs + excluded.runs,
    failures = totals.failures + excluded.failures,
    rows_affected = totals.rows_affected + excluded.rows_affected
RETURNING runs, failures, rows_affected
