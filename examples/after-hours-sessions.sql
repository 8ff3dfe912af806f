-- After Hours: sessions, declines, fingerprints and profiles, a few thousand of each.
-- It stands beside after-hours-messages.sql in one database.
CREATE SCHEMA IF NOT EXISTS after_hours;

CREATE TABLE after_hours.users (
  id uuid PRIMARY KEY,
  email text NOT NULL
);

-- Without a foreign key to users, who live in another service: so it can lose its person.
CREATE TABLE after_hours.after_hours_profiles (
  user_id uuid PRIMARY KEY,
  nickname text NOT NULL,
  created_at timestamptz NOT NULL
);

CREATE TABLE after_hours.after_hours_sessions (
  id uuid PRIMARY KEY,
  user_id uuid NOT NULL,
  started_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  ended_at timestamptz
);

CREATE TABLE after_hours.after_hours_declines (
  id uuid PRIMARY KEY,
  user_id uuid NOT NULL,
  declined_user_id uuid NOT NULL,
  created_at timestamptz NOT NULL
);

-- Without a foreign key to its session, so that it can outlive it.
CREATE TABLE after_hours.device_fingerprints (
  id uuid PRIMARY KEY,
  session_id uuid,
  fingerprint text NOT NULL,
  created_at timestamptz NOT NULL
);

CREATE TABLE IF NOT EXISTS after_hours.cleanup_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  message text NOT NULL,
  data jsonb NOT NULL,
  logged_at timestamptz NOT NULL
);

-- Every twentieth profile has lost its person.
INSERT INTO after_hours.users
SELECT md5('person ' || n)::uuid, 'person' || n || '@example.com'
FROM generate_series(0, 1999) AS n
WHERE n % 20 <> 7;

INSERT INTO after_hours.after_hours_profiles
SELECT md5('person ' || n)::uuid, 'night owl ' || n, now() - interval '1 day' - n % 1009 * interval '8 hours'
FROM generate_series(0, 1999) AS n;

-- The fate of a session, of each 10:
--   0 and 1  runs for hours yet
--   2        never expires
--   3 and 4  expired, and nobody ended it
--   5 to 7   ended within the last six days, some before they expired
--   8 and 9  ended over a week ago
WITH drawn AS (
  SELECT n, n % 10 AS fate, n * 7919 % 1009 / 1009.0 AS r
  FROM generate_series(0, 2999) AS n
), aged AS (
  SELECT
    n,
    fate,
    r,
    CASE
      WHEN fate <= 2 THEN now() - r * interval '2 hours'
      WHEN fate <= 4 THEN now() - interval '8 hours 5 minutes' - r * interval '5 days'
      WHEN fate <= 7 THEN now() - interval '10 hours' - r * interval '5 days'
      ELSE now() - interval '8 days' - r * interval '20 days'
    END AS started_at
  FROM drawn
)
INSERT INTO after_hours.after_hours_sessions
SELECT
  md5('evening ' || n)::uuid,
  md5('person ' || n % 2000)::uuid,
  started_at,
  CASE fate WHEN 2 THEN 'infinity' ELSE started_at + interval '8 hours' END,
  CASE
    WHEN fate IN (5, 8) THEN started_at + r * interval '8 hours'
    WHEN fate >= 6 THEN started_at + interval '8 hours'
  END
FROM aged;

-- Of each 10 declines 3 are over a week old; the tenth is six days and 20 hours old.
INSERT INTO after_hours.after_hours_declines
SELECT
  md5('decline ' || n)::uuid,
  md5('person ' || n % 2000)::uuid,
  md5('person ' || n * 7 % 2000)::uuid,
  CASE
    WHEN n % 10 < 3 THEN now() - interval '7 days 1 minute' - n % 1009 * interval '20 minutes'
    WHEN n % 10 = 9 THEN now() - interval '6 days 20 hours'
    ELSE now() - n % 1009 * interval '8 minutes'
  END
FROM generate_series(0, 3999) AS n;

-- Of each 10 fingerprints one never had a session, two have lost it.
INSERT INTO after_hours.device_fingerprints
SELECT
  md5('fingerprint ' || n)::uuid,
  CASE
    WHEN n % 10 = 0 THEN NULL
    WHEN n % 10 IN (1, 2) THEN md5('forgotten evening ' || n)::uuid
    ELSE md5('evening ' || n % 3000)::uuid
  END,
  md5('device ' || n % 1500),
  now() - interval '1 day' - n % 1009 * interval '30 minutes'
FROM generate_series(0, 3999) AS n;

CREATE INDEX ON after_hours.after_hours_sessions (expires_at) WHERE ended_at IS NULL;
CREATE INDEX ON after_hours.after_hours_sessions (ended_at);
CREATE INDEX ON after_hours.after_hours_declines (created_at);
CREATE INDEX ON after_hours.device_fingerprints (session_id);
CREATE INDEX ON after_hours.device_fingerprints (created_at);
CREATE INDEX ON after_hours.after_hours_profiles (created_at);
ANALYZE after_hours.users, after_hours.after_hours_profiles, after_hours.after_hours_sessions,
  after_hours.after_hours_declines, after_hours.device_fingerprints;
