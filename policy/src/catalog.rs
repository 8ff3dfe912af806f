//! What the catalog of a database says of the tables of a policy, and what is
//! wrong with it for a rule.

mod found;

use std::collections::BTreeMap;
use std::fmt;

use crate::crd::Mode;
use crate::identifier::{Identifier, QualifiedTable};
use crate::policy::Rule;

use found::Found;

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
    /// Whether the planner has statistics of it.
    pub analysed: bool,
    /// The foreign keys of other tables, or of its own, that point at it.
    pub referenced_by: Vec<ReferenceFacts>,
    /// The role that asks, quoted.
    pub role: String,
    /// Whether the role may use its schema.
    pub can_use_schema: bool,
    /// Whether the role may read all of it, and with it the hidden column `ctid`.
    pub can_select: bool,
    /// Whether the role may delete.
    pub can_delete: bool,
}

/// A foreign key that points at a table.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceFacts {
    /// Name of the constraint.
    pub constraint: String,
    /// The table whose rows point here.
    pub table: QualifiedTable,
    /// What a delete here does to them.
    pub on_delete: OnDelete,
}

/// What the delete of a row does to the rows that point at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// They keep it from going (`NO ACTION`, `RESTRICT`).
    Refuse,
    /// They go with it.
    Cascade,
    /// Their columns are set (`SET NULL`, `SET DEFAULT`).
    Set,
}

/// What a name in `FROM` can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// An ordinary table.
    Table,
    /// A partitioned table.
    PartitionedTable,
    /// A table with inheritance children: refused, since its key does not cover their rows.
    Inherited,
    /// A view: refused.
    View,
    /// A materialized view: refused.
    MaterializedView,
    /// A foreign table: refused.
    ForeignTable,
    /// A sequence or the like: refused.
    Other,
}

impl RelationKind {
    /// Why a rule cannot name it; `None` where it can.
    fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Table | Self::PartitionedTable => None,
            Self::Inherited => {
                Some("has inheritance children, whose rows its key does not cover; name each child")
            }
            Self::View => Some("is a view, not a table; name the table behind it"),
            Self::MaterializedView => {
                Some("is a materialized view, not a table; name the table behind it")
            }
            Self::ForeignTable => Some("is a foreign table; clean it on its own server"),
            Self::Other => Some("is not a table"),
        }
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
pub struct ColumnFacts {
    /// Its name.
    pub name: Identifier,
    /// Its type as SQL spells it, without a length and, for a domain, the type below it:
    /// `character varying`, `"my schema"."my type"`.
    pub sql_type: String,
    /// Whether it compares by operators of an extension, which statements of ours do not see.
    pub foreign_operators: bool,
    /// Whether it takes no NULL.
    pub not_null: bool,
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

impl fmt::Display for SchemaProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "rule {}: {}: {}", self.rule, self.kind.as_str(), self.message)
    }
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

    /// Every table that is known.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (&QualifiedTable, &TableFacts)> {
        self.tables.iter()
    }

    pub(crate) fn table(&self, table: &QualifiedTable) -> Option<&TableFacts> {
        self.tables.get(table)
    }

    /// Everything that keeps `rule` from running in `mode`.
    pub(crate) fn problems(&self, rule: &Rule, mode: Mode) -> Vec<SchemaProblem> {
        let mut found = Found::new(rule);
        let table = rule.table().plain();
        let Some(facts) = self.table(rule.table()) else {
            let message = format!(
                "table {table} does not exist in this database; check spec.database and the migration"
            );
            found.add(SchemaProblemKind::TableMissing, message);
            return found.problems;
        };
        if let Some(refusal) = facts.kind.refusal() {
            found.add(SchemaProblemKind::NotATable, format!("{table} {refusal}"));
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
    /// The names of its columns, in their order.
    #[must_use]
    pub fn column_names(&self) -> Vec<Identifier> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

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

    pub(crate) fn is_number(&self) -> bool {
        matches!(
            self.sql_type.as_str(),
            "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision"
        )
    }
}
