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
    AND NEW.expires_at > OLD.expires_at AND NEW.expires_at > now()
  )
  EXECUTE FUNCTION core.begin_again();

-- What is summed up is summed once: without its lines the sums would stay for ever.
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON core.session_archive
  FOR EACH STATEMENT EXECUTE FUNCTION core.refuse_truncate();
