-- One row for each of the tables $1.$2 (text[] and text[]) that exists: its schema, its name, and
-- what is known of it as one JSON object (policy/src/catalog/facts.rs reads it). Names are compared
-- byte by byte. Run with search_path = pg_catalog, so that types come qualified. Only the catalog
-- and sizes of files are read: the cost does not grow with the rows.
WITH RECURSIVE relation AS (
  SELECT c.*, n.nspname
  FROM unnest(CAST($1 AS text[]), CAST($2 AS text[])) AS named(schema_name, table_name)
  JOIN pg_namespace AS n ON n.nspname = CAST(named.schema_name AS name)
  JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = CAST(named.table_name AS name)
), leaf AS (
  -- What holds the rows: the table itself, or the partitions below it.
  SELECT relation.oid AS root, leaf.*
  FROM relation
  JOIN LATERAL (
    SELECT relation.oid AS relid WHERE relation.relkind <> 'p'
    UNION ALL
    SELECT tree.relid FROM pg_partition_tree(relation.oid) AS tree WHERE tree.isleaf AND relation.relkind = 'p'
  ) AS tree ON TRUE
  JOIN pg_class AS leaf ON leaf.oid = tree.relid
), types AS (
  -- The type below each column: through domains.
  SELECT a.attrelid, a.attnum, a.atttypid AS type_oid, 0 AS depth
  FROM relation
  JOIN pg_attribute AS a ON a.attrelid = relation.oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT types.attrelid, types.attnum, t.typbasetype, types.depth + 1
  FROM types
  JOIN pg_type AS t ON t.oid = types.type_oid
  WHERE t.typtype = 'd'
), bases AS (
  SELECT DISTINCT ON (attrelid, attnum) attrelid, attnum, type_oid
  FROM types
  ORDER BY attrelid, attnum, depth DESC
)
SELECT
  c.nspname::text AS schema_name,
  c.relname::text AS table_name,
  jsonb_build_object(
    'kind', CASE c.relkind
      WHEN 'r' THEN CASE
        WHEN EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = c.oid) THEN 'Inherited'
        ELSE 'Table'
      END
      WHEN 'p' THEN 'PartitionedTable'
      WHEN 'v' THEN 'View'
      WHEN 'm' THEN 'MaterializedView'
      WHEN 'f' THEN 'ForeignTable'
      ELSE 'Other'
    END,
    -- 8: an INSERT is possible, by the view's own means.
    'insertable', pg_relation_is_updatable(c.oid, FALSE) & 8 <> 0,
    'unlogged', c.relpersistence = 'u',
    'base_tables', (
      SELECT COALESCE(jsonb_agg(DISTINCT concat_ws('.', bn.nspname, base.relname)), '[]')
      FROM pg_rewrite AS w
      JOIN pg_depend AS d ON d.classid = CAST('pg_rewrite' AS regclass) AND d.objid = w.oid
      JOIN pg_class AS base ON d.refclassid = CAST('pg_class' AS regclass) AND base.oid = d.refobjid AND base.oid <> c.oid
      JOIN pg_namespace AS bn ON bn.oid = base.relnamespace
      WHERE w.ev_class = c.oid AND c.relkind IN ('v', 'm')
    ),
    'role', quote_ident(current_user),
    'owner', quote_ident(pg_get_userbyid(c.relowner)),
    'is_owner', pg_has_role(c.relowner, 'USAGE'),
    'can_use_schema', has_schema_privilege(c.relnamespace, 'USAGE'),
    'can_select', has_table_privilege(c.oid, 'SELECT'),
    'can_insert', has_table_privilege(c.oid, 'INSERT'),
    'can_delete', has_table_privilege(c.oid, 'DELETE'),
    'row_security', row_security_active(c.oid),
    'rows', (
      -- As the planner does: the density at the last ANALYZE, times the pages of today.
      SELECT CAST(sum(CASE
        WHEN leaf.relpages > 0
        THEN leaf.reltuples / leaf.relpages * (pg_relation_size(leaf.oid) / CAST(current_setting('block_size') AS bigint))
        ELSE greatest(leaf.reltuples, 0)
      END) AS bigint)
      FROM leaf
      WHERE leaf.root = c.oid
      HAVING bool_and(leaf.reltuples >= 0 OR pg_relation_size(leaf.oid) = 0)
    ),
    'pages', COALESCE((
      SELECT CAST(sum(pg_relation_size(leaf.oid)) / CAST(current_setting('block_size') AS bigint) AS bigint)
      FROM leaf
      WHERE leaf.root = c.oid AND leaf.relkind IN ('r', 'm')
    ), 0),
    -- reltuples is also set by CREATE INDEX, which learns nothing of the columns; and an empty
    -- partition is never analysed by autovacuum.
    'analysed', CASE
      WHEN c.relkind = 'p' THEN COALESCE((
        SELECT bool_and(leaf.reltuples >= 0 OR pg_relation_size(leaf.oid) = 0)
        FROM leaf
        WHERE leaf.root = c.oid
      ), FALSE)
      ELSE c.reltuples >= 0
        AND EXISTS (SELECT FROM pg_stats AS s WHERE s.schemaname = c.nspname AND s.tablename = c.relname)
    END,
    'primary_key', COALESCE((
      SELECT jsonb_agg(a.attname ORDER BY array_position(k.conkey, a.attnum))
      FROM pg_constraint AS k
      JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = ANY (k.conkey)
      WHERE k.conrelid = c.oid AND k.contype = 'p'
    ), '[]'),
    'columns', COALESCE((
      SELECT jsonb_agg(jsonb_build_object(
        'name', a.attname,
        -- With a type modifier of -1 the name is never cut to a length: bpchar, not character(1).
        'sql_type', format_type(b.type_oid, -1),
        'declared_type', format_type(a.atttypid, a.atttypmod),
        'max_length', CASE WHEN a.atttypid IN (CAST('varchar' AS regtype), CAST('bpchar' AS regtype)) AND a.atttypmod > 4 THEN a.atttypmod - 4 END,
        'foreign_operators', COALESCE(COALESCE(element.typtype, t.typtype) = 'b'
          AND COALESCE(element.typnamespace, t.typnamespace) <> CAST('pg_catalog' AS regnamespace), FALSE),
        'not_null', a.attnotnull OR base.typnotnull,
        'has_default', a.atthasdef OR a.attidentity <> '' OR base.typdefault IS NOT NULL,
        'generated', a.attgenerated <> '' OR a.attidentity = 'a',
        'can_select', has_column_privilege(c.oid, a.attnum, 'SELECT'),
        'can_insert', has_column_privilege(c.oid, a.attnum, 'INSERT'),
        'can_update', has_column_privilege(c.oid, a.attnum, 'UPDATE'),
        -- A sequence that its default draws from and that the role may not use.
        'closed_sequence', (
          SELECT min(concat_ws('.', quote_ident(sn.nspname), quote_ident(s.relname)))
          FROM pg_attrdef AS ad
          JOIN pg_depend AS d ON d.classid = CAST('pg_attrdef' AS regclass) AND d.objid = ad.oid AND d.refclassid = CAST('pg_class' AS regclass)
          JOIN pg_class AS s ON s.oid = d.refobjid
          JOIN pg_namespace AS sn ON sn.oid = s.relnamespace
          WHERE ad.adrelid = c.oid
            AND ad.adnum = a.attnum
            AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE, UPDATE') ELSE FALSE END
        )
      ) ORDER BY a.attnum)
      FROM pg_attribute AS a
      JOIN bases AS b ON b.attrelid = a.attrelid AND b.attnum = a.attnum
      JOIN pg_type AS t ON t.oid = b.type_oid
      JOIN pg_type AS base ON base.oid = a.atttypid
      LEFT JOIN pg_type AS element ON t.typcategory = 'A' AND element.oid = t.typelem
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ), '[]'),
    'indexes', COALESCE((
      SELECT jsonb_agg(jsonb_build_object(
        'name', ic.relname,
        'method', am.amname,
        'unique', i.indisunique,
        'partial', i.indpred IS NOT NULL,
        'valid', i.indisvalid,
        'columns', (
          SELECT jsonb_agg(a.attname ORDER BY key.position)
          FROM unnest(i.indkey) WITH ORDINALITY AS key(attnum, position)
          LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = key.attnum AND key.attnum > 0
          WHERE key.position <= i.indnkeyatts
        )
      ) ORDER BY ic.relname)
      FROM pg_index AS i
      JOIN pg_class AS ic ON ic.oid = i.indexrelid
      JOIN pg_am AS am ON am.oid = ic.relam
      WHERE i.indrelid = c.oid
    ), '[]'),
    'triggers', COALESCE((
      SELECT jsonb_agg(DISTINCT jsonb_build_object(
        'name', g.tgname,
        'row', g.tgtype & 1 <> 0,
        'before', g.tgtype & 2 <> 0,
        'insert', g.tgtype & 4 <> 0,
        'delete', g.tgtype & 8 <> 0,
        'update', g.tgtype & 16 <> 0
      ))
      FROM pg_trigger AS g
      WHERE g.tgrelid IN (SELECT c.oid UNION SELECT leaf.oid FROM leaf WHERE leaf.root = c.oid)
        AND NOT g.tgisinternal
        -- D: disabled; R: only where changes of another server are applied.
        AND g.tgenabled IN ('O', 'A')
    ), '[]'),
    'insert_rules', COALESCE((
      SELECT jsonb_agg(w.rulename ORDER BY w.rulename)
      FROM pg_rewrite AS w
      WHERE w.ev_class = c.oid AND w.ev_type = '3' AND w.ev_enabled IN ('O', 'A')
    ), '[]'),
    -- Parts that are published and whose rows a subscriber could not find again.
    'published_without_identity', COALESCE((
      SELECT jsonb_agg(DISTINCT jsonb_build_object(
        'part', concat_ws('.', ln.nspname, leaf.relname),
        'update', p.pubupdate,
        'delete', p.pubdelete
      ))
      FROM leaf
      JOIN pg_namespace AS ln ON ln.oid = leaf.relnamespace
      JOIN pg_publication AS p ON p.puballtables
        OR EXISTS (
          SELECT FROM pg_publication_rel AS pr
          WHERE pr.prpubid = p.oid AND pr.prrelid IN (SELECT leaf.oid UNION SELECT relid FROM pg_partition_ancestors(leaf.oid))
        )
        OR EXISTS (
          SELECT FROM pg_publication_namespace AS pn
          WHERE pn.pnpubid = p.oid AND pn.pnnspid = leaf.relnamespace
        )
      WHERE leaf.root = c.oid
        AND leaf.relkind = 'r'
        AND pg_relation_is_publishable(leaf.oid)
        AND leaf.relreplident <> 'f'
        AND NOT EXISTS (
          SELECT FROM pg_index AS i
          WHERE i.indrelid = leaf.oid
            AND i.indisvalid
            AND i.indimmediate
            AND CASE leaf.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE FALSE END
        )
    ), '[]'),
    'partitioning', (
      SELECT jsonb_build_object(
        'by_range', pt.partstrat = 'r',
        'key', (
          SELECT jsonb_agg(a.attname ORDER BY key.position)
          FROM unnest(pt.partattrs) WITH ORDINALITY AS key(attnum, position)
          LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = key.attnum AND key.attnum > 0
        ),
        'default_partition', (SELECT d.relname FROM pg_class AS d WHERE d.oid = pt.partdefid),
        'partitions', (SELECT count(*) FROM pg_inherits AS i WHERE i.inhparent = c.oid),
        'pending', COALESCE((
          SELECT jsonb_agg(concat_ws('.', dn.nspname, d.relname) ORDER BY d.relname)
          FROM pg_inherits AS i
          JOIN pg_class AS d ON d.oid = i.inhrelid
          JOIN pg_namespace AS dn ON dn.oid = d.relnamespace
          WHERE i.inhparent = c.oid AND i.inhdetachpending
        ), '[]'),
        -- Who drops a partition must own it.
        'foreign_owners', COALESCE((
          SELECT jsonb_agg(DISTINCT quote_ident(pg_get_userbyid(d.relowner)))
          FROM pg_inherits AS i
          JOIN pg_class AS d ON d.oid = i.inhrelid
          WHERE i.inhparent = c.oid AND NOT pg_has_role(d.relowner, 'USAGE')
        ), '[]')
      )
      FROM pg_partitioned_table AS pt
      WHERE pt.partrelid = c.oid
    )
  ) AS facts
FROM relation AS c
