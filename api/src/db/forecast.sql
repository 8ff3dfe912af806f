-- Each of the next 24 hours, and the mean of the sessions that the same hour of the week brought in the last
-- four weeks, as far as there were any weeks: nothing is foretold of an hour that nobody has seen.
WITH begun AS (
  SELECT date_trunc('hour', "timestamp") AS hour, count(*) AS sessions
  FROM core.analytics_events
  WHERE event_type IN ('session_group_created', 'session_joined_existing_group')
    AND "timestamp" >= date_trunc('hour', now()) - interval '28 days'
    AND (CAST($1 AS text) IS NULL OR app = $1)
  GROUP BY 1
), ahead AS (
  SELECT date_trunc('hour', now()) + make_interval(hours => number) AS hour
  FROM generate_series(1, 24) AS number
), weeks AS (
  SELECT ahead.hour, ahead.hour - make_interval(days => 7 * number) AS before
  FROM ahead
  CROSS JOIN generate_series(1, 4) AS number
)
SELECT jsonb_build_object(
  'hour', weeks.hour,
  'weeks', count(*) FILTER (WHERE weeks.before >= first.hour),
  'expected_sessions', round(
    COALESCE(sum(begun.sessions), 0) / NULLIF(count(*) FILTER (WHERE weeks.before >= first.hour), 0),
    2
  )
)
FROM weeks
LEFT JOIN begun ON begun.hour = weeks.before
CROSS JOIN (SELECT min(hour) AS hour FROM begun) AS first
GROUP BY weeks.hour
ORDER BY weeks.hour
