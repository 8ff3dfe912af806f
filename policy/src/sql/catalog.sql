SELECT
  c.relkind::text AS kind,
  -- A partitioned table has statistics of its own only after an ANALYZE by hand: ask its leaves.
  CASE
    WHEN c.relkind = 'p' THEN COALESCE((
      SELECT bool_and(leaf.reltuples >= 0)
      FROM pg_partition_tree(c.oid) AS tree
      JOIN pg_class AS leaf ON leaf.oid = tree.relid
      WHERE tree.isleaf
    ), FALSE)
    ELSE c.reltuples >= 0
  END AS analysed,
  has_schema_privilege(n.oid, 'USAGE') AS can_use_schema,
  has_table_privilege(c.oid, 'SELECT') AS can_select_table,
  has_table_privilege(c.oid, 'DELETE') AS can_delete,
  a.attname::text AS column_name,
  -- With a type modifier of -1 the name is never cut to a length: bpchar, not character(1).
  format_type(a.atttypid, -1) AS sql_type,
  a.attgenerated <> '' OR a.attidentity = 'a' AS generated,
  has_column_privilege(c.oid, a.attnum, 'SELECT') AS can_select,
  has_column_privilege(c.oid, a.attnum, 'UPDATE') AS can_update,
  array_position(k.conkey, a.attnum) AS key_position
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.contype = 'p'
WHERE n.nspname = CAST($1 AS name) AND c.relname = CAST($2 AS name)
ORDER BY a.attnum
