-- The fingerprint of the tables $1 (schemas) and $2 (names), as a batch will compare it.
WITH named AS (
  SELECT schema_name, table_name, position
  FROM unnest(CAST($1 AS text[]), CAST($2 AS text[])) WITH ORDINALITY AS t (schema_name, table_name, position)
), fingerprint AS (
