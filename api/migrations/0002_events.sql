-- What happened: the outbox that sockets read, and the events that people count. Both grow without
-- end and are partitioned, so that what is old goes as a whole.

CREATE SCHEMA core_partitions;
COMMENT ON SCHEMA core_partitions IS 'The partitions of core.session_events (days) and core.analytics_events (months), in UTC.';

-- The partition key has to be part of the primary key; that seq is unique in its group is the work of
-- the trigger below.
CREATE TABLE core.session_events (
  session_group_id uuid NOT NULL,
  seq bigint NOT NULL DEFAULT 0,
  epoch bigint NOT NULL DEFAULT 0,
  type text NOT NULL,
  app text,
  session_id uuid,
  to_user_id text,
  data jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (session_group_id, seq, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX session_events_created ON core.session_events (created_at);
COMMENT ON TABLE core.session_events IS 'The outbox: one row for each event of a group, numbered without a gap in the order of commits.';

CREATE TABLE core.analytics_events (
  id bigint GENERATED ALWAYS AS IDENTITY,
  event_type text NOT NULL,
  event_data jsonb NOT NULL DEFAULT '{}',
  session_id uuid,
  app text CHECK (app IN ('table_talk', 'tarot', 'after_hours')),
  "timestamp" timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (id, "timestamp")
) PARTITION BY RANGE ("timestamp");
CREATE INDEX analytics_events_type ON core.analytics_events (event_type, "timestamp" DESC);
CREATE INDEX analytics_events_time ON core.analytics_events USING brin ("timestamp");

-- Numbers an event, whoever inserts it. The lock on the group's row is held until the end of the
-- transaction: so numbers are in the order of commits, and one that was rolled back is given again.
-- Whoever changes a session and tells of it locks the session first and its group second.
CREATE FUNCTION core.number_event() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE core.session_groups
  SET last_seq = last_seq + 1, last_event_at = clock_timestamp()
  WHERE session_group_id = NEW.session_group_id
  RETURNING last_seq, epoch, app INTO NEW.seq, NEW.epoch, NEW.app;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'an event needs a group that exists' USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER number_event BEFORE INSERT ON core.session_events
  FOR EACH ROW EXECUTE FUNCTION core.number_event();

-- Makes a partition, and attaches it: that waits for no reader and no writer of the parent, which
-- CREATE TABLE … PARTITION OF would.
CREATE FUNCTION core.make_partition(parent text, name text, from_time timestamptz, to_time timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
BEGIN
  IF to_regclass(format('core_partitions.%I', name)) IS NOT NULL THEN
    RETURN false;
  END IF;
  -- INCLUDING ALL would copy the identity, which a partition takes from its parent.
  EXECUTE format('CREATE TABLE core_partitions.%I (LIKE core.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', name, parent);
  EXECUTE format('ALTER TABLE core.%I ATTACH PARTITION core_partitions.%I FOR VALUES FROM (%L) TO (%L)', parent, name, from_time, to_time);
  RETURN true;
END $$;

-- The days until three days from now, and the months until two months from now. There is no default
-- partition: an event that has no place fails loudly. Returns how many were made.
CREATE FUNCTION core.make_partitions(moment timestamptz DEFAULT now()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
  made integer := 0;
  first timestamptz;
BEGIN
  -- Two at once: the second sees what the first has made.
  PERFORM pg_advisory_xact_lock(hashtext('core.make_partitions'));
  FOR ahead IN 0..3 LOOP
    first := date_trunc('day', moment) + make_interval(days => ahead);
    made := made + core.make_partition('session_events', 'session_events_' || to_char(first, 'YYYY_MM_DD'), first, first + interval '1 day')::integer;
  END LOOP;
  FOR ahead IN 0..2 LOOP
    first := date_trunc('month', moment) + make_interval(months => ahead);
    made := made + core.make_partition('analytics_events', 'analytics_events_' || to_char(first, 'YYYY_MM'), first, first + interval '1 month')::integer;
  END LOOP;
  RETURN made;
END $$;
