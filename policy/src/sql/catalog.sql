WITH RECURSIVE relation AS (
  SELECT c.*, n.oid AS schema_oid
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = CAST($1 AS name) AND c.relname = CAST($2 AS name)
), types AS (
  -- The type below each column: through domains, then through arrays.
  SELECT a.attnum, a.atttypid AS type_oid, 0 AS depth
  FROM relation AS c
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT types.attnum, t.typbasetype, types.depth + 1
  FROM types
  JOIN pg_type AS t ON t.oid = types.type_oid
  WHERE t.typtype = 'd'
), bases AS (
  SELECT DISTINCT ON (attnum) attnum, type_oid
  FROM types
  ORDER BY attnum, depth DESC
)
SELECT
  c.relkind::text AS kind,
  c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = c.oid) AS has_children,
  -- reltuples is also set by CREATE INDEX, which learns nothing of the columns; and an empty
  -- partition is never analysed by autovacuum.
  CASE
    WHEN c.relkind = 'p' THEN COALESCE((
      SELECT bool_and(leaf.reltuples >= 0 OR pg_relation_size(leaf.oid) = 0)
      FROM pg_partition_tree(c.oid) AS tree
      JOIN pg_class AS leaf ON leaf.oid = tree.relid
      WHERE tree.isleaf
    ), FALSE)
    ELSE c.reltuples >= 0
      AND EXISTS (SELECT FROM pg_stats AS s WHERE s.schemaname = CAST($1 AS name) AND s.tablename = c.relname)
  END AS analysed,
  quote_ident(current_user) AS role,
  has_schema_privilege(c.schema_oid, 'USAGE') AS can_use_schema,
  has_table_privilege(c.oid, 'SELECT') AS can_select_table,
  has_table_privilege(c.oid, 'DELETE') AS can_delete,
  a.attname::text AS column_name,
  -- With a type modifier of -1 the name is never cut to a length: bpchar, not character(1).
  format_type(b.type_oid, -1) AS sql_type,
  COALESCE(element.typtype, t.typtype) = 'b'
    AND COALESCE(element.typnamespace, t.typnamespace) <> CAST('pg_catalog' AS regnamespace) AS foreign_operators,
  a.attnotnull AS not_null,
  a.attgenerated <> '' OR a.attidentity = 'a' AS generated,
  has_column_privilege(c.oid, a.attnum, 'SELECT') AS can_select,
  has_column_privilege(c.oid, a.attnum, 'UPDATE') AS can_update,
  array_position(k.conkey, a.attnum) AS key_position
FROM relation AS c
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN bases AS b ON b.attnum = a.attnum
LEFT JOIN pg_type AS t ON t.oid = b.type_oid
LEFT JOIN pg_type AS element ON t.typcategory = 'A' AND element.oid = t.typelem
LEFT JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.contype = 'p'
ORDER BY a.attnum
