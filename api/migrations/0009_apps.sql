-- What an app's own SQL may leave unsaid.

-- Whoever sets back the time of a session lets it time out: the app that ends silent sessions by that very column is
-- Table-Talk, waiting for a second phone has an end of its own, and a day is a day. By its name this comes before keep_session, which tells of the end.
CREATE FUNCTION core.call_timeout() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.end_reason := 'timeout';
  RETURN NEW;
END $$;
CREATE TRIGGER call_timeout BEFORE UPDATE OF expires_at ON core.sessions
  FOR EACH ROW WHEN (
    NEW.app <> 'table_talk'
    AND NEW.end_reason IS NULL
    AND OLD.ended_at IS NULL AND NEW.ended_at IS NULL
    AND NEW.expires_at < OLD.expires_at AND NEW.expires_at <= now()
    AND NEW.created_at > now() - interval '24 hours'
    AND (OLD.dual_status IS DISTINCT FROM 'waiting' OR NEW.dual_status IS DISTINCT FROM 'ended')
  )
  EXECUTE FUNCTION core.call_timeout();

-- A match is over when its session is, also where that ends early.
CREATE OR REPLACE TRIGGER keep_matches AFTER UPDATE OF expires_at ON core.sessions
  FOR EACH ROW WHEN (NEW.app = 'after_hours' AND NEW.expires_at <> OLD.expires_at)
  EXECUTE FUNCTION core.keep_matches();

-- Rows of before, of which nothing is known but what cleanup asks for.
ALTER TABLE after_hours.after_hours_declines
  ALTER COLUMN user_id SET DEFAULT gen_random_uuid()::text,
  ALTER COLUMN declined_user_id SET DEFAULT gen_random_uuid()::text;
ALTER TABLE after_hours.device_fingerprints
  ALTER COLUMN fingerprint_hash SET DEFAULT '';
ALTER TABLE after_hours.after_hours_matches
  ALTER COLUMN user_a SET DEFAULT gen_random_uuid()::text,
  ALTER COLUMN user_b SET DEFAULT gen_random_uuid()::text;
ALTER TABLE after_hours.after_hours_messages
  ALTER COLUMN sender_id SET DEFAULT gen_random_uuid()::text,
  ALTER COLUMN body SET DEFAULT '';
