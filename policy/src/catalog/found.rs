//! What is wrong with a table for a rule: types and privileges.

use crate::crd::{Mode, Scalar};
use crate::identifier::QualifiedTable;
use crate::policy::{Action, Assignment, ColumnCondition, NewValue, Rule, Test};

use super::{ColumnFacts, SchemaProblem, SchemaProblemKind, TableFacts};

/// Words that Postgres reads as a moment of its own, other than the start of the run.
const MOMENTS: [&str; 5] = ["now", "today", "tomorrow", "yesterday", "allballs"];

/// The problems of one rule, as they are found.
pub(super) struct Found<'a> {
    rule: &'a Rule,
    pub(super) problems: Vec<SchemaProblem>,
}

impl<'a> Found<'a> {
    pub(super) fn new(rule: &'a Rule) -> Self {
        Self { rule, problems: Vec::new() }
    }

    pub(super) fn add(&mut self, kind: SchemaProblemKind, message: String) {
        self.problems.push(SchemaProblem { rule: self.rule.name().to_owned(), kind, message });
    }

    /// `why` says what is wrong after "column "x" of t".
    fn add_column(&mut self, column: &ColumnFacts, why: &str) {
        let message =
            format!("column \"{}\" of {} {why}", column.name.as_str(), self.rule.table().plain());
        self.add(SchemaProblemKind::TypeMismatch, message);
    }

    pub(super) fn types(&mut self, facts: &TableFacts) {
        for condition in self.rule.column_conditions() {
            if let Some(column) = facts.column(&condition.column) {
                self.condition(condition, column);
            }
        }
        for column in facts.primary_key.iter().filter_map(|name| facts.column(name)) {
            if column.foreign_operators {
                let sql_type = &column.sql_type;
                self.add_column(column, &format!("is in the primary key and of type {sql_type}, whose own operators this version does not use"));
            }
        }
        if let Action::Update(assignments) = self.rule.action() {
            for assignment in assignments {
                if let Some(column) = facts.column(&assignment.column) {
                    self.assignment(assignment, column);
                }
            }
        }
    }

    fn condition(&mut self, condition: &ColumnCondition, column: &ColumnFacts) {
        let sql_type = &column.sql_type;
        match &condition.test {
            Test::IsNull | Test::IsNotNull => return,
            Test::OlderThan { unit: None, .. } | Test::NewerThan { unit: None, .. } => {
                if !column.is_time() {
                    self.add_column(column, &format!("is of type {sql_type}; OlderThan and NewerThan need a timestamp or a date, or a number with a unit"));
                }
                return;
            }
            Test::OlderThan { unit: Some(_), .. } | Test::NewerThan { unit: Some(_), .. } => {
                if !column.is_number() {
                    self.add_column(
                        column,
                        &format!("is of type {sql_type}; a unit belongs to a column of numbers"),
                    );
                }
                return;
            }
            _ => {}
        }
        let values = condition.test.scalars();
        if column.foreign_operators {
            self.add_column(column, &format!("is of type {sql_type}, whose own comparison this version does not use; compare another column"));
        }
        for value in values {
            self.moment(value, column);
        }
    }

    fn assignment(&mut self, assignment: &Assignment, column: &ColumnFacts) {
        if column.generated {
            self.add_column(column, "is generated and cannot be set");
            return;
        }
        match &assignment.to {
            NewValue::Now if !column.is_time() => {
                let sql_type = &column.sql_type;
                self.add_column(
                    column,
                    &format!("is of type {sql_type}; now needs a timestamp or a date"),
                );
            }
            NewValue::Null if column.not_null => {
                self.add_column(column, "is NOT NULL and cannot be set to NULL");
            }
            NewValue::Scalar(value) => self.moment(value, column),
            NewValue::Now | NewValue::Null | NewValue::Column(_) => {}
        }
    }

    /// A run sees one moment, its start: no value may bring another.
    fn moment(&mut self, value: &Scalar, column: &ColumnFacts) {
        let Scalar::Text(text) = value else { return };
        let text = text.to_ascii_lowercase();
        let mut words = text.split(|c: char| !c.is_ascii_alphabetic());
        if column.is_time() && words.any(|word| MOMENTS.contains(&word)) {
            self.add_column(column, "is compared with or set to a moment that passes while the run goes on; use OlderThan or NewerThan with an age (0s is the start of the run), or now: true in set");
        }
    }

    pub(super) fn privileges(&mut self, facts: &TableFacts, mode: Mode) {
        let mut missing = self.missing_to_read(facts, mode);
        if mode == Mode::Enforce {
            missing.extend(self.missing_to_change(facts));
        }
        if !missing.is_empty() {
            let role = &facts.role;
            let grants: Vec<_> =
                missing.iter().map(|privilege| format!("GRANT {privilege} TO {role};")).collect();
            let grants = grants.join(" ");
            self.add(
                SchemaProblemKind::PrivilegeMissing,
                format!("the role lacks a privilege; as the owner: {grants}"),
            );
        }
    }

    fn missing_to_read(&self, facts: &TableFacts, mode: Mode) -> Vec<String> {
        let table = self.rule.table();
        let mut missing = Vec::new();
        if !facts.can_use_schema {
            missing.push(format!("USAGE ON SCHEMA {}", table.schema));
        }
        let named = self.rule.columns().filter_map(|name| facts.column(name));
        let unreadable: Vec<_> =
            named.chain(key_columns(facts)).filter(|column| !column.can_select).collect();
        // A row that is changed is met by its `ctid`, which no grant on columns covers.
        if mode == Mode::Enforce && !facts.can_select {
            missing.push(format!("SELECT ON {table}"));
        } else if !unreadable.is_empty() {
            missing.push(on_columns("SELECT", &unreadable, table));
        }
        missing
    }

    fn missing_to_change(&self, facts: &TableFacts) -> Vec<String> {
        let table = self.rule.table();
        let mut missing = Vec::new();
        let written = self.rule.written_columns().filter_map(|name| facts.column(name));
        let unwritable: Vec<_> = written.filter(|column| !column.can_update).collect();
        if !unwritable.is_empty() {
            missing.push(on_columns("UPDATE", &unwritable, table));
        }
        if self.rule.action().removes_rows() {
            if !facts.can_delete {
                missing.push(format!("DELETE ON {table}"));
            }
            // Postgres lets only a role lock rows that may update a column of them.
            if !facts.columns.iter().any(|column| column.can_update) {
                missing.push(on_columns("UPDATE", &key_columns(facts).collect::<Vec<_>>(), table));
            }
        }
        missing
    }
}

fn key_columns(facts: &TableFacts) -> impl Iterator<Item = &ColumnFacts> {
    facts.primary_key.iter().filter_map(|name| facts.column(name))
}

fn on_columns(privilege: &str, columns: &[&ColumnFacts], table: &QualifiedTable) -> String {
    let mut names: Vec<_> = columns.iter().map(|column| column.name.to_string()).collect();
    names.sort();
    names.dedup();
    format!("{privilege} ({}) ON {table}", names.join(", "))
}
