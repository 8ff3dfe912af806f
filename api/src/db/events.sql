-- All events of a request: into the outbox, where a trigger numbers them, to the figures and to the
-- auditors, each where it belongs and in its place.
WITH told AS (
  SELECT
    item.place,
    item.event ->> 'type' AS type,
    CAST(item.event ->> 'session' AS uuid) AS session_id,
    CAST(item.event ->> 'group' AS uuid) AS session_group_id,
    item.event ->> 'app' AS app,
    item.event ->> 'to_user' AS to_user_id,
    item.event -> 'data' AS data,
    CAST(item.event ->> 'realtime' AS boolean) AS realtime,
    CAST(item.event ->> 'analytics' AS boolean) AS analytics,
    CAST(item.event ->> 'audit' AS boolean) AS audit
  FROM jsonb_array_elements($1) WITH ORDINALITY AS item(event, place)
), outbox AS (
  INSERT INTO core.session_events (session_group_id, session_id, type, to_user_id, data)
  SELECT session_group_id, session_id, type, to_user_id, data
  FROM told
  WHERE realtime
  ORDER BY place
), figures AS (
  INSERT INTO core.analytics_events (event_type, event_data, session_id, app)
  SELECT type, data, session_id, app
  FROM told
  WHERE analytics
  ORDER BY place
)
INSERT INTO core.session_audit_log (session_id, app, event_type, actor_id, actor_kind, event_data, ip_prefix)
SELECT session_id, app, type, $2, $3, data, CAST(CAST($4 AS text) AS cidr)
FROM told
WHERE audit
ORDER BY place
