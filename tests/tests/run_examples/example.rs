//! An example, run from its very file, and its witness: the same tables once more, in the schema
//! `witness`, where the statements of the requirements run word for word.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::job::{Ended, Run};
use tests::{Database, checkout};

/// What an example cleans, and what the requirements say that must happen to it.
pub struct Example {
    /// Name of the policy and of its files.
    pub name: &'static str,
    /// The tables that it cleans and that its conditions read, by their plain name in `schema`.
    pub tables: &'static [&'static str],
    /// Their schema.
    pub schema: &'static str,
    /// Foreign keys of the copies: a cascade is the database's own doing.
    pub keys: &'static str,
    /// Each rule with its statement, which returns one column, in the order of the policy.
    pub statements: &'static [(&'static str, &'static str)],
    /// The rows that runs have left behind as their report.
    pub reports: &'static str,
}

/// What a run of an example did, beside what its witness says.
pub struct Proof {
    /// The example's database.
    pub database: Database,
    /// The run.
    pub ended: Ended,
}

/// A file of `examples/`.
pub fn file(name: &str) -> PathBuf {
    checkout::root().join("examples").join(name)
}

/// A policy as it is written.
pub fn text(name: &str) -> Result<String> {
    let path = file(&format!("{name}.yaml"));
    std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
}

/// The rules and conditions that a policy holds ready, switched on: `#` and two spaces begin them.
pub fn switched_on(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with("  ") => rest,
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// A database with the tables and sample data of these examples.
pub async fn loaded(names: &[&str]) -> Result<Database> {
    let database = Database::create().await?;
    for name in names {
        let path = file(&format!("{name}.sql"));
        let sql = std::fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        database.execute(&sql).await?;
    }
    Ok(database)
}

/// `pgsweep run --file` with the example's own file.
pub async fn run(name: &str, database: &Database, arguments: &[&str]) -> Result<Ended> {
    let path = file(&format!("{name}.yaml")).display().to_string();
    let all: Vec<_> = ["--file", path.as_str()].iter().chain(arguments).copied().collect();
    // The file is what is run, not the variable.
    Run::start(&Value::Null, &database.url(), &all)?.end().await
}

/// A field of each rule of a report, with the rule's name.
pub fn of_rules(report: &Value, field: &str) -> Vec<(String, i64)> {
    let rules = report["rules"].as_array().into_iter().flatten();
    let name = |rule: &Value| rule["name"].as_str().unwrap_or_default().to_owned();
    rules.map(|rule| (name(rule), rule[field].as_i64().unwrap_or(-1))).collect()
}

impl Example {
    /// Runs the example dry, in earnest and again, and holds each against the witness.
    pub async fn prove(&self) -> Result<Proof> {
        let database = loaded(&[self.name]).await?;
        self.copy(&database).await?;
        let before = self.digest(&database).await?;
        let dry = run(self.name, &database, &["--dry-run"]).await?;
        ensure!(dry.code == Some(0), "{}", dry.output);
        ensure!(self.digest(&database).await? == before, "a dry run has changed something");

        let ended = run(self.name, &database, &[]).await?;
        ensure!(ended.code == Some(0), "{}", ended.output);
        ensure!(ended.report["result"] == "Succeeded", "{}", ended.output);
        self.witness(&database, &ended, self.statements).await?;
        self.agrees(&database).await?;
        let expected = self.expected(&database).await?;
        let affected = of_rules(&ended.report, "affected");
        ensure!(affected == expected, "{affected:?} instead of {expected:?}");
        ensure!(
            affected.iter().all(|(_, rows)| *rows > 0),
            "a rule has nothing to do: {affected:?}"
        );
        ensure!(of_rules(&ended.report, "remaining").iter().all(|(_, rows)| *rows == 0));
        self.counted_as(&dry, &ended)?;
        ensure!(!ended.output.contains("NoAgeCondition"), "{}", ended.output);

        let reports: i64 = self.count(&database, self.reports).await?;
        ensure!(reports == 1, "{reports} rows tell of one run, and one dry run");
        let after = self.digest(&database).await?;
        let again = run(self.name, &database, &[]).await?;
        ensure!(again.code == Some(0), "{}", again.output);
        let more = of_rules(&again.report, "affected");
        ensure!(more.iter().all(|(_, rows)| *rows == 0), "a second run found {more:?}");
        ensure!(self.digest(&database).await? == after, "a second run has changed something");
        let reports: i64 = self.count(&database, self.reports).await?;
        ensure!(reports == 2, "{reports} rows tell of two runs");
        Ok(Proof { database, ended })
    }

    /// A dry run counts what the run then changes, but for what an earlier rule feeds or starves.
    fn counted_as(&self, dry: &Ended, ended: &Ended) -> Result<()> {
        let counted = of_rules(&dry.report, "matched");
        ensure!(counted == of_rules(&ended.report, "matched"), "{} {}", dry.output, ended.output);
        ensure!(of_rules(&dry.report, "affected").iter().all(|(_, rows)| *rows == 0));
        let depends = |name: &str| {
            let rules = dry.report["rules"].as_array().into_iter().flatten();
            let mut ours = rules.filter(|rule| rule["name"] == name);
            ours.any(|rule| rule["warnings"].to_string().contains("CountDependsOnEarlierRule"))
        };
        for ((name, counted), (_, affected)) in
            counted.iter().zip(of_rules(&ended.report, "affected"))
        {
            let example = self.name;
            ensure!(
                *counted == affected || depends(name),
                "{example}: the dry run counted {counted} rows for {name}, the run changed {affected}"
            );
        }
        Ok(())
    }

    /// Copies the tables as they are.
    pub async fn copy(&self, database: &Database) -> Result<()> {
        database
            .execute(
                "CREATE SCHEMA witness;
                 CREATE TABLE witness.changed_rows (rule text NOT NULL, id text NOT NULL)",
            )
            .await?;
        for table in self.tables {
            let schema = self.schema;
            let sql = format!(
                "CREATE TABLE witness.{table} (LIKE {schema}.{table} INCLUDING INDEXES);
                 INSERT INTO witness.{table} TABLE {schema}.{table}"
            );
            database.execute(&sql).await?;
        }
        database.execute(self.keys).await
    }

    /// Runs each statement on the copies, at the moment by which the run judged. `witness` comes
    /// first on the search path, with a `now()` of its own: the statements need no change.
    pub async fn witness(
        &self,
        database: &Database,
        ended: &Ended,
        statements: &[(&str, &str)],
    ) -> Result<()> {
        let now = ended.report["startTime"].as_str().context("a run has a start")?;
        let mut script = format!(
            "CREATE FUNCTION witness.now() RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
               $$SELECT timestamptz '{now}'$$;
             BEGIN;
             SET LOCAL search_path = witness, pg_catalog;"
        );
        for (rule, statement) in statements {
            script += &format!(
                "WITH changed AS ({statement})
                 INSERT INTO changed_rows SELECT '{rule}', trim(both '()' FROM changed::text) FROM changed;"
            );
        }
        database.execute(&format!("{script} COMMIT")).await
    }

    /// Compares each table with its copy, row by row, to the last column.
    pub async fn agrees(&self, database: &Database) -> Result<()> {
        for table in self.tables {
            let ours = format!("SELECT t::text FROM {}.{table} AS t", self.schema);
            let theirs = format!("SELECT t::text FROM witness.{table} AS t");
            let sql = format!(
                "SELECT coalesce(string_agg(row, ', '), '') FROM (
                   (SELECT 'only after the run: ' || t AS row FROM ({ours} EXCEPT ALL {theirs}) AS a (t) LIMIT 3)
                   UNION ALL
                   (SELECT 'only by the statements: ' || t FROM ({theirs} EXCEPT ALL {ours}) AS b (t) LIMIT 3)
                 ) AS difference"
            );
            let difference: String = database.scalar(&sql).await?;
            ensure!(difference.is_empty(), "{}.{table}: {difference}", self.schema);
        }
        Ok(())
    }

    /// How many rows each statement changed.
    async fn expected(&self, database: &Database) -> Result<Vec<(String, i64)>> {
        let mut expected = Vec::new();
        for (rule, _) in self.statements {
            expected.push(((*rule).to_owned(), changed(database, rule).await?.len().try_into()?));
        }
        Ok(expected)
    }

    async fn count(&self, database: &Database, query: &str) -> Result<i64> {
        database.scalar(&format!("SELECT count(*) FROM ({query}) AS counted")).await
    }

    /// One text for what stands in all tables.
    async fn digest(&self, database: &Database) -> Result<String> {
        let mut digest = String::new();
        for table in self.tables {
            let table = format!("{}.{table}", self.schema);
            digest += &tests::job::fingerprint(database, &table).await?;
        }
        Ok(digest)
    }
}

/// The ids of the rows that the statement of this rule changed.
pub async fn changed(database: &Database, rule: &str) -> Result<BTreeSet<String>> {
    ids(database, &format!("SELECT id FROM witness.changed_rows WHERE rule = '{rule}'")).await
}

/// The one column of a query, whose values must not repeat.
pub async fn ids(database: &Database, query: &str) -> Result<BTreeSet<String>> {
    let sql = format!("SELECT coalesce(array_agg(id::text), '{{}}') FROM ({query}) AS t (id)");
    let list: Vec<String> = database.scalar(&sql).await?;
    let all = list.len();
    let set: BTreeSet<_> = list.into_iter().collect();
    ensure!(set.len() == all, "there is one of them twice: {query}");
    Ok(set)
}
