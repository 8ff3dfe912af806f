  -- One number for what matters of the tables $FROM: which they are, their columns, their triggers
  -- (foreign keys that point here are triggers too). Every part is read through an index.
  SELECT hashtextextended(
    string_agg(
      concat_ws('/', named.position, c.oid, c.relkind, c.relrowsecurity, c.relhasrules, columns.text, triggers.text),
      ';' ORDER BY named.position
    ) COLLATE "C",
    0
  ) AS value
  FROM named
  LEFT JOIN pg_namespace AS n ON n.nspname = CAST(named.schema_name AS name)
  LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = CAST(named.table_name AS name)
  LEFT JOIN LATERAL (
    SELECT string_agg(
      concat_ws(',', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attisdropped, a.attgenerated, a.attidentity),
      ' ' ORDER BY a.attnum
    ) AS text
    FROM pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attnum > 0
  ) AS columns ON TRUE
  LEFT JOIN LATERAL (
    SELECT string_agg(concat_ws(',', t.oid, t.tgfoid, t.tgtype, t.tgenabled), ' ' ORDER BY t.oid) AS text
    FROM pg_trigger AS t
    WHERE t.tgrelid = c.oid
  ) AS triggers ON TRUE
