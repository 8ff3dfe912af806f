-- For each rule of the chart's policies one row that is due, and one that is not, and will not be while a
-- slow machine runs all of them.
SELECT core.make_partitions(now() - interval '9 days'), core.make_partitions(now() - interval '500 days');

INSERT INTO core.sessions (app, title, mode, dual_status, pairing_code_hash, pairing_expires_at) VALUES
  ('table_talk', 'table talk waited', 'dual', 'waiting', '\x00', now() - interval '1 minute'),
  ('table_talk', 'table talk lives', 'dual', 'waiting', '\x01', now() + interval '9 minutes');
INSERT INTO core.sessions (app, title, created_at, last_activity_at, expires_at) VALUES
  ('table_talk', 'table talk is idle', now() - interval '1 hour', now() - interval '31 minutes', now() + interval '1 hour'),
  ('table_talk', 'table talk is over', now() - interval '3 hours', now() - interval '2 hours', now() - interval '61 minutes'),
  ('table_talk', 'table talk was over just now', now() - interval '3 hours', now() - interval '2 hours', now() - interval '30 minutes'),
  ('tarot', 'tarot is silent', now() - interval '3 hours', now() - interval '2 hours', now() + interval '1 hour'),
  ('tarot', 'tarot is over', now() - interval '3 hours', now() - interval '2 hours', now() - interval '1 hour'),
  ('tarot', 'tarot lives', now() - interval '3 hours', now() - interval '2 hours', now() + interval '1 hour'),
  ('after_hours', 'after hours is over', now() - interval '3 hours', now() - interval '2 hours', now() - interval '2 hours'),
  ('after_hours', 'after hours lives', now() - interval '3 hours', now() - interval '2 hours', now() + interval '1 hour');
INSERT INTO core.session_participants (session_id, last_seen_at, joined_at)
SELECT session_id, now() - seen, now() - interval '3 hours'
FROM core.sessions, (VALUES
  ('table talk lives', interval '6 minutes'),
  ('table talk lives', interval '0 minutes'),
  ('tarot is silent', interval '61 minutes'),
  ('tarot lives', interval '30 minutes'),
  ('after hours lives', interval '2 hours')
) AS seen (session, seen)
WHERE title = session;
INSERT INTO core.sessions (app, title, created_at, last_activity_at, expires_at, ended_at, is_active) VALUES
  ('tarot', 'tarot ended long ago', now() - interval '92 days', now() - interval '92 days', now() - interval '91 days', now() - interval '91 days', false),
  ('tarot', 'tarot ended a while ago', now() - interval '90 days', now() - interval '90 days', now() - interval '89 days', now() - interval '89 days', false);
INSERT INTO core.session_participants (session_id, last_seen_at, joined_at)
SELECT session_id, created_at, created_at FROM core.sessions WHERE title LIKE 'tarot ended%';

-- Ended by its host: it does not expire as well. Who has left is not lost.
INSERT INTO core.sessions (app, title, created_at, last_activity_at, expires_at, ended_at, end_reason, is_active) VALUES
  ('table_talk', 'table talk was ended', now() - interval '1 hour', now() - interval '31 minutes', now() + interval '1 hour', now() - interval '31 minutes', 'ended', false);
INSERT INTO core.session_participants (session_id, last_seen_at, joined_at, left_at)
SELECT session_id, now() - interval '6 minutes', created_at, now() - interval '6 minutes'
FROM core.sessions WHERE title = 'table talk lives';

INSERT INTO core.sessions (app, title, ended_at, removed_at, is_active) VALUES
  ('table_talk', 'was taken back', now() - interval '2 hours', now() - interval '61 minutes', false),
  ('table_talk', 'was taken back just now', now() - interval '2 hours', now() - interval '30 minutes', false);

INSERT INTO after_hours.after_hours_matches (id, user_a, user_b, created_at, expires_at, converted_to_match_id) VALUES
  (md5('old')::uuid, 'a', 'b', now() - interval '32 days', now() - interval '31 days', NULL),
  (md5('saved')::uuid, 'a', 'b', now() - interval '32 days', now() - interval '31 days', md5('x')::uuid),
  (md5('young')::uuid, 'a', 'b', now() - interval '30 days', now() - interval '29 days', NULL);
INSERT INTO after_hours.after_hours_messages (match_id, sender_id, body, sent_at)
SELECT id, 'a', 'hello', created_at FROM after_hours.after_hours_matches;
-- As the requirements' statements have it, whatever else a row says.
INSERT INTO after_hours.after_hours_messages (match_id) VALUES (md5('old')::uuid);
INSERT INTO after_hours.device_fingerprints (session_id) VALUES (md5('gone')::uuid);
INSERT INTO after_hours.after_hours_declines (user_id, declined_user_id, created_at) VALUES
  ('a', 'b', now() - interval '8 days'),
  ('a', 'c', now() - interval '6 days');
-- A session of another app is none of theirs, and one that never had a session has lost none.
INSERT INTO after_hours.device_fingerprints (session_id, fingerprint_hash, created_at)
SELECT gone, '\x00'::bytea, now() - interval '2 hours'
FROM unnest(ARRAY[md5('gone')::uuid, NULL]) AS gone
UNION ALL
SELECT session_id, '\x01', now() - interval '2 hours' FROM core.sessions WHERE title = 'after hours lives';

INSERT INTO core.session_groups (session_group_id, app, created_at) VALUES
  (md5('empty')::uuid, 'tarot', now() - interval '4 days'),
  (md5('new')::uuid, 'tarot', now() - interval '4 days'),
  (md5('made just now')::uuid, 'tarot', now());
INSERT INTO core.sessions (app, title, session_group_id) VALUES ('tarot', 'the new group''s', md5('new')::uuid);
INSERT INTO core.session_participants (session_id) SELECT session_id FROM core.sessions WHERE title = 'the new group''s';

INSERT INTO core.idempotency_keys (client, path, key, request_hash, expires_at) VALUES
  ('a', '/', 'old', '', now() - interval '1 second'),
  ('a', '/', 'new', '', now() + interval '1 hour');
INSERT INTO core.invites (session_id, token_hash, expires_at)
SELECT session_id, decode(age, 'hex'), now() - make_interval(hours => age::integer)
FROM core.sessions, unnest('{25, 23}'::text[]) AS age
WHERE title = 'tarot lives';
INSERT INTO core.realtime_tickets (ticket_hash, session_id, participant_id, expires_at) VALUES
  ('\x00', gen_random_uuid(), gen_random_uuid(), now() - interval '2 minutes'),
  ('\x01', gen_random_uuid(), gen_random_uuid(), now() + interval '30 minutes');
INSERT INTO core.rate_limits (k, hits, updated_at) VALUES
  ('old', '{}', now() - interval '61 minutes'),
  ('new', '{}', now() - interval '30 minutes');
INSERT INTO core.api_replicas (replica_id, seen_at) VALUES
  (gen_random_uuid(), now() - interval '25 hours'),
  (gen_random_uuid(), now() - interval '23 hours');

INSERT INTO core.session_events (session_group_id, type, created_at)
SELECT md5('new')::uuid, 'x', now() - age * interval '1 day' FROM unnest('{0, 8, 9}'::integer[]) AS age;
INSERT INTO core.analytics_events (event_type, "timestamp")
SELECT 'x', now() - age * interval '1 day' FROM unnest('{0, 500}'::integer[]) AS age;
