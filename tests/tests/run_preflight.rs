//! What a run and `pgsweep plan` know and say before the first row.

mod run_preflight {
    pub mod cases;
}

use std::collections::BTreeSet;

use anyhow::Result;
use policy::{Advice, SchemaProblemKind, Warning};
use serde_json::{Value, json};
use tests::Database;
use tests::job::{self, Planned, fingerprint, policy, with};

use run_preflight::cases::{self, Case};

/// A database whose schema `app` is made anew for each case, and a role without any right of its own.
struct Bench {
    database: Database,
    role: String,
    url: String,
}

impl Bench {
    async fn create() -> Result<Self> {
        let database = Database::create().await?;
        let (url, role) = job::cleaner(&database).await?;
        Ok(Self { database, role, url })
    }

    async fn set_up(&self, case: &Case) -> Result<()> {
        let role = &self.role;
        let sql = case.sql.replace("cleaner", role);
        self.database
            .execute(&format!(
                "DROP SCHEMA IF EXISTS app CASCADE; DROP PUBLICATION IF EXISTS everything;
                 CREATE SCHEMA app;
                 GRANT USAGE ON SCHEMA app TO {role};
                 ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT ALL ON TABLES TO {role};
                 CREATE TABLE app.codes (id int PRIMARY KEY, expires_at timestamptz, state text, uses int);
                 INSERT INTO app.codes VALUES (1, now() - interval '1 day', 'new', 1), (2, now() - interval '1 day', 'new', 2);
                 ANALYZE app.codes;"
            ))
            .await?;
        self.database.execute(&sql).await
    }

    async fn plan(&self, rules: &str, arguments: &[&str]) -> Result<Planned> {
        job::plan(&policy(rules), &self.url, arguments).await
    }

    async fn rows(&self) -> Result<String> {
        fingerprint(&self.database, "app.codes").await
    }

    /// The sentence of a case, with the role that this bench made.
    fn words(&self, case: &Case) -> String {
        case.words.replace("cleaner", &self.role)
    }
}

fn names<'a>(cases: &[Case], all: impl IntoIterator<Item = &'a str>) {
    let shown: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(shown, all.into_iter().collect(), "each name has a case, and each case a name");
}

/// Proves: G6.
#[tokio::test]
async fn each_problem_is_named_with_its_way_out_and_no_row_changes() -> Result<()> {
    let cases = cases::problems();
    names(&cases, SchemaProblemKind::ALL.iter().map(|kind| kind.as_str()));
    let bench = Bench::create().await?;
    for case in &cases {
        bench.set_up(case).await?;
        let (before, words) = (bench.rows().await?, bench.words(case));
        let ended = job::run(&policy(case.rules), &bench.url, &[]).await?;
        let message = ended.report["message"].as_str().unwrap_or_default();
        let said = format!("rule r: {}: ", case.name);
        assert_eq!(ended.code, Some(2), "{words}: {}", ended.output);
        assert!(message.contains(&said) && message.contains(&words), "{words}: {message}");
        assert_eq!(bench.rows().await?, before, "{words}");
        let planned = bench.plan(case.rules, &["-o", "json"]).await?;
        assert_eq!(planned.code, Some(2), "{words}: {}", planned.output);
        let found = planned.remarks("problems");
        let named =
            |(name, message): &(String, String)| name == case.name && message.contains(&words);
        assert!(found.iter().any(named), "the plan says the same: {words}: {found:?}");
        assert_eq!(planned.object["problems"][0]["rule"], "r");
    }
    Ok(())
}

async fn shows_each(kind: &str, cases: &[Case]) -> Result<()> {
    let bench = Bench::create().await?;
    for case in cases {
        bench.set_up(case).await?;
        let (before, words) = (bench.rows().await?, bench.words(case));
        let planned = bench.plan(case.rules, &["-o", "json"]).await?;
        assert_eq!(planned.code, Some(0), "{words}: {}", planned.output);
        let found = planned.remarks(kind);
        let named =
            |(name, message): &(String, String)| name == case.name && message.contains(&words);
        assert!(found.iter().any(named), "{words}: {found:?}");
        let people = bench.plan(case.rules, &[]).await?;
        assert!(people.output.contains(&format!("{}: ", case.name)), "{}", people.output);
        assert!(people.output.contains(&words), "in the same words: {}", people.output);
        assert_eq!(bench.rows().await?, before, "{words}");
    }
    Ok(())
}

#[tokio::test]
async fn each_warning_is_shown_to_people_and_programs_in_the_same_words() -> Result<()> {
    let cases = cases::warnings();
    names(&cases, Warning::ALL.iter().map(|kind| kind.as_str()));
    shows_each("warnings", &cases).await
}

#[tokio::test]
async fn each_advice_is_shown_to_people_and_programs_in_the_same_words() -> Result<()> {
    let cases = cases::advice();
    names(&cases, Advice::ALL.iter().map(|kind| kind.as_str()));
    shows_each("advice", &cases).await
}

const EVERYTHING: &str = "
- name: archive
  table: {schema: app, name: codes}
  where:
  - {column: expires_at, operator: OlderThan, age: 1h}
  - notExists: {table: {schema: app, name: people}, join: [{column: code_id, references: id}]}
  - exists: {table: {schema: app, name: shops}, join: [{column: code_id, references: id}]}
  action: {archive: {into: {schema: kept, name: codes}}}
  emit: [{into: {schema: app, name: events}, values: [{column: kind, value: gone}]}]
- name: tidy
  table: {schema: app, name: people}
  where: [{column: seen_at, operator: OlderThan, age: 1h}]
  action: {update: {set: [{column: seen_at, setNull: true}]}}
";

const EVERYTHING_TABLES: &str = "
  CREATE SCHEMA kept;
  CREATE TABLE app.people (id int PRIMARY KEY, code_id int, seen_at timestamptz);
  CREATE TABLE app.shops (code_id int);
  CREATE TABLE app.events (kind text);
  CREATE TABLE app.runs (note text);
  CREATE TABLE kept.codes (LIKE app.codes);
  ALTER TABLE kept.codes ADD pgsweep_run_id text, ADD pgsweep_rule text, ADD pgsweep_archived_at timestamptz;
";

/// A policy with every kind of table.
fn everything() -> Value {
    let report = json!({"into": {"schema": "app", "name": "runs"}, "values": [{"column": "note", "value": "done"}]});
    with(policy(EVERYTHING), "/report", report)
}

/// Proves: S7.
#[tokio::test]
async fn the_printed_grants_are_all_that_a_role_needs_and_each_one_that_is_missing_is_named()
-> Result<()> {
    let bench = Bench::create().await?;
    bench.set_up(&Case { name: "", sql: EVERYTHING_TABLES, rules: "", words: "" }).await?;
    let database = &bench.database;
    let (url, role) = job::cleaner(database).await?;
    let document = everything();
    let policy = policy::validate(&document).map_err(|it| anyhow::anyhow!("{it:?}"))?;
    let grants = policy::grants(&policy, &role);
    assert_eq!(grants.len(), 11, "{grants:#?}");
    for grant in &grants {
        database.execute(grant).await?;
    }
    let planned = job::plan(&document, &url, &["-o", "json"]).await?;
    assert_eq!(planned.code, Some(0), "with all of them it runs: {}", planned.output);
    for grant in &grants {
        let privilege = grant.trim_start_matches("GRANT ").trim_end_matches(';');
        let privilege = privilege.trim_end_matches(&role).trim_end_matches(" TO ");
        database.execute(&format!("REVOKE {privilege} FROM {role}")).await?;
        let before = bench.rows().await?;
        let ended = job::run(&document, &url, &[]).await?;
        let message = ended.report["message"].as_str().unwrap_or_default();
        assert_eq!(ended.code, Some(2), "{privilege}: {}", ended.output);
        assert!(message.contains("PrivilegeMissing"), "{privilege}: {message}");
        // The lock takes the primary key, once that is known.
        let named = privilege.replace("(\"expires_at\")", "(\"id\")");
        assert!(message.contains(&format!("GRANT {named} TO {role};")), "{privilege}: {message}");
        assert_eq!(bench.rows().await?, before, "{privilege}");
        database.execute(grant).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_dry_run_of_every_kind_of_table_needs_select_on_what_its_conditions_read_alone()
-> Result<()> {
    let bench = Bench::create().await?;
    bench.set_up(&Case { name: "", sql: EVERYTHING_TABLES, rules: "", words: "" }).await?;
    let database = &bench.database;
    let (url, role) = job::cleaner(database).await?;
    let document = with(everything(), "/mode", json!("DryRun"));
    let policy = policy::validate(&document).map_err(|it| anyhow::anyhow!("{it:?}"))?;
    for grant in policy::grants(&policy, &role) {
        assert!(grant.contains("SELECT (") || grant.contains("USAGE ON SCHEMA"), "{grant}");
        database.execute(&grant).await?;
    }
    let ended = job::run(&document, &url, &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let planned = job::plan(&document, &url, &[]).await?;
    assert_eq!(planned.code, Some(0), "{}", planned.output);
    Ok(())
}

const LARGE: &str = "
  INSERT INTO app.codes SELECT n, now() + interval '1 day' FROM generate_series(10, 60010) AS n;
  ANALYZE app.codes;
";

#[tokio::test]
async fn a_large_table_is_walked_by_its_key_until_an_index_leads_to_the_rows() -> Result<()> {
    let bench = Bench::create().await?;
    let rules = "
- name: r
  table: {schema: app, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
";
    bench.set_up(&Case { name: "", sql: LARGE, rules: "", words: "" }).await?;
    for arguments in [&["-o", "json"][..], &["-o", "yaml"]] {
        let planned = bench.plan(rules, arguments).await?;
        assert!(planned.output.contains("PrimaryKey"), "{}", planned.output);
    }
    let rule = bench.plan(rules, &["-o", "json"]).await?.object["rules"][0].clone();
    assert_eq!(
        (&rule["strategy"], &rule["indexes"]),
        (&json!("PrimaryKey"), &json!(["codes_pkey"]))
    );
    assert_eq!((&rule["matched"], &rule["matchedIsEstimate"]), (&json!(2), &json!(false)));
    assert!(rule["oldestOverdueSeconds"].as_i64().unwrap_or_default() > 82_000, "{rule}");
    bench.database.execute("CREATE INDEX due ON app.codes (expires_at)").await?;
    let planned = bench.plan(rules, &["-o", "json"]).await?;
    let rule = &planned.object["rules"][0];
    assert_eq!((&rule["strategy"], &rule["indexes"]), (&json!("Keyset"), &json!(["due"])));
    assert!(planned.remarks("advice").iter().all(|(name, _)| name != "MissingIndex"));
    assert_eq!(rule["locks"], json!(["ROW EXCLUSIVE on app.codes, FOR UPDATE on its rows"]));
    assert!(rule["sql"][0].as_str().is_some_and(|sql| sql.contains("SKIP LOCKED")), "{rule}");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_several_rules_and_the_report_is_said_at_once() -> Result<()> {
    let bench = Bench::create().await?;
    bench.set_up(&Case { name: "", sql: "", rules: "", words: "" }).await?;
    let rules = "
- name: first
  table: {schema: app, name: codes}
  where: [{column: uses, operator: Equals, value: many}]
  action: {update: {set: [{column: uses, value: 0}]}}
- name: second
  table: {schema: app, name: codes}
  where: [{column: state, operator: Equals, value: new}]
  action: {update: {set: [{column: uses, value: none}]}}
";
    let planned = bench.plan(rules, &["-o", "json"]).await?;
    let rules_named: Vec<_> = planned.object["problems"].as_array().into_iter().flatten().collect();
    let rules_named: Vec<_> = rules_named.iter().map(|it| &it["rule"]).collect();
    assert_eq!(rules_named, [&json!("first"), &json!("second")], "{}", planned.output);
    let planned = job::plan(&everything(), &bench.url, &["-o", "json"]).await?;
    let report =
        planned.object["problems"].as_array().into_iter().flatten().filter(|it| it["rule"] == "");
    let messages: Vec<_> = report.map(|it| &it["message"]).collect();
    assert_eq!(messages, [&json!("table app.runs of report does not exist in this database")]);
    Ok(())
}
