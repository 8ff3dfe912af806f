-- The rules of run $2 of policy $1, with rules hash $3: names $4 and actions $5.
-- A rule begins where the run before this one left it, if that had the same rules.
INSERT INTO pgsweep.run_rules (policy, run_id, rule, position, action, place, fingerprint)
SELECT $1, $2, named.rule, named.position, named.action, earlier.place, earlier.fingerprint
FROM unnest(CAST($4 AS text[]), CAST($5 AS text[])) WITH ORDINALITY AS named (rule, action, position)
LEFT JOIN (
  SELECT run_id, rules_hash
  FROM pgsweep.runs
  WHERE policy = $1 AND run_id <> $2
  ORDER BY started_at DESC
  LIMIT 1
) AS last ON last.rules_hash = $3
LEFT JOIN pgsweep.run_rules AS earlier
  ON earlier.policy = $1 AND earlier.run_id = last.run_id AND earlier.rule = named.rule
ON CONFLICT DO NOTHING
