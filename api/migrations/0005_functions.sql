-- What apps and their billing call. Periods are from the first moment up to, and without, the second.

CREATE FUNCTION core.log_session_event(session uuid, event text, data jsonb DEFAULT '{}') RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO core.session_audit_log (session_id, app, event_type, actor_id, actor_kind, event_data)
  VALUES (session, (SELECT app FROM core.sessions WHERE session_id = session), event, session_user, 'system', COALESCE(data, '{}'))
$$;

-- Sessions that ended in the period: each is in exactly one, and what was billed does not change. One
-- statement for a user and one for all, since each has an index of its own.
CREATE FUNCTION core.get_session_billing_data(
  from_time timestamptz,
  to_time timestamptz,
  billed_user text DEFAULT NULL,
  of_app text DEFAULT NULL
)
RETURNS SETOF core.billing_usage
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF billed_user IS NULL THEN
    RETURN QUERY
    SELECT *
    FROM core.billing_usage
    WHERE ended_at >= from_time
      AND ended_at < to_time
      AND app = ANY (CASE WHEN of_app IS NULL THEN '{table_talk,tarot,after_hours}' ELSE ARRAY[of_app] END)
    ORDER BY ended_at, session_id;
  ELSE
    RETURN QUERY
    SELECT *
    FROM core.billing_usage
    WHERE user_id = billed_user
      AND ended_at >= from_time
      AND ended_at < to_time
      AND (of_app IS NULL OR app = of_app)
    ORDER BY ended_at, session_id;
  END IF;
END $$;

-- completed: somebody ended it, and no timeout. Retention: of the users of the period before, of the
-- same length, those who came again. Hours are in UTC, by the start of sessions.
CREATE FUNCTION core.get_session_analytics(
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
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH apps AS (
    SELECT CASE WHEN of_app IS NULL THEN '{table_talk,tarot,after_hours}' ELSE ARRAY[of_app] END AS names
  ), ended AS (
    SELECT user_id, started_at, end_reason, participants, session_minutes
    FROM core.billing_usage
    WHERE ended_at >= from_time
      AND ended_at < to_time
      AND app = ANY ((SELECT names FROM apps)::text[])
  ), hours AS (
    SELECT EXTRACT(hour FROM started_at AT TIME ZONE 'UTC')::integer AS hour, count(*) AS sessions
    FROM ended
    GROUP BY 1
  ), before AS (
    SELECT DISTINCT user_id
    FROM core.billing_usage
    WHERE ended_at >= from_time - (to_time - from_time)
      AND ended_at < from_time
      AND app = ANY ((SELECT names FROM apps)::text[])
      AND user_id IS NOT NULL
  )
  SELECT
    count(*),
    count(*) FILTER (WHERE end_reason = 'ended'),
    round(100.0 * count(*) FILTER (WHERE end_reason = 'ended') / NULLIF(count(*), 0), 2),
    round(avg(session_minutes), 2),
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY session_minutes)::numeric, 2),
    round(avg(participants), 2),
    (SELECT array_agg(hour ORDER BY hour) FROM hours WHERE sessions = (SELECT max(sessions) FROM hours)),
    (
      SELECT round(100.0 * count(*) FILTER (WHERE user_id IN (SELECT user_id FROM ended)) / NULLIF(count(*), 0), 2)
      FROM before
    )
  FROM ended
$$;

-- The newest sign of life of those who are there, or the last change of a session that nobody is in,
-- is older than the timeout. Also true of what is not there any more.
CREATE FUNCTION core.check_session_expiry(session uuid, timeout interval DEFAULT '1 hour') RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT COALESCE((
    SELECT
      NOT s.is_active
      OR s.expires_at <= now()
      OR COALESCE((
        SELECT max(last_seen_at)
        FROM core.session_participants AS p
        WHERE p.session_id = s.session_id AND p.is_active
      ), s.updated_at) <= now() - timeout
    FROM core.sessions AS s
    WHERE s.session_id = session
  ), true)
$$;

CREATE FUNCTION tarot.check_session_expiry(session uuid, timeout interval DEFAULT '1 hour') RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT core.check_session_expiry(session, timeout)
$$;

-- Deactivates, and keeps all data: what is deleted is a policy's choice. It has the name and the shape
-- of the function of requirement 001, which deletes, so that either can take the other's place.
CREATE FUNCTION tarot.cleanup_inactive_sessions() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  WITH due AS (
    SELECT session_id
    FROM core.sessions
    WHERE app = 'tarot'
      AND ended_at IS NULL
      AND core.check_session_expiry(session_id)
    FOR UPDATE SKIP LOCKED
  ), ended AS (
    UPDATE core.sessions AS s
    SET ended_at = now(), end_announced_at = COALESCE(s.end_announced_at, now())
    FROM due
    WHERE s.session_id = due.session_id
    RETURNING s.session_id, s.session_group_id, s.end_reason
  ), told AS (
    INSERT INTO core.session_events (session_group_id, session_id, type, data)
    SELECT session_group_id, session_id, 'session_expired',
      jsonb_build_object('sessionId', session_id, 'reason', end_reason)
    FROM ended
  )
  INSERT INTO core.session_audit_log (session_id, app, event_type, actor_id, actor_kind, event_data)
  SELECT session_id, 'tarot', 'session_expired', session_user, 'sql', jsonb_build_object('reason', end_reason)
  FROM ended
$$;

CREATE FUNCTION tarot.log_session_event(session uuid, event text, data jsonb DEFAULT '{}') RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT core.log_session_event(session, event, data)
$$;

CREATE FUNCTION tarot.get_session_billing_data(from_time timestamptz, to_time timestamptz, billed_user text DEFAULT NULL)
RETURNS SETOF core.billing_usage
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT * FROM core.get_session_billing_data(from_time, to_time, billed_user, 'tarot')
$$;

CREATE FUNCTION tarot.get_session_analytics(from_time timestamptz, to_time timestamptz)
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
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT * FROM core.get_session_analytics(from_time, to_time, 'tarot')
$$;
