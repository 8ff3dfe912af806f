-- A code that nobody typed in time is told of once, to phones and to those who count, by whatever SQL it goes: when
-- cleanup takes it, when a new one takes its place, when somebody types it too late. One that was burned or withdrawn
-- before has been told of, and left nothing to tell.
CREATE FUNCTION core.tell_of_code() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  data CONSTANT jsonb := jsonb_build_object('session_id', NEW.session_id);
BEGIN
  IF OLD.pairing_expires_at <= now() THEN
    INSERT INTO core.session_events (session_group_id, session_id, type, data)
    VALUES (NEW.session_group_id, NEW.session_id, 'join_code_expired', data);
    INSERT INTO core.analytics_events (event_type, event_data, session_id, app, "timestamp")
    VALUES ('join_code_expired', data, NEW.session_id, NEW.app, now());
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER tell_of_code AFTER UPDATE ON core.sessions
  FOR EACH ROW WHEN (OLD.pairing_code_hash IS NOT NULL AND NEW.pairing_code_hash IS DISTINCT FROM OLD.pairing_code_hash)
  EXECUTE FUNCTION core.tell_of_code();

-- Phones and auditors hear of somebody who is marked as gone, by whatever SQL, while there is a session to be gone from.
-- Who marks somebody and tells of it says so by the setting.
CREATE FUNCTION core.tell_of_absence() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  data CONSTANT jsonb := jsonb_build_object('participant_id', NEW.participant_id, 'reason', 'timeout');
  session_group uuid;
BEGIN
  IF current_setting('session_api.tells', true) = 'on' THEN
    RETURN NULL;
  END IF;
  SELECT s.session_group_id INTO session_group
  FROM core.sessions AS s
  WHERE s.session_id = NEW.session_id
    AND s.expires_at > now()
    AND s.ended_at IS NULL;
  IF FOUND THEN
    INSERT INTO core.session_events (session_group_id, session_id, type, data)
    VALUES (session_group, NEW.session_id, 'participant_disconnected', data);
    INSERT INTO core.session_audit_log (session_id, app, event_type, actor_id, actor_kind, event_data)
    VALUES (NEW.session_id, NEW.app, 'participant_disconnected', session_user, 'sql', data);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER tell_of_absence AFTER UPDATE OF disconnected_at ON core.session_participants
  FOR EACH ROW WHEN (OLD.disconnected_at IS NULL AND NEW.disconnected_at IS NOT NULL AND NEW.left_at IS NULL)
  EXECUTE FUNCTION core.tell_of_absence();

-- Every session in which nobody who is there was heard of for an hour, also where nobody is there any more: as
-- requirement 001 has it, and as the policy does. The trigger tells of what it ends.
CREATE OR REPLACE FUNCTION tarot.cleanup_inactive_sessions() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  WITH due AS (
    SELECT s.session_id
    FROM core.sessions AS s
    WHERE s.app = 'tarot'
      AND s.ended_at IS NULL
      AND NOT EXISTS (
        SELECT
        FROM core.session_participants AS p
        WHERE p.session_id = s.session_id
          AND p.is_active
          AND p.last_seen_at > now() - interval '1 hour'
      )
    FOR UPDATE SKIP LOCKED
  )
  UPDATE core.sessions AS s
  SET ended_at = now()
  FROM due
  WHERE s.session_id = due.session_id
$$;

-- A session that was over and is given more time ends again by and by: that is told of, and has a reason of its own.
CREATE FUNCTION core.begin_again() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.end_reason := NULL;
  RETURN NEW;
END $$;
CREATE TRIGGER begin_again BEFORE UPDATE ON core.sessions
  FOR EACH ROW WHEN (
    OLD.end_reason IS NOT NULL AND NEW.end_reason IS NOT DISTINCT FROM OLD.end_reason
    AND OLD.ended_at IS NULL AND NEW.ended_at IS NULL
    -- No session lives longer than a day: more time than that is none.
    AND LEAST(NEW.expires_at, NEW.created_at + interval '24 hours') > GREATEST(OLD.expires_at, now())
  )
  EXECUTE FUNCTION core.begin_again();

-- What is summed up is summed once: without its lines the sums would stay for ever.
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON core.session_archive
  FOR EACH STATEMENT EXECUTE FUNCTION core.refuse_truncate();

-- As 0006 has it, in a language whose statements are planned once a connection, and not at each call: of what it takes to
-- delete a session that was half.
CREATE OR REPLACE FUNCTION core.usage_of(
  session uuid,
  began_at timestamptz,
  active_at timestamptz,
  over_at timestamptz,
  OUT participants integer,
  OUT session_minutes numeric,
  OUT participant_minutes numeric,
  OUT peak_participants integer
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  WITH stays AS (
    SELECT
      joined_at,
      GREATEST(joined_at, LEAST(CASE WHEN left_at <= over_at THEN left_at ELSE last_seen_at END, over_at)) AS gone_at
    FROM core.session_participants
    WHERE session_id = session
  ), present AS (
    SELECT sum(step) OVER (ORDER BY at, step DESC ROWS UNBOUNDED PRECEDING) AS people
    FROM (
      SELECT joined_at AS at, 1 AS step FROM stays
      UNION ALL
      SELECT gone_at, -1 FROM stays
    ) AS steps
  ), total AS (
    SELECT
      count(*)::integer AS stays,
      GREATEST(max(gone_at), LEAST(active_at, over_at), began_at) AS used_until,
      COALESCE(sum(EXTRACT(epoch FROM gone_at - joined_at)), 0) AS seconds
    FROM stays
  )
  SELECT
    total.stays,
    round(EXTRACT(epoch FROM total.used_until - began_at) / 60, 2),
    round(total.seconds / 60, 2),
    COALESCE((SELECT max(people) FROM present), 0)::integer
  INTO participants, session_minutes, participant_minutes, peak_participants
  FROM total;
END $$;
