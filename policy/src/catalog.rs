//! What the catalog of a database says of the tables of a policy, and what is
//! wrong with it for a rule.

use std::collections::BTreeMap;

use crate::crd::Mode;
use crate::identifier::{Identifier, QualifiedTable};
use crate::policy::{Action, NewValue, Rule, Test};

/// The tables of a policy, as they are in the database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    tables: BTreeMap<QualifiedTable, TableFacts>,
}

/// One table.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "privileges are independent of each other")]
pub struct TableFacts {
    /// What it is.
    pub kind: RelationKind,
    /// Its columns.
    pub columns: Vec<ColumnFacts>,
    /// The columns of its primary key, in their order.
    pub primary_key: Vec<Identifier>,
    /// Whether the planner's statistics know how many rows it has.
    pub analysed: bool,
    /// Whether the role may use its schema.
    pub can_use_schema: bool,
    /// Whether the role may read all of it, and with it the hidden column `ctid`.
    pub can_select: bool,
    /// Whether the role may delete.
    pub can_delete: bool,
}

/// What a name in `FROM` can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// An ordinary table.
    Table,
    /// A partitioned table.
    PartitionedTable,
    /// A view, foreign table or the like: refused.
    Other,
}

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnFacts {
    /// Its name.
    pub name: Identifier,
    /// Its type as SQL spells it, without a length: `character varying`, `"my schema"."my type"`.
    pub sql_type: String,
    /// Whether the database computes it.
    pub generated: bool,
    /// Whether the role may read it.
    pub can_select: bool,
    /// Whether the role may set it.
    pub can_update: bool,
}

/// Why a rule cannot run on this database. A retry cannot help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaProblem {
    /// Name of the rule.
    pub rule: String,
    /// Which kind.
    pub kind: SchemaProblemKind,
    /// One sentence that names table, column or privilege, and the way out.
    pub message: String,
}

/// Kinds of [`SchemaProblem`], by stable names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaProblemKind {
    /// No such table.
    TableMissing,
    /// A view or the like.
    NotATable,
    /// No such column.
    ColumnMissing,
    /// The column cannot be used so.
    TypeMismatch,
    /// The role may not.
    PrivilegeMissing,
    /// Rows of the table have no stable name.
    NoPrimaryKey,
    /// The database itself refuses the statement.
    StatementRefused,
}

impl SchemaProblemKind {
    /// Its stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TableMissing => "TableMissing",
            Self::NotATable => "NotATable",
            Self::ColumnMissing => "ColumnMissing",
            Self::TypeMismatch => "TypeMismatch",
            Self::PrivilegeMissing => "PrivilegeMissing",
            Self::NoPrimaryKey => "NoPrimaryKey",
            Self::StatementRefused => "StatementRefused",
        }
    }

    /// The SQLSTATE that Postgres gives for the same.
    #[must_use]
    pub fn sql_state(self) -> &'static str {
        match self {
            Self::TableMissing => "42P01",
            Self::NotATable => "42809",
            Self::ColumnMissing => "42703",
            Self::TypeMismatch => "42804",
            Self::PrivilegeMissing => "42501",
            Self::NoPrimaryKey => "55000",
            Self::StatementRefused => "42000",
        }
    }
}

impl Catalog {
    /// Adds what is known of a table.
    pub fn insert(&mut self, table: QualifiedTable, facts: TableFacts) {
        self.tables.insert(table, facts);
    }

    pub(crate) fn table(&self, table: &QualifiedTable) -> Option<&TableFacts> {
        self.tables.get(table)
    }

    /// Everything that keeps `rule` from running in `mode`.
    pub(crate) fn problems(&self, rule: &Rule, mode: Mode) -> Vec<SchemaProblem> {
        let mut found = Found { rule, problems: Vec::new() };
        let table = rule.table().plain();
        let Some(facts) = self.table(rule.table()) else {
            let message = format!(
                "table {table} does not exist in this database; check spec.database and the migration"
            );
            found.add(SchemaProblemKind::TableMissing, message);
            return found.problems;
        };
        if facts.kind == RelationKind::Other {
            let message = format!("{table} is not a table; name the table behind it");
            found.add(SchemaProblemKind::NotATable, message);
            return found.problems;
        }
        if facts.primary_key.is_empty() {
            let message =
                format!("table {table} has no primary key, so its rows cannot be named; add one");
            found.add(SchemaProblemKind::NoPrimaryKey, message);
        }
        for column in rule.columns() {
            if facts.column(column).is_none() {
                let message = format!("table {table} has no column \"{}\"", column.as_str());
                found.add(SchemaProblemKind::ColumnMissing, message);
            }
        }
        found.types(facts);
        found.privileges(facts, mode);
        found.problems
    }
}

impl TableFacts {
    /// The column of that name.
    #[must_use]
    pub fn column(&self, name: &Identifier) -> Option<&ColumnFacts> {
        self.columns.iter().find(|column| column.name == *name)
    }
}

impl ColumnFacts {
    pub(crate) fn is_time(&self) -> bool {
        matches!(
            self.sql_type.as_str(),
            "timestamp with time zone" | "timestamp without time zone" | "date"
        )
    }
}

struct Found<'a> {
    rule: &'a Rule,
    problems: Vec<SchemaProblem>,
}

impl Found<'_> {
    fn add(&mut self, kind: SchemaProblemKind, message: String) {
        self.problems.push(SchemaProblem { rule: self.rule.name().to_owned(), kind, message });
    }

    fn types(&mut self, facts: &TableFacts) {
        let table = self.rule.table().plain();
        for condition in self.rule.column_conditions() {
            let Some(column) = facts.column(&condition.column) else { continue };
            if matches!(condition.test, Test::OlderThan(_) | Test::NewerThan(_))
                && !column.is_time()
            {
                let (name, sql_type) = (column.name.as_str(), &column.sql_type);
                self.add(SchemaProblemKind::TypeMismatch, format!(
                    "column \"{name}\" of {table} is of type {sql_type}; OlderThan and NewerThan need a timestamp or a date"
                ));
            }
        }
        let Action::Update(assignments) = self.rule.action() else { return };
        for assignment in assignments {
            let Some(column) = facts.column(&assignment.column) else { continue };
            let (name, sql_type) = (column.name.as_str(), &column.sql_type);
            if column.generated {
                let message =
                    format!("column \"{name}\" of {table} is generated and cannot be set");
                self.add(SchemaProblemKind::TypeMismatch, message);
            } else if assignment.to == NewValue::Now && !column.is_time() {
                self.add(SchemaProblemKind::TypeMismatch, format!(
                    "column \"{name}\" of {table} is of type {sql_type}; now needs a timestamp or a date"
                ));
            }
        }
    }

    fn privileges(&mut self, facts: &TableFacts, mode: Mode) {
        let table = self.rule.table();
        let mut missing = Vec::new();
        if !facts.can_use_schema {
            missing.push(format!("USAGE ON SCHEMA {}", table.schema));
        }
        let named = self.rule.columns().filter_map(|name| facts.column(name));
        let keys = facts.primary_key.iter().filter_map(|name| facts.column(name));
        let unreadable: Vec<_> = named.chain(keys).filter(|column| !column.can_select).collect();
        // A row that is changed is met by its `ctid`, which no grant on columns covers.
        if mode == Mode::Enforce && !facts.can_select {
            missing.push(format!("SELECT ON {table}"));
        } else if !unreadable.is_empty() {
            missing.push(on_columns("SELECT", &unreadable, table));
        }
        if mode == Mode::Enforce {
            let written: Vec<_> = self.rule.written_columns().collect();
            let unwritable: Vec<_> = facts
                .columns
                .iter()
                .filter(|column| written.contains(&&column.name) && !column.can_update)
                .collect();
            if !unwritable.is_empty() {
                missing.push(on_columns("UPDATE", &unwritable, table));
            }
            if *self.rule.action() == Action::Delete {
                if !facts.can_delete {
                    missing.push(format!("DELETE ON {table}"));
                }
                // Postgres lets only a role lock rows that may update a column of them.
                if !facts.columns.iter().any(|column| column.can_update) {
                    let keys: Vec<_> =
                        facts.primary_key.iter().filter_map(|name| facts.column(name)).collect();
                    missing.push(on_columns("UPDATE", &keys, table));
                }
            }
        }
        if !missing.is_empty() {
            let grants = missing.join(", ");
            let message =
                format!("the role lacks a privilege; as the owner: GRANT {grants} TO the role");
            self.add(SchemaProblemKind::PrivilegeMissing, message);
        }
    }
}

fn on_columns(privilege: &str, columns: &[&ColumnFacts], table: &QualifiedTable) -> String {
    let mut names: Vec<_> = columns.iter().map(|column| column.name.to_string()).collect();
    names.sort();
    names.dedup();
    format!("{privilege} ({}) ON {table}", names.join(", "))
}
