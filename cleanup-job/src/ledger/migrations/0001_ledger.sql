-- The ledger of pgsweep: what runs did, and what keeps two of them apart.
-- Additive only: a released migration never changes, and an older binary works beside a newer ledger.

-- A small row that is updated often: half of its page stays free, so that an update moves no index entry.
CREATE TABLE pgsweep.policies (
  policy text PRIMARY KEY,
  epoch bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE pgsweep.leases (
  policy text PRIMARY KEY,
  holder text,
  expires_at timestamptz,
  held_since timestamptz,
  held_rules_hash text,
  held_reason text NOT NULL DEFAULT ''
) WITH (fillfactor = 50);

CREATE TABLE pgsweep.runs (
  policy text NOT NULL,
  run_id text NOT NULL,
  epoch bigint NOT NULL,
  generation bigint NOT NULL,
  rules_hash text NOT NULL,
  attempts integer NOT NULL,
  started_at timestamptz NOT NULL,
  ended_at timestamptz,
  result text,
  stop_reason text,
  message text NOT NULL DEFAULT '',
  report jsonb,
  reported boolean NOT NULL DEFAULT FALSE,
  counted boolean NOT NULL DEFAULT FALSE,
  counted_failure boolean NOT NULL DEFAULT FALSE,
  counted_rows bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (policy, run_id)
);
CREATE INDEX runs_by_policy ON pgsweep.runs (policy, started_at);
CREATE INDEX runs_by_time ON pgsweep.runs (started_at);

CREATE TABLE pgsweep.run_rules (
  policy text NOT NULL,
  run_id text NOT NULL,
  rule text NOT NULL,
  position integer NOT NULL,
  action text NOT NULL,
  matched bigint,
  matched_is_estimate boolean NOT NULL DEFAULT FALSE,
  affected bigint NOT NULL DEFAULT 0,
  batches bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  skipped_locked bigint NOT NULL DEFAULT 0,
  place text[],
  fingerprint bigint,
  PRIMARY KEY (policy, run_id, rule),
  FOREIGN KEY (policy, run_id) REFERENCES pgsweep.runs ON DELETE CASCADE
) WITH (fillfactor = 50);

CREATE TABLE pgsweep.totals (
  policy text PRIMARY KEY,
  runs bigint NOT NULL,
  failures bigint NOT NULL,
  rows_affected bigint NOT NULL
);

CREATE TABLE pgsweep.partitions (
  policy text NOT NULL,
  table_oid oid NOT NULL,
  rule text NOT NULL,
  run_id text NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  parent_schema text NOT NULL,
  parent_name text NOT NULL,
  bound text NOT NULL,
  state text NOT NULL,
  detached_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  settled_at timestamptz,
  counted_rows bigint NOT NULL,
  verified boolean NOT NULL DEFAULT FALSE,
  PRIMARY KEY (policy, table_oid, detached_at)
);

COMMENT ON SCHEMA pgsweep IS 'The ledger of pgsweep (https://pgsweep.dev): what its runs did in this database. Nothing here is read by your applications.';
COMMENT ON TABLE pgsweep.migrations IS 'Which versions of this schema are installed.';
COMMENT ON TABLE pgsweep.policies IS 'The fence: one row for each policy. A run begins by raising the epoch; each of its batches locks this row with its own epoch first, so a batch of an earlier run can never commit after its successor began.';
COMMENT ON TABLE pgsweep.leases IS 'Which run of a policy is under way (holder: the UID of its Job), until when it need not say so again, and whether the policy is on hold (held_since; pgsweep release ends it).';
COMMENT ON TABLE pgsweep.runs IS 'One row for each run (one Job, over all its attempts). ended_at is NULL while it is under way, or when it was cut off and no run came after it. report is what the run said. counted_* is what pgsweep.totals holds of it.';
COMMENT ON TABLE pgsweep.run_rules IS 'What each rule of a run did, counted in the same transactions that change the rows. place is where its last batch ended, as key values of that row; it is cleared when no due row is left.';
COMMENT ON TABLE pgsweep.totals IS 'Sums over all runs of a policy, also over those that pgsweep.runs no longer holds.';
COMMENT ON TABLE pgsweep.partitions IS 'Partitions that a policy has detached, and what became of them: Detached, Dropped, Attached (again), or Gone (by somebody else). counted_rows is what run_id counted as affected; verified says that it was counted again while nobody could write.';
