//! What a team writes for one table: a rule.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scalar::identifier;
use super::{DurationText, NewRowSpec, Scalar};

/// Which rows of one table go, and what happens to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.emit) || self.emit.size() == 0 || !has(self.action.dropPartitions)")
        .message("emit needs rows that are changed one by one, which dropPartitions does not do")
        .field_path(".emit"),
    validation = Rule::new("!has(self.emit) || self.emit.all(e, e.values.all(v, !has(v.affected) && !has(v.matched) && (!has(v.object) || v.object.all(f, !has(f.affected) && !has(f.matched)))))")
        .message("affected and matched belong to the report: an emitted row knows of no count")
        .field_path(".emit"),
    validation = Rule::new("!has(self.action.dropPartitions) || (self.where.size() == 1 && has(self.where[0].operator) && self.where[0].operator == 'OlderThan')")
        .message("dropPartitions takes exactly one condition: OlderThan on the column that the table is partitioned by")
        .field_path(".where"),
    validation = Rule::new("!has(self.action.archive) || self.action.archive.into.schema != self.table.schema || self.action.archive.into.name != self.table.name")
        .message("archive.into must be another table than the rule's own")
        .field_path(".action.archive.into"),
)]
pub struct RuleSpec {
    /// Name of the rule, a DNS label, unique in the policy.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The table, or partitioned table, whose rows go.
    pub table: TableSpec,
    /// All of these must hold.
    #[serde(rename = "where")]
    #[schemars(length(min = 1, max = 16))]
    pub conditions: Vec<ConditionSpec>,
    /// What happens to the rows.
    pub action: ActionSpec,
    /// Rows to insert in the same transaction, one for each changed row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub emit: Vec<NewRowSpec>,
    /// Cap and guard of this rule alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RuleLimitsSpec>,
}

/// A table by schema and name, matched to the catalog byte by byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TableSpec {
    /// Schema of the table.
    #[schemars(schema_with = "identifier")]
    pub schema: String,
    /// Name of the table.
    #[schemars(schema_with = "identifier")]
    pub name: String,
}

/// Exactly one of: a column condition (`column`, `operator` and its operand),
/// `anyOf`, `exists`, `notExists`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "!has(self.unit) || has(self.age)",
        "unit belongs to OlderThan and NewerThan on a number column",
    ),
    validation = (
        "[has(self.column), has(self.anyOf), has(self.exists), has(self.notExists)].filter(x, x).size() == 1",
        "a condition is exactly one of: column with operator, anyOf, exists, notExists",
    ),
    validation = (
        "has(self.column) == has(self.operator)",
        "column and operator belong together",
    ),
    validation = (
        "has(self.column) || !(has(self.value) || has(self.values) || has(self.age) || has(self.unit))",
        "value, values, age and unit belong to a column condition",
    ),
    validation = (
        "!has(self.operator) || has(self.value) == (self.operator in ['Equals', 'NotEquals', 'LessThan', 'GreaterThan'])",
        "Equals, NotEquals, LessThan and GreaterThan need value, and no other operator takes it",
    ),
    validation = (
        "!has(self.operator) || has(self.values) == (self.operator in ['In', 'NotIn'])",
        "In and NotIn need values, and no other operator takes it",
    ),
    validation = (
        "!has(self.operator) || has(self.age) == (self.operator in ['OlderThan', 'NewerThan'])",
        "OlderThan and NewerThan need age, and no other operator takes it",
    ),
)]
pub struct ConditionSpec {
    /// The column that is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "identifier")]
    pub column: Option<String>,
    /// How it is compared. A NULL matches none but `IsNull`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Operator>,
    /// Operand of `Equals`, `NotEquals`, `LessThan`, `GreaterThan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Scalar>,
    /// Operand of `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub values: Option<Vec<Scalar>>,
    /// Operand of `OlderThan` (the column is before the start of the run minus this) and `NewerThan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<DurationText>,
    /// How a number column holds time, for `OlderThan` and `NewerThan`; a time column takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<EpochUnit>,
    /// One of these column conditions must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub any_of: Option<Vec<ColumnConditionSpec>>,
    /// Another table has such a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<RelatedSpec>,
    /// Another table has no such row: for orphans, and for "all participants are silent".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_exists: Option<RelatedSpec>,
}

/// A condition on one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "!has(self.unit) || has(self.age)",
        "unit belongs to OlderThan and NewerThan on a number column",
    ),
    validation = (
        "has(self.value) == (self.operator in ['Equals', 'NotEquals', 'LessThan', 'GreaterThan'])",
        "Equals, NotEquals, LessThan and GreaterThan need value, and no other operator takes it",
    ),
    validation = (
        "has(self.values) == (self.operator in ['In', 'NotIn'])",
        "In and NotIn need values, and no other operator takes it",
    ),
    validation = (
        "has(self.age) == (self.operator in ['OlderThan', 'NewerThan'])",
        "OlderThan and NewerThan need age, and no other operator takes it",
    ),
)]
pub struct ColumnConditionSpec {
    /// The column that is looked at.
    #[schemars(schema_with = "identifier")]
    pub column: String,
    /// How it is compared. A NULL matches none but `IsNull`.
    pub operator: Operator,
    /// Operand of `Equals`, `NotEquals`, `LessThan`, `GreaterThan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Scalar>,
    /// Operand of `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub values: Option<Vec<Scalar>>,
    /// Operand of `OlderThan` (the column is before the start of the run minus this) and `NewerThan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<DurationText>,
    /// How a number column holds time, for `OlderThan` and `NewerThan`; a time column takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<EpochUnit>,
}

/// Rows of another table that belong to a row of the rule's table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RelatedSpec {
    /// The other table.
    pub table: TableSpec,
    /// How they belong together: all of these pairs of columns are equal.
    #[schemars(length(min = 1, max = 8))]
    pub join: Vec<JoinSpec>,
    /// What holds for them besides: all of these.
    #[serde(rename = "where", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<ColumnConditionSpec>,
}

/// A pair of columns that are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinSpec {
    /// The column of the other table.
    #[schemars(schema_with = "identifier")]
    pub column: String,
    /// The column of the rule's table.
    #[schemars(schema_with = "identifier")]
    pub references: String,
}

/// How a number column holds time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EpochUnit {
    /// Seconds since 1970-01-01T00:00:00Z.
    EpochSeconds,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    EpochMillis,
}

/// How a column is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// The column equals the value.
    Equals,
    /// The column is there and differs from the value.
    NotEquals,
    /// The column equals one of the values.
    In,
    /// The column is there and equals none of the values.
    NotIn,
    /// The column is less than the value.
    LessThan,
    /// The column is greater than the value.
    GreaterThan,
    /// The column is NULL.
    IsNull,
    /// The column is not NULL.
    IsNotNull,
    /// The column is before the cutoff.
    OlderThan,
    /// The column is after the cutoff.
    NewerThan,
}

/// What happens to the rows: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "[has(self.update), has(self.delete), has(self.archive), has(self.dropPartitions)].filter(x, x).size() == 1",
        "an action is exactly one of: update, delete, archive, dropPartitions",
    ),
)]
pub struct ActionSpec {
    /// Columns are set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdateSpec>,
    /// The rows are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<DeleteSpec>,
    /// The rows are deleted and inserted into another table, in one transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveSpec>,
    /// Partitions whose rows are all due are detached and dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_partitions: Option<DropPartitionsSpec>,
}

/// Which columns are set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateSpec {
    /// The columns, each once, and what they are set to.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["column".into()]))]
    pub set: Vec<AssignmentSpec>,
}

/// Nothing to say yet about a delete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeleteSpec {}

/// Where deleted rows are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveSpec {
    /// A table of the same database with the columns of the rule's table, and `pgsweep_run_id text`,
    /// `pgsweep_rule text`, `pgsweep_archived_at timestamptz`; `pgsweep plan` prints its DDL.
    pub into: TableSpec,
}

/// How partitions are dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DropPartitionsSpec {
    /// A detached table is kept this long before the drop.
    pub grace_age: DurationText,
}

/// A column and exactly one of: `value`, `now: true`, `fromColumn`, `setNull: true`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "[has(self.value), has(self.now), has(self.fromColumn), has(self.setNull)].filter(x, x).size() == 1",
        "set is exactly one of: value, now, fromColumn, setNull",
    ),
    validation = ("!has(self.now) || self.now", "now is either true or left out"),
    validation = ("!has(self.setNull) || self.setNull", "setNull is either true or left out"),
)]
pub struct AssignmentSpec {
    /// The column that is set.
    #[schemars(schema_with = "identifier")]
    pub column: String,
    /// To this value, cast to the column's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Scalar>,
    /// To the start of the run, by the database's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<bool>,
    /// To what another column of the row holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "identifier")]
    pub from_column: Option<String>,
    /// To NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_null: Option<bool>,
}

/// Cap and guard of one rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleLimitsSpec {
    /// A cap: what is left waits for the next run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub max_rows: Option<i64>,
    /// A guard, in place of the policy's own: 100 switches it off for this rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_percent_of_table: Option<i32>,
}
