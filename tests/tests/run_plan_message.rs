//! What a Preflight Job leaves behind, however its look ends: the short report for the operator, the
//! whole plan on standard output, and nothing secret in either.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result};
use policy::{ActionKind, Mode, PreflightReport, Strategy};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tests::job::{self, Ended, Launch, policy, with};
use tests::{Database, wait};

const RULES: &str = "
- name: delete-old
  table: {schema: app, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
- name: clear
  table: {schema: app, name: codes}
  where: [{column: state, operator: Equals, value: used}]
  action: {update: {set: [{column: state, value: done}]}}
";

/// In passwords, URLs and rows: no output may repeat it.
const CANARY: &str = "canary-7d4a";

async fn codes() -> Result<Database> {
    let database = Database::create().await?;
    database
        .execute(&format!(
            "CREATE SCHEMA app;
             CREATE TABLE app.codes (id int PRIMARY KEY, expires_at timestamptz, state text);
             CREATE INDEX due ON app.codes (expires_at);
             INSERT INTO app.codes VALUES (1, now() - interval '1 day', 'used'), (2, now(), '{CANARY}');
             ANALYZE app.codes"
        ))
        .await?;
    Ok(database)
}

/// As the operator has it run.
fn preflight(policy: &str, url: &str) -> Launch {
    Launch::of(&["plan", "--output", "json"])
        .env(job::CONNECT_TIMEOUT, job::IN_TIME)
        .env("PGSWEEP_POLICY", policy)
        .env("DATABASE_URL", url)
        .job_uid("job-1")
}

fn read(ended: &Ended) -> Result<PreflightReport> {
    let text = &ended.termination;
    assert!(text.len() <= 4096, "{} bytes", text.len());
    assert!(ended.report.is_object(), "one object on standard output: {}", ended.output);
    assert!(!ended.output.contains(CANARY), "{}", ended.output);
    let report: PreflightReport =
        serde_json::from_str(text).with_context(|| format!("no report: {}", ended.output))?;
    assert_eq!(report.run_id, "job-1");
    Ok(report)
}

async fn look(policy: &Value, url: &str) -> Result<(Ended, PreflightReport)> {
    let ended = preflight(&policy.to_string(), url).end().await?;
    let report = read(&ended)?;
    Ok((ended, report))
}

#[tokio::test]
async fn a_plan_that_passes_tells_what_each_rule_would_do() -> Result<()> {
    let database = codes().await?;
    let mut document = policy(RULES);
    document["metadata"]["generation"] = json!(7);
    let known = policy::validate(&document).map_err(|it| anyhow::anyhow!("{it:?}"))?;
    let (ended, report) = look(&document, &database.url()).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!((report.policy.as_str(), report.generation), ("tests/test", 7));
    assert_eq!((report.rules_hash.as_str(), report.mode), (known.rules_hash(), Mode::Enforce));
    assert!(report.time.ends_with('Z') && report.time.starts_with("20"), "{}", report.time);
    assert!(report.problems.is_empty() && report.verdict.is_empty() && !report.truncated);
    assert_eq!(report.warnings, ["UnverifiedConnection"]);
    let [delete, clear] = report.rules.as_slice() else { anyhow::bail!("{report:?}") };
    assert_eq!((delete.name.as_str(), delete.table.as_str()), ("delete-old", "app.codes"));
    assert_eq!(
        (delete.action, delete.strategy),
        (Some(ActionKind::Delete), Some(Strategy::Keyset))
    );
    assert_eq!(
        (delete.matched, delete.matched_is_estimate, delete.table_rows),
        (1, false, Some(2))
    );
    assert!((82_000..83_000).contains(&delete.oldest_overdue_seconds), "{delete:?}");
    assert_eq!((clear.action, clear.matched), (Some(ActionKind::Update), 1));
    let sql = &ended.report["rules"][0]["sql"][0];
    assert!(sql.as_str().is_some_and(|sql| sql.contains("DELETE")), "the whole plan: {sql}");
    for line in ["preflight begins", "preflight passed"] {
        assert!(ended.output.contains(line), "{line}: {}", ended.output);
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_index_is_advice_of_its_rule() -> Result<()> {
    let database = codes().await?;
    database
        .execute(
            "DROP INDEX app.due;
             INSERT INTO app.codes SELECT n, now(), 'new' FROM generate_series(10, 60010) AS n;
             ANALYZE app.codes",
        )
        .await?;
    let (ended, report) = look(&policy(RULES), &database.url()).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let delete = &report.rules[0];
    assert_eq!(delete.advice, ["MissingIndex"]);
    assert_eq!(delete.strategy, Some(Strategy::PrimaryKey));
    assert_eq!(delete.indexes, ["codes_pkey"]);
    assert!(!report.rules[1].advice.contains(&"MissingIndex".to_owned()), "{report:?}");
    Ok(())
}

#[tokio::test]
async fn a_guard_that_would_stop_a_run_fails_no_preflight() -> Result<()> {
    let database = codes().await?;
    let rows = "INSERT INTO app.codes SELECT n, now() - interval '1 day', 'new' FROM generate_series(10, 2009) AS n;
                ANALYZE app.codes";
    database.execute(rows).await?;
    let guarded = with(policy(RULES), "/limits", json!({"maxPercentOfTable": 10}));
    let (ended, report) = look(&guarded, &database.url()).await?;
    assert_eq!(ended.code, Some(3), "{}", ended.output);
    assert!(report.problems.is_empty(), "{report:?}");
    assert!(report.verdict.starts_with("rule delete-old holds 2001 of the 2002"), "{report:?}");
    assert_eq!(report.rules.iter().map(|rule| rule.matched).collect::<Vec<_>>(), [2001, 1]);
    assert!(ended.output.contains("a run would stop now"), "{}", ended.output);
    Ok(())
}

/// The rules with one text replaced.
fn changed(from: &str, to: &str) -> Value {
    policy(&RULES.replacen(from, to, 1))
}

#[tokio::test]
async fn each_problem_says_whether_it_may_pass_without_an_edit() -> Result<()> {
    let database = codes().await?;
    database.execute("CREATE TABLE app.bare (state text)").await?;
    for (policy, named) in [
        (changed("name: codes", "name: code"), ("TableMissing", "delete-old", true)),
        (
            changed("column: expires_at", "column: expired_at"),
            ("ColumnMissing", "delete-old", true),
        ),
        (changed("column: expires_at", "column: state"), ("TypeMismatch", "delete-old", false)),
        (
            changed(
                "name: codes}\n  where: [{column: state",
                "name: bare}\n  where: [{column: state",
            ),
            ("NoPrimaryKey", "clear", true),
        ),
    ] {
        let (ended, report) = look(&policy, &database.url()).await?;
        assert_eq!(ended.code, Some(2), "{named:?}: {}", ended.output);
        let problem = &report.problems[0];
        assert_eq!((problem.name.as_str(), problem.rule.as_str(), problem.may_pass), named);
        assert!(!problem.message.is_empty() && report.rules.is_empty(), "{report:?}");
        assert_eq!(report.rules_hash.len(), 32);
        let printed = &ended.report["problems"][0];
        assert_eq!(printed["mayPass"], named.2, "{printed}");
        assert!(ended.output.contains("preflight failed: rule "), "{}", ended.output);
    }
    Ok(())
}

#[tokio::test]
async fn a_role_without_a_ledger_fails_the_preflight_of_a_policy_that_changes_rows() -> Result<()> {
    let database = codes().await?;
    let url = database.create_user().await?.to_string();
    let role = url.split("//").nth(1).and_then(|rest| rest.split(':').next()).context("a role")?;
    let grant = format!("GRANT USAGE ON SCHEMA app TO {role}; GRANT ALL ON app.codes TO {role}");
    database.execute(&grant).await?;
    let dry = with(policy(RULES), "/mode", json!("DryRun"));
    let lacking = |words: &'static str| {
        let url = url.clone();
        async move {
            let (ended, report) = look(&policy(RULES), &url).await?;
            assert_eq!(ended.code, Some(2), "{words}: {}", ended.output);
            let [problem] = report.problems.as_slice() else { anyhow::bail!("{report:?}") };
            let named = (problem.name.as_str(), problem.rule.as_str(), problem.may_pass);
            assert_eq!(named, ("PrivilegeMissing", "", true), "{problem:?}");
            assert!(problem.message.contains(words), "{problem:?}");
            Ok(())
        }
    };
    lacking("the ledger (schema pgsweep) is missing").await?;
    let (ended, report) = look(&dry, &url).await?;
    assert_eq!((ended.code, report.problems.len()), (Some(0), 0), "{}", ended.output);
    assert_eq!(report.mode, Mode::DryRun);
    let made = job::pgsweep(&database.url(), &["init"]).await?;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    lacking("lacks privileges on the ledger").await?;
    let given = job::pgsweep(&database.url(), &["init", "--role", role]).await?;
    assert_eq!(given.code, Some(0), "{}", given.stderr);
    let (ended, _) = look(&policy(RULES), &url).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    database.execute(&format!("DROP OWNED BY {role}")).await
}

#[tokio::test]
async fn a_database_that_is_not_reached_is_told_by_name_and_may_pass() -> Result<()> {
    let database = codes().await?;
    let role = database.create_user().await?.to_string();
    let user = role.split("//").nth(1).and_then(|rest| rest.split(':').next()).context("a role")?;
    let wrong_password = database.address().login(user, CANARY).to_string();
    let nowhere = database.address().database("nowhere").to_string();
    let in_plain = format!("{}?sslmode=require", database.url());
    for (url, code, name, words) in [
        ("postgres://u:canary-7d4a@127.0.0.1:1/x", 10, "DatabaseUnavailable", "connection refused"),
        (
            wrong_password.as_str(),
            2,
            "DatabaseRefused",
            "the password of the database role is wrong",
        ),
        (nowhere.as_str(), 2, "DatabaseRefused", "there is no database of that name"),
        (in_plain.as_str(), 2, "DatabaseRefused", "the server offers no TLS"),
        ("mysql://u:canary-7d4a@h/x", 2, "DatabaseRefused", "reading Secret db, key uri: "),
        // A Secret whose key is empty: no plan without a database, which would pass.
        ("", 2, "DatabaseRefused", "reading Secret db, key uri: "),
    ] {
        let (ended, report) = look(&policy(RULES), url).await?;
        assert_eq!(ended.code, Some(code), "{words}: {}", ended.output);
        let [problem] = report.problems.as_slice() else { anyhow::bail!("{words}: {report:?}") };
        assert!(problem.message.contains(words), "{words}: {problem:?}");
        assert_eq!((problem.name.as_str(), problem.may_pass), (name, true), "{words}");
        assert_eq!((report.rules_hash.len(), report.time.as_str()), (32, ""), "{words}");
    }
    Ok(())
}

#[tokio::test]
async fn a_table_that_is_locked_may_pass() -> Result<()> {
    let database = codes().await?;
    let policy = with(policy(RULES), "/execution", json!({"statementTimeout": "1s"}));
    let mut app = sqlx::PgConnection::connect(&database.url()).await?;
    let mut lock = app.begin().await?;
    sqlx::query("LOCK TABLE app.codes").execute(&mut *lock).await?;
    let (ended, report) = look(&policy, &database.url()).await?;
    lock.rollback().await?;
    assert_eq!(ended.code, Some(10), "{}", ended.output);
    let problem = &report.problems[0];
    assert_eq!((problem.name.as_str(), problem.may_pass), ("DatabaseUnavailable", true));
    Ok(())
}

#[tokio::test]
async fn a_policy_that_is_wrong_in_itself_waits_for_an_edit() -> Result<()> {
    let mut wrong = policy(RULES);
    wrong["metadata"]["generation"] = json!(3);
    wrong["spec"]["mode"] = json!("Maybe");
    wrong["spec"]["rules"][1]["action"] = json!({});
    let (ended, report) = look(&wrong, &format!("postgres://u:{CANARY}@127.0.0.1:1/x")).await?;
    assert_eq!(ended.code, Some(2), "{}", ended.output);
    assert_eq!((report.policy.as_str(), report.generation), ("tests/test", 3));
    assert!(report.problems.len() >= 2, "{report:?}");
    let all = |it: &policy::PreflightProblem| it.name == "InvalidSpec" && !it.may_pass;
    assert!(report.problems.iter().all(all), "{report:?}");
    assert!(report.problems[0].message.starts_with("spec.mode: "), "{report:?}");
    let ended = preflight("a: [1\nb: 2\n", "").end().await?;
    let report = read(&ended)?;
    assert_eq!((ended.code, report.policy.as_str()), (Some(2), ""), "{}", ended.output);
    let problem = &report.problems[0];
    assert_eq!((problem.name.as_str(), problem.may_pass), ("InvalidSpec", false), "{report:?}");
    Ok(())
}

#[tokio::test]
async fn a_look_that_is_asked_to_end_ends_at_once() -> Result<()> {
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("postgres://u:{CANARY}@{}/x", silent.local_addr()?);
    let run =
        preflight(&policy(RULES).to_string(), &url).env(job::CONNECT_TIMEOUT, "60s").start()?;
    wait::until("the preflight begins", Duration::from_secs(20), async || {
        Ok(run.written()?.contains("preflight begins").then_some(()))
    })
    .await?;
    run.terminate().await?;
    let ended = run.end().await?;
    assert_eq!(ended.code, Some(143), "{}", ended.output);
    let report = read(&ended)?;
    let problem = &report.problems[0];
    assert_eq!((problem.name.as_str(), problem.may_pass), ("Cancelled", true), "{report:?}");
    Ok(())
}

#[tokio::test]
async fn without_a_database_and_with_several_policies_there_is_no_short_report() -> Result<()> {
    let database = codes().await?;
    let document = policy(RULES).to_string();
    let several = format!("{document}\n---\n{document}");
    for (policy, url) in [(document.as_str(), String::new()), (several.as_str(), database.url())] {
        let ended = Launch::of(&["plan"])
            .env("PGSWEEP_POLICY", policy)
            .env("DATABASE_URL", &url)
            .end()
            .await?;
        assert_eq!(ended.code, Some(0), "{}", ended.output);
        assert_eq!(ended.termination, "");
    }
    Ok(())
}
