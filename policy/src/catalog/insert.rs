//! What is wrong with the tables that a policy inserts into: of `emit`, `report` and `archive`.

use std::collections::BTreeSet;

use crate::identifier::{Identifier, QualifiedTable};
use crate::policy::{CellValue, NewCell, NewRow, RowValue, Rule};

use super::SchemaProblemKind::{
    ArchiveChangesRows, ArchiveMismatch, CascadeNotArchived, ColumnMissing, ColumnNotFilled,
    NotATable, TableMissing, TypeMismatch,
};
use super::found::Found;
use super::{ColumnFacts, OnDelete, RelationKind, TableFacts};

/// The columns of an archive beside those of its source, with their types.
pub const ARCHIVE_COLUMNS: [(&str, &str); 3] = [
    ("pgsweep_run_id", "text"),
    ("pgsweep_rule", "text"),
    ("pgsweep_archived_at", "timestamp with time zone"),
];

/// The statement that makes an archive for `table`, where there is none.
#[must_use]
pub fn archive_ddl(table: &QualifiedTable, into: &QualifiedTable) -> String {
    let ours: String =
        ARCHIVE_COLUMNS.iter().map(|(name, kind)| format!(", {name} {kind}")).collect();
    format!("CREATE TABLE IF NOT EXISTS {into} (LIKE {table}{ours});")
}

impl<'a> Found<'a> {
    /// Checks the row of `what`: `emit`, or `report`.
    pub(super) fn new_row(&mut self, what: &str, row: &'a NewRow) {
        let Some(facts) = self.target(what, &row.into, "") else { return };
        let given: BTreeSet<_> = row.values.iter().map(|cell| &cell.column).collect();
        for cell in &row.values {
            match facts.column(&cell.column) {
                Some(column) => self.cell(&row.into, cell, column),
                None => self.column_missing(&row.into, &cell.column),
            }
        }
        self.not_filled(&row.into, facts, &given);
    }

    /// The table that rows are inserted into, where that can be.
    fn target(
        &mut self,
        what: &str,
        into: &QualifiedTable,
        way_out: &str,
    ) -> Option<&'a TableFacts> {
        let Some(facts) = self.catalog.table(into) else {
            let table = into.plain();
            self.add(
                TableMissing,
                format!("table {table} of {what} does not exist in this database{way_out}"),
            );
            return None;
        };
        let refused = !facts.insertable || facts.kind == RelationKind::ForeignTable;
        if refused || (what == "archive" && facts.kind == RelationKind::View) {
            let table = into.plain();
            self.add(
                NotATable,
                format!("{table} of {what} takes no new rows; name an ordinary table"),
            );
            return None;
        }
        self.row_security(into, facts);
        Some(facts)
    }

    pub(super) fn column_missing(&mut self, table: &QualifiedTable, column: &Identifier) {
        let message = format!("table {} has no column \"{}\"", table.plain(), column.as_str());
        self.add(ColumnMissing, message);
    }

    fn cell(&mut self, into: &QualifiedTable, cell: &NewCell, column: &ColumnFacts) {
        let sql_type = &column.sql_type;
        if column.generated {
            return self.add_column(into, column, "is generated and cannot be set");
        }
        match &cell.value {
            CellValue::Plain(RowValue::Null) if column.not_null => {
                self.add_column(into, column, "is NOT NULL and cannot be set to NULL");
            }
            CellValue::Plain(RowValue::Now) if !column.is_time() => {
                self.add_column(
                    into,
                    column,
                    &format!("is of type {sql_type}; now needs a timestamp or a date"),
                );
            }
            CellValue::Plain(RowValue::Affected(_) | RowValue::Matched(_))
                if !column.is_number() && !column.is_text() =>
            {
                self.add_column(
                    into,
                    column,
                    &format!("is of type {sql_type}; a count needs a number"),
                );
            }
            CellValue::Plain(RowValue::Scalar(value)) => self.scalar(into, value, column),
            CellValue::Object(_)
                if !column.is_text() && !matches!(sql_type.as_str(), "json" | "jsonb") =>
            {
                self.add_column(
                    into,
                    column,
                    &format!("is of type {sql_type}; an object needs json or jsonb"),
                );
            }
            CellValue::Plain(_) | CellValue::Object(_) => {}
        }
    }

    /// A trigger may fill what we do not name.
    fn not_filled(
        &mut self,
        into: &QualifiedTable,
        facts: &TableFacts,
        given: &BTreeSet<&Identifier>,
    ) {
        if facts.alters_new_rows() {
            return;
        }
        for column in &facts.columns {
            let filled = column.has_default || column.generated || given.contains(&column.name);
            if column.not_null && !filled {
                let (table, name) = (into.plain(), column.name.as_str());
                self.add(
                    ColumnNotFilled,
                    format!("column \"{name}\" of {table} is NOT NULL, has no default and gets no value; give it one"),
                );
            }
        }
    }

    /// Checks that the archive `into` takes the rows of `rule` as they are.
    pub(super) fn archive(&mut self, rule: &'a Rule, into: &'a QualifiedTable) {
        let ddl = archive_ddl(rule.table(), into);
        let Some(archive) = self.target("archive", into, &format!("; as its owner: {ddl}")) else {
            return;
        };
        let Some(source) = self.catalog.table(rule.table()) else { return };
        let table = into.plain();
        if archive.unlogged && !source.unlogged {
            self.add(ArchiveMismatch, format!("{table} is unlogged: a crash would empty the archive; as its owner: ALTER TABLE {into} SET LOGGED;"));
        }
        self.archive_columns(source, into, archive);
        let triggers = archive.triggers.iter().filter(|it| it.row && it.before && it.insert);
        let mut changing: Vec<_> = triggers.map(|it| it.name.as_str()).collect();
        changing.extend(archive.insert_rules.iter().map(String::as_str));
        if !changing.is_empty() {
            let names = changing.join(", ");
            self.add(ArchiveChangesRows, format!("a trigger or rule could change or drop rows on their way into the archive {table}: {names}; drop it, or disable it"));
        }
    }

    fn archive_columns(
        &mut self,
        source: &TableFacts,
        into: &QualifiedTable,
        archive: &TableFacts,
    ) {
        let mut wrong = Vec::new();
        let mut repairs = Vec::new();
        let own =
            source.columns.iter().map(|it| (it.name.as_str(), &it.declared_type[..], it.not_null));
        let ours = ARCHIVE_COLUMNS.iter().map(|(name, kind)| (*name, *kind, true));
        for (name, kind, never_null) in own.chain(ours) {
            let Ok(quoted) = Identifier::parse(name) else { continue };
            let Some(column) = archive.column(&quoted) else {
                wrong.push(format!("it lacks \"{name}\""));
                repairs.push(format!("ADD {quoted} {kind}"));
                continue;
            };
            if column.declared_type != kind {
                wrong
                    .push(format!("\"{name}\" is of type {} and not {kind}", column.declared_type));
                repairs.push(format!("ALTER {quoted} TYPE {kind}"));
            }
            if column.generated {
                wrong.push(format!("\"{name}\" is generated there"));
                repairs.push(format!("ALTER {quoted} DROP EXPRESSION IF EXISTS, ALTER {quoted} DROP IDENTITY IF EXISTS"));
            }
            if column.not_null && !never_null {
                wrong.push(format!("\"{name}\" takes no NULL there"));
                repairs.push(format!("ALTER {quoted} DROP NOT NULL"));
            }
        }
        if !wrong.is_empty() {
            let (table, wrong, repairs) = (into.plain(), wrong.join(", "), repairs.join(", "));
            self.add(ArchiveMismatch, format!("the archive {table} cannot hold the rows as they are: {wrong}; as its owner: ALTER TABLE {into} {repairs};"));
        }
        let names = source.columns.iter().map(|it| it.name.clone());
        let ours = ARCHIVE_COLUMNS.iter().filter_map(|(name, _)| Identifier::parse(name).ok());
        let given: Vec<_> = names.chain(ours).collect();
        self.not_filled(into, archive, &given.iter().collect());
    }

    /// What a delete takes along must have been archived before.
    pub(super) fn archived_cascades(&mut self, earlier: &[Rule], rule: &Rule) {
        let archived = |table: &QualifiedTable| {
            earlier.iter().any(|it| {
                it.table() == table && matches!(it.action(), crate::policy::Action::Archive(_))
            })
        };
        for cascade in self.catalog.cascades(rule.table()) {
            let key = cascade.key;
            if key.on_delete == OnDelete::Cascade && !archived(&key.table) {
                let (table, constraint) = (key.table.plain(), key.constraint);
                self.add(CascadeNotArchived, format!("the delete would take rows of {table} along by constraint \"{constraint}\", and no earlier rule archives them; add one, or change the constraint"));
            }
        }
    }

    /// Sequences that defaults of columns without a value draw from.
    pub(super) fn closed_sequences(&self, row: &NewRow) -> Vec<String> {
        let Some(facts) = self.catalog.table(&row.into) else { return Vec::new() };
        let given = |name: &Identifier| row.values.iter().any(|cell| cell.column == *name);
        let drawn = facts.columns.iter().filter(|column| !given(&column.name));
        drawn.filter_map(|column| column.closed_sequence.clone()).collect()
    }

    /// `why` says what is wrong after "column "x" of t".
    pub(super) fn add_column(&mut self, table: &QualifiedTable, column: &ColumnFacts, why: &str) {
        let message = format!("column \"{}\" of {} {why}", column.name.as_str(), table.plain());
        self.add(TypeMismatch, message);
    }
}
