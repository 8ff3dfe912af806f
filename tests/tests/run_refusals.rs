//! What a run says when policy, database or role are wrong, and that no row has changed then.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tests::Database;
use tests::job::{self, Ended, policy, run_on, with};

const RULES: &str = "
- name: delete-old
  table: {schema: app, name: codes}
  where:
  - {column: expires_at, operator: OlderThan, age: 1h}
  action: {delete: {}}
- name: clear
  table: {schema: app, name: codes}
  where: [{column: state, operator: Equals, value: used}]
  action: {update: {set: [{column: state, value: done}]}}
";

const CANARY: &str = "canary-5e1f";

async fn codes() -> Result<Database> {
    let database = Database::create().await?;
    database
        .execute(&format!(
            "CREATE SCHEMA app;
             CREATE TABLE app.codes (id int PRIMARY KEY, expires_at timestamptz, state text, uses int);
             INSERT INTO app.codes VALUES (1, now() - interval '1 day', 'used', 1), (2, now() - interval '1 day', '{CANARY}', 2)"
        ))
        .await?;
    Ok(database)
}

async fn untouched(database: &Database) -> Result<bool> {
    let sql = format!(
        "SELECT count(*) = 2 AND bool_or(state = 'used') AND bool_or(state = '{CANARY}') FROM app.codes"
    );
    database.scalar(&sql).await
}

fn message(ended: &Ended) -> &str {
    ended.report["message"].as_str().unwrap_or_default()
}

/// The rules with one text replaced.
fn changed(from: &str, to: &str) -> Value {
    policy(&RULES.replacen(from, to, 1))
}

#[tokio::test]
async fn what_does_not_fit_the_schema_is_named_before_the_first_row() -> Result<()> {
    let database = codes().await?;
    database
        .execute("CREATE VIEW app.shown AS TABLE app.codes; CREATE TABLE app.bare (state text)")
        .await?;
    for (policy, state, words) in [
        (
            changed("name: codes", "name: code"),
            "42P01",
            "rule delete-old: TableMissing: table app.code does not exist",
        ),
        (
            changed("column: expires_at", "column: expired_at"),
            "42703",
            "rule delete-old: ColumnMissing: table app.codes has no column \"expired_at\"",
        ),
        (
            changed("column: state, value", "column: stat, value"),
            "42703",
            "rule clear: ColumnMissing: table app.codes has no column \"stat\"",
        ),
        (
            changed("column: expires_at", "column: state"),
            "42804",
            "rule delete-old: TypeMismatch: column \"state\" of app.codes is of type text",
        ),
        (
            changed(
                "column: state, operator: Equals, value: used",
                "column: uses, operator: Equals, value: used",
            ),
            "22P02",
            "rule clear: StatementRefused: on app.codes: a value of the policy cannot be read as the column's type",
        ),
        (
            changed("name: codes}\n  where: [", "name: shown}\n  where: ["),
            "42809",
            "rule clear: NotATable: app.shown is a view, not a table; name the table behind it, app.codes",
        ),
        (
            changed("name: codes}\n  where: [", "name: bare}\n  where: ["),
            "55000",
            "rule clear: NoPrimaryKey: table app.bare has no primary key",
        ),
    ] {
        let ended = run_on(&database, &policy).await?;
        assert_eq!(ended.code, Some(2), "{words}: {}", ended.output);
        assert!(message(&ended).contains(words), "{words}: {}", message(&ended));
        let states =
            ended.report["rules"].as_array().into_iter().flatten().map(|rule| &rule["sqlState"]);
        assert!(states.into_iter().any(|found| found == state), "{words}: {}", ended.report);
        assert!(untouched(&database).await?, "{words}");
    }
    Ok(())
}

#[tokio::test]
async fn each_privilege_that_is_taken_away_is_named_and_no_row_changes() -> Result<()> {
    let database = codes().await?;
    let role = database.create_user().await?;
    let url = role.to_string();
    let name = url
        .split("//")
        .nth(1)
        .and_then(|rest| rest.split(':').next())
        .context("a role")?
        .to_owned();
    let made = job::pgsweep(&database.url(), &["init", "--role", &name]).await?;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    for (revoked, words) in [
        ("USAGE ON SCHEMA app", "USAGE ON SCHEMA \"app\""),
        ("SELECT ON app.codes", "SELECT ON \"app\".\"codes\""),
        ("UPDATE (state) ON app.codes", "UPDATE (\"state\") ON \"app\".\"codes\""),
        ("DELETE ON app.codes", "DELETE ON \"app\".\"codes\""),
    ] {
        let grants = [
            "USAGE ON SCHEMA app",
            "SELECT ON app.codes",
            "UPDATE (state) ON app.codes",
            "DELETE ON app.codes",
        ];
        for grant in grants {
            database.execute(&format!("GRANT {grant} TO {name}")).await?;
        }
        database.execute(&format!("REVOKE {revoked} FROM {name}")).await?;
        let ended = job::run(&policy(RULES), &url, &[]).await?;
        assert_eq!(ended.code, Some(2), "{revoked}: {}", ended.output);
        assert!(
            message(&ended).contains("PrivilegeMissing") && message(&ended).contains(words),
            "{revoked}: {}",
            message(&ended)
        );
        assert!(untouched(&database).await?);
        database.execute(&format!("GRANT {revoked} TO {name}")).await?;
    }
    let ended = job::run(&policy(RULES), &url, &[]).await?;
    assert_eq!(ended.code, Some(0), "with all of them it runs: {}", ended.output);
    database.execute(&format!("DROP OWNED BY {name}")).await
}

#[tokio::test]
async fn a_dry_run_needs_select_on_the_columns_it_reads_and_names_the_one_it_lacks() -> Result<()> {
    let database = codes().await?;
    let role = database.create_user().await?.to_string();
    let name = role.split("//").nth(1).and_then(|rest| rest.split(':').next()).context("a role")?;
    let dry = ["--dry-run"];
    database
        .execute(&format!(
            "GRANT USAGE ON SCHEMA app TO {name}; GRANT SELECT (id, state) ON app.codes TO {name}"
        ))
        .await?;
    let ended = job::run(&policy(RULES), &role, &dry).await?;
    assert!(
        message(&ended).contains("GRANT SELECT (\"expires_at\") ON \"app\".\"codes\""),
        "{}",
        message(&ended)
    );
    database.execute(&format!("GRANT SELECT (expires_at) ON app.codes TO {name}")).await?;
    let ended = job::run(&policy(RULES), &role, &dry).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    database.execute(&format!("DROP OWNED BY {name}")).await
}

#[tokio::test]
async fn a_database_that_is_away_a_wrong_password_and_a_wrong_name_are_told_apart() -> Result<()> {
    let database = codes().await?;
    let role = database.create_user().await?;
    let login = role.to_string();
    let user =
        login.split("//").nth(1).and_then(|rest| rest.split(':').next()).context("a role")?;
    let wrong_password = database.address().login(user, CANARY).to_string();
    let no_such_database = database.address().database("nowhere").to_string();
    for (url, code, state, words) in [
        (
            "postgres://u:canary-5e1f@127.0.0.1:1/x",
            10,
            "",
            "the database cannot be reached: connection refused",
        ),
        (wrong_password.as_str(), 2, "28P01", "the password of the database role is wrong"),
        (no_such_database.as_str(), 2, "3D000", "there is no database of that name"),
        ("mysql://u:canary-5e1f@127.0.0.1/x", 2, "", "must begin with postgres://"),
        ("postgres://u:canary-5e1f@127.0.0.1:port/x", 2, "", "the database URL cannot be read"),
        ("postgres://u:abc?canary-5e1f@127.0.0.1:1/x", 2, "", "the database URL cannot be read"),
        (
            "postgres://u:canary-5e1f@127.0.0.1:1/x?options=-c%20x",
            2,
            "",
            "the option options, which is not taken",
        ),
        ("", 2, "", "must begin with postgres://"),
    ] {
        let ended = job::run(&policy(RULES), url, &[]).await?;
        assert_eq!(ended.code, Some(code), "{words}: {}", ended.output);
        assert!(message(&ended).contains(words), "{words}: {}", message(&ended));
        assert_eq!(ended.rule("sqlState"), state, "{words}");
        assert_eq!(ended.report["result"], "Failed");
        assert!(!ended.output.contains(CANARY), "{words}: {}", ended.output);
    }
    assert!(untouched(&database).await?);
    Ok(())
}

#[tokio::test]
async fn a_wrong_policy_ends_with_every_problem_in_log_and_termination_message() -> Result<()> {
    let mut policy = policy(RULES);
    policy["spec"]["mode"] = json!("Maybe");
    policy["spec"]["rules"][1]["action"] = json!({});
    let ended = job::run(&policy, "postgres://127.0.0.1:1/x", &[]).await?;
    assert_eq!(ended.code, Some(2));
    let termination: Value = serde_json::from_str(&ended.termination)?;
    assert_eq!(termination, ended.report, "one object on standard output");
    let message = termination["message"].as_str().unwrap_or_default();
    for words in [
        "spec.mode: must be one of Enforce, DryRun",
        "spec.rules[1].action: an action is exactly one of",
    ] {
        assert!(message.contains(words), "{message}");
        assert!(ended.output.contains(words), "{}", ended.output);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_the_second_rule_is_found_before_the_first_changes_a_row() -> Result<()>
{
    let database = codes().await?;
    database
        .execute(
            "CREATE TYPE app.kind AS ENUM ('a'); ALTER TABLE app.codes ADD kind app.kind, ADD due timestamptz, ADD kept int NOT NULL DEFAULT 1;
             CREATE TABLE app.parent (id int PRIMARY KEY, state text); CREATE TABLE app.child () INHERITS (app.parent)",
        )
        .await?;
    for (from, to, state, words) in [
        (
            "set: [{column: state, value: done}]",
            "set: [{column: kind, value: nope}]",
            "22P02",
            "cannot be read as the column's type",
        ),
        (
            "set: [{column: state, value: done}]",
            "set: [{column: due, value: 'not a date'}]",
            "22007",
            "cannot be read as the column's type",
        ),
        (
            "set: [{column: state, value: done}]",
            "set: [{column: kept, setNull: true}]",
            "42804",
            "is NOT NULL",
        ),
        (
            "column: state, operator: Equals, value: used",
            "column: due, operator: LessThan, value: now",
            "42804",
            "use OlderThan or NewerThan with an age",
        ),
        (
            "name: codes}\n  where: [",
            "name: parent}\n  where: [",
            "42809",
            "has inheritance children",
        ),
    ] {
        for arguments in [&[][..], &["--dry-run"]] {
            let ended = job::run(&changed(from, to), &database.url(), arguments).await?;
            assert_eq!(ended.code, Some(2), "{to}: {}", ended.output);
            assert!(message(&ended).contains(words), "{to}: {}", message(&ended));
            let states = ended.report["rules"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|rule| &rule["sqlState"]);
            assert!(states.into_iter().any(|found| found == state), "{to}: {}", ended.report);
            assert!(untouched(&database).await?, "{to}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_table_that_is_locked_before_the_first_row_is_worth_a_retry() -> Result<()> {
    let database = codes().await?;
    let policy = with(policy(RULES), "/execution", json!({"statementTimeout": "1s"}));
    let mut app = sqlx::PgConnection::connect(&database.url()).await?;
    let mut lock = app.begin().await?;
    // As VACUUM FULL and most of ALTER TABLE do.
    sqlx::query("LOCK TABLE app.codes").execute(&mut *lock).await?;
    let ended = run_on(&database, &policy).await?;
    lock.rollback().await?;
    assert_eq!(ended.code, Some(10), "{}", ended.output);
    assert_eq!(ended.report["stopReason"], "LockTimeout");
    assert_eq!(ended.rule("sqlState"), "55P03");
    assert!(untouched(&database).await?);
    Ok(())
}
