//! What a team writes for rows that a policy inserts: `emit` of a rule and `report` of a run.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::scalar::{identifier, key};
use super::{Scalar, TableSpec};

/// A row to insert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewRowSpec {
    /// Where it is inserted.
    pub into: TableSpec,
    /// Its columns, each once; the others get their defaults.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["column".into()]))]
    pub values: Vec<NewCellSpec>,
}

/// A column and exactly one of: `value`, `fromColumn`, `affected`, `matched`, `now: true`, `setNull: true`, `object`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "[has(self.value), has(self.fromColumn), has(self.affected), has(self.matched), has(self.now), has(self.setNull), has(self.object)].filter(x, x).size() == 1",
        "a value is exactly one of: value, fromColumn, affected, matched, now, setNull, object",
    ),
    validation = ("!has(self.now) || self.now", "now is either true or left out"),
    validation = ("!has(self.setNull) || self.setNull", "setNull is either true or left out"),
)]
pub struct NewCellSpec {
    /// The column that is set.
    #[schemars(schema_with = "identifier")]
    pub column: String,
    /// To this value, cast to the column's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Scalar>,
    /// `emit`: to what this column of the changed row holds; after an update the new value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "identifier")]
    pub from_column: Option<String>,
    /// `report`: to how many rows the rule of this name changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub affected: Option<String>,
    /// `report`: to how many rows the rule of this name held at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub matched: Option<String>,
    /// To the start of the run, by the database's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<bool>,
    /// To NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_null: Option<bool>,
    /// To a JSON object, cast to the column's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into()]))]
    pub object: Option<Vec<ObjectFieldSpec>>,
}

/// A key and exactly one of: `value`, `fromColumn`, `affected`, `matched`, `now: true`, `setNull: true`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "[has(self.value), has(self.fromColumn), has(self.affected), has(self.matched), has(self.now), has(self.setNull)].filter(x, x).size() == 1",
        "a field of an object is exactly one of: value, fromColumn, affected, matched, now, setNull",
    ),
    validation = ("!has(self.now) || self.now", "now is either true or left out"),
    validation = ("!has(self.setNull) || self.setNull", "setNull is either true or left out"),
)]
pub struct ObjectFieldSpec {
    /// The key, unique in its object.
    #[schemars(schema_with = "key")]
    pub key: String,
    /// This value: an integer is a number, a string is a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Scalar>,
    /// `emit`: what this column of the changed row holds; after an update the new value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "identifier")]
    pub from_column: Option<String>,
    /// `report`: how many rows the rule of this name changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub affected: Option<String>,
    /// `report`: how many rows the rule of this name held at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub matched: Option<String>,
    /// The start of the run, by the database's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<bool>,
    /// A JSON null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_null: Option<bool>,
}
