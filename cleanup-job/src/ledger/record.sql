-- The last statement of a batch: what it did, the lease, and whether its tables are what they were.
WITH named AS (
  SELECT schema_name, table_name, position
  FROM unnest(CAST($9 AS text[]), CAST($10 AS text[])) WITH ORDINALITY AS t (schema_name, table_name, position)
), lease AS (
  -- Once in ten seconds is enough: a row that is not written is not locked either.
  UPDATE pgsweep.leases
  SET expires_at = clock_timestamp() + CAST('30 seconds' AS interval)
  WHERE policy = $1
    AND holder = $2
    AND expires_at < clock_timestamp() + CAST('20 seconds' AS interval)
), progress AS (
  UPDATE pgsweep.run_rules
  SET affected = affected + $4,
      batches = batches + 1,
      failed = $5,
      skipped_locked = $6,
      place = $7,
      fingerprint = $8
  WHERE policy = $1
    AND run_id = $2
    AND rule = $3
  RETURNING rule
), fingerprint AS (
