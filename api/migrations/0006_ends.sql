-- How a session ends, whoever ends it: nothing waits any more, what was over stays as it was, and it is told.

-- A stay ends when somebody left while the session lasted; who leaves what is over was last heard of before.
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
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
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
      count(*)::integer AS participants,
      GREATEST(max(gone_at), LEAST(active_at, over_at), began_at) AS used_until,
      COALESCE(sum(EXTRACT(epoch FROM gone_at - joined_at)), 0) AS seconds
    FROM stays
  )
  SELECT
    total.participants,
    round(EXTRACT(epoch FROM total.used_until - began_at) / 60, 2),
    round(total.seconds / 60, 2),
    COALESCE((SELECT max(people) FROM present), 0)::integer
  FROM total
$$;

CREATE OR REPLACE FUNCTION core.keep_session() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  moment CONSTANT timestamptz := now();
BEGIN
  -- No session lives longer than a day.
  NEW.expires_at := LEAST(NEW.expires_at, NEW.created_at + interval '24 hours');
  IF TG_OP = 'INSERT' THEN
    IF NEW.session_group_id IS NULL THEN
      INSERT INTO core.session_groups (app, table_token, context)
      VALUES (NEW.app, NEW.table_token, NEW.context)
      RETURNING session_group_id INTO NEW.session_group_id;
    END IF;
    RETURN NEW;
  END IF;
  IF NEW.app <> OLD.app THEN
    RAISE EXCEPTION 'a session stays with its app' USING ERRCODE = 'check_violation';
  END IF;
  -- A time that is given stands.
  IF NEW.updated_at = OLD.updated_at THEN
    NEW.updated_at := moment;
  END IF;
  -- What was over was over then: whoever comes to look moves no bill, and no time to recover it.
  IF NEW.expires_at > OLD.expires_at AND NEW.expires_at <= moment THEN
    NEW.expires_at := OLD.expires_at;
  END IF;
  -- More time: it is warned and told of anew.
  IF NEW.expires_at > OLD.expires_at AND NEW.expires_at > moment THEN
    NEW.expiry_warned_at := NULL;
    NEW.end_announced_at := NULL;
  END IF;
  IF OLD.ended_at IS NOT NULL AND NEW.ended_at IS NULL THEN
    NEW.is_active := true;
    NEW.end_reason := NULL;
    NEW.end_announced_at := NULL;
    NEW.participants := NULL;
    NEW.session_minutes := NULL;
    NEW.participant_minutes := NULL;
    NEW.peak_participants := NULL;
    RETURN NEW;
  END IF;
  -- is_active and ended_at say the same.
  IF NEW.ended_at IS NOT NULL THEN
    NEW.is_active := false;
  ELSIF NOT NEW.is_active THEN
    NEW.ended_at := moment;
  END IF;
  IF NEW.end_reason IS NULL THEN
    NEW.end_reason := CASE
      WHEN OLD.dual_status = 'waiting' AND NEW.dual_status = 'ended' THEN 'waiting_timeout'
      WHEN NEW.expires_at < OLD.expires_at AND NEW.expires_at <= moment
        THEN CASE WHEN NEW.created_at <= moment - interval '24 hours' THEN 'max_age' ELSE 'inactivity' END
      WHEN NEW.ended_at IS NOT NULL
        THEN CASE WHEN NEW.expires_at <= moment THEN 'timeout' ELSE 'inactivity' END
    END;
  END IF;
  IF OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL THEN
    -- It ended when it expired, and not when somebody came to look.
    NEW.ended_at := LEAST(NEW.ended_at, NEW.expires_at);
    SELECT usage.participants, usage.session_minutes, usage.participant_minutes, usage.peak_participants
    INTO NEW.participants, NEW.session_minutes, NEW.participant_minutes, NEW.peak_participants
    FROM core.usage_of(NEW.session_id, NEW.created_at, NEW.last_activity_at, NEW.ended_at) AS usage;
  END IF;
  -- Nobody waits any more. The lookup stays, so that an expired code is told from a wrong one.
  IF NEW.ended_at IS NOT NULL AND NEW.dual_status = 'waiting' THEN
    NEW.dual_status := 'ended';
    NEW.pairing_code_hash := NULL;
  END IF;
  -- By whatever SQL it came to its end, phones and auditors hear of it, once.
  IF OLD.end_reason IS NULL AND NEW.end_reason IS NOT NULL AND NEW.end_announced_at IS NULL THEN
    NEW.end_announced_at := moment;
    INSERT INTO core.session_events (session_group_id, session_id, type, to_user_id, data)
    VALUES (
      NEW.session_group_id, NEW.session_id, 'session_expired', NEW.user_id,
      jsonb_build_object('sessionId', NEW.session_id, 'reason', NEW.end_reason)
    );
    INSERT INTO core.session_audit_log (session_id, app, event_type, actor_id, actor_kind, event_data)
    VALUES (
      NEW.session_id, NEW.app, 'session_expired', session_user, 'sql',
      jsonb_build_object('reason', NEW.end_reason, 'started_at', NEW.created_at, 'participant_count', NEW.participant_count)
    );
  END IF;
  RETURN NEW;
END $$;

-- The trigger tells of what it ends.
CREATE OR REPLACE FUNCTION tarot.cleanup_inactive_sessions() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  WITH due AS (
    SELECT session_id
    FROM core.sessions
    WHERE app = 'tarot'
      AND ended_at IS NULL
      AND core.check_session_expiry(session_id)
    FOR UPDATE SKIP LOCKED
  )
  UPDATE core.sessions AS s
  SET ended_at = now()
  FROM due
  WHERE s.session_id = due.session_id
$$;

-- A match lasts as long as its session, also when that is given more time or comes back.
CREATE FUNCTION core.keep_matches() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE after_hours.after_hours_matches
  SET expires_at = NEW.expires_at
  WHERE session_id = NEW.session_id
    AND converted_to_match_id IS NULL;
  RETURN NULL;
END $$;
CREATE TRIGGER keep_matches AFTER UPDATE OF expires_at ON core.sessions
  FOR EACH ROW WHEN (NEW.app = 'after_hours' AND NEW.expires_at > OLD.expires_at)
  EXECUTE FUNCTION core.keep_matches();

-- A policy that marks participants knows their session, and not its group.
CREATE OR REPLACE FUNCTION core.number_event() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.session_group_id IS NULL THEN
    NEW.session_group_id := (SELECT session_group_id FROM core.sessions WHERE session_id = NEW.session_id);
  END IF;
  UPDATE core.session_groups
  SET last_seq = last_seq + 1, last_event_at = clock_timestamp()
  WHERE session_group_id = NEW.session_group_id
  RETURNING last_seq, epoch, app INTO NEW.seq, NEW.epoch, NEW.app;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'an event needs a group that exists' USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NEW;
END $$;
