-- Everything that the session API keeps. The other schemas are one app's view of it.

-- The statements of the apps cast times to text and back without a zone. Only UTC gives the right sum.
DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET TimeZone TO %L', current_database(), 'UTC');
END $$;

CREATE TABLE core.session_groups (
  session_group_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  app text NOT NULL CHECK (app IN ('table_talk', 'tarot', 'after_hours')),
  table_token text,
  context text,
  last_seq bigint NOT NULL DEFAULT 0,
  epoch bigint NOT NULL DEFAULT 1,
  last_event_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz,
  UNIQUE (session_group_id, app)
);
CREATE INDEX session_groups_last_event ON core.session_groups (last_event_at);
CREATE INDEX session_groups_table ON core.session_groups (table_token, created_at DESC);
COMMENT ON TABLE core.session_groups IS 'People who share events; one party at one table.';
COMMENT ON COLUMN core.session_groups.last_seq IS 'The number of the newest event; its row lock orders the events of the group.';
COMMENT ON COLUMN core.session_groups.epoch IS 'Raised when events were lost, by a restore of the database say: cursors of before mean nothing then.';

CREATE TABLE core.sessions (
  session_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  app text NOT NULL CHECK (app IN ('table_talk', 'tarot', 'after_hours')),
  session_group_id uuid NOT NULL,
  table_token text,
  context text,
  user_id text,
  host_user_id text,
  title text,
  mode text NOT NULL DEFAULT 'single' CHECK (mode IN ('single', 'dual')),
  dual_status text CHECK (dual_status IN ('waiting', 'paired', 'ended')),
  pairing_code_hash bytea,
  pairing_salt bytea,
  pairing_key_id text,
  pairing_code_lookup bytea,
  pairing_expires_at timestamptz,
  pairing_attempts integer NOT NULL DEFAULT 0,
  is_active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  last_activity_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL DEFAULT now() + interval '24 hours',
  ended_at timestamptz,
  end_reason text CHECK (end_reason IN ('timeout', 'inactivity', 'waiting_timeout', 'max_age', 'ended')),
  removed_at timestamptz,
  expiry_warned_at timestamptz,
  end_announced_at timestamptz,
  recover_until timestamptz,
  participant_count integer NOT NULL DEFAULT 0,
  participants integer,
  session_minutes numeric,
  participant_minutes numeric,
  peak_participants integer,
  -- Who shares events is of one app.
  FOREIGN KEY (session_group_id, app) REFERENCES core.session_groups (session_group_id, app),
  CHECK ((mode = 'dual') = (dual_status IS NOT NULL))
);
-- Of codes that wait no two are alike, whatever table they are for: a code alone finds its session.
CREATE UNIQUE INDEX sessions_live_code ON core.sessions (pairing_code_lookup)
  WHERE dual_status = 'waiting' AND pairing_code_hash IS NOT NULL;
-- A code that is over is still known, so that it is told from one that never was.
CREATE INDEX sessions_any_code ON core.sessions (pairing_code_lookup)
  WHERE pairing_code_lookup IS NOT NULL;
CREATE INDEX sessions_code_expiry ON core.sessions (pairing_expires_at)
  WHERE dual_status = 'waiting';
CREATE INDEX sessions_expiry ON core.sessions (expires_at);
CREATE INDEX sessions_to_announce ON core.sessions (expires_at)
  WHERE end_announced_at IS NULL;
CREATE INDEX sessions_activity ON core.sessions (last_activity_at)
  WHERE ended_at IS NULL;
CREATE INDEX sessions_table ON core.sessions (table_token, context, last_activity_at DESC);
CREATE INDEX sessions_group ON core.sessions (session_group_id);
CREATE INDEX sessions_app_over ON core.sessions (app, (COALESCE(ended_at, expires_at)));
CREATE INDEX sessions_user_over ON core.sessions ((COALESCE(user_id, host_user_id)), (COALESCE(ended_at, expires_at)));
CREATE INDEX sessions_unreckoned ON core.sessions ((COALESCE(ended_at, expires_at)))
  WHERE session_minutes IS NULL;
CREATE INDEX sessions_created ON core.sessions (created_at);
-- What was taken back is little, and gone within the hour.
CREATE INDEX sessions_removed ON core.sessions (removed_at)
  WHERE removed_at IS NOT NULL;
CREATE INDEX idx_reading_sessions_updated_at ON core.sessions (updated_at)
  WHERE app = 'tarot';
COMMENT ON TABLE core.sessions IS 'A session of any app. It is over when it was ended or has expired, by database time.';
COMMENT ON COLUMN core.sessions.pairing_code_lookup IS 'A keyed hash of the code. It outlives pairing_code_hash when the code expires, and goes when it is used.';
COMMENT ON COLUMN core.sessions.removed_at IS 'When its host deleted it: nobody is shown it any more. The row goes by a policy.';
COMMENT ON COLUMN core.sessions.end_announced_at IS 'When session_ended or session_expired went to the outbox; it goes there once.';
COMMENT ON COLUMN core.sessions.participant_count IS 'Those who joined and have not left.';
COMMENT ON COLUMN core.sessions.participants IS 'This and the next three: what was used, reckoned when the session was ended.';

CREATE TABLE core.session_participants (
  participant_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id uuid NOT NULL REFERENCES core.sessions ON DELETE CASCADE,
  app text NOT NULL,
  user_id text,
  display_name text,
  role text NOT NULL DEFAULT 'guest' CHECK (role IN ('host', 'guest')),
  ready boolean NOT NULL DEFAULT false,
  token_hash bytea UNIQUE,
  joined_at timestamptz NOT NULL DEFAULT now(),
  last_seen_at timestamptz NOT NULL DEFAULT now(),
  disconnected_at timestamptz,
  left_at timestamptz,
  is_active boolean NOT NULL GENERATED ALWAYS AS (left_at IS NULL AND disconnected_at IS NULL) STORED
) WITH (fillfactor = 80);
CREATE INDEX session_participants_session ON core.session_participants (session_id);
-- From 16 on BRIN lets a heartbeat stay on its page (HOT); before that no index does.
DO $$ BEGIN
  IF current_setting('server_version_num')::integer >= 160000 THEN
    CREATE INDEX idx_session_participants_last_seen ON core.session_participants USING brin (last_seen_at);
  ELSE
    CREATE INDEX idx_session_participants_last_seen ON core.session_participants (last_seen_at);
  END IF;
END $$;
COMMENT ON COLUMN core.session_participants.app IS 'That of the session; a trigger sets it.';

CREATE TABLE core.deck_sessions (
  session_group_id uuid PRIMARY KEY REFERENCES core.session_groups ON DELETE CASCADE,
  deck_context_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Outlives what it speaks of, so it refers to nothing.
CREATE TABLE core.session_audit_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  session_id uuid,
  app text,
  event_type text NOT NULL,
  actor_id text,
  actor_kind text NOT NULL CHECK (actor_kind IN ('participant', 'admin', 'sql', 'system')),
  event_data jsonb NOT NULL DEFAULT '{}',
  ip_prefix cidr,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX session_audit_log_session ON core.session_audit_log (session_id, id);
CREATE INDEX session_audit_log_type ON core.session_audit_log (event_type, created_at);

CREATE TABLE core.session_archive (
  archive_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  session_id uuid NOT NULL,
  app text NOT NULL,
  user_id text,
  created_at timestamptz NOT NULL,
  ended_at timestamptz NOT NULL,
  end_reason text,
  participants integer NOT NULL,
  session_minutes numeric NOT NULL,
  participant_minutes numeric NOT NULL,
  peak_participants integer NOT NULL,
  session_row jsonb NOT NULL,
  participant_rows jsonb NOT NULL,
  archived_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX session_archive_session ON core.session_archive (session_id);
CREATE INDEX session_archive_user ON core.session_archive (user_id, ended_at);
CREATE INDEX session_archive_app ON core.session_archive (app, ended_at);
COMMENT ON TABLE core.session_archive IS 'Sessions whose row was deleted, by whomever. Hashes of codes and tokens are left out.';

-- After a crash it is empty, and everybody has their tries again.
CREATE UNLOGGED TABLE core.rate_limits (
  k text PRIMARY KEY,
  hits timestamptz[] NOT NULL CHECK (cardinality(hits) <= 20),
  updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

CREATE TABLE core.invites (
  invite_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id uuid NOT NULL REFERENCES core.sessions ON DELETE CASCADE,
  token_hash bytea NOT NULL UNIQUE,
  created_by uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  accepted_count integer NOT NULL DEFAULT 0,
  expiry_told_at timestamptz
);
CREATE INDEX invites_session ON core.invites (session_id);
CREATE INDEX invites_expiry ON core.invites (expires_at);

-- Marked and not deleted when it is used: the API's role deletes nothing.
CREATE UNLOGGED TABLE core.realtime_tickets (
  ticket_hash bytea PRIMARY KEY,
  session_id uuid NOT NULL,
  participant_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL DEFAULT now() + interval '30 seconds',
  used_at timestamptz
);
CREATE INDEX realtime_tickets_expiry ON core.realtime_tickets (expires_at);

CREATE TABLE core.idempotency_keys (
  client text NOT NULL,
  path text NOT NULL,
  key text NOT NULL,
  request_hash bytea NOT NULL,
  session_id uuid,
  response_status integer,
  response_body jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL DEFAULT now() + interval '24 hours',
  PRIMARY KEY (client, path, key)
);
CREATE INDEX idempotency_keys_expiry ON core.idempotency_keys (expires_at);
COMMENT ON COLUMN core.idempotency_keys.response_status IS 'NULL while the first request is under way.';

CREATE TABLE core.api_replicas (
  replica_id uuid PRIMARY KEY,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz NOT NULL DEFAULT now(),
  sockets integer NOT NULL DEFAULT 0
);

CREATE SCHEMA after_hours;

CREATE TABLE after_hours.after_hours_profiles (
  user_id text PRIMARY KEY,
  nickname text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX after_hours_profiles_created ON after_hours.after_hours_profiles (created_at);

CREATE TABLE after_hours.after_hours_declines (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id uuid,
  user_id text NOT NULL,
  declined_user_id text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX after_hours_declines_session ON after_hours.after_hours_declines (session_id);
CREATE INDEX after_hours_declines_created ON after_hours.after_hours_declines (created_at);

-- Without a foreign key: a fingerprint outlives its session until it is looked for.
CREATE TABLE after_hours.device_fingerprints (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id uuid,
  fingerprint_hash bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX device_fingerprints_session ON after_hours.device_fingerprints (session_id);
CREATE INDEX device_fingerprints_created ON after_hours.device_fingerprints (created_at);

CREATE TABLE after_hours.after_hours_matches (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id uuid,
  user_a text NOT NULL,
  user_b text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  converted_to_match_id uuid,
  CHECK (user_a <> user_b)
);
CREATE INDEX after_hours_matches_session ON after_hours.after_hours_matches (session_id);
CREATE INDEX after_hours_matches_expiry ON after_hours.after_hours_matches (expires_at)
  WHERE converted_to_match_id IS NULL;

CREATE TABLE after_hours.after_hours_messages (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  match_id uuid NOT NULL REFERENCES after_hours.after_hours_matches ON DELETE CASCADE,
  sender_id text NOT NULL,
  body text NOT NULL,
  sent_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX after_hours_messages_match ON after_hours.after_hours_messages (match_id, sent_at);
CREATE INDEX after_hours_messages_sent ON after_hours.after_hours_messages (sent_at);
