//! What stops a run, or ends a rule: caps, guards, updates without end, triggers that refuse.

use anyhow::Result;
use serde_json::json;
use tests::Database;
use tests::job::{self, DELETE_OLD, codes, fingerprint, policy, run_on, with};

#[tokio::test]
async fn a_cap_leaves_the_rest_for_the_next_run() -> Result<()> {
    let database = codes(500).await?;
    let capped = with(policy(DELETE_OLD), "/rules/0/limits", json!({"maxRows": 100}));
    let ended = run_on(&database, &capped).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.report["result"], "PartiallySucceeded");
    assert_eq!(ended.report["stopReason"], "RowLimit");
    assert_eq!(ended.rule("affected"), &json!(100));
    let oldest_first: i64 = database.scalar("SELECT max(id) FROM codes").await?;
    assert_eq!(oldest_first, 400, "the oldest rows go first");
    Ok(())
}

#[tokio::test]
async fn a_rule_that_holds_most_of_its_table_stops_the_run_before_its_first_row() -> Result<()> {
    let database = codes(3000).await?;
    let guarded = with(policy(DELETE_OLD), "/limits", json!({"maxPercentOfTable": 50}));
    let before = fingerprint(&database, "codes").await?;
    for arguments in [&[][..], &["--dry-run"]] {
        let ended = job::run(&guarded, &database.url(), arguments).await?;
        assert_eq!(ended.code, Some(3), "{}", ended.output);
        assert_eq!(ended.report["result"], "Aborted");
        assert_eq!(ended.report["stopReason"], "BlastRadius");
        let message = ended.report["message"].as_str().unwrap_or_default();
        assert!(message.contains("2941 of the 3000 rows of public.codes, 98.0 %"), "{message}");
        assert!(message.contains("maxPercentOfTable"), "{message}");
    }
    assert_eq!(fingerprint(&database, "codes").await?, before);
    let allowed = with(guarded, "/limits", json!({"maxPercentOfTable": 99}));
    assert_eq!(run_on(&database, &allowed).await?.code, Some(0));
    Ok(())
}

#[tokio::test]
async fn an_update_that_leaves_its_own_condition_true_ends_its_rule_and_changes_nothing()
-> Result<()> {
    let database = codes(120).await?;
    let rules = "
- name: renew
  table: {schema: public, name: codes}
  where: [{column: state, operator: Equals, value: new}]
  action: {update: {set: [{column: expires_at, now: true}]}}
";
    let before = fingerprint(&database, "codes").await?;
    let ended = run_on(&database, &policy(rules)).await?;
    assert_eq!(ended.code, Some(11), "{}", ended.output);
    let message = ended.rule("message").as_str().unwrap_or_default();
    assert!(message.starts_with("DoesNotConverge"), "{message}");
    assert_eq!(fingerprint(&database, "codes").await?, before);
    Ok(())
}

#[tokio::test]
async fn a_table_that_was_never_analysed_aborts_above_the_cap_whatever_the_planner_guesses()
-> Result<()> {
    let database = Database::create().await?;
    database
        .execute(
            "CREATE TABLE codes (id int PRIMARY KEY, expires_at timestamptz) WITH (autovacuum_enabled = false);
             INSERT INTO codes SELECT n, now() - interval '1 day' FROM generate_series(1, 5000) AS n",
        )
        .await?;
    let capped = with(
        policy(DELETE_OLD),
        "/rules/0/limits",
        json!({"maxRows": 100, "maxPercentOfTable": 50}),
    );
    let ended = run_on(&database, &capped).await?;
    assert_eq!(ended.code, Some(3), "{}", ended.output);
    let message = ended.report["message"].as_str().unwrap_or_default();
    assert!(message.contains("never analysed"), "{message}");
    database.execute("ANALYZE codes").await?;
    let ended = run_on(&database, &capped).await?;
    assert_eq!(ended.code, Some(3), "analysed, the share is known: {}", ended.output);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM codes").await?, 5000);
    Ok(())
}

#[tokio::test]
async fn a_rule_that_an_earlier_one_feeds_is_guarded_again_when_its_turn_comes() -> Result<()> {
    let database = codes(3000).await?;
    let rules = "
- name: end-all
  table: {schema: public, name: codes}
  where: [{column: state, operator: Equals, value: new}]
  action: {update: {set: [{column: state, value: dead}]}}
  limits: {maxPercentOfTable: 100}
- name: delete-dead
  table: {schema: public, name: codes}
  where: [{column: state, operator: Equals, value: dead}]
  action: {delete: {}}
";
    let guarded = with(policy(rules), "/limits", json!({"maxPercentOfTable": 50}));
    let ended = run_on(&database, &guarded).await?;
    assert_eq!(ended.code, Some(11), "{}", ended.output);
    assert_eq!(database.scalar::<i64>("SELECT count(*) FROM codes").await?, 3000);
    let second = &ended.report["rules"][1];
    assert_eq!(second["stopReason"], "BlastRadius");
    assert_eq!(second["warnings"], json!(["NoAgeCondition", "CountDependsOnEarlierRule"]));
    Ok(())
}

#[tokio::test]
async fn rows_that_a_trigger_keeps_are_counted_as_failed() -> Result<()> {
    let database = codes(100).await?;
    database
        .execute(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
               $$BEGIN RETURN CASE WHEN OLD.id IN (70, 80) THEN NULL ELSE OLD END; END$$;
             CREATE TRIGGER keep BEFORE DELETE ON codes FOR EACH ROW EXECUTE FUNCTION keep()",
        )
        .await?;
    let ended = run_on(&database, &policy(DELETE_OLD)).await?;
    assert_eq!(ended.code, Some(11), "{}", ended.output);
    assert_eq!((ended.rule("failed"), ended.rule("skippedLocked")), (&json!(2), &json!(0)));
    assert_eq!(ended.report["result"], "PartiallySucceeded");
    Ok(())
}
