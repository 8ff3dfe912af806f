)
SELECT
  (SELECT count(*) FROM progress) AS recorded,
  (SELECT value FROM fingerprint) IS NOT DISTINCT FROM CAST($8 AS bigint) AS unchanged
