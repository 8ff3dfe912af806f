//! What a batch costs: how many rows it reads, how many statements it sends, how much memory a run
//! takes. Counted, never timed.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::job::{Ended, Run, policy, run_on, with};
use tests::proxy::Proxy;
use tests::settings::Settings;
use tests::{Database, Server};

/// Of 200,000 rows 4,000 are due; every 25th has a child, half of which are old.
const LARGE: &str = "
    CREATE TABLE parents (id bigint PRIMARY KEY, due timestamptz NOT NULL, state text NOT NULL DEFAULT 'new');
    INSERT INTO parents SELECT n, now() - CASE WHEN n % 50 = 0 THEN interval '2 days' ELSE interval '1 minute' END FROM generate_series(1, 200000) AS n;
    CREATE TABLE children (id bigint PRIMARY KEY, parent_id bigint, seen timestamptz);
    INSERT INTO children SELECT n, n * 25, now() - n / 2 % 2 * interval '2 days' FROM generate_series(1, 8000) AS n;
    CREATE INDEX ON children (parent_id);
    CREATE TABLE archived (LIKE parents);
    ALTER TABLE archived ADD pgsweep_run_id text, ADD pgsweep_rule text, ADD pgsweep_archived_at timestamptz;
";

const OLD: &str = "{column: due, operator: OlderThan, age: 1d}";
const SILENT: &str = "{notExists: {table: {schema: public, name: children}, join: [{column: parent_id, references: id}], where: [{column: seen, operator: NewerThan, age: 1d}]}}";
const ABANDONED: &str = "{exists: {table: {schema: public, name: children}, join: [{column: parent_id, references: id}]}}";
const NEW: &str = "{column: state, operator: Equals, value: new}";

/// Kinds of rules, with the statements of one of their batches: settings, fence, change, record
/// between BEGIN and COMMIT, and what needs more.
const KINDS: [(&str, &str, &str, usize); 6] = [
    ("delete", "", "{delete: {}}", 6),
    ("update", NEW, "{update: {set: [{column: state, value: done}]}}", 6),
    ("archive", "", "{archive: {into: {schema: public, name: archived}}}", 6),
    ("exists", ABANDONED, "{delete: {}}", 7),
    ("not-exists", SILENT, "{delete: {}}", 8),
    ("cascade", "", "{delete: {}}", 7),
];

fn rule(name: &str, condition: &str, action: &str) -> Value {
    let conditions =
        [OLD, condition].iter().filter(|it| !it.is_empty()).copied().collect::<Vec<_>>().join(", ");
    policy(&format!(
        "[{{name: {name}, table: {{schema: public, name: parents}}, where: [{conditions}], action: {action}}}]"
    ))
}

async fn large(server: &Server, name: &str) -> Result<Database> {
    let database = server.database().await?;
    database.execute(LARGE).await?;
    if name == "cascade" {
        database.execute("ALTER TABLE children ADD FOREIGN KEY (parent_id) REFERENCES parents ON DELETE CASCADE").await?;
    }
    Ok(database)
}

/// The plans of batches that a server has carried out since `from`, as its log has them.
fn batches(log: &str) -> Result<Vec<Value>> {
    let mut plans = Vec::new();
    for part in log.split("plan:\n").skip(1) {
        let text: String = part
            .lines()
            .take_while(|line| line.starts_with('\t'))
            .map(|line| line.trim_start().to_owned() + "\n")
            .collect();
        let plan: Value =
            serde_json::from_str(&text).with_context(|| format!("no plan: {text}"))?;
        let query = plan["Query Text"].as_str().unwrap_or_default();
        if query.contains("batch AS MATERIALIZED") {
            plans.push(plan);
        }
    }
    Ok(plans)
}

/// The most rows that any part of a plan has read from a table, those that it threw away included.
fn most_rows_read(node: &Value) -> f64 {
    let number = |field: &str| node[field].as_f64().unwrap_or_default();
    let own = if node["Relation Name"].is_string() && node["Node Type"] != "ModifyTable" {
        let thrown_away = number("Rows Removed by Filter")
            + number("Rows Removed by Index Recheck")
            + number("Rows Removed by Join Filter");
        (number("Actual Rows") + thrown_away) * number("Actual Loops")
    } else {
        0.0
    };
    let inner = node["Plans"].as_array().into_iter().flatten().map(most_rows_read);
    inner.fold(own, f64::max)
}

/// A plan in short: what is read how, and how many rows of it.
fn told(node: &Value) -> String {
    let inner: Vec<_> = node["Plans"].as_array().into_iter().flatten().map(told).collect();
    let inner = inner.concat();
    match &node["Relation Name"] {
        Value::Null => inner,
        table => format!(
            "{} on {table}: {} + {} rows, {} times; {inner}",
            node["Node Type"],
            node["Actual Rows"],
            node["Rows Removed by Filter"],
            node["Actual Loops"]
        ),
    }
}

async fn explaining() -> Result<Server> {
    Server::start(&[
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_analyze", "on"),
        ("auto_explain.log_timing", "off"),
        ("auto_explain.log_format", "json"),
    ])
    .await
}

/// Runs each kind of rule; how many rows its batches may read is the largest batch and a little.
async fn check_reads(server: &Server, index: Option<&str>) -> Result<()> {
    for (name, condition, action, _) in KINDS {
        let database = large(server, name).await?;
        if let Some(index) = index {
            database.execute(index).await?;
        }
        database.execute("VACUUM ANALYZE").await?;
        let before = server.log()?.len();
        let steady = with(
            rule(name, condition, action),
            "/execution",
            json!({"batchSize": 400, "targetBatchDuration": "200ms"}),
        );
        let ended = run_on(&database, &steady).await?;
        ensure!(ended.code == Some(0), "{name}: {}", ended.output);
        let expected = if index.is_some() { "Keyset" } else { "PrimaryKey" };
        ensure!(ended.rule("strategy") == expected, "{name}: {}", ended.output);
        let log = server.log()?;
        let plans = batches(log.get(before..).unwrap_or_default())?;
        ensure!(plans.len() >= 4, "{name}: {} batches are too few to tell", plans.len());
        for plan in plans {
            let read = most_rows_read(&plan["Plan"]);
            let largest = if index.is_some() { 20_000.0 } else { 60_000.0 };
            ensure!(
                read <= largest,
                "{name}: {read} rows were read: {} {}",
                told(&plan["Plan"]),
                plan["Query Text"]
            );
        }
    }
    Ok(())
}

/// Proves: R1.
#[tokio::test]
async fn no_batch_reads_the_whole_table() -> Result<()> {
    let server = explaining().await?;
    check_reads(&server, Some("CREATE INDEX ON parents (due, id)")).await?;
    check_reads(&server, None).await
}

#[tokio::test]
async fn a_batch_is_as_many_statements_as_its_kind_needs() -> Result<()> {
    let server = super::random::logical().await?;
    for (name, condition, action, statements) in KINDS {
        let database = large(server, name).await?;
        database.execute("CREATE INDEX ON parents (due, id); ANALYZE").await?;
        let proxy = Proxy::start(&database.address())?;
        let ended =
            tests::job::run(&rule(name, condition, action), &proxy.address().to_string(), &[])
                .await?;
        ensure!(ended.code == Some(0), "{name}: {}", ended.output);
        let changes = |transaction: &Vec<String>| {
            let is_batch =
                |it: &String| it.contains("batch AS MATERIALIZED") && !it.starts_with("EXPLAIN");
            transaction.iter().any(is_batch) && transaction.last().is_some_and(|it| it == "COMMIT")
        };
        let batches: Vec<_> = proxy.transactions().into_iter().filter(changes).collect();
        ensure!(batches.len() >= 2, "{name}: {} batches are too few to tell", batches.len());
        ensure!(
            Some(batches.len() as u64) == ended.rule("batches").as_u64(),
            "{name}: {}",
            ended.output
        );
        for batch in batches {
            ensure!(batch.len() == statements, "{name}: {} statements: {batch:#?}", batch.len());
        }
    }
    Ok(())
}

async fn with_peak_memory(database: &Database, policy: &Value) -> Result<(Ended, u64)> {
    Run::start(policy, &database.url(), &[])?.end_with_peak_memory().await
}

/// Proves: E12.
#[tokio::test]
async fn a_run_over_a_million_rows_takes_no_more_memory_than_one_over_a_few() -> Result<()> {
    let rows = Settings::get()?.witness_rows.unwrap_or(1_000_000);
    let database = Database::create().await?;
    let fill = format!(
        "CREATE UNLOGGED TABLE codes (id bigint PRIMARY KEY, expires_at timestamptz);
         INSERT INTO codes SELECT n, now() - interval '1 day' - n * interval '1 second' FROM generate_series(1, {rows}) AS n;
         CREATE INDEX ON codes (expires_at, id);
         ANALYZE codes"
    );
    database.execute(&fill).await?;
    let fast = json!({"targetBatchDuration": "400ms", "maxDuration": "2h"});
    let policy = with(policy(tests::job::DELETE_OLD), "/execution", fast);
    let policy = with(policy, "/limits", json!({"maxPercentOfTable": 100, "maxRowsPerRun": rows}));
    let policy = with(policy, "/activeDeadlineSeconds", json!(8000));
    let (ended, peak) = with_peak_memory(&database, &policy).await?;
    ensure!(ended.code == Some(0), "{}", ended.output);
    ensure!(ended.rule("affected") == rows, "{}", ended.output);
    let mebibytes = peak / 1024 / 1024;
    tests::progress::say(&format!(
        "{rows} rows, {} batches, at most {mebibytes} MiB",
        ended.rule("batches")
    ));
    ensure!(mebibytes <= 64, "{mebibytes} MiB");
    Ok(())
}
