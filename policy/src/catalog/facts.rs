//! What the catalog says of one table: read from the JSON of `sql/catalog.sql` and
//! `sql/references.sql`, which names the fields as here.

use serde::Deserialize;

use crate::identifier::{Identifier, QualifiedTable};
use crate::policy::{Join, Related};

/// A table with more rows than this is not read whole for a batch.
pub(crate) const LARGE: i64 = 50_000;
/// How many rows a page holds, where nobody has counted.
const ROWS_PER_PAGE: i64 = 50;

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
pub struct TableFacts {
    /// What it is.
    pub kind: RelationKind,
    /// Whether it takes new rows.
    pub insertable: bool,
    /// Whether a crash of the server empties it.
    pub unlogged: bool,
    /// For a view: what it reads, `schema.name`.
    pub base_tables: Vec<String>,
    /// The role that asks, quoted.
    pub role: String,
    /// The role that owns it, quoted.
    pub owner: String,
    /// Whether the role that asks has the rights of the owner.
    pub is_owner: bool,
    /// Whether the role may use its schema.
    pub can_use_schema: bool,
    /// Whether the role may read all of it, and with it the hidden column `ctid`.
    pub can_select: bool,
    /// Whether the role may insert into all of its columns.
    pub can_insert: bool,
    /// Whether the role may delete.
    pub can_delete: bool,
    /// Whether row security would hide rows from the role.
    pub row_security: bool,
    /// Its rows, as the planner estimates them; `None` where it was never analysed.
    pub rows: Option<i64>,
    /// Its pages.
    pub pages: i64,
    /// Whether the planner has statistics of it.
    pub analysed: bool,
    /// The columns of its primary key, in their order.
    pub primary_key: Vec<Identifier>,
    /// Its columns.
    pub columns: Vec<ColumnFacts>,
    /// Its indexes.
    pub indexes: Vec<IndexFacts>,
    /// Its triggers that fire, those of constraints left out.
    pub triggers: Vec<TriggerFacts>,
    /// Names of its rewrite rules for `INSERT`.
    pub insert_rules: Vec<String>,
    /// Parts of it that are published and whose rows a subscriber could not find again.
    pub published_without_identity: Vec<PublishedFacts>,
    /// How it is partitioned.
    pub partitioning: Option<PartitioningFacts>,
    /// The foreign keys of other tables, or of its own, that point at it.
    pub referenced_by: Vec<ReferenceFacts>,
}

/// What a name in `FROM` can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum RelationKind {
    /// An ordinary table.
    #[default]
    Table,
    /// A partitioned table.
    PartitionedTable,
    /// A table with inheritance children, whose rows its key does not cover.
    Inherited,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A foreign table.
    ForeignTable,
    /// A sequence or the like.
    Other,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
pub struct ColumnFacts {
    /// Its name.
    pub name: Identifier,
    /// Its type as SQL spells it, without a length and, for a domain, the type below it:
    /// `character varying`, `"my schema"."my type"`.
    pub sql_type: String,
    /// Its type as it was declared, with its length, or its domain.
    pub declared_type: String,
    /// How many characters it takes at the most.
    pub max_length: Option<usize>,
    /// Whether it compares by operators of an extension, which statements of ours do not see.
    pub foreign_operators: bool,
    /// Whether it takes no NULL.
    pub not_null: bool,
    /// Whether a row that does not name it gets a value.
    pub has_default: bool,
    /// Whether the database computes it.
    pub generated: bool,
    /// Whether the role may read it.
    pub can_select: bool,
    /// Whether the role may insert it.
    pub can_insert: bool,
    /// Whether the role may set it.
    pub can_update: bool,
    /// A sequence, quoted, that its default draws from and that the role may not use.
    pub closed_sequence: Option<String>,
}

/// One index.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct IndexFacts {
    /// Its name.
    pub name: String,
    /// `btree` or the like.
    pub method: String,
    /// Whether no two rows have the same.
    pub unique: bool,
    /// Whether it holds some of the rows only.
    pub partial: bool,
    /// Whether queries may use it.
    pub valid: bool,
    /// Its columns; `None` for an expression.
    pub columns: Vec<Option<Identifier>>,
}

/// One trigger.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "as the catalog has it")]
pub struct TriggerFacts {
    /// Its name.
    pub name: String,
    /// Whether it fires for each row.
    pub row: bool,
    /// Whether it fires before the change, and can alter or drop it.
    pub before: bool,
    /// Whether it fires on `INSERT`.
    pub insert: bool,
    /// Whether it fires on `UPDATE`.
    pub update: bool,
    /// Whether it fires on `DELETE`.
    pub delete: bool,
}

/// A published part of a table without a replica identity.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PublishedFacts {
    /// `schema.name` of the table or partition.
    pub part: String,
    /// Whether updates are published.
    pub update: bool,
    /// Whether deletes are published.
    pub delete: bool,
}

/// How a table is partitioned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PartitioningFacts {
    /// By range, and not by list or hash.
    pub by_range: bool,
    /// The columns of its key; `None` for an expression.
    pub key: Vec<Option<Identifier>>,
    /// Name of the partition that takes what fits nowhere else.
    pub default_partition: Option<String>,
    /// How many partitions it has.
    pub partitions: i64,
    /// `schema.name` of partitions whose detachment was begun and not finished.
    pub pending: Vec<String>,
    /// Owners of partitions, quoted, whose rights the role does not have.
    pub foreign_owners: Vec<String>,
}

/// A foreign key that points at a table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReferenceFacts {
    /// Name of the constraint.
    pub constraint: String,
    /// The table whose rows point here.
    pub table: QualifiedTable,
    /// Its columns.
    pub columns: Vec<Identifier>,
    /// The columns here that they point at, in the same order.
    pub references: Vec<Identifier>,
    /// What a delete here does to them.
    pub on_delete: OnDelete,
    /// Whether that table is partitioned.
    pub partitioned: bool,
    /// Whether that table is published, and its rows have no identity for a subscriber: the
    /// database then refuses what a delete here does to them.
    pub unidentified: bool,
    /// Whether an index leads to them.
    pub indexed: bool,
    /// How many of them a row here has, by estimate; `None` where statistics are missing.
    pub children_per_parent: Option<f64>,
}

/// What the delete of a row does to the rows that point at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum OnDelete {
    /// They keep it from going (`NO ACTION`, `RESTRICT`).
    Refuse,
    /// They go with it.
    Cascade,
    /// Their columns are set (`SET NULL`, `SET DEFAULT`).
    Set,
}

impl RelationKind {
    /// Why its rows cannot be changed under its name; `None` where they can.
    pub(super) fn refusal(self) -> Option<&'static str> {
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

impl TableFacts {
    /// The rows that a delete takes along at once; what goes with those follows from them.
    pub(crate) fn taken_along(&self) -> Vec<Related> {
        let cascading = self.referenced_by.iter().filter(|key| key.on_delete == OnDelete::Cascade);
        let related = |key: &ReferenceFacts| {
            let pairs = key.columns.iter().cloned().zip(key.references.iter().cloned());
            let join = pairs.map(|(column, references)| Join { column, references }).collect();
            Related { table: key.table.clone(), join, conditions: Vec::new() }
        };
        cascading.map(related).collect()
    }

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

    /// Whether reading it whole is too much for a batch.
    pub(crate) fn is_large(&self) -> bool {
        self.rows.unwrap_or(self.pages * ROWS_PER_PAGE) > LARGE
    }

    /// Whether an index leads to rows by these columns, in any order.
    pub(crate) fn has_index_on(&self, columns: &[&Identifier]) -> bool {
        self.indexes.iter().any(|index| {
            let leading = index.columns.iter().take(columns.len());
            let leading: Vec<_> = leading.flatten().collect();
            index.valid && !index.partial && columns.iter().all(|it| leading.contains(it))
        })
    }

    /// Whether a trigger may alter or drop a row that is inserted.
    pub(super) fn alters_new_rows(&self) -> bool {
        self.triggers.iter().any(|it| it.row && it.before && it.insert)
    }
}

impl ColumnFacts {
    /// A nullable column of this type, of which the role may do anything.
    #[must_use]
    pub fn new(name: Identifier, sql_type: &str) -> Self {
        Self {
            name,
            sql_type: sql_type.to_owned(),
            declared_type: sql_type.to_owned(),
            max_length: None,
            foreign_operators: false,
            not_null: false,
            has_default: false,
            generated: false,
            can_select: true,
            can_insert: true,
            can_update: true,
            closed_sequence: None,
        }
    }

    pub(crate) fn is_time(&self) -> bool {
        matches!(
            self.sql_type.as_str(),
            "timestamp with time zone" | "timestamp without time zone" | "date"
        )
    }

    /// Whether Postgres reads words such as `now` in its values.
    pub(super) fn reads_moments(&self) -> bool {
        let words = ["date", "time", "tsrange", "tsmultirange", "tstzrange", "tstzmultirange"];
        words.iter().any(|word| self.sql_type.starts_with(word))
    }

    /// Why its values are not compared with those of a policy; `None` where they can be.
    pub(super) fn comparison_refusal(&self) -> Option<&'static str> {
        match self.sql_type.trim_end_matches("[]") {
            "json" | "xml" | "point" | "polygon" => Some("whose values have no equality"),
            "box" | "circle" => Some("which Postgres compares by area, not by value"),
            "path" => Some("which Postgres compares by its number of points, not by value"),
            _ if self.foreign_operators => Some("whose own comparison this version does not use"),
            _ => None,
        }
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(
            self.sql_type.as_str(),
            "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision"
        )
    }

    /// Whether its values can be texts, which any value has.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.sql_type.as_str(), "text" | "character varying" | "bpchar" | "character")
    }

    /// Types whose values compare with each other; `None` where only the database knows.
    pub(super) fn family(&self) -> Option<&str> {
        if self.is_number() {
            return Some("number");
        }
        if self.is_time() {
            return Some("time");
        }
        if self.is_text() {
            return Some("text");
        }
        matches!(self.sql_type.as_str(), "uuid" | "boolean" | "bytea").then_some(&self.sql_type)
    }
}
