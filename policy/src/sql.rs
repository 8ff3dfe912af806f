//! The only maker of SQL for user tables.
//!
//! Names are quoted by [`Identifier`], values are bound, and no text of a policy
//! ever stands in a statement by itself. Nothing else in the project may build
//! such a statement.
//!
//! What is deleted: a row that holds every condition of its rule, on the version
//! of the row that is deleted. A row that another transaction holds is left alone.

mod batch;
mod condition;
mod measure;
mod partition;
mod row;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use crate::age::Age;
use crate::crd::EpochUnit;
use crate::identifier::{Identifier, QualifiedTable};
use crate::plan::Types;

/// A statement with what is bound to its parameters, `$1` first.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The SQL.
    pub text: String,
    /// What is bound, still by its meaning.
    pub binds: Vec<Bind>,
}

/// What a parameter stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Bind {
    /// A text of the policy; cast to the column's type by the statement.
    Text(String),
    /// A list of texts of the policy.
    Texts(Vec<String>),
    /// The start of the run.
    Now,
    /// The start of the run minus an age.
    Cutoff(Age, CutoffAs),
    /// How many rows at the most.
    Limit,
    /// A column of the place where the last batch ended.
    Key(usize),
    /// The tables (`tableoid`) of the rows that are locked.
    LockedTables,
    /// The places (`ctid`) of the rows that are locked.
    LockedRows,
    /// The run.
    RunId,
    /// How many rows a rule changed, by its place in the policy.
    Affected(usize),
    /// How many rows a rule held at the start, by its place in the policy.
    Matched(usize),
}

/// How a cutoff is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutoffAs {
    /// As a moment.
    Moment,
    /// As a number, to the microsecond.
    Number(EpochUnit),
    /// As the next whole number: an integer is below the cutoff when it is below this.
    RoundedUp(EpochUnit),
    /// As the last whole number: an integer is above the cutoff when it is above this.
    RoundedDown(EpochUnit),
}

/// A bound value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `text`
    Text(String),
    /// `text[]`
    Texts(Vec<String>),
    /// `bigint`
    Integer(i64),
}

/// What gives the parameters of a statement their values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment<'a> {
    /// Database time at the start of the run.
    pub now: Timestamp,
    /// How many rows at the most.
    pub limit: i64,
    /// The place where the last batch ended, each column as text.
    pub after: &'a [String],
    /// The rows that this transaction has locked.
    pub locked: Locked<'a>,
    /// The run.
    pub run_id: &'a str,
    /// What each rule did, in their order: for the report's row.
    pub counts: &'a [Counts],
}

/// Rows that a transaction has locked, as [`crate::Step::lock_batch`] returned them: good until the
/// end of that transaction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Locked<'a> {
    /// `tableoid` of each.
    pub tables: &'a [String],
    /// `ctid` of each.
    pub rows: &'a [String],
}

/// What one rule did, for the report's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that it held at the start.
    pub matched: i64,
    /// Rows that it changed.
    pub affected: i64,
}

impl Statement {
    /// The values of the parameters.
    #[must_use]
    pub fn values(&self, moment: Moment<'_>) -> Vec<Value> {
        self.binds.iter().map(|bind| bind.value(moment)).collect()
    }
}

impl Bind {
    fn value(&self, moment: Moment<'_>) -> Value {
        let count = |rule: &usize| moment.counts.get(*rule).copied().unwrap_or_default();
        match self {
            Bind::Text(text) => Value::Text(text.clone()),
            Bind::Texts(texts) => Value::Texts(texts.clone()),
            Bind::Now => Value::Text(moment.now.to_string()),
            Bind::Cutoff(age, written) => Value::Text(cutoff(moment.now, *age, *written)),
            Bind::Limit => Value::Integer(moment.limit),
            Bind::Key(index) => Value::Text(moment.after.get(*index).cloned().unwrap_or_default()),
            Bind::LockedTables => Value::Texts(moment.locked.tables.to_vec()),
            Bind::LockedRows => Value::Texts(moment.locked.rows.to_vec()),
            Bind::RunId => Value::Text(moment.run_id.to_owned()),
            Bind::Affected(rule) => Value::Integer(count(rule).affected),
            Bind::Matched(rule) => Value::Integer(count(rule).matched),
        }
    }

    /// The parameter in words, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Bind::Text(text) => format!("{text:?}"),
            Bind::Texts(texts) => format!("{texts:?}"),
            Bind::Now => "the start of the run".to_owned(),
            Bind::Cutoff(age, CutoffAs::Moment) => format!("the start of the run minus {age}"),
            Bind::Cutoff(
                age,
                CutoffAs::Number(unit) | CutoffAs::RoundedUp(unit) | CutoffAs::RoundedDown(unit),
            ) => format!("the start of the run minus {age}, as {unit:?}"),
            Bind::Limit => "the size of the batch".to_owned(),
            Bind::Key(_) => "where the last batch ended".to_owned(),
            Bind::LockedTables | Bind::LockedRows => "the rows that are locked".to_owned(),
            Bind::RunId => "the run".to_owned(),
            Bind::Affected(_) => "the rows that a rule changed".to_owned(),
            Bind::Matched(_) => "the rows that a rule held at the start".to_owned(),
        }
    }
}

fn cutoff(now: Timestamp, age: Age, written: CutoffAs) -> String {
    let cutoff = now.checked_sub(age.duration()).unwrap_or(Timestamp::MIN);
    let micros = i128::from(cutoff.as_microsecond());
    let per_unit = |unit| match unit {
        EpochUnit::EpochSeconds => 1_000_000_i128,
        EpochUnit::EpochMillis => 1_000,
    };
    match written {
        CutoffAs::Moment => cutoff.to_string(),
        // Digits that the parser of numeric reads: the point stands six places from the right.
        CutoffAs::Number(unit) => format!("{micros}e-{}", per_unit(unit).ilog10()),
        CutoffAs::RoundedUp(unit) => (-(-micros).div_euclid(per_unit(unit))).to_string(),
        CutoffAs::RoundedDown(unit) => micros.div_euclid(per_unit(unit)).to_string(),
    }
}

/// A statement under construction: text and parameters grow together.
struct Builder<'a> {
    types: &'a Types,
    text: String,
    binds: Vec<Bind>,
}

impl<'a> Builder<'a> {
    fn new(types: &'a Types) -> Self {
        Self { types, text: String::new(), binds: Vec::new() }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds a parameter, or finds the same one again, and returns its `$n`.
    fn bind(&mut self, bind: Bind) -> String {
        let index = self.binds.iter().position(|known| *known == bind).unwrap_or_else(|| {
            self.binds.push(bind);
            self.binds.len() - 1
        });
        format!("${}", index + 1)
    }

    /// A parameter as the type of a column: its text, cast. Without a catalog the bare parameter.
    fn cast(&mut self, bind: Bind, table: &QualifiedTable, column: &Identifier) -> String {
        let list = if matches!(bind, Bind::Texts(_)) { "[]" } else { "" };
        let parameter = self.bind(bind);
        match self.types.get(table, column) {
            Some(sql_type) => format!("CAST({parameter} AS {sql_type}{list})"),
            None => parameter,
        }
    }

    /// A moment as something that a time column compares with, by its own index.
    /// Text with a trailing `Z` read as `timestamp` is UTC's wall clock, which is
    /// how a column without a zone is read.
    fn cast_time(&mut self, bind: Bind, table: &QualifiedTable, column: &Identifier) -> String {
        format!("CAST({} AS {})", self.bind(bind), self.time_type(table, column))
    }

    fn time_type(&self, table: &QualifiedTable, column: &Identifier) -> &'static str {
        match self.types.get(table, column) {
            None | Some("timestamp with time zone") => "timestamptz",
            Some(_) => "timestamp",
        }
    }

    fn finish(self) -> Statement {
        Statement { text: self.text, binds: self.binds }
    }
}

/// One row for each of the tables `$1`.`$2` (`text[]`) that exists: schema, name, and a
/// [`crate::TableFacts`] as JSON. Run with `search_path = pg_catalog`, so that types come qualified.
pub const CATALOG_SQL: &str = include_str!("sql/catalog.sql");

/// One row for each foreign key that points at one of the tables `$1`.`$2` (`text[]`), or at a table
/// that a cascade from there reaches: schema and name of the table that it points at, and a
/// [`crate::ReferenceFacts`] as JSON.
pub const REFERENCES_SQL: &str = include_str!("sql/references.sql");
