-- A page of the sessions that ended in a period ($1, $2), of one user ($3) or one app ($4) or of all, after the one
-- that was seen last ($5, $6). Each app and each place where sessions are kept has an index in this order, and all of
-- them together have none: so a page of each is read.
SELECT used.ended_at, used.session_id, to_jsonb(used)
FROM unnest(CASE WHEN CAST($4 AS text) IS NULL THEN '{table_talk,tarot,after_hours}' ELSE ARRAY[$4] END) AS asked(app)
CROSS JOIN LATERAL (
  (
    SELECT *
    FROM core.reckoned_usage
    WHERE app = asked.app
      AND ended_at >= GREATEST($1, CAST($5 AS timestamptz))
      AND ended_at < $2
      AND (CAST($3 AS text) IS NULL OR user_id = $3)
      AND ($5 IS NULL OR (ended_at, session_id) > ($5, CAST($6 AS uuid)))
    ORDER BY ended_at, session_id
    LIMIT $7
  )
  UNION ALL
  (
    SELECT *
    FROM core.unreckoned_usage
    WHERE app = asked.app
      AND ended_at >= GREATEST($1, CAST($5 AS timestamptz))
      AND ended_at < $2
      AND (CAST($3 AS text) IS NULL OR user_id = $3)
      AND ($5 IS NULL OR (ended_at, session_id) > ($5, CAST($6 AS uuid)))
    ORDER BY ended_at, session_id
    LIMIT $7
  )
  UNION ALL
  (
    SELECT *
    FROM core.archived_usage
    WHERE app = asked.app
      AND ended_at >= GREATEST($1, CAST($5 AS timestamptz))
      AND ended_at < $2
      AND (CAST($3 AS text) IS NULL OR user_id = $3)
      AND ($5 IS NULL OR (ended_at, session_id) > ($5, CAST($6 AS uuid)))
    ORDER BY ended_at, session_id
    LIMIT $7
  )
) AS used
ORDER BY used.ended_at, used.session_id
LIMIT $7
