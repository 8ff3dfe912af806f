-- The SQL of requirement 000, letter for letter. A line that begins with --- names what follows by
-- document, app and section.
--- 000 | table_talk | Cleanup Cron Job, rule 1
      UPDATE sessions
      SET dual_status = 'ended',
          expires_at = NOW(),
          pairing_code_hash = NULL  -- Clear code hash
      WHERE dual_status = 'waiting'
        AND pairing_expires_at < NOW()
      RETURNING session_id
--- 000 | table_talk | Cleanup Cron Job, rule 2
      UPDATE sessions
      SET expires_at = NOW()
      WHERE last_activity_at < NOW() - INTERVAL '30 minutes'
        AND expires_at > NOW()
      RETURNING session_id
--- 000 | table_talk | Cleanup Cron Job, rule 3
      UPDATE session_participants
      SET disconnected_at = NOW()
      WHERE last_seen_at < NOW() - INTERVAL '5 minutes'
        AND disconnected_at IS NULL
      RETURNING participant_id
--- 000 | table_talk | Cleanup Cron Job, rule 4
      DELETE FROM sessions
      WHERE expires_at < NOW() - INTERVAL '1 hour'
      RETURNING session_id
--- 000 | table_talk | Verification Queries, join code success rate
  -- Join code success rate
  SELECT 
    COUNT(*) FILTER (WHERE event_type = 'join_code_used') as successful,
    COUNT(*) FILTER (WHERE event_type = 'join_code_failed') as failed,
    ROUND(
      100.0 * COUNT(*) FILTER (WHERE event_type = 'join_code_used') / 
      NULLIF(COUNT(*), 0), 
      2
    ) as success_rate_pct
  FROM analytics_events
  WHERE event_type IN ('join_code_used', 'join_code_failed')
    AND timestamp > NOW() - INTERVAL '24 hours';
--- 000 | table_talk | Verification Queries, session groups per table
  -- Session groups per table
  SELECT 
    table_token,
    COUNT(DISTINCT session_group_id) as concurrent_groups,
    COUNT(session_id) as total_sessions
  FROM sessions
  WHERE created_at::date = CURRENT_DATE
  GROUP BY table_token
  ORDER BY concurrent_groups DESC;
--- 000 | table_talk | Verification Queries, cleanup effectiveness
  -- Cleanup effectiveness
  SELECT 
    event_data->>'expired_waiting' as waiting_expired,
    event_data->>'expired_inactive' as inactive_expired,
    event_data->>'disconnected_participants' as participants_disconnected,
    event_data->>'deleted_sessions' as sessions_deleted,
    timestamp
  FROM analytics_events
  WHERE event_type = 'cleanup_job_completed'
  ORDER BY timestamp DESC
  LIMIT 10;
--- 000 | table_talk | Security Testing, expired codes rejected
        UPDATE sessions 
        SET pairing_expires_at = NOW() - INTERVAL '11 minutes' 
        WHERE session_id = $1
--- 000 | table_talk | Security Testing, code hash cleared
        SELECT pairing_code_hash FROM sessions WHERE session_id = $1
--- 000 | table_talk | Session Group Isolation Testing, decks
        SELECT deck_context_id, session_group_id FROM deck_sessions
        WHERE session_group_id IN ($1, $2)
--- 000 | table_talk | Monitoring Dashboard Queries, active sessions by table
  -- Active sessions by table (real-time)
  SELECT 
    table_token,
    session_group_id,
    context,
    mode,
    dual_status,
    COUNT(*) as participants,
    MAX(last_activity_at) as last_active,
    EXTRACT(EPOCH FROM (NOW() - MAX(last_activity_at))) / 60 as minutes_inactive
  FROM sessions s
  LEFT JOIN session_participants p ON s.session_id = p.session_id
  WHERE s.expires_at > NOW()
  GROUP BY table_token, session_group_id, context, mode, dual_status
  ORDER BY last_active DESC;
--- 000 | table_talk | Monitoring Dashboard Queries, join code performance
  -- Join code performance
  SELECT 
    DATE_TRUNC('hour', timestamp) as hour,
    AVG(CASE 
      WHEN event_type = 'dual_phone_paired' THEN
        EXTRACT(EPOCH FROM (timestamp - (event_data->>'created_at')::timestamp))
      END
    ) as avg_pairing_time_seconds,
    COUNT(*) FILTER (WHERE event_type = 'dual_phone_paired') as pairings,
    COUNT(*) FILTER (WHERE event_type = 'join_code_expired') as expired_codes
  FROM analytics_events
  WHERE timestamp > NOW() - INTERVAL '24 hours'
  GROUP BY hour
  ORDER BY hour DESC;
