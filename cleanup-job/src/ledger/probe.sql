-- What the role may do with the ledger, and whether it should: one row. $1 and $2 are pairs of table
-- and privilege.
SELECT
  pg_is_in_recovery() AS standby,
  quote_ident(current_user) AS role,
  has_database_privilege(current_database(), 'CREATE') AS can_create,
  n.oid IS NOT NULL AS has_schema,
  COALESCE(has_schema_privilege(n.oid, 'USAGE'), FALSE) AS can_use,
  EXISTS (
    SELECT FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = 'migrations'
  ) AS has_migrations,
  ARRAY(
    SELECT needed.privilege || ' ON pgsweep.' || needed.table_name
    FROM unnest(CAST($1 AS text[]), CAST($2 AS text[])) WITH ORDINALITY AS needed (table_name, privilege, position)
    LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = CAST(needed.table_name AS name)
    WHERE c.oid IS NOT NULL AND NOT has_table_privilege(c.oid, needed.privilege)
    ORDER BY needed.position
  ) AS missing,
  -- Whose code would run as this role: triggers run as whoever writes, and an owner can add them at
  -- any time. Trusted are superusers, the owner of the database, roles that this one is a member of,
  -- and owners of the tables $3 (schemas) and $4 (names), which the policy changes: they can add
  -- triggers there.
  ARRAY(
    SELECT DISTINCT quote_ident(owner.rolname)
    FROM (
      SELECT n.nspowner
      UNION
      SELECT c.relowner FROM pg_class AS c WHERE c.relnamespace = n.oid
    ) AS owned (owner)
    JOIN pg_roles AS owner ON owner.oid = owned.owner
    JOIN pg_roles AS own ON own.rolname = current_user
    WHERE NOT owner.rolsuper
      AND owner.oid <> own.oid
      -- A superuser is a member of every role.
      AND (own.rolsuper OR NOT pg_has_role(owner.oid, 'MEMBER'))
      AND NOT EXISTS (
        SELECT FROM pg_database AS d WHERE d.datname = current_database() AND d.datdba = owner.oid
      )
      AND NOT EXISTS (
        SELECT
        FROM unnest(CAST($3 AS text[]), CAST($4 AS text[])) AS changed (schema_name, table_name)
        JOIN pg_namespace AS s ON s.nspname = CAST(changed.schema_name AS name)
        JOIN pg_class AS c ON c.relnamespace = s.oid AND c.relname = CAST(changed.table_name AS name)
        WHERE c.relowner = owner.oid
      )
  ) AS strangers,
  -- What is not ours in the ledger's tables and may be code.
  ARRAY(
    SELECT quote_ident(c.relname)
    FROM pg_class AS c
    WHERE c.relnamespace = n.oid
      AND c.relname IN (SELECT table_name FROM unnest(CAST($1 AS text[])) AS t (table_name))
      AND (
        c.relkind <> 'r'
        OR c.relhasrules
        OR c.relrowsecurity
        OR EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
        OR EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype NOT IN ('p', 'f', 'n'))
        OR EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
        OR EXISTS (
          SELECT
          FROM pg_depend AS d
          JOIN pg_attrdef AS v ON d.classid = CAST('pg_attrdef' AS regclass) AND d.objid = v.oid
          WHERE v.adrelid = c.oid
            AND d.refclassid = CAST('pg_proc' AS regclass)
        )
      )
    ORDER BY c.relname
  ) AS coded
FROM (VALUES (1)) AS one
LEFT JOIN pg_namespace AS n ON n.nspname = 'pgsweep'
