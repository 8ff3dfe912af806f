//! The statements that only look: counts, estimates, and reading the values of a policy.

use crate::crd::EpochUnit;
use crate::identifier::{Identifier, QualifiedTable};
use crate::plan::{Plan, Step};
use crate::policy::{
    Action, CellValue, ColumnCondition, Condition, NewRow, NewValue, RowValue, Test,
};

use super::condition::Alias;
use super::{Bind, Builder, CutoffAs, Statement};

impl Step {
    /// One row, one `bigint`: how many rows the rule holds, counted up to [`Bind::Limit`].
    #[must_use]
    pub fn count_matched(&self) -> Statement {
        let mut sql = Builder::new(&self.types);
        let conditions = sql.conditions(self, "    ");
        let limit = sql.bind(Bind::Limit);
        sql.push(&format!(
            "SELECT count(*)\nFROM (\n  SELECT 1\n  FROM {table} AS t\n  WHERE {conditions}\n  LIMIT {limit}\n) AS bounded",
            table = self.table,
        ));
        sql.finish()
    }

    /// One row, one `bigint`: how many rows the table has, counted up to [`Bind::Limit`].
    #[must_use]
    pub fn count_table(&self) -> Statement {
        let mut sql = Builder::new(&self.types);
        let limit = sql.bind(Bind::Limit);
        sql.push(&format!(
            "SELECT count(*)\nFROM (\n  SELECT 1\n  FROM {table} AS t\n  LIMIT {limit}\n) AS bounded",
            table = self.table,
        ));
        sql.finish()
    }

    /// `EXPLAIN` of a read of all rows that the rule holds: one row of JSON, whose
    /// `Plan Rows` is the planner's estimate.
    #[must_use]
    pub fn estimate_matched(&self) -> Statement {
        let mut sql = Builder::new(&self.types);
        let conditions = sql.conditions(self, "  ");
        sql.push(&format!(
            "EXPLAIN (FORMAT JSON)\nSELECT 1\nFROM {table} AS t\nWHERE {conditions}",
            table = self.table,
        ));
        sql.finish()
    }

    /// `EXPLAIN` of a read of the whole table; see [`Step::estimate_matched`].
    #[must_use]
    pub fn estimate_table(&self) -> Statement {
        let mut sql = Builder::new(&self.types);
        sql.push(&format!(
            "EXPLAIN (FORMAT JSON)\nSELECT 1\nFROM {table} AS t",
            table = self.table
        ));
        sql.finish()
    }

    /// One `bigint`: for how many seconds the oldest row of the rule has been due.
    /// No row where the rule holds none; `None` where no age decides.
    #[must_use]
    pub fn oldest_overdue(&self) -> Option<Statement> {
        let (column, age, unit) = self.due.as_ref()?;
        let mut sql = Builder::new(&self.types);
        let kind = sql.time_kind(Alias { name: "t", table: &self.table }, column, *unit);
        let written = kind.written(*unit, CutoffAs::RoundedUp);
        let cutoff = sql.cutoff(Bind::Cutoff(*age, written), kind);
        // A number can be further away than any moment, and further than a bigint counts.
        let apart = format!("CAST({cutoff} AS numeric) - CAST(t.{column} AS numeric)");
        let seconds = match unit {
            None => format!("floor(extract(epoch FROM {cutoff} - t.{column}))"),
            Some(EpochUnit::EpochSeconds) => format!("least(floor({apart}), {})", i64::MAX),
            Some(EpochUnit::EpochMillis) => {
                format!("least(floor(({apart}) / 1000), {})", i64::MAX)
            }
        };
        let conditions = sql.conditions(self, "  ");
        sql.push(&format!(
            "SELECT CAST({seconds} AS bigint)\n\
             FROM {table} AS t\nWHERE {conditions}\nORDER BY t.{column}\nLIMIT 1",
            table = self.table,
        ));
        Some(sql.finish())
    }

    /// Reads every value of the rule as the type that it is compared with or set to: one row, or
    /// the error that the first batch would meet. `EXPLAIN` alone reads only some types.
    #[must_use]
    pub fn read_values(&self) -> Option<Statement> {
        let mut reader = Reader::new(Builder::new(&self.types));
        for condition in &self.conditions {
            match condition {
                Condition::Column(condition) => reader.condition(&self.table, condition),
                Condition::AnyOf(conditions) => {
                    for condition in conditions {
                        reader.condition(&self.table, condition);
                    }
                }
                Condition::Exists(related) | Condition::NotExists(related) => {
                    for condition in &related.conditions {
                        reader.condition(&related.table, condition);
                    }
                }
            }
        }
        if let Action::Update(assignments) = &self.action {
            for assignment in assignments {
                if let NewValue::Scalar(value) = &assignment.to {
                    let bind = Bind::Text(value.to_string());
                    reader.read(bind, &self.table, &assignment.column);
                }
            }
        }
        for row in &self.emit {
            reader.row(row);
        }
        reader.finish()
    }
}

impl Plan {
    /// Reads every value of the report's row; see [`Step::read_values`].
    #[must_use]
    pub fn read_report_values(&self) -> Option<Statement> {
        let mut reader = Reader::new(Builder::new(&self.types));
        reader.row(self.report.as_ref()?);
        reader.finish()
    }
}

/// Casts that are tried and not looked at.
struct Reader<'a> {
    sql: Builder<'a>,
    values: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(sql: Builder<'a>) -> Self {
        Self { sql, values: Vec::new() }
    }

    fn read(&mut self, bind: Bind, table: &QualifiedTable, column: &Identifier) {
        let value = self.sql.cast(bind, table, column);
        self.values.push(value);
    }

    fn condition(&mut self, table: &QualifiedTable, condition: &ColumnCondition) {
        let texts: Vec<_> = condition.test.scalars().iter().map(ToString::to_string).collect();
        let listed = matches!(condition.test, Test::In(_) | Test::NotIn(_));
        if listed && !self.sql.is_list(table, &condition.column) {
            self.read(Bind::Texts(texts), table, &condition.column);
        } else {
            for text in texts {
                self.read(Bind::Text(text), table, &condition.column);
            }
        }
    }

    fn row(&mut self, row: &NewRow) {
        for cell in &row.values {
            if let CellValue::Plain(RowValue::Scalar(value)) = &cell.value {
                self.read(Bind::Text(value.to_string()), &row.into, &cell.column);
            }
        }
    }

    fn finish(mut self) -> Option<Statement> {
        // One boolean: what the values are must not come back.
        let read: Vec<_> = self.values.iter().map(|value| format!("{value} IS NULL")).collect();
        self.sql.push(&format!("SELECT {}", read.join(" OR ")));
        (!read.is_empty()).then(|| self.sql.finish())
    }
}
