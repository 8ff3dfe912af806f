-- The SQL of requirement 001, letter for letter. A line that begins with --- names what follows by
-- document, app and section.
--- 001 | tarot | Database Cleanup Function
CREATE OR REPLACE FUNCTION cleanup_inactive_sessions()
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  -- Delete sessions where ALL participants have been inactive for 1+ hour
  DELETE FROM reading_sessions 
  WHERE id IN (
    SELECT rs.id 
    FROM reading_sessions rs
    WHERE rs.is_active = true
    AND NOT EXISTS (
      SELECT 1 
      FROM session_participants sp 
      WHERE sp.session_id = rs.id 
      AND sp.is_active = true 
      AND sp.last_seen_at > NOW() - INTERVAL '1 hour'
    )
  );
END;
$$;
--- 001 | tarot | Database Optimizations, participants
-- Indexes for fast cleanup queries
CREATE INDEX idx_session_participants_last_seen ON session_participants(last_seen_at);
--- 001 | tarot | Database Optimizations, sessions
CREATE INDEX idx_reading_sessions_updated_at ON reading_sessions(updated_at);
