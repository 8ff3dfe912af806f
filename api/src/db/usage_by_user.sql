-- What was used in a period ($1, $2), of which there are sums of whole hours ($3, $4), by user. First the users of
-- the page ($7, $8), in the order of the index, and then what is theirs. One whose sessions were all taken back has
-- none, and is on the page.
WITH beside AS MATERIALIZED (
  SELECT
    COALESCE(user_id, '') COLLATE "C" AS key,
    peak_participants,
    sessions,
    sessions * participants AS participants,
    sessions * session_minutes AS session_minutes,
    sessions * participant_minutes AS participant_minutes
  FROM core.usage_beside_sums(
    $1, $2, CAST($3 AS timestamptz), CAST($4 AS timestamptz),
    CASE WHEN CAST($6 AS text) IS NULL THEN '{table_talk,tarot,after_hours}' ELSE ARRAY[$6] END, $5
  )
  WHERE CAST($7 AS text) IS NULL
    OR COALESCE(user_id, '') COLLATE "C" > $7
), page AS (
  SELECT key
  FROM (
    (
      SELECT DISTINCT user_id AS key
      FROM core.usage_by_user
      WHERE (CAST($5 AS text) IS NULL OR user_id = $5)
      AND ended_hour >= CAST($3 AS timestamptz) AND ended_hour < CAST($4 AS timestamptz)
      AND app = ANY (CASE WHEN CAST($6 AS text) IS NULL THEN '{table_talk,tarot,after_hours}' ELSE ARRAY[$6] END)
        AND ($7 IS NULL OR user_id > $7)
      ORDER BY user_id
      LIMIT $8
    )
    UNION
    SELECT DISTINCT key
    FROM beside
  ) AS keys
  ORDER BY key
  LIMIT $8
), known AS (
  SELECT
    key,
    peak_participants,
    sum(sessions) AS sessions,
    sum(participants) AS participants,
    sum(session_minutes) AS session_minutes,
    sum(participant_minutes) AS participant_minutes
  FROM (
    SELECT user_id AS key, peak_participants, sessions, participants, session_minutes, participant_minutes
    FROM core.usage_by_user
    WHERE user_id IN (SELECT key FROM page)
      AND (CAST($5 AS text) IS NULL OR user_id = $5)
      AND ended_hour >= CAST($3 AS timestamptz) AND ended_hour < CAST($4 AS timestamptz)
      AND app = ANY (CASE WHEN CAST($6 AS text) IS NULL THEN '{table_talk,tarot,after_hours}' ELSE ARRAY[$6] END)
    UNION ALL
    SELECT *
    FROM beside
    WHERE key IN (SELECT key FROM page)
  ) AS parts
  GROUP BY key, peak_participants
)
SELECT jsonb_build_object(
  'user_id', key,
  'sessions', sum(sessions),
  'participants', sum(participants),
  'session_minutes', sum(session_minutes),
  'participant_minutes', sum(participant_minutes),
  'peak_participants', max(peak_participants) FILTER (WHERE sessions > 0)
)
FROM known
GROUP BY key
ORDER BY key
