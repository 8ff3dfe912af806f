//! The statements of a batch: picking and locking its rows, and changing them.
//!
//! Most rules need one statement, which locks, checks and changes. A rule that looks
//! at other tables, or whose deletes cascade, needs several in one transaction: a
//! subquery keeps the snapshot of its own statement, so the whole condition is
//! evaluated again by a statement that begins when the rows are already held.
//!
//! Rows are met by `ctid` together with `tableoid`: a `ctid` alone names a row of
//! another partition too. It is good while this transaction holds the row, and no longer.

use std::collections::BTreeMap;

use crate::identifier::Identifier;
use crate::plan::Step;
use crate::policy::{Action, Assignment, Condition, NewRow, NewValue, Related};
use crate::report::Strategy;

use super::condition::rows_of;
use super::row::insert_into;
use super::{Bind, Builder, Statement};

impl Step {
    /// Changes one batch, the first or, with `resume`, the one after the place [`Bind::Key`].
    /// For a step that does not lock first ([`Step::locks_first`]).
    ///
    /// One row of `bigint`: `seen` rows were looked at, `held` of them hold the conditions and are
    /// locked, `changed` were changed, `stuck` hold the conditions still on their new version (such
    /// an update would never end, and its batch must be rolled back), `inserted` is the smallest
    /// number of rows that one of its inserts made (less than `changed`: roll back). Then the
    /// columns of the place where it ended (`text`, NULL when nothing was seen).
    #[must_use]
    pub fn change_batch(&self, resume: bool) -> Statement {
        let mut sql = Builder::new(&self.types);
        let pick = sql.pick(self, resume);
        let change = sql.change(self);
        let seen = self.seen();
        sql.push(&format!(
            "WITH {pick}, {change}\nSELECT (SELECT count(*) FROM {seen}) AS seen, {counts}{place}",
            counts = self.change_counts("batch"),
            place = self.place(seen),
        ));
        sql.finish()
    }

    /// Locks one batch without changing it; for a step that locks first.
    ///
    /// One row: `seen` (`bigint`), then `tableoid` and `ctid` of each locked row (`text[]`: a
    /// [`super::Locked`]), then the columns of the place where it ended, as in
    /// [`Step::change_batch`].
    #[must_use]
    pub fn lock_batch(&self, resume: bool) -> Statement {
        let mut sql = Builder::new(&self.types);
        let pick = sql.pick(self, resume);
        let seen = self.seen();
        sql.push(&format!(
            "WITH {pick}\n\
             SELECT (SELECT count(*) FROM {seen}) AS seen,\n  \
             (SELECT CAST(COALESCE(array_agg(batch_table), '{{}}') AS text[]) FROM batch) AS tables,\n  \
             (SELECT CAST(COALESCE(array_agg(batch_row), '{{}}') AS text[]) FROM batch) AS rows{place}",
            place = self.place(seen),
        ));
        sql.finish()
    }

    /// One for each `notExists`: holds what belongs to the locked rows as it is, so that none of it
    /// can come to life before they go. One row, a [`super::Locked`]: the rows none of whose
    /// partners another transaction holds, or has just changed.
    #[must_use]
    pub fn lock_partners(&self) -> Vec<Statement> {
        let absent = self.conditions.iter().filter_map(|condition| match condition {
            Condition::NotExists(related) => Some(related),
            _ => None,
        });
        absent.map(|related| self.lock_partners_of(related)).collect()
    }

    fn lock_partners_of(&self, related: &Related) -> Statement {
        let mut sql = Builder::new(&self.types);
        let locked = sql.locked();
        let references: String = numbered(&related.join)
            .map(|(n, join)| format!(", t.{} AS reference_{n}", join.references))
            .collect();
        let joined: Vec<_> = numbered(&related.join)
            .map(|(n, join)| format!("r.{} = batch.reference_{n}", join.column))
            .collect();
        let (table, other, joined) = (&self.table, &related.table, joined.join(" AND "));
        let rows = rows_of("locked");
        sql.push(&format!(
            "WITH locked AS MATERIALIZED (\n\
             \x20 {locked}\n\
             ), batch AS MATERIALIZED (\n\
             \x20 SELECT t.tableoid AS batch_table, t.ctid AS batch_row{references}\n\
             \x20 FROM {table} AS t\n\
             \x20 WHERE {rows}\n\
             ), partners AS MATERIALIZED (\n\
             \x20 SELECT r.tableoid AS partner_table, r.ctid AS partner_row\n\
             \x20 FROM batch\n\
             \x20 JOIN {other} AS r ON {joined}\n\
             \x20 FOR SHARE OF r SKIP LOCKED\n\
             ), free AS (\n\
             \x20 SELECT batch.batch_table, batch.batch_row\n\
             \x20 FROM batch\n\
             \x20 WHERE NOT EXISTS (\n\
             \x20   SELECT FROM {other} AS r\n\
             \x20   WHERE {joined}\n\
             \x20     AND NOT EXISTS (SELECT FROM partners WHERE partner_table = r.tableoid AND partner_row = r.ctid)\n\
             \x20 )\n\
             )\n\
             SELECT CAST(COALESCE(array_agg(batch_table), '{{}}') AS text[]) AS tables, \
             CAST(COALESCE(array_agg(batch_row), '{{}}') AS text[]) AS rows\nFROM free"
        ));
        sql.finish()
    }

    /// Changes the rows that are locked ([`Bind::LockedRows`]) and hold every condition still, in
    /// the eyes of a statement that begins now. One row: `held`, `changed`, `stuck` and `inserted`
    /// as in [`Step::change_batch`].
    #[must_use]
    pub fn change_locked(&self) -> Statement {
        let mut sql = Builder::new(&self.types);
        let locked = sql.locked();
        let conditions = sql.conditions(self, "    ");
        let change = sql.change(self);
        sql.push(&format!(
            "WITH locked AS MATERIALIZED (\n\
             \x20 {locked}\n\
             ), batch AS MATERIALIZED (\n\
             \x20 SELECT t.tableoid AS batch_table, t.ctid AS batch_row\n\
             \x20 FROM {table} AS t\n\
             \x20 WHERE {rows}\n    AND {conditions}\n\
             ), {change}\nSELECT {counts}",
            table = self.table,
            rows = rows_of("locked"),
            counts = self.change_counts("batch"),
        ));
        sql.finish()
    }

    /// The statements of the first batch, in their order; for whole partitions the one that looks
    /// for their rows.
    #[must_use]
    pub fn first_batch(&self) -> Vec<Statement> {
        if self.strategy() == Strategy::Partition {
            return self.due_partitions().into_iter().collect();
        }
        if !self.locks_first() {
            return vec![self.change_batch(false)];
        }
        let mut statements = vec![self.lock_batch(false)];
        statements.extend(self.lock_partners());
        statements.push(self.change_locked());
        statements
    }

    /// `EXPLAIN` of each statement of the first batch: has the database check types, values and
    /// privileges without touching a row, and tells how the rows are found.
    #[must_use]
    pub fn explain_batch(&self) -> Vec<Statement> {
        let mut statements = self.first_batch();
        for statement in &mut statements {
            statement.text = format!("EXPLAIN (FORMAT JSON)\n{}", statement.text);
        }
        statements
    }

    /// How the rows of a batch are locked. An update leaves the foreign keys of other tables that
    /// point here alone, unless a partner that joins by one of them would change the rule's mind.
    pub(crate) fn row_lock(&self) -> &'static str {
        match self.action {
            Action::Update(_) if !self.locks_first() => "FOR NO KEY UPDATE",
            _ => "FOR UPDATE",
        }
    }

    /// What a pick names the rows that it looked at.
    fn seen(&self) -> &'static str {
        match self.strategy() {
            Strategy::PrimaryKey => "walked",
            Strategy::Keyset | Strategy::Partition => "batch",
        }
    }

    fn order_by(&self, before: &str) -> String {
        let order: Vec<_> = self.order().iter().map(|key| format!("t.{key}")).collect();
        if order.is_empty() {
            return String::new();
        }
        format!("{before}ORDER BY {}", order.join(", "))
    }

    fn change_counts(&self, batch: &str) -> String {
        let inserts: Vec<_> = self
            .inserts()
            .into_iter()
            .map(|name| format!("(SELECT count(*) FROM {name})"))
            .collect();
        let inserted = match inserts.as_slice() {
            [] => "CAST(NULL AS bigint)".to_owned(),
            [one] => one.clone(),
            several => format!("least({})", several.join(", ")),
        };
        format!(
            "(SELECT count(*) FROM {batch}) AS held, (SELECT count(*) FROM changed) AS changed, \
             (SELECT count(*) FROM changed WHERE stuck) AS stuck, {inserted} AS inserted"
        )
    }

    /// Names of the parts of a statement that insert rows.
    fn inserts(&self) -> Vec<String> {
        let archived = matches!(self.action, Action::Archive(_)).then(|| "archived".to_owned());
        let emitted = (0..self.emit.len()).map(|index| format!("emitted_{index}"));
        archived.into_iter().chain(emitted).collect()
    }

    fn place(&self, seen: &str) -> String {
        let keys = 0..self.order().len();
        if keys.is_empty() {
            return String::new();
        }
        let last: String = keys.clone().map(|n| format!(", last.key_{n}")).collect();
        let as_text: Vec<_> =
            keys.clone().map(|n| format!("CAST(key_{n} AS text) AS key_{n}")).collect();
        let backwards: Vec<_> = keys.map(|n| format!("{seen}.key_{n} DESC")).collect();
        format!(
            "{last}\nFROM (VALUES (1)) AS one\nLEFT JOIN (\n  SELECT {}\n  FROM {seen}\n  ORDER BY {}\n  LIMIT 1\n) AS last ON TRUE",
            as_text.join(", "),
            backwards.join(", "),
        )
    }

    /// The columns of the changed rows that inserts take values from, with their numbers.
    fn sources(&self) -> BTreeMap<&Identifier, usize> {
        let archived =
            matches!(self.action, Action::Archive(_)).then_some(&self.archived).into_iter();
        let emitted = self.emit.iter().flat_map(NewRow::source_columns);
        let mut sources = BTreeMap::new();
        for column in archived.flatten().chain(emitted) {
            let next = sources.len();
            sources.entry(column).or_insert(next);
        }
        sources
    }
}

impl Builder<'_> {
    /// Finds the rows of a batch and locks them, as `batch`.
    fn pick(&mut self, step: &Step, resume: bool) -> String {
        let conditions = self.conditions(step, "    ");
        let after = if resume { self.after_place(step) } else { String::new() };
        let limit = self.bind(Bind::Limit);
        let keys: String =
            numbered(&step.order()).map(|(n, key)| format!(", t.{key} AS key_{n}")).collect();
        let (table, lock) = (&step.table, step.row_lock());
        let order_by = step.order_by("\n  ");
        match step.strategy() {
            Strategy::Keyset | Strategy::Partition => format!(
                "batch AS MATERIALIZED (\n\
                 \x20 SELECT t.tableoid AS batch_table, t.ctid AS batch_row{keys}\n\
                 \x20 FROM {table} AS t\n\
                 \x20 WHERE {conditions}{after}{order_by}\n\
                 \x20 LIMIT {limit}\n\
                 \x20 {lock} SKIP LOCKED\n)"
            ),
            Strategy::PrimaryKey => {
                let after = after.trim_start_matches("\n    AND ");
                let start = if resume { format!("\n  WHERE {after}") } else { String::new() };
                format!(
                    "walked AS MATERIALIZED (\n\
                     \x20 SELECT t.tableoid AS batch_table, t.ctid AS batch_row{keys}\n\
                     \x20 FROM {table} AS t{start}{order_by}\n\
                     \x20 LIMIT {limit}\n\
                     ), batch AS MATERIALIZED (\n\
                     \x20 SELECT t.tableoid AS batch_table, t.ctid AS batch_row\n\
                     \x20 FROM {table} AS t\n\
                     \x20 WHERE {rows}\n    AND {conditions}\n\
                     \x20 {lock} SKIP LOCKED\n)",
                    rows = rows_of("walked"),
                )
            }
        }
    }

    /// Changes the rows of `batch` that hold the conditions, and inserts what goes with it.
    fn change(&mut self, step: &Step) -> String {
        let change = match &step.action {
            Action::Update(assignments) => {
                let set: Vec<_> = assignments.iter().map(|it| self.assignment(step, it)).collect();
                format!("UPDATE {} AS t\n  SET {}", step.table, set.join(",\n    "))
            }
            Action::Delete | Action::Archive(_) | Action::DropPartitions { .. } => {
                format!("DELETE FROM {} AS t", step.table)
            }
        };
        let again = self.conditions(step, "    ");
        let stuck = match step.action {
            Action::Update(_) => self.conditions(step, "    "),
            _ => "FALSE".to_owned(),
        };
        let sources = step.sources();
        let returned: String =
            sources.iter().map(|(column, n)| format!(", t.{column} AS source_{n}")).collect();
        let mut text = format!(
            "changed AS (\n\
             \x20 {change}\n\
             \x20 WHERE {rows}\n    AND {again}\n\
             \x20 RETURNING {stuck} AS stuck{returned}\n)",
            rows = rows_of("batch"),
        );
        let source = |column: &Identifier| {
            sources.get(column).map_or("NULL".to_owned(), |n| format!("changed.source_{n}"))
        };
        if let Action::Archive(into) = &step.action {
            let run = self.bind(Bind::RunId);
            let rule = self.bind(Bind::Text(step.rule.clone()));
            let columns: String =
                step.archived.iter().map(|column| format!("{column}, ")).collect();
            let values: String =
                step.archived.iter().map(|column| format!("{}, ", source(column))).collect();
            text.push_str(&format!(
                ", archived AS (\n\
                 \x20 INSERT INTO {into} ({columns}pgsweep_run_id, pgsweep_rule, pgsweep_archived_at)\n\
                 \x20 SELECT {values}CAST({run} AS text), CAST({rule} AS text), now()\n\
                 \x20 FROM changed\n\
                 \x20 RETURNING 1\n)"
            ));
        }
        for (index, row) in step.emit.iter().enumerate() {
            let values = self.row_values(row, &source).join(", ");
            text.push_str(&format!(
                ", emitted_{index} AS (\n\
                 \x20 {}\n\
                 \x20 SELECT {values}\n\
                 \x20 FROM changed\n\
                 \x20 RETURNING 1\n)",
                insert_into(row)
            ));
        }
        text
    }

    /// The rows that this transaction has locked.
    fn locked(&mut self) -> String {
        let tables = self.bind(Bind::LockedTables);
        let rows = self.bind(Bind::LockedRows);
        format!(
            "SELECT *\n  FROM unnest(CAST({tables} AS oid[]), CAST({rows} AS tid[])) AS locked(batch_table, batch_row)"
        )
    }

    fn after_place(&mut self, step: &Step) -> String {
        let order = step.order();
        let columns: Vec<_> = order.iter().map(|key| format!("t.{key}")).collect();
        let keys: Vec<_> = order
            .iter()
            .enumerate()
            .map(|(index, key)| self.cast(Bind::Key(index), &step.table, key))
            .collect();
        format!("\n    AND ({}) > ({})", columns.join(", "), keys.join(", "))
    }

    fn assignment(&mut self, step: &Step, assignment: &Assignment) -> String {
        let (table, column) = (&step.table, &assignment.column);
        let value = match &assignment.to {
            NewValue::Scalar(value) => self.cast(Bind::Text(value.to_string()), table, column),
            NewValue::Now => self.cast_time(Bind::Now, table, column),
            NewValue::Column(other) => format!("t.{other}"),
            NewValue::Null => "NULL".to_owned(),
        };
        format!("{column} = {value}")
    }
}

fn numbered<T>(items: &[T]) -> impl Iterator<Item = (usize, &T)> {
    items.iter().enumerate()
}
