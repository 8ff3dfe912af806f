//! What a run changes, and what it leaves alone, on a real Postgres.

use anyhow::Result;
use serde_json::json;
use tests::Database;
use tests::job::{self, DELETE_OLD, codes, fingerprint, policy, run_on, with};

#[tokio::test]
async fn a_second_run_changes_nothing() -> Result<()> {
    let database = codes(500).await?;
    let first = run_on(&database, &policy(DELETE_OLD)).await?;
    assert_eq!((first.code, first.rule("affected")), (Some(0), &json!(441)), "{}", first.output);
    let before = fingerprint(&database, "codes").await?;
    let second = run_on(&database, &policy(DELETE_OLD)).await?;
    assert_eq!(second.code, Some(0));
    assert!(
        second.rule("affected").as_i64() <= Some(1),
        "a minute may have passed: {}",
        second.output
    );
    if second.rule("affected") == &json!(0) {
        assert_eq!(fingerprint(&database, "codes").await?, before);
    }
    Ok(())
}

#[tokio::test]
async fn a_dry_run_counts_the_same_and_writes_nothing_with_select_alone() -> Result<()> {
    let database = codes(500).await?;
    let reader = database.create_user().await?;
    let name = reader.to_string();
    let role = name.split("//").nth(1).and_then(|rest| rest.split(':').next()).unwrap_or_default();
    database.execute(&format!("GRANT SELECT ON codes TO {role}")).await?;
    let before = fingerprint(&database, "codes").await?;
    let dry = job::run(&policy(DELETE_OLD), &name, &["--dry-run"]).await?;
    assert_eq!(dry.code, Some(0), "{}", dry.output);
    assert_eq!(dry.report["mode"], "DryRun");
    assert_eq!(fingerprint(&database, "codes").await?, before);
    assert_eq!(dry.rule("affected"), &json!(0));
    let real = run_on(&database, &policy(DELETE_OLD)).await?;
    assert_eq!(real.rule("matched"), dry.rule("matched"));
    assert_eq!(real.rule("affected"), dry.rule("matched"));
    Ok(())
}

#[tokio::test]
async fn the_termination_message_is_the_report() -> Result<()> {
    let database = codes(100).await?;
    let ended = run_on(&database, &policy(DELETE_OLD)).await?;
    let termination: serde_json::Value = serde_json::from_str(&ended.termination)?;
    assert_eq!(termination, ended.report);
    Ok(())
}

#[tokio::test]
async fn no_batch_is_larger_than_asked_and_each_is_its_own_transaction() -> Result<()> {
    let database = codes(1060).await?;
    database
        .execute(
            "CREATE TABLE seen (transaction bigint);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
               $$BEGIN INSERT INTO public.seen VALUES (txid_current()); RETURN NULL; END$$;
             CREATE TRIGGER note AFTER DELETE ON codes FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .await?;
    // A batch never takes that little time: its size only shrinks.
    let policy = with(
        policy(DELETE_OLD),
        "/execution",
        json!({"batchSize": 100, "targetBatchDuration": "1ms"}),
    );
    let ended = run_on(&database, &policy).await?;
    assert_eq!(ended.rule("affected"), &json!(1001), "{}", ended.output);
    let largest: i64 = database
        .scalar("SELECT max(n) FROM (SELECT count(*) AS n FROM seen GROUP BY transaction) AS t")
        .await?;
    let batches: i64 = database.scalar("SELECT count(DISTINCT transaction) FROM seen").await?;
    assert!(largest <= 100, "{largest}");
    assert_eq!(ended.rule("batches"), &json!(batches));
    Ok(())
}

#[tokio::test]
async fn rows_of_a_partition_are_not_mixed_up_with_rows_of_another() -> Result<()> {
    let database = Database::create().await?;
    // The same places in every partition, the old and the young in turn.
    database
        .execute(
            "CREATE TABLE codes (id bigint, part int, expires_at timestamptz, PRIMARY KEY (part, id)) PARTITION BY LIST (part);
             CREATE TABLE codes_0 PARTITION OF codes FOR VALUES IN (0);
             CREATE TABLE codes_1 PARTITION OF codes FOR VALUES IN (1);
             INSERT INTO codes SELECT n, part, CASE WHEN n % 2 = part THEN now() - interval '1 day' ELSE now() END
               FROM generate_series(1, 600) AS n, generate_series(0, 1) AS part",
        )
        .await?;
    let ended = run_on(&database, &policy(DELETE_OLD)).await?;
    assert_eq!(ended.rule("affected"), &json!(600), "{}", ended.output);
    let wrong: i64 = database.scalar("SELECT count(*) FROM codes WHERE id % 2 = part").await?;
    let right: i64 = database.scalar("SELECT count(*) FROM codes WHERE id % 2 <> part").await?;
    assert_eq!((wrong, right), (0, 600));
    Ok(())
}

#[tokio::test]
async fn null_and_both_infinities_are_never_old() -> Result<()> {
    let database = Database::create().await?;
    database
        .execute(
            "CREATE TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz);
             INSERT INTO codes VALUES (1, NULL), (2, '-infinity'), (3, 'infinity'), (4, now() - interval '61 minutes'), (5, now() - interval '59 minutes')",
        )
        .await?;
    let ended = run_on(&database, &policy(DELETE_OLD)).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let left: Vec<i64> = database.scalar("SELECT array_agg(id ORDER BY id) FROM codes").await?;
    assert_eq!(left, [1, 2, 3, 5]);
    Ok(())
}

#[tokio::test]
async fn each_condition_means_what_the_reference_says() -> Result<()> {
    for (condition, left) in [
        ("{column: state, operator: Equals, value: a}", "2,3,4"),
        ("{column: state, operator: NotEquals, value: a}", "1,4"),
        ("{column: state, operator: In, values: [a, b]}", "3,4"),
        ("{column: state, operator: NotIn, values: [a, b]}", "1,2,4"),
        ("{column: uses, operator: LessThan, value: 2}", "2,3,4"),
        ("{column: uses, operator: GreaterThan, value: \"2\"}", "1,2,4"),
        ("{column: state, operator: IsNull}", "1,2,3"),
        ("{column: state, operator: IsNotNull}", "4"),
        ("{column: day, operator: OlderThan, age: 36h}", "1,2,4"),
        ("{column: at, operator: NewerThan, age: 1h}", "2,3,4"),
        ("{column: used, operator: Equals, value: \"true\"}", "2,3,4"),
        ("{column: price, operator: Equals, value: \"2.50\"}", "1,3,4"),
        ("{column: kind, operator: Equals, value: 'big one'}", "1,2,4"),
        (
            "{anyOf: [{column: uses, operator: Equals, value: 1}, {column: state, operator: IsNull}]}",
            "2,3",
        ),
    ] {
        let database = Database::create().await?;
        database
            .execute(
                "CREATE TYPE \"Kind\" AS ENUM ('small', 'big one');
                 CREATE TABLE codes (id int PRIMARY KEY, state varchar(3), uses int, day date, at timestamp, used bool, price numeric, kind \"Kind\");
                 INSERT INTO codes VALUES
                   (1, 'a', 1, current_date, now() AT TIME ZONE 'UTC', true, 1, 'small'),
                   (2, 'b', 2, current_date, now() AT TIME ZONE 'UTC' - interval '1 day', false, 2.5, 'small'),
                   (3, 'c', 3, current_date - 3, now() AT TIME ZONE 'UTC' - interval '1 day', false, 3, 'big one'),
                   (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
            )
            .await?;
        let rule = format!(
            "[{{name: r, table: {{schema: public, name: codes}}, where: [{condition}], action: {{delete: {{}}}}}}]"
        );
        let ended = run_on(&database, &policy(&rule)).await?;
        assert_eq!(ended.code, Some(0), "{condition}: {}", ended.output);
        let found: String =
            database.scalar("SELECT string_agg(id::text, ',' ORDER BY id) FROM codes").await?;
        assert_eq!(found, left, "{condition}");
    }
    Ok(())
}

#[tokio::test]
async fn an_update_sets_each_kind_of_value() -> Result<()> {
    let database = codes(120).await?;
    database
        .execute("ALTER TABLE codes ADD COLUMN ended_at timestamp, ADD COLUMN copied timestamptz")
        .await?;
    let rules = "
- name: end-old
  table: {schema: public, name: codes}
  where:
  - {column: expires_at, operator: OlderThan, age: 1h}
  - {column: state, operator: Equals, value: new}
  action:
    update:
      set:
      - {column: state, setNull: true}
      - {column: ended_at, now: true}
      - {column: copied, fromColumn: expires_at}
";
    let ended = run_on(&database, &policy(rules)).await?;
    assert_eq!(ended.rule("affected"), &json!(61), "{}", ended.output);
    let now = ended.report["startTime"].as_str().unwrap_or_default();
    let right: i64 = database
        .scalar(&format!(
            "SELECT count(*) FROM codes WHERE state IS NULL AND copied = expires_at AND ended_at = '{now}'::timestamptz AT TIME ZONE 'UTC'"
        ))
        .await?;
    assert_eq!(right, 61);
    let young: i64 = database
        .scalar("SELECT count(*) FROM codes WHERE state = 'new' AND ended_at IS NULL")
        .await?;
    assert_eq!(young, 59);
    Ok(())
}

#[tokio::test]
async fn hostile_names_and_values_are_only_names_and_values() -> Result<()> {
    let database = Database::create().await?;
    let (schema, table, column) = ("se\"lect", "x\"; DROP TABLE \"y", "Wh ère $1 $(DATABASE_URL)");
    let long = "l".repeat(63);
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let (s, t, c) = (quoted(schema), quoted(table), quoted(column));
    database
        .execute(&format!(
            "CREATE SCHEMA {s}; CREATE TABLE {s}.{t} (\"user\" int PRIMARY KEY, {c} text, {long} timestamptz);
             INSERT INTO {s}.{t} VALUES (1, $v$'; DROP TABLE x; --$v$, now() - interval '1 day'), (2, 'other', now() - interval '1 day')"
        ))
        .await?;
    let rules = json!([{
        "name": "r",
        "table": {"schema": schema, "name": table},
        "where": [
            {"column": column, "operator": "Equals", "value": "'; DROP TABLE x; --"},
            {"column": long, "operator": "OlderThan", "age": "1h"},
        ],
        "action": {"delete": {}},
    }]);
    let ended = run_on(&database, &policy(&rules.to_string())).await?;
    assert_eq!(ended.rule("affected"), &json!(1), "{}", ended.output);
    let left: i32 = database.scalar(&format!("SELECT \"user\" FROM {s}.{t}")).await?;
    assert_eq!(left, 2);
    Ok(())
}
