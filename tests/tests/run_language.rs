//! What a run does for each part of the language beyond plain updates and deletes.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tests::Database;
use tests::job::{policy, run_on, with};

/// Sessions 1 to 9 with a participant each; session `n` was seen `n * 20` minutes ago.
async fn sessions() -> Result<Database> {
    let database = Database::create().await?;
    database
        .execute(
            "CREATE TABLE sessions (id bigint PRIMARY KEY, is_active boolean NOT NULL DEFAULT TRUE, title text);
             CREATE TABLE participants (
               id bigint PRIMARY KEY,
               session_id bigint REFERENCES sessions ON DELETE CASCADE,
               is_active boolean NOT NULL DEFAULT TRUE,
               last_seen_at timestamptz
             );
             CREATE INDEX ON participants (session_id);
             CREATE TABLE audit (id bigserial PRIMARY KEY, session_id bigint, event jsonb, at timestamptz, note text DEFAULT 'unset');
             INSERT INTO sessions SELECT n, TRUE, 'session ' || n FROM generate_series(1, 9) AS n;
             INSERT INTO participants SELECT n, n, TRUE, now() - n * interval '20 minutes' FROM generate_series(1, 9) AS n;
             ANALYZE",
        )
        .await?;
    Ok(database)
}

const DEACTIVATE_SILENT: &str = "
- name: deactivate-silent
  table: {schema: public, name: sessions}
  where:
  - {column: is_active, operator: Equals, value: 'true'}
  - notExists:
      table: {schema: public, name: participants}
      join: [{column: session_id, references: id}]
      where:
      - {column: is_active, operator: Equals, value: 'true'}
      - {column: last_seen_at, operator: NewerThan, age: 1h}
  action: {update: {set: [{column: is_active, value: 'false'}]}}
  emit:
  - into: {schema: public, name: audit}
    values:
    - {column: session_id, fromColumn: id}
    - {column: event, object: [{key: title, fromColumn: title}, {key: reason, value: silence}, {key: hours, value: 1}, {key: active, fromColumn: is_active}, {key: at, now: true}, {key: by, setNull: true}]}
    - {column: at, now: true}
";

async fn active(database: &Database) -> Result<Vec<i64>> {
    let sql = "SELECT array_agg(id ORDER BY id) FROM sessions WHERE is_active";
    Ok(database.scalar::<Option<Vec<i64>>>(sql).await?.unwrap_or_default())
}

/// Proves: L5, S2.
#[tokio::test]
async fn sessions_in_which_everybody_is_silent_are_deactivated_with_an_audit_row_each() -> Result<()>
{
    let database = sessions().await?;
    let dry = tests::job::run(&policy(DEACTIVATE_SILENT), &database.url(), &["--dry-run"]).await?;
    assert_eq!(dry.rule("matched"), 7, "{}", dry.output);
    let ended = run_on(&database, &policy(DEACTIVATE_SILENT)).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!((ended.rule("matched"), ended.rule("affected")), (&json!(7), &json!(7)));
    assert_eq!(active(&database).await?, [1, 2]);
    let events: Value = database
        .scalar("SELECT jsonb_agg(jsonb_build_array(session_id, event - 'at', event ? 'at', at IS NOT NULL, note) ORDER BY session_id) FROM audit")
        .await?;
    let expected: Vec<_> = (3..=9)
        .map(|id| {
            let event = json!({"title": format!("session {id}"), "reason": "silence", "hours": 1, "active": false, "by": null});
            json!([id, event, true, true, "unset"])
        })
        .collect();
    assert_eq!(events, json!(expected));
    let again = run_on(&database, &policy(DEACTIVATE_SILENT)).await?;
    assert_eq!((again.code, again.rule("affected")), (Some(0), &json!(0)));
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM audit").await?, 7);
    Ok(())
}

#[tokio::test]
async fn a_heartbeat_that_is_not_committed_yet_keeps_its_session() -> Result<()> {
    let database = sessions().await?;
    let mut app = PgConnection::connect(&database.url()).await?;
    let mut heartbeat = app.begin().await?;
    sqlx::query("UPDATE participants SET last_seen_at = now() WHERE session_id = 5")
        .execute(&mut *heartbeat)
        .await?;
    let ended = run_on(&database, &policy(DEACTIVATE_SILENT)).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.rule("stopReason"), "Blocked", "{}", ended.output);
    assert_eq!((ended.rule("affected"), ended.rule("remaining")), (&json!(6), &json!(1)));
    heartbeat.commit().await?;
    assert_eq!(active(&database).await?, [1, 2, 5]);
    let ended = run_on(&database, &policy(DEACTIVATE_SILENT)).await?;
    assert_eq!(ended.rule("affected"), 0, "session 5 is alive: {}", ended.output);
    assert_eq!(active(&database).await?, [1, 2, 5]);
    Ok(())
}

#[tokio::test]
async fn a_row_that_names_no_partner_is_no_orphan() -> Result<()> {
    let database = Database::create().await?;
    database
        .execute(
            "CREATE TABLE sessions (id bigint PRIMARY KEY);
             CREATE TABLE fingerprints (id bigint PRIMARY KEY, session_id bigint);
             INSERT INTO sessions VALUES (1);
             INSERT INTO fingerprints VALUES (1, 1), (2, 2), (3, NULL)",
        )
        .await?;
    let orphans = "
- name: delete-orphans
  table: {schema: public, name: fingerprints}
  where: [{notExists: {table: {schema: public, name: sessions}, join: [{column: id, references: session_id}]}}]
  action: {delete: {}}
";
    let ended = run_on(&database, &policy(orphans)).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(1)), "{}", ended.output);
    assert_eq!(ended.rule("warnings"), &json!(["NoAgeCondition"]));
    let kept: Vec<i64> =
        database.scalar("SELECT array_agg(id ORDER BY id) FROM fingerprints").await?;
    assert_eq!(kept, [1, 3]);
    let owned = orphans.replace("notExists", "exists").replace("delete-orphans", "delete-owned");
    let ended = run_on(&database, &policy(&owned)).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(1)), "{}", ended.output);
    assert_eq!(database.scalar::<i64>("SELECT id FROM fingerprints").await?, 3);
    Ok(())
}

const ARCHIVE_OLD: &str = "
- name: archive-old
  table: {schema: public, name: orders}
  where: [{column: closed_at, operator: OlderThan, age: 90d}]
  action: {archive: {into: {schema: archive, name: orders}}}
";

/// Orders with values that a careless copy would change, and a column that is gone.
async fn orders() -> Result<Database> {
    let database = Database::create().await?;
    database
        .execute(
            "CREATE SCHEMA archive;
             CREATE TABLE orders (
               id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
               gone text,
               price numeric,
               rough double precision,
               tags text[],
               data jsonb,
               doubled numeric GENERATED ALWAYS AS (price * 2) STORED,
               at_day date,
               closed_at timestamptz
             );
             ALTER TABLE orders DROP COLUMN gone;
             INSERT INTO orders (price, rough, tags, data, at_day, closed_at) VALUES
               (1.0, '-0', '{a,NULL,\"b c\"}', '{\"a\": 1.00}', '-infinity', now() - interval '91 days'),
               (1.000, 'NaN', '{}', 'null', 'infinity', now() - interval '92 days'),
               ('NaN', '-Infinity', NULL, NULL, NULL, now() - interval '93 days'),
               ('Infinity', 1e-300, '{{1,2},{3,4}}', '[]', '2026-01-01', now() - interval '94 days'),
               (5, 5, NULL, NULL, NULL, now() - interval '89 days');
             CREATE INDEX ON orders (closed_at);
             CREATE TABLE archive.orders (LIKE orders);
             ALTER TABLE archive.orders
               ADD pgsweep_run_id text, ADD pgsweep_rule text, ADD pgsweep_archived_at timestamptz",
        )
        .await?;
    Ok(database)
}

#[tokio::test]
async fn archived_rows_are_the_deleted_ones_to_the_letter() -> Result<()> {
    let database = orders().await?;
    let text = |table: &str| {
        format!(
            "SELECT coalesce(array_agg(ROW(id, price, rough, tags, data, doubled, at_day, closed_at)::text ORDER BY id), '{{}}') FROM {table}"
        )
    };
    let due: Vec<String> =
        database.scalar(&text("orders WHERE closed_at < now() - interval '90 days'")).await?;
    let ended = run_on(&database, &policy(ARCHIVE_OLD)).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!((ended.rule("action"), ended.rule("affected")), (&json!("Archive"), &json!(4)));
    let archived: Vec<String> = database.scalar(&text("archive.orders")).await?;
    assert_eq!(archived, due);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM orders").await?, 1);
    let signed: i64 = database
        .scalar(&format!(
            "SELECT count(*) FROM archive.orders WHERE pgsweep_run_id = '{}' AND pgsweep_rule = 'archive-old' AND pgsweep_archived_at <= now()",
            ended.report["runId"].as_str().unwrap_or_default()
        ))
        .await?;
    assert_eq!(signed, 4);
    Ok(())
}

#[tokio::test]
async fn what_the_archive_does_not_take_is_not_deleted() -> Result<()> {
    let database = orders().await?;
    database
        .execute(
            "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
             CREATE TRIGGER swallow BEFORE INSERT ON archive.orders FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION swallow()",
        )
        .await?;
    let ended = run_on(&database, &policy(ARCHIVE_OLD)).await?;
    assert_ne!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM orders").await?, 5);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM archive.orders").await?, 0);
    Ok(())
}

/// Proves: G18.
#[tokio::test]
async fn a_run_leaves_one_row_with_its_counts() -> Result<()> {
    let database = sessions().await?;
    let report = json!({"into": {"schema": "public", "name": "audit"}, "values": [
        {"column": "event", "object": [
            {"key": "stats", "affected": "deactivate-silent"}, {"key": "held", "matched": "deactivate-silent"},
            {"key": "retentionDays", "value": 30},
        ]},
        {"column": "session_id", "affected": "deactivate-silent"},
        {"column": "at", "now": true},
        {"column": "note", "value": "cleanup_job_completed"},
    ]});
    let policy = with(policy(DEACTIVATE_SILENT), "/report", report);
    let rows = "SELECT coalesce(jsonb_agg(jsonb_build_array(session_id, event) ORDER BY id), '[]') FROM audit WHERE note = 'cleanup_job_completed'";
    tests::job::run(&policy, &database.url(), &["--dry-run"]).await?;
    assert_eq!(database.scalar::<Value>(rows).await?, json!([]), "a dry run leaves none");
    for (runs, affected) in [(1, 7), (2, 0)] {
        let ended = run_on(&database, &policy).await?;
        assert_eq!(ended.code, Some(0), "{}", ended.output);
        let found: Value = database.scalar(rows).await?;
        assert_eq!(found.as_array().map(Vec::len), Some(runs));
        let expected =
            json!([affected, {"stats": affected, "held": affected, "retentionDays": 30}]);
        assert_eq!(found[runs - 1], expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_emit_undoes_its_row_and_no_other() -> Result<()> {
    let database = sessions().await?;
    database.execute("ALTER TABLE audit ADD CHECK (session_id <> 6)").await?;
    let ended = run_on(&database, &policy(DEACTIVATE_SILENT)).await?;
    assert_eq!(ended.code, Some(11), "{}", ended.output);
    assert_eq!((ended.rule("affected"), ended.rule("failed")), (&json!(6), &json!(1)));
    assert_eq!(ended.rule("sqlState"), "23514");
    assert_eq!(active(&database).await?, [1, 2, 6]);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM audit").await?, 6);
    Ok(())
}

#[tokio::test]
async fn a_child_that_the_app_holds_keeps_its_parent_for_the_next_run() -> Result<()> {
    let database = sessions().await?;
    let delete_all = "
- name: delete-all
  table: {schema: public, name: sessions}
  where: [{column: id, operator: GreaterThan, value: 2}]
  action: {delete: {}}
";
    let gentle = with(policy(delete_all), "/execution", json!({"lockTimeout": "20ms"}));
    let mut app = PgConnection::connect(&database.url()).await?;
    let mut hold = app.begin().await?;
    sqlx::query("UPDATE participants SET last_seen_at = now() WHERE session_id = 5")
        .execute(&mut *hold)
        .await?;
    let ended = run_on(&database, &gentle).await?;
    hold.rollback().await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.rule("stopReason"), "Blocked");
    assert_eq!((ended.rule("affected"), ended.rule("failed")), (&json!(6), &json!(0)));
    assert_eq!(active(&database).await?, [1, 2, 5]);
    let ended = run_on(&database, &gentle).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &json!(1)), "{}", ended.output);
    Ok(())
}

const DELETE_EVENTS: &str = "
- name: delete-old
  table: {schema: public, name: events}
  where: [{column: at, operator: OlderThan, age: 1d}]
  action: {delete: {}}
";

/// 300,000 events, of which 3,000 are two days old.
async fn events() -> Result<Database> {
    let database = Database::create().await?;
    database
        .execute(
            "CREATE TABLE events (id bigint PRIMARY KEY, at timestamptz NOT NULL, kind text NOT NULL, body text);
             INSERT INTO events
             SELECT n, now() - CASE WHEN n % 100 = 0 THEN interval '2 days' ELSE interval '1 hour' END, 'common', repeat('x', 100)
             FROM generate_series(1, 300000) AS n;
             ANALYZE events",
        )
        .await?;
    Ok(database)
}

#[tokio::test]
async fn a_table_without_an_index_on_its_age_is_walked_by_its_primary_key() -> Result<()> {
    let database = events().await?;
    let ended = run_on(&database, &policy(DELETE_EVENTS)).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.rule("strategy"), "PrimaryKey", "{}", ended.output);
    assert_eq!((ended.rule("affected"), ended.rule("remaining")), (&json!(3000), &json!(0)));
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM events").await?, 297_000);
    Ok(())
}

/// The planner thinks that a few index entries lead to a batch; all of them do not.
#[tokio::test]
async fn a_batch_that_its_index_does_not_lead_to_in_time_is_walked_for_by_the_primary_key()
-> Result<()> {
    let database = events().await?;
    database
        .execute(
            "ALTER TABLE events SET (autovacuum_enabled = false);
             UPDATE events SET at = now() - interval '2 days' - id * interval '1 second', kind = CASE WHEN id % 2 = 0 THEN 'rare' ELSE 'common' END;
             CREATE INDEX ON events (at);
             ANALYZE events;
             UPDATE events SET kind = CASE WHEN id % 100000 = 0 THEN 'rare' ELSE 'common' END",
        )
        .await?;
    let rare = DELETE_EVENTS
        .replace("age: 1d}]", "age: 1d}, {column: kind, operator: NotEquals, value: common}]");
    let tight = with(policy(&rare), "/execution", json!({"batchTimeout": "40ms", "batchSize": 60}));
    let ended = run_on(&database, &tight).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!((ended.rule("affected"), ended.rule("failed")), (&json!(3), &json!(0)));
    assert!(ended.output.contains("goes through its table by the primary key"), "{}", ended.output);
    Ok(())
}

/// An index leads to them, and all of them come at once: a batch as small as they get has to sort them all.
#[tokio::test]
async fn very_many_rows_of_one_age_are_walked_by_the_primary_key() -> Result<()> {
    let database = events().await?;
    database
        .execute(
            "UPDATE events SET
               at = CASE WHEN id > 280000 THEN now() - id * interval '1 millisecond' ELSE now() - interval '2 days' END,
               kind = CASE WHEN id % 50 = 0 THEN 'rare' ELSE 'common' END;
             CREATE INDEX ON events (at);
             ANALYZE events",
        )
        .await?;
    let rare = DELETE_EVENTS
        .replace("age: 1d}]", "age: 1d}, {column: kind, operator: NotEquals, value: common}]");
    let brief = json!({"targetBatchDuration": "5ms", "batchSize": 400, "batchTimeout": "1m"});
    let ended = run_on(&database, &with(policy(&rare), "/execution", brief)).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!((ended.rule("affected"), ended.rule("remaining")), (&json!(5600), &json!(0)));
    assert!(ended.output.contains("goes through its table by the primary key"), "{}", ended.output);
    Ok(())
}

/// A row in which every kind of number is a moment, and their common cutoff.
#[tokio::test]
async fn numbers_are_older_by_their_unit() -> Result<()> {
    let database = Database::create().await?;
    database
        .execute(
            "CREATE TABLE ticks (id bigint PRIMARY KEY, seconds integer, millis bigint, precise numeric, rough double precision);
             INSERT INTO ticks
             SELECT n, extract(epoch FROM at), 1000 * extract(epoch FROM at), extract(epoch FROM at), extract(epoch FROM at)
             FROM generate_series(1, 100) AS n, LATERAL (SELECT now() - n * interval '1 minute' AS at) AS aged;
             INSERT INTO ticks VALUES (101, NULL, NULL, NULL, NULL), (102, NULL, NULL, '-infinity', '-infinity'), (103, NULL, NULL, 'NaN', 'NaN')",
        )
        .await?;
    for (column, unit) in [
        ("seconds", "EpochSeconds"),
        ("millis", "EpochMillis"),
        ("precise", "EpochSeconds"),
        ("rough", "EpochSeconds"),
    ] {
        let rule = format!(
            "
- name: count
  table: {{schema: public, name: ticks}}
  where: [{{column: {column}, operator: OlderThan, age: 30m30s, unit: {unit}}}]
  action: {{delete: {{}}}}
"
        );
        let ended = tests::job::run(&policy(&rule), &database.url(), &["--dry-run"]).await?;
        assert_eq!(ended.rule("matched"), 70, "{column}: {}", ended.output);
        let overdue = ended.rule("oldestOverdueSeconds").as_i64().unwrap_or_default();
        let expected = Duration::from_secs(69 * 60 + 30).as_secs().cast_signed();
        assert!((expected..expected + 60).contains(&overdue), "{column}: {overdue}");
    }
    Ok(())
}
