//! Random policies on random tables, beside a writer and without one.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};
use tests::decoder::Decoder;
use tests::job::{self, Ended, Run, policy, with};
use tests::settings::Settings;
use tests::{Database, Server};
use tokio::sync::OnceCell;

use super::dice::Dice;
use super::judge::Judge;
use super::naive::micros;
use super::rules::{Rows, Rule, random_rules};
use super::world::World;
use super::writer::Writer;

/// A moment for values that are compared with, and not with the clock.
pub const SOME_TIME: i128 = 1_795_755_669_500_000;
const SEED: u64 = 20_261_127;
const CASES: u64 = 6;

/// A server whose WAL says what was done.
pub async fn logical() -> Result<&'static Server> {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    let settings = [("wal_level", "logical"), ("max_replication_slots", "20")];
    SERVER.get_or_try_init(|| Server::start(&settings)).await
}

/// One random policy with its tables, filled.
struct Case {
    world: World,
    rules: Vec<Rule>,
    policy: Json,
    database: Database,
    decoder: Decoder,
    now: i128,
}

impl Case {
    async fn new(dice: &mut Dice, gently: Json) -> Result<Self> {
        let world = World::random(dice);
        let rules = random_rules(dice, &world);
        let written: Vec<_> = rules.iter().map(|rule| rule.written(&world)).collect();
        let policy = with(policy("[]"), "/rules", json!(written));
        let policy = with(policy, "/execution", gently);
        let database = logical().await?.database().await?;
        let decoder = Decoder::create(&database).await?;
        database.execute(&world.ddl()).await?;
        let now: String = database.scalar("SELECT (now() AT TIME ZONE 'UTC')::text").await?;
        let now = micros(&now);
        for table in &world.tables {
            let rows: Vec<_> =
                (0..table.rows).map(|n| table.row(dice, &table.nth(n), &world, now)).collect();
            database.execute(&table.insert(&rows)).await?;
        }
        database.execute("ANALYZE").await?;
        Ok(Self { world, rules, policy, database, decoder, now })
    }

    /// What each rule holds before anything has happened is what the naive reading counts.
    async fn count(&mut self, judge: &mut Judge<'_>) -> Result<Ended> {
        let dry = job::run(&self.policy, &self.database.url(), &["--dry-run"]).await?;
        ensure!(dry.code == Some(0), "a dry run ended with {:?}: {}", dry.code, dry.output);
        judge.hear(self.decoder.changes().await?)?;
        let now = began(&dry)?;
        for (rule, said) in self.rules.iter().zip(said(&dry)) {
            let due = rule.due(&judge.tables, now).len();
            ensure!(
                said["matched"] == json!(due),
                "{due} rows are due by {rule:?}, and it says {said}"
            );
        }
        Ok(dry)
    }

    /// A rule that says it is drained is.
    fn check_drained(&self, judge: &Judge<'_>, before: &[Rows], ended: &Ended) -> Result<()> {
        for (rule, said) in self.rules.iter().zip(said(ended)) {
            let changed = judge.changed.get(&rule.name).copied().unwrap_or_default();
            ensure!(said["affected"] == json!(changed), "the WAL has {changed} rows, and {said}");
            if let Some(cap) = rule.cap {
                ensure!(changed <= cap, "{changed} rows in spite of the cap: {said}");
            }
            if said["stopReason"] == "Drained" {
                let left = judge.left_behind(rule, before);
                ensure!(left.is_empty(), "{} left {left:?}: {said}", rule.name);
            }
        }
        Ok(())
    }
}

fn began(ended: &Ended) -> Result<i128> {
    let start = ended.report["startTime"].as_str().context("a report without a start")?;
    Ok(micros(start))
}

fn said(ended: &Ended) -> impl Iterator<Item = &Json> {
    ended.report["rules"].as_array().into_iter().flatten()
}

/// Runs a case for each seed; the error names the one that does not pass.
async fn for_each_seed(
    first: u64,
    cases: u64,
    case: impl AsyncFn(Dice) -> Result<()>,
) -> Result<()> {
    let settings = Settings::get()?;
    let seeds = match settings.witness_seed {
        Some(seed) => seed..seed + 1,
        None => first..first + settings.witness_cases.unwrap_or(cases),
    };
    for seed in seeds {
        case(Dice::new(seed)).await.with_context(|| {
            format!("the case of PGSWEEP_TEST_WITNESS_SEED={seed} does not pass")
        })?;
    }
    Ok(())
}

/// Proves: R1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_that_a_run_changes_beside_a_busy_app_was_due() -> Result<()> {
    let (seen, all) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for_each_seed(SEED, CASES, async |mut dice| {
        let gently = json!({"batchSize": 5 + dice.below(20), "targetBatchDuration": "2ms", "maxRowsPerSecond": 150});
        let mut case = Case::new(&mut dice, gently).await?;
        let (world, rules) = (case.world.clone(), case.rules.clone());
        let mut judge = Judge::new(&world, &rules);
        case.count(&mut judge).await?;
        let before = judge.tables.clone();
        let writer = Writer::start(&case.database, &world, &mut dice, case.now).await?;
        let run = Run::start(&case.policy, &case.database.url(), &[])?;
        let ended = run.end().await?;
        let committed = writer.end().await?;
        ensure!(committed > 10, "the app was not busy: {committed}");
        judge.run_begins(began(&ended)?);
        judge.hear(case.decoder.changes().await?)?;
        ensure!(ended.code == Some(0), "the run ended with {:?}: {}", ended.code, ended.output);
        seen.fetch_add(judge.changed.values().sum(), Ordering::Relaxed);
        all.fetch_add(1, Ordering::Relaxed);
        case.check_drained(&judge, &before, &ended)
    })
    .await?;
    let (seen, all) = (seen.into_inner(), all.into_inner());
    ensure!(all < 5 || seen > 20 * all, "{seen} rows in {all} runs are too few to tell");
    Ok(())
}

/// Nobody else is there: what goes is what is due, all of it and nothing else; and a dry run says
/// so before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_does_to_quiet_tables_what_its_dry_run_said() -> Result<()> {
    for_each_seed(SEED + 1_000_000, 2 * CASES, async |mut dice| {
        let gently = json!({"batchSize": 1 + dice.below(100)});
        let mut case = Case::new(&mut dice, gently).await?;
        let (world, rules) = (case.world.clone(), case.rules.clone());
        let mut judge = Judge::new(&world, &rules);
        let dry = case.count(&mut judge).await?;
        let before = judge.tables.clone();
        let ended = job::run_on(&case.database, &case.policy).await?;
        let now = began(&ended)?;
        judge.run_begins(now);
        judge.hear(case.decoder.changes().await?)?;
        ensure!(ended.code == Some(0), "the run ended with {:?}: {}", ended.code, ended.output);
        case.check_drained(&judge, &before, &ended)?;
        for ((rule, said), counted) in rules.iter().zip(said(&ended)).zip(said(&dry)) {
            let due = rule.due(&before, now).len();
            ensure!(
                said["matched"] == json!(due),
                "{due} rows are due by {rule:?}, and it says {said}"
            );
            let same_rows = rule.due(&before, began(&dry)?) == rule.due(&before, now);
            ensure!(!same_rows || counted["matched"] == said["matched"], "{counted}, then {said}");
            let warnings = said["warnings"].to_string();
            let expected = rule.cap.map_or(due, |cap| cap.min(due));
            ensure!(
                warnings.contains("CountDependsOnEarlierRule")
                    || said["affected"] == json!(expected),
                "{expected} rows of {rule:?} were to go: {said}"
            );
            if rule.cap.is_none() {
                let left = rule.due(&judge.tables, now);
                ensure!(
                    left.is_empty() || warnings.contains("DependsOn") || rules.len() > 1,
                    "{left:?} of {rule:?}"
                );
            }
        }
        Ok(())
    })
    .await
}
