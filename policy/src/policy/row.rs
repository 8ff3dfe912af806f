//! A row that a policy inserts, of an `emit` or of the `report`.

use crate::crd::Scalar;
use crate::identifier::{Identifier, QualifiedTable};

/// A row that a policy inserts, of an `emit` or of the `report`.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRow {
    /// Where it is inserted.
    pub into: QualifiedTable,
    /// Its columns, each named once; at least one.
    pub values: Vec<NewCell>,
}

impl NewRow {
    /// The columns of the rule's table that the row takes values from.
    pub(crate) fn source_columns(&self) -> impl Iterator<Item = &Identifier> {
        let leaves = self.values.iter().flat_map(|cell| match &cell.value {
            CellValue::Plain(value) => std::slice::from_ref(value),
            CellValue::Object(_) => &[],
        });
        let fields = self.values.iter().flat_map(|cell| match &cell.value {
            CellValue::Plain(_) => &[][..],
            CellValue::Object(fields) => fields,
        });
        leaves.chain(fields.map(|field| &field.value)).filter_map(|value| match value {
            RowValue::Column(column) => Some(column),
            _ => None,
        })
    }
}

/// One column of a [`NewRow`].
#[derive(Clone, Debug, PartialEq)]
pub struct NewCell {
    /// The column.
    pub column: Identifier,
    /// What it gets.
    pub value: CellValue,
}

/// What one column of a [`NewRow`] gets.
#[derive(Clone, Debug, PartialEq)]
pub enum CellValue {
    /// One value, cast to the column's type.
    Plain(RowValue),
    /// A JSON object of values, cast to the column's type; keys are unique.
    Object(Vec<ObjectField>),
}

/// One field of a JSON object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectField {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: RowValue,
}

/// One value of a [`NewRow`].
#[derive(Clone, Debug, PartialEq)]
pub enum RowValue {
    /// A value of the policy: an integer is a JSON number inside an object.
    Scalar(Scalar),
    /// The start of the run.
    Now,
    /// What a column of the changed row holds: after an update its new value, else the last one.
    Column(Identifier),
    /// NULL.
    Null,
    /// How many rows a rule changed in this run, by the rule's place in the policy.
    Affected(usize),
    /// How many rows a rule held at the start of this run, by the rule's place in the policy.
    Matched(usize),
}
