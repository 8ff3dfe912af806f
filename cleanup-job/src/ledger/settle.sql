-- What is only known at the end of run $2 of policy $1: for each rule $3 whether it is drained ($4),
-- and then nothing is left to begin from; its failed ($5) and held rows ($6).
UPDATE pgsweep.run_rules AS rules
SET place = CASE WHEN ended.drained THEN NULL ELSE rules.place END,
    failed = ended.failed,
    skipped_locked = ended.skipped_locked
FROM unnest(CAST($3 AS text[]), CAST($4 AS boolean[]), CAST($5 AS bigint[]), CAST($6 AS bigint[]))
  AS ended (rule, drained, failed, skipped_locked)
WHERE rules.policy = $1
  AND rules.run_id = $2
  AND rules.rule = ended.rule
