-- What each app sees: its own rows, under the names that its statements use. A statement runs as it is
-- written with search_path set to the schema of the app.
--
-- LOCAL CHECK OPTION keeps what is written through a view inside its app.

CREATE SCHEMA table_talk;

CREATE VIEW table_talk.sessions AS
SELECT
  session_id, app, session_group_id, table_token, context, title, mode, dual_status,
  pairing_code_hash, pairing_expires_at, is_active, created_at, updated_at, last_activity_at,
  expires_at, ended_at, end_reason, participant_count
FROM core.sessions
WHERE app = 'table_talk'
WITH LOCAL CHECK OPTION;
ALTER VIEW table_talk.sessions ALTER COLUMN app SET DEFAULT 'table_talk';

CREATE VIEW table_talk.session_participants AS
SELECT
  participant_id, session_id, app, display_name, role, ready, joined_at, last_seen_at,
  disconnected_at, left_at, is_active
FROM core.session_participants
WHERE app = 'table_talk'
WITH LOCAL CHECK OPTION;

CREATE VIEW table_talk.deck_sessions AS
SELECT session_group_id, deck_context_id, created_at
FROM core.deck_sessions
WHERE EXISTS (
  SELECT FROM core.session_groups AS g
  WHERE g.session_group_id = deck_sessions.session_group_id AND g.app = 'table_talk'
)
WITH LOCAL CHECK OPTION;

CREATE VIEW table_talk.analytics_events AS
SELECT id, event_type, event_data, session_id, app, "timestamp"
FROM core.analytics_events
WHERE app = 'table_talk'
WITH LOCAL CHECK OPTION;
ALTER VIEW table_talk.analytics_events ALTER COLUMN app SET DEFAULT 'table_talk';

-- Word for word as Table-Talk's dashboard asks; so it counts one participant where there is none.
CREATE VIEW table_talk.active_sessions AS
SELECT
  table_token,
  session_group_id,
  context,
  mode,
  dual_status,
  COUNT(*) as participants,
  MAX(last_activity_at) as last_active,
  EXTRACT(EPOCH FROM (NOW() - MAX(last_activity_at))) / 60 as minutes_inactive
FROM table_talk.sessions s
LEFT JOIN table_talk.session_participants p ON s.session_id = p.session_id
WHERE s.expires_at > NOW()
GROUP BY table_token, session_group_id, context, mode, dual_status
ORDER BY last_active DESC;

-- The same of every app, and right: participants are those who are there, not rows of a join.
CREATE VIEW core.active_sessions AS
SELECT
  s.app,
  s.table_token,
  s.session_group_id,
  s.context,
  s.mode,
  s.dual_status,
  count(DISTINCT s.session_id) AS sessions,
  count(p.participant_id) FILTER (WHERE p.is_active) AS participants,
  max(s.last_activity_at) AS last_active,
  EXTRACT(epoch FROM now() - max(s.last_activity_at)) / 60 AS minutes_inactive
FROM core.sessions AS s
LEFT JOIN core.session_participants AS p ON p.session_id = s.session_id
WHERE s.expires_at > now()
  AND s.ended_at IS NULL
GROUP BY s.app, s.table_token, s.session_group_id, s.context, s.mode, s.dual_status;

CREATE SCHEMA tarot;

CREATE VIEW tarot.reading_sessions AS
SELECT
  session_id AS id, app, session_group_id, title, host_user_id, is_active, participant_count,
  created_at, updated_at, last_activity_at, expires_at, ended_at, end_reason
FROM core.sessions
WHERE app = 'tarot'
WITH LOCAL CHECK OPTION;
ALTER VIEW tarot.reading_sessions ALTER COLUMN app SET DEFAULT 'tarot';

CREATE VIEW tarot.session_participants AS
SELECT
  participant_id AS id, session_id, app, user_id, display_name, role, joined_at, last_seen_at,
  disconnected_at, left_at, is_active
FROM core.session_participants
WHERE app = 'tarot'
WITH LOCAL CHECK OPTION;

CREATE VIEW tarot.session_audit_log AS
SELECT id, session_id, event_type, actor_id, actor_kind, event_data, created_at
FROM core.session_audit_log
WHERE app = 'tarot';

CREATE VIEW after_hours.after_hours_sessions AS
SELECT
  session_id AS id, app, session_group_id, user_id, is_active, created_at, updated_at, expires_at,
  ended_at, end_reason
FROM core.sessions
WHERE app = 'after_hours'
WITH LOCAL CHECK OPTION;
ALTER VIEW after_hours.after_hours_sessions ALTER COLUMN app SET DEFAULT 'after_hours';

-- Sessions that are over, whether their row is still there or not: each once, and from one to the
-- other with the same figures.
CREATE VIEW core.billing_usage AS
SELECT
  s.session_id,
  s.app,
  COALESCE(s.user_id, s.host_user_id) AS user_id,
  s.created_at AS started_at,
  COALESCE(s.ended_at, s.expires_at) AS ended_at,
  COALESCE(s.end_reason, 'timeout') AS end_reason,
  s.participants,
  s.session_minutes,
  s.participant_minutes,
  s.peak_participants
FROM core.sessions AS s
WHERE s.session_minutes IS NOT NULL
UNION ALL
SELECT
  s.session_id,
  s.app,
  COALESCE(s.user_id, s.host_user_id),
  s.created_at,
  COALESCE(s.ended_at, s.expires_at),
  COALESCE(s.end_reason, 'timeout'),
  usage.participants,
  usage.session_minutes,
  usage.participant_minutes,
  usage.peak_participants
FROM core.sessions AS s
CROSS JOIN LATERAL core.usage_of(s.session_id, s.created_at, s.last_activity_at, COALESCE(s.ended_at, s.expires_at)) AS usage
WHERE s.session_minutes IS NULL
  AND COALESCE(s.ended_at, s.expires_at) <= now()
UNION ALL
SELECT
  session_id, app, user_id, created_at, ended_at, end_reason, participants, session_minutes,
  participant_minutes, peak_participants
FROM core.session_archive;
