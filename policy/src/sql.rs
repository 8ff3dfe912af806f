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
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use crate::age::Age;
use crate::identifier::Identifier;
use crate::plan::Step;

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
    Cutoff(Age),
    /// How many rows at the most.
    Limit,
    /// A column of the place where the last batch ended.
    Key(usize),
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
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Database time at the start of the run.
    pub now: Timestamp,
    /// How many rows at the most.
    pub limit: i64,
    /// The place where the last batch ended, each column as text.
    pub after: &'a [String],
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
        match self {
            Bind::Text(text) => Value::Text(text.clone()),
            Bind::Texts(texts) => Value::Texts(texts.clone()),
            Bind::Now => Value::Text(moment.now.to_string()),
            Bind::Cutoff(age) => Value::Text(cutoff(moment.now, *age).to_string()),
            Bind::Limit => Value::Integer(moment.limit),
            Bind::Key(index) => Value::Text(moment.after.get(*index).cloned().unwrap_or_default()),
        }
    }

    /// The parameter in words, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Bind::Text(text) => format!("{text:?}"),
            Bind::Texts(texts) => format!("{texts:?}"),
            Bind::Now => "the start of the run".to_owned(),
            Bind::Cutoff(age) => format!("the start of the run minus {age}"),
            Bind::Limit => "the size of the batch".to_owned(),
            Bind::Key(_) => "where the last batch ended".to_owned(),
        }
    }
}

fn cutoff(now: Timestamp, age: Age) -> Timestamp {
    now.checked_sub(age.duration()).unwrap_or(Timestamp::MIN)
}

/// A statement under construction: text and parameters grow together.
struct Builder<'a> {
    step: &'a Step,
    text: String,
    binds: Vec<Bind>,
}

impl<'a> Builder<'a> {
    fn new(step: &'a Step) -> Self {
        Self { step, text: String::new(), binds: Vec::new() }
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

    /// A parameter as the type of `column`: its text, cast. Without a catalog the bare parameter.
    fn cast(&mut self, bind: Bind, column: &Identifier) -> String {
        let list = if matches!(bind, Bind::Texts(_)) { "[]" } else { "" };
        let parameter = self.bind(bind);
        match self.step.types.get(column) {
            Some(sql_type) => format!("CAST({parameter} AS {sql_type}{list})"),
            None => parameter,
        }
    }

    /// A moment as something that a time column compares with, by its own index.
    /// Text with a trailing `Z` read as `timestamp` is UTC's wall clock, which is
    /// how a column without a zone is read.
    fn cast_time(&mut self, bind: Bind, column: &Identifier) -> String {
        format!("CAST({} AS {})", self.bind(bind), self.time_type(column))
    }

    fn time_type(&self, column: &Identifier) -> &'static str {
        match self.step.types.get(column).map(String::as_str) {
            None | Some("timestamp with time zone") => "timestamptz",
            Some(_) => "timestamp",
        }
    }

    fn finish(self) -> Statement {
        Statement { text: self.text, binds: self.binds }
    }
}

/// One row for each column of the table `$1`.`$2`, and one with a NULL column for
/// a table without any; no row where there is no such table. Names are compared
/// byte by byte. Run with `search_path = pg_catalog`, so that types come qualified.
pub const CATALOG_SQL: &str = include_str!("sql/catalog.sql");
