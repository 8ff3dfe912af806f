-- What holds of a session whoever writes it, in whatever SQL.
--
-- These functions have the rights of their owner, so that a role needs none on what they keep.

-- What was used of a session that was over at a moment. A stay ends when the participant left or was
-- last heard of: when cleanup noticed that changes no bill.
CREATE FUNCTION core.usage_of(
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
      GREATEST(joined_at, LEAST(COALESCE(left_at, last_seen_at), over_at)) AS gone_at
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

CREATE FUNCTION core.keep_session() RETURNS trigger
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
  RETURN NEW;
END $$;
CREATE TRIGGER keep_session BEFORE INSERT OR UPDATE ON core.sessions
  FOR EACH ROW EXECUTE FUNCTION core.keep_session();

-- Whoever deletes a session leaves all that a bill, an auditor and an open socket need.
CREATE FUNCTION core.archive_session() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  moment CONSTANT timestamptz := now();
  over_at CONSTANT timestamptz := COALESCE(OLD.ended_at, LEAST(OLD.expires_at, moment));
  reason CONSTANT text := COALESCE(OLD.end_reason, CASE
    WHEN OLD.dual_status = 'waiting' AND OLD.pairing_expires_at <= moment THEN 'waiting_timeout'
    WHEN OLD.expires_at <= moment THEN 'timeout'
    ELSE 'inactivity'
  END);
BEGIN
  INSERT INTO core.session_archive (
    session_id, app, user_id, created_at, ended_at, end_reason,
    participants, session_minutes, participant_minutes, peak_participants,
    session_row, participant_rows
  )
  SELECT
    OLD.session_id, OLD.app, COALESCE(OLD.user_id, OLD.host_user_id), OLD.created_at, over_at, reason,
    COALESCE(OLD.participants, usage.participants),
    COALESCE(OLD.session_minutes, usage.session_minutes),
    COALESCE(OLD.participant_minutes, usage.participant_minutes),
    COALESCE(OLD.peak_participants, usage.peak_participants),
    to_jsonb(OLD) - '{pairing_code_hash,pairing_salt,pairing_key_id,pairing_code_lookup}'::text[],
    COALESCE((
      SELECT jsonb_agg(to_jsonb(participant) - 'token_hash' ORDER BY participant.joined_at, participant.participant_id)
      FROM core.session_participants AS participant
      WHERE participant.session_id = OLD.session_id
    ), '[]')
  FROM core.usage_of(OLD.session_id, OLD.created_at, OLD.last_activity_at, over_at) AS usage;

  INSERT INTO core.session_audit_log (session_id, app, event_type, actor_id, actor_kind, event_data)
  VALUES (
    OLD.session_id, OLD.app, 'session_deleted', session_user, 'sql',
    jsonb_build_object('reason', reason, 'ended_at', over_at)
  );

  IF OLD.end_announced_at IS NULL THEN
    INSERT INTO core.session_events (session_group_id, session_id, type, to_user_id, data)
    VALUES (
      OLD.session_group_id, OLD.session_id, 'session_expired', OLD.user_id,
      jsonb_build_object('sessionId', OLD.session_id, 'reason', reason)
    );
  END IF;
  RETURN OLD;
END $$;
CREATE TRIGGER archive_session BEFORE DELETE ON core.sessions
  FOR EACH ROW EXECUTE FUNCTION core.archive_session();

CREATE FUNCTION core.refuse_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'TRUNCATE would leave nothing in the archive; use DELETE' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON core.sessions
  FOR EACH STATEMENT EXECUTE FUNCTION core.refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON core.session_participants
  FOR EACH STATEMENT EXECUTE FUNCTION core.refuse_truncate();

-- A participant is of the app of the session, which never changes.
CREATE FUNCTION core.join_session() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT app INTO NEW.app FROM core.sessions WHERE session_id = NEW.session_id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'a participant needs a session that exists' USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER join_session BEFORE INSERT OR UPDATE OF session_id, app ON core.session_participants
  FOR EACH ROW EXECUTE FUNCTION core.join_session();

-- What a participant does is a sign of life. That cleanup marks one as gone is none.
CREATE FUNCTION core.touch_participant() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.last_seen_at := now();
  RETURN NEW;
END $$;
CREATE TRIGGER touch_participant BEFORE UPDATE OF ready, display_name, user_id, role ON core.session_participants
  FOR EACH ROW WHEN (NEW.last_seen_at = OLD.last_seen_at) EXECUTE FUNCTION core.touch_participant();

-- Those who joined and have not left. One who is away for a moment is still counted.
CREATE FUNCTION core.count_participants() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  step CONSTANT integer :=
    (TG_OP <> 'DELETE' AND NEW.left_at IS NULL)::integer - (TG_OP <> 'INSERT' AND OLD.left_at IS NULL)::integer;
BEGIN
  IF step <> 0 THEN
    UPDATE core.sessions
    SET participant_count = participant_count + step
    WHERE session_id = CASE TG_OP WHEN 'DELETE' THEN OLD.session_id ELSE NEW.session_id END;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER count_participants AFTER INSERT OR DELETE OR UPDATE OF left_at ON core.session_participants
  FOR EACH ROW EXECUTE FUNCTION core.count_participants();
