-- Tables of the tarot readings, the functions that the app and its billing call, and 3,000 sessions.
CREATE SCHEMA tarot;

CREATE TABLE tarot.reading_sessions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  title text NOT NULL,
  host_user_id uuid NOT NULL,
  is_active boolean NOT NULL DEFAULT true,
  participant_count integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz
);

CREATE TABLE tarot.session_participants (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id uuid NOT NULL REFERENCES tarot.reading_sessions ON DELETE CASCADE,
  user_id uuid NOT NULL,
  is_active boolean NOT NULL DEFAULT true,
  joined_at timestamptz NOT NULL DEFAULT now(),
  last_seen_at timestamptz DEFAULT now()
);

CREATE TABLE tarot.session_audit_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  session_id uuid,
  event_type text NOT NULL,
  event_data jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- An archive has the columns of its source and three that say when and by what a row came.
CREATE TABLE tarot.reading_sessions_archive (
  LIKE tarot.reading_sessions,
  pgsweep_run_id text,
  pgsweep_rule text,
  pgsweep_archived_at timestamptz
);

CREATE TABLE tarot.session_participants_archive (
  LIKE tarot.session_participants,
  pgsweep_run_id text,
  pgsweep_rule text,
  pgsweep_archived_at timestamptz
);

-- The four functions of requirement 004 and the check of an invitation of 001. The policy does what
-- the first one does, on its schedule and in small batches; the others go on being called.
CREATE FUNCTION tarot.log_session_event(session uuid, event text, data jsonb)
RETURNS void LANGUAGE sql AS $$
  INSERT INTO tarot.session_audit_log (session_id, event_type, event_data)
  VALUES (session, event, data)
$$;

CREATE FUNCTION tarot.cleanup_inactive_sessions()
RETURNS void LANGUAGE sql AS $$
  WITH ended AS (
    UPDATE tarot.reading_sessions AS rs
    SET is_active = false, ended_at = now()
    WHERE rs.is_active = true
      AND NOT EXISTS (
        SELECT 1
        FROM tarot.session_participants AS sp
        WHERE sp.session_id = rs.id
          AND sp.is_active = true
          AND sp.last_seen_at > now() - interval '1 hour'
      )
    RETURNING id
  )
  SELECT tarot.log_session_event(id, 'session_expired', '{"reason": "inactivity"}')
  FROM ended
$$;

CREATE FUNCTION tarot.check_session_expiry(session uuid)
RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT NOT EXISTS (
    SELECT 1
    FROM tarot.session_participants AS sp
    WHERE sp.session_id = session
      AND sp.is_active = true
      AND sp.last_seen_at > now() - interval '1 hour'
  )
$$;

-- By use, and not by when a session was switched off: archived or not, the bill is the same.
CREATE FUNCTION tarot.get_session_billing_data(from_time timestamptz, to_time timestamptz, host uuid DEFAULT NULL)
RETURNS TABLE (
  session_id uuid,
  user_id uuid,
  started_at timestamptz,
  participants bigint,
  session_minutes numeric,
  participant_minutes numeric
) LANGUAGE sql STABLE AS $$
  WITH sessions AS (
    SELECT id, host_user_id, created_at FROM tarot.reading_sessions
    UNION ALL
    SELECT id, host_user_id, created_at FROM tarot.reading_sessions_archive
  ), participants AS (
    SELECT session_id, joined_at, last_seen_at FROM tarot.session_participants
    UNION ALL
    SELECT session_id, joined_at, last_seen_at FROM tarot.session_participants_archive
  )
  SELECT
    s.id,
    s.host_user_id,
    s.created_at,
    count(p.joined_at),
    coalesce(round(extract(epoch FROM max(p.last_seen_at) - s.created_at) / 60, 1), 0),
    coalesce(round(sum(extract(epoch FROM p.last_seen_at - p.joined_at)) / 60, 1), 0)
  FROM sessions AS s
  LEFT JOIN participants AS p ON p.session_id = s.id
  WHERE s.created_at >= from_time
    AND s.created_at < to_time
    AND (host IS NULL OR s.host_user_id = host)
  GROUP BY s.id, s.host_user_id, s.created_at
$$;

CREATE FUNCTION tarot.get_session_analytics(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (sessions bigint, ended bigint, average_session_minutes numeric, average_participants numeric)
LANGUAGE sql STABLE AS $$
  SELECT
    count(*),
    count(*) FILTER (
      WHERE NOT EXISTS (SELECT 1 FROM tarot.reading_sessions AS s WHERE s.id = b.session_id AND s.is_active)
    ),
    round(avg(b.session_minutes), 1),
    round(avg(b.participants), 2)
  FROM tarot.get_session_billing_data(from_time, to_time) AS b
$$;

-- The fate of a session, of each 30:
--    0 to 9   alive: two phones, seen within the last minutes
--        10   alive: one of three is silent for hours
--        11   alive: seen 50 minutes ago
--   12 to 14  silent for many hours
--        15   silent for an hour and a half
--        16   silent: who was seen just now has left (is not active)
--        17   silent: nobody was ever seen (NULL)
--        18   nobody ever joined
--   19 to 25  ended within the last 80 days
--   26 to 29  ended over 90 days ago
WITH drawn AS (
  SELECT n, n % 30 AS fate, n * 7919 % 1009 / 1009.0 AS r
  FROM generate_series(0, 2999) AS n
), aged AS (
  SELECT
    n,
    fate,
    r,
    CASE
      WHEN fate <= 11 THEN now() - interval '3 hours' - r * interval '5 hours'
      WHEN fate <= 18 THEN now() - interval '12 hours' - r * interval '2 days'
      WHEN fate <= 25 THEN now() - interval '3 days' - r * interval '77 days'
      ELSE now() - interval '92 days' - r * interval '200 days'
    END AS created_at
  FROM drawn
)
INSERT INTO tarot.reading_sessions
SELECT
  md5('reading ' || n)::uuid,
  (ARRAY['Celtic cross', 'Three cards', 'Year ahead', 'Yes or no'])[1 + n % 4],
  md5('host ' || n % 200)::uuid,
  fate <= 18,
  CASE fate WHEN 10 THEN 3 WHEN 12 THEN 1 WHEN 18 THEN 0 ELSE 2 END,
  created_at,
  created_at + interval '2 hours',
  CASE WHEN fate > 18 THEN created_at + interval '2 hours' END
FROM aged;

WITH fated AS (
  SELECT s.*, n % 30 AS fate
  FROM generate_series(0, 2999) AS n
  JOIN tarot.reading_sessions AS s ON s.id = md5('reading ' || n)::uuid
)
INSERT INTO tarot.session_participants
SELECT
  md5('participant ' || seat || s.id)::uuid,
  s.id,
  CASE seat WHEN 1 THEN s.host_user_id ELSE md5('guest ' || seat || s.id)::uuid END,
  NOT (s.fate = 16 AND seat = 2),
  s.created_at + seat * interval '1 minute',
  CASE
    WHEN s.fate = 17 THEN NULL
    WHEN s.fate = 10 AND seat = 3 THEN now() - interval '2 hours'
    WHEN s.fate = 16 AND seat = 2 THEN now() - interval '1 minute'
    WHEN s.fate = 11 THEN now() - interval '50 minutes'
    WHEN s.fate = 15 THEN now() - interval '90 minutes'
    WHEN s.fate <= 10 THEN now() - seat * interval '30 seconds'
    ELSE s.created_at + interval '2 hours' - seat * interval '1 minute'
  END
FROM fated AS s
CROSS JOIN LATERAL generate_series(1, s.participant_count) AS seat;

CREATE INDEX idx_session_participants_last_seen ON tarot.session_participants (last_seen_at);
CREATE INDEX idx_reading_sessions_updated_at ON tarot.reading_sessions (updated_at);
CREATE INDEX ON tarot.reading_sessions (ended_at) WHERE NOT is_active;
CREATE INDEX ON tarot.session_participants (session_id);
CREATE INDEX ON tarot.session_participants (joined_at);
CREATE INDEX ON tarot.session_audit_log (session_id, id);
ANALYZE tarot.reading_sessions, tarot.session_participants, tarot.session_audit_log;
