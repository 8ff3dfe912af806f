-- Tables for every feature of the language, with rows that are due and rows that are just not.
CREATE SCHEMA kitchen;

CREATE TABLE kitchen.journal (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event text NOT NULL,
  subject bigint NOT NULL,
  data jsonb NOT NULL,
  at timestamptz NOT NULL,
  rows bigint,
  note text
);

CREATE TABLE kitchen.outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic text NOT NULL,
  cart_id bigint NOT NULL
);

-- Of each 10 carts: 4 in use, 3 silent for hours, one of these beyond four weeks, one closed by
-- its owner, one without a state.
CREATE TABLE kitchen.carts (
  id bigint PRIMARY KEY,
  state text,
  owner text NOT NULL,
  coupon text,
  opened_at timestamptz NOT NULL,
  seen_ms bigint NOT NULL,
  closed_at timestamptz,
  closed_by text
);

INSERT INTO kitchen.carts
SELECT
  n,
  CASE n % 10 WHEN 8 THEN 'closed' WHEN 9 THEN NULL ELSE 'open' END,
  'guest ' || n % 700,
  CASE WHEN n % 3 = 0 THEN 'TEN-OFF' END,
  CASE n % 10 WHEN 7 THEN now() - interval '29 days' ELSE now() - interval '3 days' - n % 97 * interval '1 hour' END,
  floor(extract(epoch FROM CASE
    WHEN n % 10 <= 3 THEN now() - n % 89 * interval '1 minute'
    ELSE now() - interval '2 hours 1 minute' - n % 97 * interval '20 minutes'
  END) * 1000),
  CASE n % 10 WHEN 8 THEN now() - interval '1 day' END,
  CASE n % 10 WHEN 8 THEN 'guest ' || n % 700 END
FROM generate_series(1, 2000) AS n;

-- Each tenth token fails one of the conditions, and some pass by each branch of anyOf.
CREATE TABLE kitchen.tokens (
  id uuid PRIMARY KEY,
  kind text NOT NULL,
  region text,
  uses integer NOT NULL,
  issued_at bigint NOT NULL,
  revoked_at timestamptz,
  held_by text
);

INSERT INTO kitchen.tokens
SELECT
  md5('token ' || n)::uuid,
  CASE n % 10 WHEN 0 THEN 'permanent' WHEN 6 THEN 'single' WHEN 7 THEN 'invite' ELSE 'multi' END,
  CASE n % 10 WHEN 1 THEN 'test-' || (1 + n / 10 % 2) WHEN 2 THEN NULL ELSE 'home' END,
  CASE n % 10 WHEN 3 THEN 1000 WHEN 8 THEN 100 ELSE n % 99 END,
  floor(extract(epoch FROM CASE
    WHEN n / 10 % 2 = 0 THEN now() - interval '30 days 1 minute' - n % 97 * interval '1 day'
    ELSE now() - interval '29 days 20 hours'
  END)),
  CASE WHEN n % 10 IN (0, 1, 2, 3, 4, 9) THEN now() - interval '1 hour' END,
  CASE n % 10 WHEN 4 THEN 'legal' END
FROM generate_series(1, 2000) AS n;

CREATE TABLE kitchen.posts (
  id bigint PRIMARY KEY,
  state text NOT NULL
);

CREATE TABLE kitchen.uploads (
  id bigint PRIMARY KEY,
  post_id bigint,
  uploaded_at timestamptz NOT NULL
);

-- Each tenth post is discarded; of the uploads a sixth has a post that never came, and some were
-- never meant for one.
INSERT INTO kitchen.posts
SELECT n, CASE n % 10 WHEN 0 THEN 'discarded' ELSE 'shown' END
FROM generate_series(1, 1000) AS n;

INSERT INTO kitchen.uploads
SELECT
  n,
  CASE WHEN n % 97 = 0 THEN NULL ELSE 1 + n % 1200 END,
  CASE WHEN n % 4 = 0 THEN now() - interval '23 hours' ELSE now() - interval '1 day 1 minute' - n % 89 * interval '1 day' END
FROM generate_series(1, 2000) AS n;

CREATE TABLE kitchen.orders (
  id bigint PRIMARY KEY,
  customer text NOT NULL,
  closed_at timestamptz
);

CREATE TABLE kitchen.order_lines (
  order_id bigint NOT NULL REFERENCES kitchen.orders,
  line integer NOT NULL,
  item text NOT NULL,
  price numeric(10, 2) NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (order_id, line)
);

CREATE TABLE kitchen.orders_archive (
  LIKE kitchen.orders,
  pgsweep_run_id text,
  pgsweep_rule text,
  pgsweep_archived_at timestamptz
);

CREATE TABLE kitchen.order_lines_archive (
  LIKE kitchen.order_lines,
  pgsweep_run_id text,
  pgsweep_rule text,
  pgsweep_archived_at timestamptz
);

-- Of each 10 orders: 3 closed over 90 days ago, one of these with a line that was added since; one
-- closed 89 days ago; one will never be; the rest are open.
INSERT INTO kitchen.orders
SELECT
  n,
  'customer ' || n % 300,
  CASE
    WHEN n % 10 <= 2 THEN now() - interval '90 days 1 minute' - n % 97 * interval '1 day'
    WHEN n % 10 = 3 THEN now() - interval '89 days 20 hours'
    WHEN n % 10 = 4 THEN 'infinity'
  END
FROM generate_series(1, 1000) AS n;

INSERT INTO kitchen.order_lines
SELECT
  n,
  line,
  (ARRAY['plate', 'cup', 'spoon', 'kettle'])[1 + (n + line) % 4],
  n % 50 + line + 0.90,
  CASE
    WHEN n % 10 = 2 AND line = 3 THEN now() - interval '3 days'
    ELSE now() - interval '91 days' - n % 97 * interval '1 day'
  END
FROM generate_series(1, 1000) AS n
CROSS JOIN generate_series(1, 3) AS line;

-- A partition a day, from 40 days ago until tomorrow, with 20 views in each.
CREATE TABLE kitchen.page_views (
  id bigint NOT NULL,
  viewed_at timestamptz NOT NULL,
  page text NOT NULL,
  PRIMARY KEY (id, viewed_at)
) PARTITION BY RANGE (viewed_at);

DO $$
DECLARE
  today timestamptz := date_trunc('day', now());
BEGIN
  FOR ago IN REVERSE 40..-1 LOOP
    EXECUTE format(
      'CREATE TABLE kitchen.%I PARTITION OF kitchen.page_views FOR VALUES FROM (%L) TO (%L)',
      'page_views_' || to_char(today - ago * interval '24 hours', 'YYYY_MM_DD'),
      today - ago * interval '24 hours',
      today - (ago - 1) * interval '24 hours'
    );
  END LOOP;
END
$$;

INSERT INTO kitchen.page_views
SELECT n, date_trunc('day', now()) - 40 * interval '24 hours' + n * interval '72 minutes', '/menu/' || n % 40
FROM generate_series(0, 819) AS n;

CREATE INDEX ON kitchen.carts (seen_ms) WHERE state = 'open';
CREATE INDEX ON kitchen.tokens (issued_at);
CREATE INDEX ON kitchen.uploads (uploaded_at);
CREATE INDEX ON kitchen.orders (closed_at);
CREATE INDEX ON kitchen.order_lines (created_at);
ANALYZE kitchen.carts, kitchen.tokens, kitchen.posts, kitchen.uploads, kitchen.orders,
  kitchen.order_lines, kitchen.page_views;
