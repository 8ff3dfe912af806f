-- The SQL of requirement 003, letter for letter. A line that begins with --- names what follows by
-- document, app and section.
--- 003 | after_hours | cleanupExpiredMessages, messages
DELETE FROM after_hours_messages
       WHERE match_id IN (
         SELECT id FROM after_hours_matches
         WHERE expires_at < NOW() - INTERVAL '${RETENTION_DAYS} days'
           AND converted_to_match_id IS NULL
       )
       RETURNING id
--- 003 | after_hours | cleanupExpiredMessages, matches
DELETE FROM after_hours_matches
       WHERE expires_at < NOW() - INTERVAL '${RETENTION_DAYS} days'
         AND converted_to_match_id IS NULL
       RETURNING id
