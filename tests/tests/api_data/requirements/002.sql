-- The SQL of requirement 002, letter for letter. A line that begins with --- names what follows by
-- document, app and section.
--- 002 | after_hours | cleanupExpiredSessions, 1
UPDATE after_hours_sessions
       SET ended_at = expires_at
       WHERE ended_at IS NULL
         AND expires_at < NOW()
       RETURNING id
--- 002 | after_hours | cleanupExpiredSessions, 2
DELETE FROM after_hours_declines
       WHERE created_at < NOW() - INTERVAL '${SESSION_RETENTION_DAYS} days'
       RETURNING id
--- 002 | after_hours | cleanupExpiredSessions, 3
DELETE FROM device_fingerprints
       WHERE session_id IS NOT NULL
         AND session_id NOT IN (SELECT id FROM after_hours_sessions)
       RETURNING id
