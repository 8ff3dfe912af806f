-- Six checks that the schema of the session API is all there, in a second and without making data:
--   psql "$DATABASE_URL" --file docs/session-api-verify.sql
-- as its owner, or in the role session_cleanup. The first that fails is named. Where none does, the result is
-- "All tests completed successfully!". Nothing of it stays.
BEGIN;
SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '30s';

DO $verify$
DECLARE
  missing text;
BEGIN
  SELECT string_agg(wanted, ', ') INTO missing
  FROM unnest(ARRAY[
    'core.check_session_expiry(uuid,interval)',
    'core.log_session_event(uuid,text,jsonb)',
    'core.get_session_billing_data(timestamptz,timestamptz,text,text)',
    'core.get_session_analytics(timestamptz,timestamptz,text)',
    'core.fold_usage()',
    'core.make_partitions(timestamptz)',
    'tarot.cleanup_inactive_sessions()',
    'tarot.check_session_expiry(uuid,interval)',
    'tarot.log_session_event(uuid,text,jsonb)',
    'tarot.get_session_billing_data(timestamptz,timestamptz,text)',
    'tarot.get_session_analytics(timestamptz,timestamptz)'
  ]) AS wanted
  WHERE to_regprocedure(wanted) IS NULL;
  IF missing IS NOT NULL THEN
    RAISE EXCEPTION 'check 1 of 6 failed: functions are missing: %', missing;
  END IF;

  SELECT string_agg(relation || '.' || name, ', ') INTO missing
  FROM (VALUES
    ('core.session_participants', 'last_seen_at'),
    ('core.session_participants', 'is_active'),
    ('core.sessions', 'is_active'),
    ('core.sessions', 'updated_at'),
    ('core.sessions', 'expires_at'),
    ('core.sessions', 'ended_at')
  ) AS wanted (relation, name)
  WHERE NOT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = to_regclass(relation) AND attname = name AND NOT attisdropped
  );
  IF missing IS NOT NULL THEN
    RAISE EXCEPTION 'check 2 of 6 failed: columns are missing: %', missing;
  END IF;

  SELECT string_agg(wanted, ', ') INTO missing
  FROM unnest(ARRAY[
    'idx_session_participants_last_seen',
    'idx_reading_sessions_updated_at',
    'session_participants_session',
    'sessions_live_code',
    'sessions_any_code',
    'sessions_code_expiry',
    'sessions_expiry',
    'sessions_to_announce',
    'sessions_activity',
    'sessions_table',
    'sessions_group',
    'sessions_app_over',
    'sessions_user_over',
    'sessions_unreckoned',
    'sessions_created',
    'sessions_removed',
    'session_audit_log_app'
  ]) AS wanted
  WHERE NOT EXISTS (
    SELECT FROM pg_index
    WHERE indexrelid = to_regclass('core.' || wanted) AND indisvalid
  );
  IF missing IS NOT NULL THEN
    RAISE EXCEPTION 'check 3 of 6 failed: indexes are missing or not valid: %', missing;
  END IF;

  BEGIN
    PERFORM tarot.cleanup_inactive_sessions();
  EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION 'check 4 of 6 failed: cleanup does not run: %', SQLERRM;
  END;

  -- What is not there has expired, and where somebody was heard of within the hour it has not.
  IF NOT tarot.check_session_expiry(gen_random_uuid()) OR EXISTS (
    SELECT FROM core.sessions AS s
    WHERE s.app = 'tarot'
      AND s.is_active
      AND s.expires_at > now()
      AND EXISTS (
        SELECT FROM core.session_participants AS p
        WHERE p.session_id = s.session_id AND p.is_active AND p.last_seen_at > now() - interval '59 minutes'
      )
      AND core.check_session_expiry(s.session_id)
  ) THEN
    RAISE EXCEPTION 'check 5 of 6 failed: expiry is not judged by who is there';
  END IF;

  SELECT string_agg(name || ' on ' || relation, ', ') INTO missing
  FROM (VALUES
    ('core.sessions', 'keep_session'),
    ('core.sessions', 'begin_again'),
    ('core.sessions', 'call_timeout'),
    ('core.sessions', 'tell_of_code'),
    ('core.sessions', 'archive_session'),
    ('core.sessions', 'refuse_truncate'),
    ('core.sessions', 'count_session'),
    ('core.sessions', 'count_new_session'),
    ('core.session_archive', 'refuse_truncate'),
    ('core.session_archive', 'count_archived'),
    ('core.session_archive', 'count_new_archived'),
    ('core.session_participants', 'refuse_truncate'),
    ('core.sessions', 'keep_matches'),
    ('core.session_participants', 'join_session'),
    ('core.session_participants', 'tell_of_absence'),
    ('core.session_participants', 'touch_participant'),
    ('core.session_participants', 'count_participants'),
    ('core.session_events', 'number_event')
  ) AS wanted (relation, name)
  WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = to_regclass(relation) AND tgname = name AND tgenabled <> 'D'
  );
  IF missing IS NOT NULL THEN
    RAISE EXCEPTION 'check 6 of 6 failed: triggers are missing or disabled: %', missing;
  END IF;
END $verify$;

SELECT 'All tests completed successfully!' AS result;
ROLLBACK;
