//! The whole language does the same on each version of Postgres.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::job::{Launch, Run};
use tests::shop::{self, Undisturbed};
use tests::{Database, Version, checkout, database};

async fn every_action(server: &local_postgres::ServerUrl) -> Result<Value> {
    let database = shop::fill(Database::create_on(server).await?).await?;
    let ended = Launch::run(&shop::policy(), &database.url()).job_uid("job-1").end().await?;
    Undisturbed::of(&database, &ended).await?;
    let again = Launch::run(&shop::policy(), &database.url()).job_uid("job-2").end().await?;
    ensure!(again.code == Some(0), "{}", again.output);
    let rules = again.report["rules"].as_array().context("rules")?;
    ensure!(rules.iter().all(|rule| rule["affected"] == 0), "nothing was left: {}", again.output);
    shop::state(&database).await
}

/// The example that has every field once.
async fn kitchen_sink(server: &local_postgres::ServerUrl) -> Result<Vec<(String, i64)>> {
    let database = Database::create_on(server).await?;
    let examples = checkout::root().join("examples");
    database.execute(&std::fs::read_to_string(examples.join("kitchen-sink.sql"))?).await?;
    let file = examples.join("kitchen-sink.yaml").display().to_string();
    let run = async |arguments: &[&str]| {
        let all: Vec<_> = ["--file", file.as_str()].iter().chain(arguments).copied().collect();
        Run::start(&Value::Null, &database.url(), &all)?.end().await
    };
    let dry = run(&["--dry-run"]).await?;
    ensure!(dry.code == Some(0), "{}", dry.output);
    let ended = run(&[]).await?;
    ensure!(ended.code == Some(0), "{}", ended.output);
    let rules = ended.report["rules"].as_array().context("rules")?.iter();
    let affected = rules.map(|rule| {
        let name = rule["name"].as_str().unwrap_or_default().to_owned();
        (name, rule["affected"].as_i64().unwrap_or_default())
    });
    let affected: Vec<_> = affected.collect();
    ensure!(affected.iter().all(|(_, rows)| *rows > 0), "a rule did nothing: {}", ended.output);
    Ok(affected)
}

#[tokio::test]
async fn the_whole_language_does_the_same_on_postgres_15_17_and_18() -> Result<()> {
    let mut seen = Vec::new();
    for version in Version::ALL {
        let Some(server) = database::server_of(version).await? else { continue };
        let actions = every_action(&server).await;
        let actions = actions.with_context(|| format!("on {version}"));
        let fields = kitchen_sink(&server).await;
        let fields = fields.with_context(|| format!("on {version}"));
        let done = (actions?, fields?);
        if let Some((first, what)) = seen.first() {
            assert_eq!(&done, what, "{version} and {first}");
        }
        seen.push((version, done));
    }
    Ok(())
}
