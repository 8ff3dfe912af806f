-- What was used in a period ($1, $2), of which there are sums of whole hours ($3, $4), by the app or the day of
-- the end. The most at once is of those that were not taken back.
SELECT jsonb_build_object(
  CAST($9 AS text), key,
  'sessions', sum(sessions),
  'participants', sum(participants),
  'session_minutes', sum(session_minutes),
  'participant_minutes', sum(participant_minutes),
  'peak_participants', max(peak_participants) FILTER (WHERE sessions > 0)
)
FROM (
  SELECT
    key,
    peak_participants,
    sum(sessions) AS sessions,
    sum(participants) AS participants,
    sum(session_minutes) AS session_minutes,
    sum(participant_minutes) AS participant_minutes
  FROM (
    SELECT
      CASE $9 WHEN 'app' THEN app ELSE to_char(ended_hour, 'YYYY-MM-DD') END AS key,
      peak_participants, sessions, participants, session_minutes, participant_minutes
    FROM core.usage_by_hour
    WHERE CAST($5 AS text) IS NULL
      AND ended_hour >= CAST($3 AS timestamptz) AND ended_hour < CAST($4 AS timestamptz)
      AND app = ANY (CASE WHEN CAST($6 AS text) IS NULL THEN '{table_talk,tarot,after_hours}' ELSE ARRAY[$6] END)
    UNION ALL
    SELECT
      CASE $9 WHEN 'app' THEN app ELSE to_char(ended_hour, 'YYYY-MM-DD') END,
      peak_participants, sessions, participants, session_minutes, participant_minutes
    FROM core.usage_by_user
    WHERE user_id = $5
      AND ended_hour >= CAST($3 AS timestamptz) AND ended_hour < CAST($4 AS timestamptz)
      AND app = ANY (CASE WHEN CAST($6 AS text) IS NULL THEN '{table_talk,tarot,after_hours}' ELSE ARRAY[$6] END)
    UNION ALL
    SELECT
      CASE $9 WHEN 'app' THEN app ELSE to_char(ended_at, 'YYYY-MM-DD') END,
      peak_participants, sessions, sessions * participants, sessions * session_minutes, sessions * participant_minutes
    FROM core.usage_beside_sums(
      $1, $2, CAST($3 AS timestamptz), CAST($4 AS timestamptz),
      CASE WHEN CAST($6 AS text) IS NULL THEN '{table_talk,tarot,after_hours}' ELSE ARRAY[$6] END, $5
    )
  ) AS parts
  WHERE CAST($7 AS text) IS NULL
    OR key COLLATE "C" > $7
  GROUP BY key, peak_participants
) AS known
GROUP BY key
HAVING sum(sessions) > 0
ORDER BY key COLLATE "C"
LIMIT $8
