-- After Hours: 2,000 matches and their 8,000 messages.
-- It stands beside after-hours-sessions.sql in one database.
CREATE SCHEMA IF NOT EXISTS after_hours;

CREATE TABLE after_hours.after_hours_matches (
  id uuid PRIMARY KEY,
  user_a uuid NOT NULL,
  user_b uuid NOT NULL,
  expires_at timestamptz NOT NULL,
  converted_to_match_id uuid
);

-- No cascade: a match that still has a message cannot be deleted.
CREATE TABLE after_hours.after_hours_messages (
  id uuid PRIMARY KEY,
  match_id uuid NOT NULL REFERENCES after_hours.after_hours_matches,
  sender_id uuid NOT NULL,
  body text NOT NULL,
  sent_at timestamptz NOT NULL
);

CREATE TABLE IF NOT EXISTS after_hours.cleanup_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  message text NOT NULL,
  data jsonb NOT NULL,
  logged_at timestamptz NOT NULL
);

-- The fate of a match, of each 10:
--   0 to 2  runs
--   3       never expires
--   4       expired 29 days and 20 hours ago
--   5       expired over 30 days ago, and was saved
--   6 to 8  expired over 30 days ago
--   9       the same, and nobody wrote a word
WITH drawn AS (
  SELECT n, n % 10 AS fate, n * 7919 % 1009 / 1009.0 AS r
  FROM generate_series(0, 1999) AS n
)
INSERT INTO after_hours.after_hours_matches
SELECT
  md5('match ' || n)::uuid,
  md5('person ' || n % 2000)::uuid,
  md5('person ' || n * 7 % 2000)::uuid,
  CASE
    WHEN fate <= 2 THEN now() + interval '1 hour' + r * interval '7 hours'
    WHEN fate = 3 THEN 'infinity'
    WHEN fate = 4 THEN now() - interval '29 days 20 hours'
    ELSE now() - interval '30 days 1 minute' - r * interval '90 days'
  END,
  CASE fate WHEN 5 THEN md5('saved match ' || n)::uuid END
FROM drawn;

INSERT INTO after_hours.after_hours_messages
SELECT
  md5('message ' || n || ' ' || line)::uuid,
  m.id,
  CASE line % 2 WHEN 0 THEN m.user_a ELSE m.user_b END,
  (ARRAY['hey', 'are you still up?', 'where are you?', 'look at the moon'])[1 + (n + line) % 4],
  least(m.expires_at, now()) - line * interval '3 minutes'
FROM generate_series(0, 1999) AS n
JOIN after_hours.after_hours_matches AS m ON m.id = md5('match ' || n)::uuid
CROSS JOIN generate_series(1, 4) AS line
WHERE n % 10 <> 9;

CREATE INDEX ON after_hours.after_hours_matches (expires_at) WHERE converted_to_match_id IS NULL;
CREATE INDEX ON after_hours.after_hours_messages (match_id);
CREATE INDEX ON after_hours.after_hours_messages (sent_at);
ANALYZE after_hours.after_hours_matches, after_hours.after_hours_messages;
