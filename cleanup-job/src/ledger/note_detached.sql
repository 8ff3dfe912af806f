-- Keeps the table $7.$8 in mind, which this transaction has detached: no other can rename or drop
-- it before the end. No row is written where the name is now another table's than $6.
INSERT INTO pgsweep.partitions (
  policy, rule, run_id, parent_schema, parent_name, table_oid, schema_name, table_name, bound, counted_rows, state
)
SELECT $1, $2, $3, $4, $5, c.oid, $7, $8, $9, $10, 'Detached'
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = CAST($7 AS name)
  AND c.relname = CAST($8 AS name)
  AND c.oid = CAST($6 AS oid)
