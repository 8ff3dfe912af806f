-- One row for each foreign key that points at one of the tables $1.$2 (text[] and text[]), or at a
-- table that a cascade from there reaches: what a delete drags along, or runs into. Run with
-- search_path = pg_catalog; only the catalog is read.
WITH RECURSIVE reached AS (
  SELECT c.oid AS relation, 0 AS depth
  FROM unnest(CAST($1 AS text[]), CAST($2 AS text[])) AS named(schema_name, table_name)
  JOIN pg_namespace AS n ON n.nspname = CAST(named.schema_name AS name)
  JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = CAST(named.table_name AS name)
  UNION
  -- The bound ends cycles; a chain that is longer is not followed further.
  SELECT k.conrelid, reached.depth + 1
  FROM reached
  JOIN pg_constraint AS k ON k.confrelid = reached.relation AND k.contype = 'f' AND k.confdeltype = 'c'
  WHERE reached.depth < 8 AND k.conparentid = 0
), keys AS (
  SELECT k.*
  FROM pg_constraint AS k
  WHERE k.contype = 'f'
    AND k.confrelid IN (SELECT relation FROM reached)
    -- A partition has its own copy of each key; the key of the whole table says it all.
    AND NOT EXISTS (SELECT FROM pg_constraint AS p WHERE p.oid = k.conparentid AND p.confrelid = k.confrelid)
  ORDER BY k.confrelid, k.conname, k.oid
  LIMIT 500
), sizes AS (
  SELECT c.oid, (
    SELECT sum(leaf.reltuples)
    FROM (
      SELECT c.oid AS relid WHERE c.relkind <> 'p'
      UNION ALL
      SELECT tree.relid FROM pg_partition_tree(c.oid) AS tree WHERE tree.isleaf AND c.relkind = 'p'
    ) AS tree
    JOIN pg_class AS leaf ON leaf.oid = tree.relid
    HAVING bool_and(leaf.reltuples >= 0)
  ) AS rows
  FROM pg_class AS c
  WHERE c.oid IN (SELECT conrelid FROM keys UNION SELECT confrelid FROM keys)
)
SELECT
  pn.nspname::text AS schema_name,
  parent.relname::text AS table_name,
  jsonb_build_object(
    'constraint', k.conname,
    'table', jsonb_build_object('schema', cn.nspname, 'name', child.relname),
    'columns', (
      SELECT jsonb_agg(a.attname ORDER BY array_position(k.conkey, a.attnum))
      FROM pg_attribute AS a
      WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
    ),
    'references', (
      SELECT jsonb_agg(a.attname ORDER BY array_position(k.confkey, a.attnum))
      FROM pg_attribute AS a
      WHERE a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey)
    ),
    'on_delete', CASE k.confdeltype
      WHEN 'c' THEN 'Cascade'
      WHEN 'n' THEN 'Set'
      WHEN 'd' THEN 'Set'
      ELSE 'Refuse'
    END,
    'partitioned', child.relkind = 'p',
    -- Published, and changed by the delete, without an identity for a subscriber.
    'unidentified', k.confdeltype IN ('c', 'n', 'd')
      AND child.relkind = 'r'
      AND child.relreplident <> 'f'
      AND EXISTS (
        SELECT FROM pg_publication AS p
        WHERE CASE k.confdeltype WHEN 'c' THEN p.pubdelete ELSE p.pubupdate END
          AND (
            p.puballtables
            OR EXISTS (SELECT FROM pg_publication_rel AS pr WHERE pr.prpubid = p.oid AND pr.prrelid = child.oid)
            OR EXISTS (SELECT FROM pg_publication_namespace AS pn WHERE pn.pnpubid = p.oid AND pn.pnnspid = child.relnamespace)
          )
      )
      AND pg_relation_is_publishable(child.oid)
      AND NOT EXISTS (
        SELECT FROM pg_index AS i
        WHERE i.indrelid = child.oid
          AND i.indisvalid
          AND i.indimmediate
          AND CASE child.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE FALSE END
      ),
    'indexed', EXISTS (
      SELECT FROM pg_index AS i
      WHERE i.indrelid = k.conrelid
        AND i.indisvalid
        AND i.indpred IS NULL
        -- Its first columns are those of the key, in any order; an int2vector begins at 0.
        AND (CAST(i.indkey AS int2[]))[0:cardinality(k.conkey) - 1] @> k.conkey
    ),
    -- Children without a parent (NULL) do not count, where statistics tell of them.
    'children_per_parent', (
      SELECT child_size.rows / NULLIF(parent_size.rows, 0) * (1 - COALESCE((
        SELECT max(s.null_frac)
        FROM pg_stats AS s
        JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) AND a.attname = s.attname
        WHERE s.schemaname = cn.nspname AND s.tablename = child.relname
      ), 0))
      FROM sizes AS child_size, sizes AS parent_size
      WHERE child_size.oid = k.conrelid AND parent_size.oid = k.confrelid
    )
  ) AS facts
FROM keys AS k
JOIN pg_class AS parent ON parent.oid = k.confrelid
JOIN pg_namespace AS pn ON pn.oid = parent.relnamespace
JOIN pg_class AS child ON child.oid = k.conrelid
JOIN pg_namespace AS cn ON cn.oid = child.relnamespace
ORDER BY schema_name, table_name, k.conname, k.oid
