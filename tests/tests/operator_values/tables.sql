CREATE TABLE codes (
  id bigint PRIMARY KEY, state text, note text, extra text, hash text, epoch bigint,
  expires_at timestamptz, ended_at timestamptz
);
CREATE INDEX ON codes (expires_at);
CREATE TABLE people (id bigint PRIMARY KEY, code_id bigint, state text, note text, epoch bigint);
CREATE INDEX ON people (code_id);
CREATE TABLE events (
  kind text, code_id bigint, matched bigint, note text, data jsonb, happened_at timestamptz
);
CREATE TABLE codes_archive (
  LIKE codes, pgsweep_run_id text, pgsweep_rule text, pgsweep_archived_at timestamptz
);
CREATE TABLE days (day timestamptz NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE days_old PARTITION OF days FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
ANALYZE;
