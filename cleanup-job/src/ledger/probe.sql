-- What the role may do with the ledger: one row. $1 and $2 are pairs of table and privilege.
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
  ) AS missing
FROM (VALUES (1)) AS one
LEFT JOIN pg_namespace AS n ON n.nspname = 'pgsweep'
