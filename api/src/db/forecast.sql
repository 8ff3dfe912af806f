-- Each of the next 24 hours, and the mean of the sessions that the same hour of the week brought in the last
-- four weeks, as far as there were any weeks: nothing is foretold of an hour that nobody has seen. These hours were
-- six days ago and more, and a session lives for a day: all of theirs are over, and in the sums.
WITH asked AS (
  SELECT
    since,
    first,
    last,
    CASE WHEN CAST($1 AS text) IS NULL THEN '{table_talk,tarot,after_hours}' ELSE ARRAY[$1] END AS apps
  FROM (SELECT date_trunc('hour', now()) - interval '28 days' AS since) AS times
  CROSS JOIN LATERAL core.whole_hours(since, now())
), begun AS (
  SELECT hour, sum(sessions) AS sessions
  FROM (
    SELECT usage_by_hour.started_hour AS hour, usage_by_hour.sessions
    FROM asked
    JOIN core.usage_by_hour ON ended_hour >= first AND ended_hour < last AND app = ANY (apps)
    UNION ALL
    SELECT date_trunc('hour', beside.started_at), beside.sessions
    FROM asked
    CROSS JOIN LATERAL core.usage_beside_sums(since, now(), first, last, apps) AS beside
  ) AS parts
  WHERE hour >= (SELECT since FROM asked)
  GROUP BY hour
  HAVING sum(sessions) > 0
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
