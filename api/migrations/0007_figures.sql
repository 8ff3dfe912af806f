-- Sums of what was used. A bill by day over the rows of a million sessions takes two seconds; over the sums of
-- each hour it takes some milliseconds.
--
-- The sums are those of core.billing_usage, in every snapshot. A trigger writes each change of what is
-- reckoned down as a line, in the transaction of the change, and nothing is ever taken away from a sum: a line
-- counts 1 or -1. Lines are only added, so no two writers meet in a row, and core.fold_usage() moves them
-- into the sums now and then, in one transaction. Whoever reads adds the lines that are left. A session whose
-- row is deleted is still reckoned, in the archive and with the same figures, so that is no change.
--
-- docs/adr/0019-sums-of-what-was-used.md says what else was thought of. Longer than 400 lines: it is one step.
--
-- Sessions that have expired and were not ended are reckoned when they are asked for, and are in no sum.
-- Hours that are only in part in a period are read from the rows.

-- To compile a statement takes longer than any of these takes.
DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET jit TO off', current_database());
END $$;

-- What is reckoned is whole: so it goes to the archive as it was counted.
ALTER TABLE core.sessions ADD CONSTRAINT sessions_reckoned CHECK (
  session_minutes IS NULL
  OR (ended_at, end_reason, participants, participant_minutes, peak_participants) IS NOT NULL
) NOT VALID;

CREATE TABLE core.usage_changes (
  sessions integer NOT NULL CHECK (sessions IN (1, -1)),
  app text NOT NULL,
  user_id text,
  started_at timestamptz NOT NULL,
  ended_at timestamptz NOT NULL,
  end_reason text,
  participants integer NOT NULL,
  session_minutes numeric NOT NULL,
  participant_minutes numeric NOT NULL,
  peak_participants integer NOT NULL
);
COMMENT ON TABLE core.usage_changes IS 'Sessions that were reckoned (1), or are not so any more (-1), and are in no sum yet.';

-- By the hour of the end, so that little of a period is no whole hour of it. The most at once is part of the key: a
-- line can be taken back from a count, and not from a maximum. A sum may be 0.
CREATE TABLE core.usage_by_user (
  -- Empty where it was nobody's.
  user_id text COLLATE "C",
  ended_hour timestamptz,
  app text,
  peak_participants integer,
  sessions bigint NOT NULL,
  participants bigint NOT NULL,
  session_minutes numeric NOT NULL,
  participant_minutes numeric NOT NULL,
  PRIMARY KEY (user_id, ended_hour, app, peak_participants)
);
-- With all that is asked of the users of a period, whose rows lie anywhere.
CREATE INDEX usage_by_user_ended ON core.usage_by_user (ended_hour, app) INCLUDE (user_id, sessions);
CREATE TABLE core.usage_by_hour (
  ended_hour timestamptz,
  app text,
  started_hour timestamptz,
  is_completed boolean,
  peak_participants integer,
  sessions bigint NOT NULL,
  participants bigint NOT NULL,
  session_minutes numeric NOT NULL,
  participant_minutes numeric NOT NULL,
  PRIMARY KEY (ended_hour, app, started_hour, is_completed, peak_participants)
);
CREATE TABLE core.usage_by_minute (
  ended_hour timestamptz,
  app text,
  -- Whole minutes that a session took.
  minute integer,
  sessions bigint NOT NULL,
  PRIMARY KEY (ended_hour, app, minute)
);
CREATE TABLE core.usage_by_length (
  session_minutes numeric,
  ended_hour timestamptz,
  app text,
  sessions bigint NOT NULL,
  PRIMARY KEY (session_minutes, ended_hour, app)
);
COMMENT ON TABLE core.usage_by_user IS 'Sums of reckoned sessions by the hour of their end, for bills of users.';
COMMENT ON TABLE core.usage_by_hour IS 'The same, for bills of apps and days, for rates, and for the hours in which sessions begin.';
COMMENT ON TABLE core.usage_by_minute IS 'How many took so many minutes: it tells in which of them the median is.';
COMMENT ON TABLE core.usage_by_length IS 'How many took exactly so long: it tells the median.';

-- That there are sums: before the first fold there are none.
CREATE TABLE core.usage_summed (
  since timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX usage_summed_once ON core.usage_summed ((true));

CREATE FUNCTION core.count_session() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.session_minutes IS NOT NULL THEN
    INSERT INTO core.usage_changes
    VALUES (-1, OLD.app, COALESCE(OLD.user_id, OLD.host_user_id), OLD.created_at, OLD.ended_at, OLD.end_reason,
      OLD.participants, OLD.session_minutes, OLD.participant_minutes, OLD.peak_participants);
  END IF;
  IF NEW.session_minutes IS NOT NULL THEN
    INSERT INTO core.usage_changes
    VALUES (1, NEW.app, COALESCE(NEW.user_id, NEW.host_user_id), NEW.created_at, NEW.ended_at, NEW.end_reason,
      NEW.participants, NEW.session_minutes, NEW.participant_minutes, NEW.peak_participants);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER count_new_session AFTER INSERT ON core.sessions
  FOR EACH ROW WHEN (NEW.session_minutes IS NOT NULL) EXECUTE FUNCTION core.count_session();
CREATE TRIGGER count_session AFTER UPDATE ON core.sessions
  FOR EACH ROW WHEN (
    (OLD.session_minutes IS NOT NULL OR NEW.session_minutes IS NOT NULL)
    AND (OLD.user_id, OLD.host_user_id, OLD.created_at, OLD.ended_at, OLD.end_reason,
         OLD.participants, OLD.session_minutes, OLD.participant_minutes, OLD.peak_participants)
      IS DISTINCT FROM
        (NEW.user_id, NEW.host_user_id, NEW.created_at, NEW.ended_at, NEW.end_reason,
         NEW.participants, NEW.session_minutes, NEW.participant_minutes, NEW.peak_participants)
  ) EXECUTE FUNCTION core.count_session();

CREATE FUNCTION core.count_archived() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    INSERT INTO core.usage_changes
    VALUES (-1, OLD.app, OLD.user_id, OLD.created_at, OLD.ended_at, OLD.end_reason,
      OLD.participants, OLD.session_minutes, OLD.participant_minutes, OLD.peak_participants);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO core.usage_changes
    VALUES (1, NEW.app, NEW.user_id, NEW.created_at, NEW.ended_at, NEW.end_reason,
      NEW.participants, NEW.session_minutes, NEW.participant_minutes, NEW.peak_participants);
  END IF;
  RETURN NULL;
END $$;
-- One that was reckoned when its row was deleted has been counted then.
CREATE TRIGGER count_new_archived AFTER INSERT ON core.session_archive
  FOR EACH ROW WHEN (NEW.session_row ->> 'session_minutes' IS NULL) EXECUTE FUNCTION core.count_archived();
CREATE TRIGGER count_archived AFTER UPDATE OR DELETE ON core.session_archive
  FOR EACH ROW EXECUTE FUNCTION core.count_archived();

-- Moves the lines into the sums; the first time it sums up all rows instead, of which the lines that it sees
-- are a part. One statement does it, so one snapshot: a line that is not in it stays for the next time. Returns
-- how many lines there were.
CREATE FUNCTION core.fold_usage() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
  folded bigint;
BEGIN
  -- One at a time: a second one would wait for the rows of the first.
  IF NOT pg_try_advisory_xact_lock(hashtext('core.fold_usage')) THEN
    RETURN 0;
  END IF;
  WITH taken AS (
    DELETE FROM core.usage_changes RETURNING *
  ), begun AS (
    INSERT INTO core.usage_summed
    SELECT now()
    WHERE NOT EXISTS (SELECT FROM core.usage_summed)
    RETURNING since
  ), line AS MATERIALIZED (
    SELECT * FROM taken WHERE NOT EXISTS (SELECT FROM begun)
    UNION ALL
    SELECT 1, app, COALESCE(user_id, host_user_id), created_at, ended_at, end_reason,
      participants, session_minutes, participant_minutes, peak_participants
    FROM core.sessions
    WHERE session_minutes IS NOT NULL AND EXISTS (SELECT FROM begun)
    UNION ALL
    SELECT 1, app, user_id, created_at, ended_at, end_reason,
      participants, session_minutes, participant_minutes, peak_participants
    FROM core.session_archive
    WHERE EXISTS (SELECT FROM begun)
  ), by_user AS (
    INSERT INTO core.usage_by_user AS summed
    SELECT COALESCE(user_id, ''), date_trunc('hour', ended_at), app, peak_participants,
      sum(sessions), sum(sessions * participants), sum(sessions * session_minutes), sum(sessions * participant_minutes)
    FROM line
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (user_id, ended_hour, app, peak_participants) DO UPDATE SET
      sessions = summed.sessions + EXCLUDED.sessions,
      participants = summed.participants + EXCLUDED.participants,
      session_minutes = summed.session_minutes + EXCLUDED.session_minutes,
      participant_minutes = summed.participant_minutes + EXCLUDED.participant_minutes
  ), by_hour AS (
    INSERT INTO core.usage_by_hour AS summed
    SELECT date_trunc('hour', ended_at), app, date_trunc('hour', started_at), COALESCE(end_reason = 'ended', false), peak_participants,
      sum(sessions), sum(sessions * participants), sum(sessions * session_minutes), sum(sessions * participant_minutes)
    FROM line
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (ended_hour, app, started_hour, is_completed, peak_participants) DO UPDATE SET
      sessions = summed.sessions + EXCLUDED.sessions,
      participants = summed.participants + EXCLUDED.participants,
      session_minutes = summed.session_minutes + EXCLUDED.session_minutes,
      participant_minutes = summed.participant_minutes + EXCLUDED.participant_minutes
  ), by_minute AS (
    INSERT INTO core.usage_by_minute AS summed
    SELECT date_trunc('hour', ended_at), app, floor(session_minutes)::integer, sum(sessions)
    FROM line
    GROUP BY 1, 2, 3
    ON CONFLICT (ended_hour, app, minute) DO UPDATE SET
      sessions = summed.sessions + EXCLUDED.sessions
  ), by_length AS (
    INSERT INTO core.usage_by_length AS summed
    SELECT session_minutes, date_trunc('hour', ended_at), app, sum(sessions)
    FROM line
    GROUP BY 1, 2, 3
    ON CONFLICT (session_minutes, ended_hour, app) DO UPDATE SET
      sessions = summed.sessions + EXCLUDED.sessions
  )
  SELECT count(*) INTO folded FROM taken;
  RETURN folded;
END $$;

-- The whole hours of a period, of which there are sums; an empty range at its end where there are none.
CREATE FUNCTION core.whole_hours(from_time timestamptz, to_time timestamptz, OUT first timestamptz, OUT last timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
BEGIN
  first := date_trunc('hour', from_time + interval '1 hour' - interval '1 microsecond');
  last := date_trunc('hour', to_time);
  IF first >= last OR NOT EXISTS (SELECT FROM core.usage_summed) THEN
    first := to_time;
    last := to_time;
  END IF;
END $$;

-- The parts of core.billing_usage, so that a page can be read from each in the order of its index.
CREATE VIEW core.reckoned_usage AS
SELECT
  session_id,
  app,
  COALESCE(user_id, host_user_id) AS user_id,
  created_at AS started_at,
  COALESCE(ended_at, expires_at) AS ended_at,
  COALESCE(end_reason, 'timeout') AS end_reason,
  participants,
  session_minutes,
  participant_minutes,
  peak_participants
FROM core.sessions
WHERE session_minutes IS NOT NULL;
CREATE VIEW core.unreckoned_usage AS
SELECT
  s.session_id,
  s.app,
  COALESCE(s.user_id, s.host_user_id) AS user_id,
  s.created_at AS started_at,
  COALESCE(s.ended_at, s.expires_at) AS ended_at,
  COALESCE(s.end_reason, 'timeout') AS end_reason,
  usage.participants,
  usage.session_minutes,
  usage.participant_minutes,
  usage.peak_participants
FROM core.sessions AS s
CROSS JOIN LATERAL core.usage_of(s.session_id, s.created_at, s.last_activity_at, COALESCE(s.ended_at, s.expires_at)) AS usage
WHERE s.session_minutes IS NULL
  AND COALESCE(s.ended_at, s.expires_at) <= now();
CREATE VIEW core.archived_usage AS
SELECT
  session_id, app, user_id, created_at AS started_at, ended_at, end_reason, participants, session_minutes,
  participant_minutes, peak_participants
FROM core.session_archive;
CREATE OR REPLACE VIEW core.billing_usage AS
SELECT * FROM core.reckoned_usage
UNION ALL
SELECT * FROM core.unreckoned_usage
UNION ALL
SELECT * FROM core.archived_usage;

-- What the sums of the whole hours do not say: the rest of the period, what is not reckoned, and the lines.
-- search_path is not set, since such a function is planned as a part of the statement that calls it.
CREATE FUNCTION core.usage_beside_sums(
  from_time timestamptz,
  to_time timestamptz,
  first timestamptz,
  last timestamptz,
  apps text[],
  billed_user text DEFAULT NULL
)
RETURNS SETOF core.usage_changes
LANGUAGE sql STABLE AS $$
  SELECT 1, app, user_id, started_at, ended_at, end_reason, participants, session_minutes, participant_minutes, peak_participants
  FROM core.billing_usage
  WHERE ended_at >= from_time AND ended_at < first
    AND app = ANY (apps) AND (billed_user IS NULL OR user_id = billed_user)
  UNION ALL
  SELECT 1, app, user_id, started_at, ended_at, end_reason, participants, session_minutes, participant_minutes, peak_participants
  FROM core.billing_usage
  WHERE ended_at >= last AND ended_at < to_time
    AND app = ANY (apps) AND (billed_user IS NULL OR user_id = billed_user)
  UNION ALL
  SELECT 1, app, user_id, started_at, ended_at, end_reason, participants, session_minutes, participant_minutes, peak_participants
  FROM core.unreckoned_usage
  WHERE ended_at >= first AND ended_at < last
    AND app = ANY (apps) AND (billed_user IS NULL OR user_id = billed_user)
  UNION ALL
  SELECT *
  FROM core.usage_changes
  WHERE ended_at >= first AND ended_at < last
    AND app = ANY (apps) AND (billed_user IS NULL OR user_id = billed_user)
$$;

-- As before, by the sums. A median is the mean of the two in the middle, which are the same one where the number
-- is odd; of the sessions that took other minutes than these two it is enough to know how many there are.
CREATE OR REPLACE FUNCTION core.get_session_analytics(
  from_time timestamptz,
  to_time timestamptz,
  of_app text DEFAULT NULL
)
RETURNS TABLE (
  sessions bigint,
  completed bigint,
  completion_rate_pct numeric,
  average_session_minutes numeric,
  median_session_minutes numeric,
  average_participants numeric,
  peak_usage_hours integer[],
  user_retention_rate_pct numeric
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET plan_cache_mode = 'force_custom_plan' SET work_mem = '32MB' AS $$
#variable_conflict use_column
DECLARE
  apps CONSTANT text[] := CASE WHEN of_app IS NULL THEN '{table_talk,tarot,after_hours}' ELSE ARRAY[of_app] END;
  before_time CONSTANT timestamptz := from_time - (to_time - from_time);
  whole CONSTANT record := core.whole_hours(from_time, to_time);
  whole_before CONSTANT record := core.whole_hours(before_time, from_time);
BEGIN
  RETURN QUERY
  WITH beside AS MATERIALIZED (
    SELECT sessions, user_id COLLATE "C" AS user_id, EXTRACT(hour FROM started_at)::integer AS hour, end_reason = 'ended' AS is_completed,
      participants, session_minutes
    FROM core.usage_beside_sums(from_time, to_time, whole.first, whole.last, apps)
  ), hours AS (
    SELECT hour, sum(sessions) AS sessions, sum(completed) AS completed, sum(minutes) AS minutes, sum(people) AS people
    FROM (
      SELECT EXTRACT(hour FROM started_hour)::integer AS hour, sessions, CASE WHEN is_completed THEN sessions ELSE 0 END AS completed, session_minutes AS minutes, participants AS people
      FROM core.usage_by_hour
      WHERE ended_hour >= whole.first AND ended_hour < whole.last AND app = ANY (apps)
      UNION ALL
      SELECT hour, sessions, CASE WHEN is_completed THEN sessions ELSE 0 END, sessions * session_minutes, sessions * participants
      FROM beside
    ) AS parts
    GROUP BY hour
  ), total AS (
    SELECT COALESCE(sum(sessions), 0)::bigint AS sessions, COALESCE(sum(completed), 0)::bigint AS completed,
      sum(minutes) AS minutes, sum(people) AS people
    FROM hours
  ), minutes AS (
    SELECT minute, sum(sessions) AS sessions, sum(sum(sessions)) OVER (ORDER BY minute) AS up_to
    FROM (
      SELECT minute, sessions
      FROM core.usage_by_minute
      WHERE ended_hour >= whole.first AND ended_hour < whole.last AND app = ANY (apps)
      UNION ALL
      SELECT floor(session_minutes)::integer, sessions
      FROM beside
    ) AS parts
    GROUP BY minute
    HAVING sum(sessions) > 0
  ), middle AS (
    SELECT
      min(minute) FILTER (WHERE 2 * up_to >= total.sessions) AS first,
      min(minute) FILTER (WHERE 2 * up_to > total.sessions) AS last,
      min(up_to - minutes.sessions) FILTER (WHERE 2 * up_to >= total.sessions) AS shorter
    FROM minutes
    CROSS JOIN total
  ), lengths AS (
    SELECT session_minutes, (SELECT shorter FROM middle) + sum(sum(sessions)) OVER (ORDER BY session_minutes) AS up_to
    FROM (
      SELECT session_minutes, sessions
      FROM core.usage_by_length
      WHERE session_minutes >= (SELECT first FROM middle) AND session_minutes < (SELECT last + 1 FROM middle)
        AND ended_hour >= whole.first AND ended_hour < whole.last AND app = ANY (apps)
      UNION ALL
      SELECT session_minutes, sessions
      FROM beside
      WHERE session_minutes >= (SELECT first FROM middle) AND session_minutes < (SELECT last + 1 FROM middle)
    ) AS parts
    GROUP BY session_minutes
    HAVING sum(sessions) > 0
  ), beside_before AS MATERIALIZED (
    SELECT user_id COLLATE "C" AS user_id, sessions
    FROM core.usage_beside_sums(before_time, from_time, whole_before.first, whole_before.last, apps)
  ), before AS (
    SELECT
      EXISTS (
        SELECT
        FROM core.usage_by_user
        WHERE ended_hour >= whole_before.first AND ended_hour < whole_before.last AND app = ANY (apps)
      ) OR EXISTS (SELECT FROM beside_before) AS anybody
  ), users AS (
    SELECT
      COALESCE(sum(sessions) FILTER (WHERE is_before), 0) > 0 AS came_before,
      COALESCE(sum(sessions) FILTER (WHERE NOT is_before), 0) > 0 AS came
    FROM (
      SELECT user_id, sessions, true AS is_before
      FROM core.usage_by_user
      WHERE ended_hour >= whole_before.first AND ended_hour < whole_before.last AND app = ANY (apps)
      UNION ALL
      SELECT user_id, sessions, true
      FROM beside_before
      UNION ALL
      -- Where nobody came before, nobody came again.
      SELECT user_id, sessions, false
      FROM core.usage_by_user
      WHERE (SELECT anybody FROM before)
        AND ended_hour >= whole.first AND ended_hour < whole.last AND app = ANY (apps)
      UNION ALL
      SELECT user_id, sessions, false
      FROM beside
    ) AS parts
    WHERE user_id <> ''
    GROUP BY user_id
  )
  SELECT
    total.sessions,
    total.completed,
    round(100.0 * total.completed / NULLIF(total.sessions, 0), 2),
    round(total.minutes / NULLIF(total.sessions, 0), 2),
    (
      SELECT round((min(session_minutes) FILTER (WHERE 2 * up_to >= total.sessions)
        + min(session_minutes) FILTER (WHERE 2 * up_to > total.sessions)) / 2, 2)
      FROM lengths
    ),
    round(total.people / NULLIF(total.sessions, 0), 2),
    (
      SELECT array_agg(hour ORDER BY hour)
      FROM hours
      WHERE sessions > 0 AND sessions = (SELECT max(sessions) FROM hours)
    ),
    (
      SELECT round(100.0 * count(*) FILTER (WHERE came) / NULLIF(count(*), 0), 2)
      FROM users
      WHERE came_before
    )
  FROM total;
END $$;

-- Of a code that nobody issued it is not known whose it was to be. Table-Talk alone asks how many were wrong, and by
-- this view: so it has them, whether a table was named or not.
CREATE OR REPLACE VIEW table_talk.analytics_events AS
SELECT id, event_type, event_data, session_id, app, "timestamp"
FROM core.analytics_events
WHERE app = 'table_talk'
  OR (app IS NULL AND event_type = 'join_code_failed')
WITH LOCAL CHECK OPTION;

-- A row of it has a place of its own in a list: the least of its sessions.
CREATE OR REPLACE VIEW core.active_sessions AS
SELECT
  s.app,
  s.table_token,
  s.session_group_id,
  s.context,
  s.mode,
  s.dual_status,
  count(DISTINCT s.session_id) AS sessions,
  count(p.participant_id) FILTER (WHERE p.is_active) AS participants,
  max(s.last_activity_at) AS last_active,
  EXTRACT(epoch FROM now() - max(s.last_activity_at)) / 60 AS minutes_inactive,
  min(s.session_id::text)::uuid AS first_session_id
FROM core.sessions AS s
LEFT JOIN core.session_participants AS p ON p.session_id = s.session_id
WHERE s.expires_at > now()
  AND s.ended_at IS NULL
GROUP BY s.app, s.table_token, s.session_group_id, s.context, s.mode, s.dual_status;
