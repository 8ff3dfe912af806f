//! Policies of `pgsweep` on this data, by a login that is in the cleanup role and nothing more.

use anyhow::{Context, Result, ensure};
use tests::Sessions;
use tests::job::{self, pgsweep};
use tests::sessions::on_each_version;

use super::scene::{participant, rows_of, session};

/// A login of these roles that may use the ledger too.
async fn cleaner(sessions: &Sessions, roles: &[&str]) -> Result<String> {
    let (url, login) = job::cleaner(&sessions.database).await?;
    sessions.database.execute(&format!("GRANT {} TO {login}", roles.join(", "))).await?;
    Ok(url)
}

const TABLE_TALK: &str = "
- name: expire-waiting-dual
  table: {schema: core, name: sessions}
  where:
  - {column: app, operator: Equals, value: table_talk}
  - {column: dual_status, operator: Equals, value: waiting}
  - {column: pairing_expires_at, operator: OlderThan, age: 0s}
  action:
    update:
      set:
      - {column: dual_status, value: ended}
      - {column: expires_at, now: true}
      - {column: pairing_code_hash, setNull: true}
- name: expire-inactive
  table: {schema: core, name: sessions}
  where:
  - {column: app, operator: Equals, value: table_talk}
  - {column: last_activity_at, operator: OlderThan, age: 30m}
  - {column: expires_at, operator: NewerThan, age: 0s}
  action:
    update:
      set:
      - {column: expires_at, now: true}
- name: mark-disconnected
  table: {schema: core, name: session_participants}
  where:
  - {column: app, operator: Equals, value: table_talk}
  - {column: last_seen_at, operator: OlderThan, age: 5m}
  - {column: disconnected_at, operator: IsNull}
  action:
    update:
      set:
      - {column: disconnected_at, now: true}
- name: delete-expired
  table: {schema: core, name: sessions}
  where:
  - {column: app, operator: Equals, value: table_talk}
  - {column: expires_at, operator: OlderThan, age: 1h}
  action: {delete: {}}
- name: forget-keys
  table: {schema: core, name: idempotency_keys}
  where: [{column: expires_at, operator: OlderThan, age: 0s}]
  action: {delete: {}}
- name: forget-limits
  table: {schema: core, name: rate_limits}
  where: [{column: updated_at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
- name: forget-tickets
  table: {schema: core, name: realtime_tickets}
  where: [{column: expires_at, operator: OlderThan, age: 1m}]
  action: {delete: {}}
";

/// Proves: X2.
#[tokio::test]
async fn a_policy_on_the_core_tables_cleans_one_app_and_leaves_archive_and_outbox_behind()
-> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        for app in ["table_talk", "tarot"] {
            let waits = [("mode", "'dual'"), ("dual_status", "'waiting'"), ("pairing_code_hash", "'\\x00'"), ("pairing_expires_at", "now() - interval '1 minute'")];
            session(database, app, "waited", &waits).await?;
            session(database, app, "idle", &[("last_activity_at", "now() - interval '31 minutes'")]).await?;
            session(database, app, "over", &[("created_at", "now() - interval '3 hours'"), ("expires_at", "now() - interval '2 hours'")]).await?;
            session(database, app, "busy", &[]).await?;
        }
        participant(database, "busy", "silent", &[("last_seen_at", "now() - interval '6 minutes'")]).await?;
        participant(database, "over", "gone", &[]).await?;
        database
            .execute(
                "INSERT INTO core.idempotency_keys (client, path, key, request_hash, expires_at) VALUES ('a', '/', 'k', '', now() - interval '1 s');
                 INSERT INTO core.rate_limits (k, hits, updated_at) VALUES ('a', '{}', now() - interval '2 hours');
                 INSERT INTO core.realtime_tickets (ticket_hash, session_id, participant_id, expires_at) VALUES ('', gen_random_uuid(), gen_random_uuid(), now() - interval '1 hour')",
            )
            .await?;
        let others = "SELECT * FROM core.sessions WHERE app = 'tarot' ORDER BY session_id";
        let before = rows_of(database, others).await?;
        let url = cleaner(sessions, &[&sessions.roles.cleanup]).await?;
        let ended = job::run(&job::policy(TABLE_TALK), &url, &[]).await?;
        ensure!(ended.code == Some(0), "{}", ended.output);
        let rules = ended.report["rules"].as_array().context("rules")?;
        let affected: Vec<_> = rules.iter().map(|rule| rule["affected"].as_i64()).collect();
        assert_eq!(affected, [1, 1, 1, 1, 1, 1, 1].map(Some), "{}", ended.output);
        assert_eq!(rows_of(database, others).await?, before);
        let events = "SELECT e.type, e.data ->> 'reason', e.app, e.session_group_id = s.session_group_id
                      FROM core.session_events AS e LEFT JOIN core.sessions AS s USING (session_id) ORDER BY 1, 2";
        assert_eq!(
            rows_of(database, events).await?,
            [
                "(join_code_expired,,table_talk,t)",
                "(participant_disconnected,timeout,table_talk,t)",
                "(session_expired,inactivity,table_talk,t)",
                "(session_expired,timeout,table_talk,)",
                "(session_expired,waiting_timeout,table_talk,t)",
            ]
        );
        assert_eq!(database.scalar::<i64>("SELECT count(*) FROM core.session_archive").await?, 1);
        let again = job::run(&job::policy(TABLE_TALK), &url, &[]).await?;
        ensure!(again.report["rules"].as_array().context("rules")?.iter().all(|rule| rule["affected"] == 0), "{}", again.output);
        Ok(())
    })
    .await
}

/// The rule `delete-taken-back` of the chart's `leftovers`, as it looks for its rows.
const TAKEN_BACK: &str = "
EXPLAIN SELECT session_id FROM core.sessions
WHERE removed_at < now() - interval '1 hour'
ORDER BY removed_at, session_id LIMIT 100";

#[tokio::test]
async fn what_was_taken_back_is_found_among_many_by_an_index_of_its_own() -> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        database
            .execute(
                "INSERT INTO core.sessions (app, removed_at)
                 SELECT 'tarot', CASE WHEN n <= 10 THEN now() - interval '2 hours' END FROM generate_series(1, 5000) AS n;
                 ANALYZE core.sessions",
            )
            .await?;
        let plan: Vec<String> = sqlx::query_scalar(TAKEN_BACK).fetch_all(database.pool()).await?;
        let plan = plan.join("\n");
        ensure!(plan.contains("sessions_removed") && !plan.contains("Seq Scan"), "{plan}");
        Ok(())
    })
    .await
}

const OLD_DAYS: &str = "
- name: old-days
  table: {schema: core, name: session_events}
  where: [{column: created_at, operator: OlderThan, age: 3d}]
  action: {dropPartitions: {}}
";

#[tokio::test]
async fn a_policy_drops_old_days_of_the_outbox_with_the_role_that_owns_them_and_only_with_it()
-> Result<()> {
    on_each_version(async |sessions| {
        let database = &sessions.database;
        database.execute("SELECT core.make_partitions(now() - interval '9 days')").await?;
        database
            .execute(
                "INSERT INTO core.session_groups (session_group_id, app) VALUES (md5('g')::uuid, 'tarot');
                 INSERT INTO core.session_events (session_group_id, type, created_at)
                 SELECT md5('g')::uuid, 'x', now() - age * interval '1 day' FROM unnest('{0, 8, 9}'::integer[]) AS age",
            )
            .await?;
        let url = cleaner(sessions, &[&sessions.roles.cleanup]).await?;
        let refused = pgsweep_plan(&url).await?;
        assert!(refused.contains(&format!("GRANT {} TO", sessions.roles.events)), "{refused}");
        let url = cleaner(sessions, &[&sessions.roles.cleanup, &sessions.roles.events]).await?;
        let ended = job::run(&job::policy(OLD_DAYS), &url, &[]).await?;
        ensure!(ended.code == Some(0), "{}", ended.output);
        assert_eq!(rows_of(database, "SELECT seq FROM core.session_events").await?, ["(1)"], "{}", ended.output);
        Ok(())
    })
    .await
}

/// What `pgsweep plan` says of the policy.
async fn pgsweep_plan(url: &str) -> Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), job::policy(OLD_DAYS).to_string())?;
    let path = file.path().display().to_string();
    let said = pgsweep(url, &["plan", "--file", &path]).await?;
    Ok(said.stdout + &said.stderr)
}
