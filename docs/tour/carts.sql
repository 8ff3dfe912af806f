-- The tables of the tour (docs/tour.md), in a database that is called shop: 9,800 carts, of which
-- 1,204 were not touched for more than 30 days; and the role of the runs.
CREATE SCHEMA app;

CREATE TABLE app.carts (
  id         bigint PRIMARY KEY,
  customer   bigint NOT NULL,
  touched_at timestamptz NOT NULL
);

CREATE INDEX carts_touched_at ON app.carts (touched_at);

INSERT INTO app.carts
SELECT n, n % 700, now() - interval '33 days 12 hours' + n * interval '1 minute'
FROM generate_series(1, 1204) AS n;

INSERT INTO app.carts
SELECT n, n % 700, now() - n % 20 * interval '1 day'
FROM generate_series(1205, 9800) AS n;

ANALYZE app.carts;

CREATE ROLE cleaner LOGIN PASSWORD 'cleaner';
GRANT USAGE ON SCHEMA app TO cleaner;
GRANT SELECT, UPDATE, DELETE ON app.carts TO cleaner;
-- For the ledger, which the first run makes. `pgsweep init --print` has it as SQL, to be run without this.
GRANT CREATE ON DATABASE shop TO cleaner;
