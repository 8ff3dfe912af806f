-- Table-Talk's tables, and 100,000 sessions as a busy month leaves them: most are
-- alive, the rest wait for their end in one of five ways.
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

-- Of each 100 sessions: 70 alive, 8 that waited for a second phone in vain, 8 idle, 10 that
-- expired more than an hour ago, 4 that are older than a day and still played.
WITH drawn AS (
  SELECT n, n % 100 AS fate, random() AS r, random() AS s
  FROM generate_series(1, 100000) AS n
), aged AS (
  SELECT
    n,
    fate,
    s,
    CASE
      WHEN fate < 70 THEN now() - r * interval '20 hours'
      WHEN fate < 78 THEN now() - interval '15 minutes' - r * interval '2 hours'
      WHEN fate < 86 THEN now() - interval '1 hour' - r * interval '20 hours'
      WHEN fate < 96 THEN now() - interval '3 hours' - r * interval '30 days'
      ELSE now() - interval '25 hours' - r * interval '5 days'
    END AS created_at
  FROM drawn
)
INSERT INTO table_talk.sessions
SELECT
  gen_random_uuid(),
  'table_' || lpad((n % 400)::text, 3, '0'),
  gen_random_uuid(),
  (ARRAY['Exploring', 'First date', 'Old friends', 'Team night'])[1 + n % 4],
  CASE WHEN fate BETWEEN 70 AND 77 OR n % 2 = 0 THEN 'dual' ELSE 'single' END,
  CASE WHEN fate BETWEEN 70 AND 77 THEN 'waiting' WHEN n % 2 = 0 THEN 'paired' END,
  CASE WHEN fate BETWEEN 70 AND 77 THEN md5(n::text) END,
  CASE WHEN fate BETWEEN 70 AND 77 THEN created_at + interval '10 minutes' END,
  CASE
    WHEN fate BETWEEN 78 AND 85 THEN now() - interval '31 minutes' - s * interval '25 minutes'
    WHEN fate BETWEEN 86 AND 95 THEN created_at + interval '20 minutes'
    ELSE now() - s * interval '20 minutes'
  END,
  CASE
    WHEN fate BETWEEN 86 AND 95 THEN created_at + interval '1 hour'
    ELSE now() + interval '2 hours' + s * interval '10 hours'
  END,
  created_at
FROM aged;

-- Two phones a session; in a session that is alive they were seen in the last minutes.
INSERT INTO table_talk.session_participants
SELECT
  gen_random_uuid(),
  s.session_id,
  CASE
    WHEN s.expires_at > now() AND s.last_activity_at > now() - interval '21 minutes'
      THEN now() - random() * interval '3 minutes'
    ELSE s.last_activity_at
  END,
  CASE WHEN s.expires_at < now() THEN s.last_activity_at + interval '5 minutes' END
FROM table_talk.sessions AS s
CROSS JOIN generate_series(1, 2);

CREATE INDEX ON table_talk.sessions (expires_at);
CREATE INDEX ON table_talk.sessions (last_activity_at);
CREATE INDEX ON table_talk.sessions (created_at);
CREATE INDEX ON table_talk.sessions (pairing_expires_at) WHERE dual_status = 'waiting';
CREATE INDEX ON table_talk.session_participants (session_id);
CREATE INDEX ON table_talk.session_participants (last_seen_at) WHERE disconnected_at IS NULL;
ANALYZE table_talk.sessions, table_talk.session_participants;
