-- The roles of the session API and exactly what each may do, given anew at every migration: what a
-- former version granted is taken back. Names come from settings, since a server has one list of roles
-- for all of its databases.
DO $roles$
DECLARE
  api CONSTANT text := current_setting('session_api.api_role');
  cleanup CONSTANT text := current_setting('session_api.cleanup_role');
  readonly CONSTANT text := current_setting('session_api.readonly_role');
  events CONSTANT text := current_setting('session_api.events_role');
  role text;
  line text;
BEGIN
  FOREACH role IN ARRAY ARRAY[api, cleanup, readonly, events] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role);
      EXCEPTION
        -- Another database of this server is being migrated.
        WHEN duplicate_object OR unique_violation THEN NULL;
      END;
    END IF;
    FOREACH line IN ARRAY ARRAY['core', 'core_partitions', 'table_talk', 'tarot', 'after_hours'] LOOP
      EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC, %I', line, role);
      IF line <> 'core_partitions' THEN
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM PUBLIC, %I', line, role);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA %I FROM PUBLIC, %I', line, role);
      END IF;
    END LOOP;
  END LOOP;

  -- Only an owner may drop partitions. That role owns the two tables of events, and nothing else.
  IF NOT pg_catalog.pg_has_role(current_user, events, 'USAGE') THEN
    EXECUTE format('GRANT %I TO %I', events, current_user);
  END IF;
  EXECUTE format('GRANT CREATE ON SCHEMA core TO %I', events);
  FOREACH line IN ARRAY ARRAY['core.session_events', 'core.analytics_events'] LOOP
    -- It would lock out readers and writers also where nothing changes.
    IF (SELECT relowner FROM pg_catalog.pg_class WHERE oid = line::regclass) <> quote_ident(events)::regrole THEN
      EXECUTE format('ALTER TABLE %s OWNER TO %I', line, events);
    END IF;
  END LOOP;
  EXECUTE format('ALTER FUNCTION core.make_partitions(timestamptz) OWNER TO %I', events);
  EXECUTE format('REVOKE CREATE ON SCHEMA core FROM %I', events);
  EXECUTE format('GRANT USAGE ON SCHEMA core TO %I', events);
  EXECUTE format('GRANT USAGE, CREATE ON SCHEMA core_partitions TO %I', events);
  EXECUTE format('GRANT ALL ON core.session_events, core.analytics_events TO %I', events);
  EXECUTE format('GRANT EXECUTE ON FUNCTION core.make_partition(text, text, timestamptz, timestamptz), core.make_partitions(timestamptz), core.number_event() TO %I', events);
  -- Triggers tell of deleted sessions with the rights of whoever owns them.
  EXECUTE format('GRANT SELECT, INSERT ON core.session_events, core.analytics_events TO %I', current_user);
  EXECUTE format('GRANT EXECUTE ON FUNCTION core.make_partitions(timestamptz) TO %I', current_user);

  -- The API deletes nothing: that is the work of policies.
  FOREACH line IN ARRAY ARRAY[
    'USAGE ON SCHEMA core, after_hours',
    'SELECT ON core.migrations, core.session_archive, core.billing_usage, core.active_sessions',
    'SELECT ON core.reckoned_usage, core.unreckoned_usage, core.archived_usage, core.usage_changes, core.usage_by_user, core.usage_by_hour, core.usage_by_minute, core.usage_by_length, core.usage_summed',
    'SELECT, INSERT, UPDATE ON core.session_groups, core.sessions, core.session_participants',
    'SELECT, INSERT ON core.deck_sessions, core.session_events, core.analytics_events, core.session_audit_log',
    'SELECT, INSERT, UPDATE ON core.rate_limits, core.invites, core.realtime_tickets, core.idempotency_keys, core.api_replicas',
    'SELECT, INSERT, UPDATE ON after_hours.after_hours_profiles, after_hours.after_hours_matches',
    'SELECT, INSERT ON after_hours.after_hours_declines, after_hours.device_fingerprints, after_hours.after_hours_messages',
    'EXECUTE ON FUNCTION core.make_partitions(timestamptz), core.usage_of(uuid, timestamptz, timestamptz, timestamptz), '
      'core.log_session_event(uuid, text, jsonb), core.check_session_expiry(uuid, interval), '
      'core.get_session_billing_data(timestamptz, timestamptz, text, text), core.get_session_analytics(timestamptz, timestamptz, text), '
      'core.fold_usage(), core.whole_hours(timestamptz, timestamptz), '
      'core.usage_beside_sums(timestamptz, timestamptz, timestamptz, timestamptz, text[], text)'
  ] LOOP
    EXECUTE format('GRANT %s TO %I', line, api);
  END LOOP;

  -- What policies and the statements of the apps end, mark and delete; it writes to the archive by the
  -- trigger alone. A policy that deletes locks its rows, for which it needs UPDATE on some column: it has
  -- it on one that nothing depends on.
  FOREACH line IN ARRAY ARRAY[
    'USAGE ON SCHEMA core, table_talk, tarot, after_hours',
    'SELECT, UPDATE, DELETE ON core.sessions',
    'SELECT, UPDATE (disconnected_at, left_at) ON core.session_participants',
    'SELECT, DELETE, UPDATE (created_at) ON core.session_groups',
    'SELECT, INSERT ON core.session_events, core.analytics_events, core.session_audit_log',
    'SELECT, DELETE, UPDATE (updated_at) ON core.rate_limits',
    'SELECT, DELETE, UPDATE (created_at) ON core.invites',
    'SELECT, DELETE, UPDATE (created_at) ON core.realtime_tickets',
    'SELECT, DELETE, UPDATE (created_at) ON core.idempotency_keys',
    'SELECT, DELETE, UPDATE (started_at) ON core.api_replicas',
    'SELECT, UPDATE, DELETE ON table_talk.sessions, tarot.reading_sessions, after_hours.after_hours_sessions',
    'SELECT, UPDATE ON table_talk.session_participants, tarot.session_participants',
    'SELECT, INSERT ON table_talk.analytics_events',
    'SELECT ON table_talk.deck_sessions, table_talk.active_sessions, tarot.session_audit_log',
    'SELECT, DELETE, UPDATE (created_at) ON after_hours.after_hours_declines',
    'SELECT, DELETE, UPDATE (created_at) ON after_hours.device_fingerprints',
    'SELECT, DELETE, UPDATE (created_at) ON after_hours.after_hours_profiles',
    'SELECT, DELETE, UPDATE (created_at) ON after_hours.after_hours_matches',
    'SELECT, DELETE, UPDATE (sent_at) ON after_hours.after_hours_messages',
    'EXECUTE ON FUNCTION core.check_session_expiry(uuid, interval), core.log_session_event(uuid, text, jsonb), '
      'tarot.check_session_expiry(uuid, interval), tarot.cleanup_inactive_sessions(), tarot.log_session_event(uuid, text, jsonb)'
  ] LOOP
    EXECUTE format('GRANT %s TO %I', line, cleanup);
  END LOOP;

  -- Dashboards and billing: no code, no token, no message of anybody.
  FOREACH line IN ARRAY ARRAY[
    'USAGE ON SCHEMA core, table_talk, tarot',
    'SELECT ON core.migrations, core.session_groups, core.deck_sessions, core.analytics_events, core.session_audit_log, '
      'core.session_archive, core.billing_usage, core.active_sessions, core.api_replicas, '
      'core.reckoned_usage, core.unreckoned_usage, core.archived_usage, core.usage_changes, core.usage_by_user, core.usage_by_hour, core.usage_by_minute, core.usage_by_length, core.usage_summed',
    'SELECT (session_id, app, session_group_id, table_token, context, user_id, host_user_id, title, mode, dual_status, '
      'pairing_expires_at, is_active, created_at, updated_at, last_activity_at, expires_at, ended_at, end_reason, '
      'participant_count, participants, session_minutes, participant_minutes, peak_participants) ON core.sessions',
    'SELECT (participant_id, session_id, app, user_id, display_name, role, ready, joined_at, last_seen_at, disconnected_at, '
      'left_at, is_active) ON core.session_participants',
    'SELECT ON table_talk.active_sessions, table_talk.analytics_events, table_talk.session_participants, '
      'tarot.reading_sessions, tarot.session_participants, tarot.session_audit_log',
    'SELECT (session_id, app, session_group_id, table_token, context, title, mode, dual_status, pairing_expires_at, is_active, '
      'created_at, updated_at, last_activity_at, expires_at, ended_at, end_reason, participant_count) ON table_talk.sessions',
    'EXECUTE ON FUNCTION core.usage_of(uuid, timestamptz, timestamptz, timestamptz), core.check_session_expiry(uuid, interval), '
      'core.get_session_billing_data(timestamptz, timestamptz, text, text), core.get_session_analytics(timestamptz, timestamptz, text), '
      'core.whole_hours(timestamptz, timestamptz), '
      'core.usage_beside_sums(timestamptz, timestamptz, timestamptz, timestamptz, text[], text), '
      'tarot.check_session_expiry(uuid, interval), tarot.get_session_billing_data(timestamptz, timestamptz, text), '
      'tarot.get_session_analytics(timestamptz, timestamptz)'
  ] LOOP
    EXECUTE format('GRANT %s TO %I', line, readonly);
  END LOOP;
END $roles$;
