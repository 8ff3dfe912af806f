//! The statements of one step: counting its rows, and changing a batch of them.

use crate::plan::Step;
use crate::policy::{Action, Assignment, NewValue, Test, conditions_of};

use super::{Bind, Builder, Statement};

impl Step {
    /// One row, one `bigint`: how many rows the rule holds, counted up to [`Bind::Limit`].
    #[must_use]
    pub fn count_matched(&self) -> Statement {
        let mut sql = Builder::new(self);
        let conditions = sql.conditions("    ");
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
        let mut sql = Builder::new(self);
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
        let mut sql = Builder::new(self);
        let conditions = sql.conditions("  ");
        sql.push(&format!(
            "EXPLAIN (FORMAT JSON)\nSELECT 1\nFROM {table} AS t\nWHERE {conditions}",
            table = self.table,
        ));
        sql.finish()
    }

    /// `EXPLAIN` of a read of the whole table; see [`Step::estimate_matched`].
    #[must_use]
    pub fn estimate_table(&self) -> Statement {
        let mut sql = Builder::new(self);
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
        let (column, age) = self.age.as_ref()?;
        let mut sql = Builder::new(self);
        let cutoff = sql.cast_time(Bind::Cutoff(*age), column);
        let conditions = sql.conditions("  ");
        sql.push(&format!(
            "SELECT CAST(floor(extract(epoch FROM {cutoff} - t.{column})) AS bigint)\n\
             FROM {table} AS t\nWHERE {conditions}\nORDER BY t.{column}\nLIMIT 1",
            table = self.table,
        ));
        Some(sql.finish())
    }

    /// Changes one batch, the first or, with `resume`, the one after the place
    /// [`Bind::Key`]. One row: `seen`, `changed` and `stuck` (`bigint`), then the
    /// columns of the place where it ended (`text`, NULL when nothing was seen).
    /// `stuck` rows hold the conditions still, on their new version: such an update
    /// would never end, and its batch must be rolled back.
    ///
    /// One statement locks, checks and changes: a row that was renewed after the
    /// statement began is checked again on its new version by the lock, and the
    /// change itself holds the conditions once more. Rows are met by `ctid`
    /// together with `tableoid`, inside this statement only: a `ctid` alone names
    /// a row of another partition too.
    #[must_use]
    pub fn change_batch(&self, resume: bool) -> Statement {
        let mut sql = Builder::new(self);
        let conditions = sql.conditions("    ");
        let resume = if resume { sql.after_place() } else { String::new() };
        let change = sql.change();
        let again = sql.conditions("    ");
        let stuck = match self.action {
            Action::Delete => "FALSE".to_owned(),
            Action::Update(_) => sql.conditions("    "),
        };
        let limit = sql.bind(Bind::Limit);
        let keys = self.order.iter().enumerate();
        let picked: String = keys.clone().map(|(n, key)| format!(", t.{key} AS key_{n}")).collect();
        let order: Vec<_> = self.order.iter().map(|key| format!("t.{key}")).collect();
        let order_by = if order.is_empty() {
            String::new()
        } else {
            format!("\n  ORDER BY {}", order.join(", "))
        };
        let lock = match self.action {
            Action::Delete => "FOR UPDATE",
            // Leaves the foreign keys of other tables that point here alone.
            Action::Update(_) => "FOR NO KEY UPDATE",
        };
        let table = &self.table;
        sql.push(&format!(
            "WITH batch AS MATERIALIZED (\n\
            \x20 SELECT t.tableoid AS batch_table, t.ctid AS batch_row{picked}\n\
            \x20 FROM {table} AS t\n\
            \x20 WHERE {conditions}{resume}{order_by}\n\
            \x20 LIMIT {limit}\n\
            \x20 {lock} SKIP LOCKED\n\
            ), changed AS (\n\
            \x20 {change}\n\
            \x20 WHERE t.tableoid = batch.batch_table\n    AND t.ctid = batch.batch_row\n    AND {again}\n\
            \x20 RETURNING {stuck} AS stuck\n\
            )\n"
        ));
        sql.push(&self.batch_result());
        sql.finish()
    }

    /// Reads every value of the rule as the type that it is compared with or set to: one row, or
    /// the error that the first batch would meet. `EXPLAIN` alone reads only some types.
    #[must_use]
    pub fn read_values(&self) -> Option<Statement> {
        let mut sql = Builder::new(self);
        let mut values = Vec::new();
        for condition in conditions_of(&self.conditions) {
            let bind = match &condition.test {
                Test::Equals(value)
                | Test::NotEquals(value)
                | Test::LessThan(value)
                | Test::GreaterThan(value) => Bind::Text(value.to_string()),
                Test::In(list) | Test::NotIn(list) => {
                    Bind::Texts(list.iter().map(ToString::to_string).collect())
                }
                Test::IsNull | Test::IsNotNull | Test::OlderThan(_) | Test::NewerThan(_) => {
                    continue;
                }
            };
            values.push(sql.cast(bind, &condition.column));
        }
        if let Action::Update(assignments) = &self.action {
            for assignment in assignments {
                if let NewValue::Scalar(value) = &assignment.to {
                    values.push(sql.cast(Bind::Text(value.to_string()), &assignment.column));
                }
            }
        }
        // One boolean: what the values are must not come back.
        let read: Vec<_> = values.iter().map(|value| format!("{value} IS NULL")).collect();
        sql.push(&format!("SELECT {}", read.join(" OR ")));
        (!values.is_empty()).then(|| sql.finish())
    }

    /// `EXPLAIN` of the first batch: has the database check types, values and
    /// privileges without touching a row.
    #[must_use]
    pub fn explain_batch(&self) -> Statement {
        let Statement { text, binds } = self.change_batch(false);
        Statement { text: format!("EXPLAIN (FORMAT JSON)\n{text}"), binds }
    }

    fn batch_result(&self) -> String {
        let keys = 0..self.order.len();
        let last: String = keys.clone().map(|n| format!(", last.key_{n}")).collect();
        let as_text: Vec<_> =
            keys.clone().map(|n| format!("CAST(key_{n} AS text) AS key_{n}")).collect();
        let backwards: Vec<_> = keys.map(|n| format!("batch.key_{n} DESC")).collect();
        let counts = "SELECT (SELECT count(*) FROM batch) AS seen, (SELECT count(*) FROM changed) AS changed, \
                      (SELECT count(*) FROM changed WHERE stuck) AS stuck";
        if as_text.is_empty() {
            return counts.to_owned();
        }
        format!(
            "{counts}{last}\nFROM (VALUES (1)) AS one\nLEFT JOIN (\n  SELECT {}\n  FROM batch\n  ORDER BY {}\n  LIMIT 1\n) AS last ON TRUE",
            as_text.join(", "),
            backwards.join(", "),
        )
    }
}

impl Builder<'_> {
    fn after_place(&mut self) -> String {
        let step = self.step;
        let columns: Vec<_> = step.order.iter().map(|key| format!("t.{key}")).collect();
        let keys: Vec<_> = step
            .order
            .iter()
            .enumerate()
            .map(|(index, key)| self.cast(Bind::Key(index), key))
            .collect();
        format!("\n    AND ({}) > ({})", columns.join(", "), keys.join(", "))
    }

    fn change(&mut self) -> String {
        let step = self.step;
        match &step.action {
            Action::Delete => format!("DELETE FROM {} AS t\n  USING batch", step.table),
            Action::Update(assignments) => {
                let set: Vec<_> =
                    assignments.iter().map(|assignment| self.assignment(assignment)).collect();
                format!("UPDATE {} AS t\n  SET {}\n  FROM batch", step.table, set.join(",\n    "))
            }
        }
    }

    fn assignment(&mut self, assignment: &Assignment) -> String {
        let column = &assignment.column;
        let value = match &assignment.to {
            NewValue::Scalar(value) => self.cast(Bind::Text(value.to_string()), column),
            NewValue::Now => self.cast_time(Bind::Now, column),
            NewValue::Column(other) => format!("t.{other}"),
            NewValue::Null => "NULL".to_owned(),
        };
        format!("{column} = {value}")
    }
}
