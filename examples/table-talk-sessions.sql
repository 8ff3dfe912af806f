-- Table-Talk's tables, and 20,000 sessions as a busy week leaves them: most are alive, the rest
-- wait for their end in one of five ways, and some are just not due.
CREATE SCHEMA table_talk;

CREATE TABLE table_talk.sessions (
  session_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  table_token text NOT NULL,
  session_group_id uuid NOT NULL,
  context text NOT NULL,
  mode text NOT NULL,
  dual_status text,
  pairing_code_hash text,
  pairing_expires_at timestamptz,
  last_activity_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL
);

CREATE TABLE table_talk.session_participants (
  participant_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id uuid NOT NULL REFERENCES table_talk.sessions ON DELETE CASCADE,
  last_seen_at timestamptz NOT NULL,
  disconnected_at timestamptz
);

CREATE TABLE table_talk.analytics_events (
  event_type text NOT NULL,
  event_data jsonb NOT NULL,
  timestamp timestamptz NOT NULL DEFAULT now()
);

-- The fate of a session, of each 100:
--    0 to 61  alive
--   62 to 65  wait for their second phone and have minutes left
--         66  never expires
--         67  waits, and its code has no end
--         68  was touched 25 minutes ago: not yet inactive
--         69  expired 50 minutes ago: not yet deleted
--   70 to 77  waited in vain
--   78 to 85  inactive
--   86 to 95  expired over an hour ago
--   96 to 99  older than a day, and still played
-- r and s are spread over 0 to 1 and are the same in every load.
WITH drawn AS (
  SELECT
    n,
    n % 100 AS fate,
    n * 7919 % 1009 / 1009.0 AS r,
    n * 104729 % 1013 / 1013.0 AS s
  FROM generate_series(0, 19999) AS n
), aged AS (
  SELECT
    n,
    fate,
    s,
    CASE
      WHEN fate IN (62, 63, 64, 65) THEN now() - r * interval '2 minutes'
      WHEN fate = 69 THEN now() - interval '3 hours'
      WHEN fate BETWEEN 70 AND 77 THEN now() - interval '15 minutes' - r * interval '2 hours'
      WHEN fate BETWEEN 78 AND 85 THEN now() - interval '1 hour' - r * interval '20 hours'
      WHEN fate BETWEEN 86 AND 95 THEN now() - interval '3 hours' - r * interval '7 days'
      WHEN fate >= 96 THEN now() - interval '25 hours' - r * interval '5 days'
      ELSE now() - interval '30 minutes' - r * interval '19 hours'
    END AS created_at
  FROM drawn
)
INSERT INTO table_talk.sessions
SELECT
  md5('session ' || n)::uuid,
  'table_' || lpad((n % 400)::text, 3, '0'),
  md5('group ' || n)::uuid,
  (ARRAY['Exploring', 'First date', 'Old friends', 'Team night'])[1 + n % 4],
  CASE WHEN fate BETWEEN 62 AND 77 OR n % 2 = 0 THEN 'dual' ELSE 'single' END,
  CASE
    WHEN fate BETWEEN 62 AND 65 OR fate = 67 OR fate BETWEEN 70 AND 77 THEN 'waiting'
    WHEN n % 2 = 0 THEN 'paired'
  END,
  CASE
    WHEN fate BETWEEN 62 AND 65 OR fate = 67 OR fate BETWEEN 70 AND 77 THEN md5('code ' || n)
  END,
  CASE
    WHEN fate BETWEEN 62 AND 65 OR fate BETWEEN 70 AND 77 THEN created_at + interval '10 minutes'
  END,
  CASE
    WHEN fate BETWEEN 62 AND 65 THEN created_at
    WHEN fate = 68 THEN now() - interval '25 minutes'
    WHEN fate = 69 THEN now() - interval '80 minutes'
    WHEN fate BETWEEN 78 AND 85 THEN now() - interval '31 minutes' - s * interval '25 minutes'
    WHEN fate BETWEEN 86 AND 95 THEN created_at + interval '20 minutes'
    ELSE now() - s * interval '15 minutes'
  END,
  CASE
    WHEN fate = 66 THEN 'infinity'
    WHEN fate = 69 THEN now() - interval '50 minutes'
    WHEN fate BETWEEN 86 AND 95 THEN created_at + interval '1 hour'
    ELSE now() + interval '2 hours' + s * interval '10 hours'
  END,
  created_at
FROM aged;

-- Two phones a session. In a session that is alive both sent a heartbeat within the last minute;
-- those of an inactive one fell silent and are not marked yet.
INSERT INTO table_talk.session_participants
SELECT
  md5('participant ' || phone || s.session_id)::uuid,
  s.session_id,
  CASE
    WHEN s.expires_at > now() AND s.last_activity_at > now() - interval '26 minutes'
      THEN now() - phone * interval '20 seconds'
    ELSE s.last_activity_at
  END,
  CASE WHEN s.expires_at < now() THEN s.last_activity_at + interval '5 minutes' END
FROM table_talk.sessions AS s
CROSS JOIN generate_series(1, 2) AS phone;

CREATE INDEX ON table_talk.sessions (expires_at);
CREATE INDEX ON table_talk.sessions (last_activity_at);
CREATE INDEX ON table_talk.sessions (created_at);
CREATE INDEX ON table_talk.sessions (pairing_expires_at) WHERE dual_status = 'waiting';
CREATE INDEX ON table_talk.session_participants (session_id);
CREATE INDEX ON table_talk.session_participants (last_seen_at) WHERE disconnected_at IS NULL;
CREATE INDEX ON table_talk.analytics_events (event_type, timestamp DESC);
ANALYZE table_talk.sessions, table_talk.session_participants, table_talk.analytics_events;
