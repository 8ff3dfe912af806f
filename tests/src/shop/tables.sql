-- Tables of a shop, which a policy cleans by every action. Up to id 99 a row is due, from 100 on it
-- is not; all moments are fixed, so that two shops are the same to the letter.
CREATE SCHEMA shop;
CREATE SCHEMA witness;

CREATE TABLE shop.carts (id bigint PRIMARY KEY, state text NOT NULL, seen_at timestamptz NOT NULL, closed_at timestamptz);
CREATE INDEX ON shop.carts (seen_at);
INSERT INTO shop.carts
  SELECT n, 'open', timestamptz '2020-01-01' + n * interval '1 hour' FROM generate_series(1, 3) AS n
  UNION ALL SELECT 100, 'open', '2100-01-01'
  UNION ALL SELECT 101, 'paid', '2020-01-01';

CREATE TABLE shop.sessions (id bigint PRIMARY KEY, expires_at timestamptz NOT NULL);
CREATE INDEX ON shop.sessions (expires_at);
CREATE TABLE shop.tokens (id bigint PRIMARY KEY, session_id bigint NOT NULL REFERENCES shop.sessions ON DELETE CASCADE);
CREATE INDEX ON shop.tokens (session_id);
INSERT INTO shop.sessions
  SELECT n, timestamptz '2020-01-01' + n * interval '1 hour' FROM generate_series(1, 3) AS n
  UNION ALL SELECT 100, '2100-01-01';
INSERT INTO shop.tokens SELECT 10 * id + n, id FROM shop.sessions, generate_series(1, 2) AS n;

CREATE TABLE shop.posts (id bigint PRIMARY KEY);
CREATE TABLE shop.uploads (id bigint PRIMARY KEY, post_id bigint, uploaded_at timestamptz NOT NULL);
CREATE INDEX ON shop.uploads (uploaded_at);
INSERT INTO shop.posts VALUES (1);
INSERT INTO shop.uploads VALUES
  (1, 7, '2020-01-01'), (2, 8, '2020-01-02'), (3, 9, '2020-01-03'), (100, 1, '2020-01-04'), (101, 7, '2100-01-01'), (102, NULL, '2020-01-05');

-- Values that a careless copy would change, and columns of every kind.
CREATE TABLE shop.orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  gone text,
  price numeric,
  rough double precision,
  tags text[],
  data jsonb,
  doubled numeric GENERATED ALWAYS AS (price * 2) STORED,
  at_day date,
  closed_at timestamptz NOT NULL
);
ALTER TABLE shop.orders DROP COLUMN gone;
CREATE INDEX ON shop.orders (closed_at);
INSERT INTO shop.orders (price, rough, tags, data, at_day, closed_at) VALUES
  (1.0, '-0', '{a,NULL,"b c"}', '{"a": 1.00, "b": ["x"]}', '-infinity', '2020-01-01'),
  (1.000, 'NaN', '{}', 'null', 'infinity', '2020-01-02'),
  ('NaN', '-Infinity', NULL, NULL, NULL, '2020-01-03'),
  ('Infinity', 1e-300, '{{1,2},{3,4}}', '[]', '2026-01-01', '2020-01-04'),
  (-0.10, '0', '{""}', '"\u00e9"', NULL, '2020-01-05');
INSERT INTO shop.orders (id, price, closed_at) OVERRIDING SYSTEM VALUE VALUES (100, 5, '2100-01-01');
CREATE TABLE shop.orders_archive (LIKE shop.orders);
ALTER TABLE shop.orders_archive
  ADD pgsweep_run_id text, ADD pgsweep_rule text, ADD pgsweep_archived_at timestamptz;

CREATE TABLE shop.views (id bigint, viewed_at timestamptz, PRIMARY KEY (id, viewed_at)) PARTITION BY RANGE (viewed_at);
CREATE TABLE shop.views_a PARTITION OF shop.views FOR VALUES FROM ('2020-01-01') TO ('2020-01-02');
CREATE TABLE shop.views_b PARTITION OF shop.views FOR VALUES FROM ('2020-01-02') TO ('2020-01-03');
CREATE TABLE shop.views_c PARTITION OF shop.views FOR VALUES FROM ('2020-01-03') TO ('2100-01-01');
INSERT INTO shop.views
  SELECT n, timestamptz '2020-01-01' + n * interval '8 hours' FROM generate_series(0, 5) AS n
  UNION ALL SELECT 100, '2099-12-31';

CREATE TABLE shop.journal (event text NOT NULL, subject bigint, data jsonb, at timestamptz);

-- What a second observer writes down, in the transactions of whoever changes rows.
CREATE TABLE witness.changes (place text, id bigint, line text, transaction bigint);
CREATE FUNCTION witness.note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  INSERT INTO witness.changes VALUES (TG_TABLE_NAME, OLD.id, OLD::text, txid_current());
  RETURN NULL;
END$$;
CREATE TRIGGER note AFTER UPDATE OR DELETE ON shop.carts FOR EACH ROW EXECUTE FUNCTION witness.note();
CREATE TRIGGER note AFTER UPDATE OR DELETE ON shop.sessions FOR EACH ROW EXECUTE FUNCTION witness.note();
CREATE TRIGGER note AFTER UPDATE OR DELETE ON shop.uploads FOR EACH ROW EXECUTE FUNCTION witness.note();
CREATE TRIGGER note AFTER UPDATE OR DELETE ON shop.orders FOR EACH ROW EXECUTE FUNCTION witness.note();
CREATE TABLE witness.orders AS SELECT id, o::text AS line FROM shop.orders AS o;
CREATE TABLE witness.partitions AS
  SELECT inhrelid AS table_oid FROM pg_inherits WHERE inhparent = 'shop.views'::regclass;
CREATE FUNCTION witness.rows_of(oid) RETURNS bigint LANGUAGE plpgsql AS $$DECLARE n bigint; BEGIN
  EXECUTE 'SELECT count(*) FROM ' || CAST($1 AS regclass) INTO n;
  RETURN n;
END$$;
ANALYZE
