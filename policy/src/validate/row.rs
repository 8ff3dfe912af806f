//! A row that a policy inserts, cell by cell.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::crd::{NewCellSpec, ObjectFieldSpec, Scalar};
use crate::identifier::Identifier;
use crate::policy::{CellValue, NewCell, NewRow, ObjectField, RowValue};
use crate::problem::Problem;

use super::piece;
use super::rule::{check_repeated_column, check_scalar, identifier, is_set, table};

/// What a row may take its values from.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// `emit`: the row that is changed.
    Emit,
    /// `report`: counts of the rules with these names.
    Report(&'a [&'a str]),
}

const LEAVES: [&str; 6] = ["value", "fromColumn", "affected", "matched", "now", "setNull"];
const CELL: &str =
    "a value is exactly one of: value, fromColumn, affected, matched, now, setNull, object";
const FIELD: &str =
    "a field of an object is exactly one of: value, fromColumn, affected, matched, now, setNull";

/// The row, with what is wrong left out; that is in `problems`.
pub(super) fn new_row(
    value: &Value,
    path: &str,
    place: Place<'_>,
    problems: &mut Vec<Problem>,
) -> Option<NewRow> {
    let into = value.get("into").and_then(|value| table(value, &format!("{path}.into"), problems));
    let mut seen = BTreeSet::new();
    let mut values = Vec::new();
    let entries = value.get("values").and_then(Value::as_array).into_iter().flatten();
    for (index, value) in entries.enumerate() {
        let path = format!("{path}.values[{index}]");
        check_repeated_column(value, &path, &mut seen, problems);
        values.extend(cell(value, &path, place, problems));
    }
    Some(NewRow { into: into?, values })
}

fn cell(
    value: &Value,
    path: &str,
    place: Place<'_>,
    problems: &mut Vec<Problem>,
) -> Option<NewCell> {
    let spec: NewCellSpec = piece(value)?;
    let column = identifier(&spec.column, &format!("{path}.column"), problems);
    let kinds = LEAVES.iter().chain(&["object"]).filter(|field| is_set(value, field)).count();
    if kinds != 1 {
        problems.push(Problem::new(path, CELL));
        return None;
    }
    let value = match spec.object {
        None => {
            let leaf = Leaf {
                value: spec.value,
                from_column: spec.from_column,
                affected: spec.affected,
                matched: spec.matched,
                now: spec.now,
                set_null: spec.set_null,
            };
            CellValue::Plain(leaf.row_value(path, place, problems)?)
        }
        Some(fields) => CellValue::Object(object(fields, value, path, place, problems)),
    };
    Some(NewCell { column: column?, value })
}

fn object(
    fields: Vec<ObjectFieldSpec>,
    written: &Value,
    path: &str,
    place: Place<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<ObjectField> {
    let mut seen = BTreeSet::new();
    let mut object = Vec::new();
    for (index, field) in fields.into_iter().enumerate() {
        let path = format!("{path}.object[{index}]");
        check_scalar(&Scalar::Text(field.key.clone()), &format!("{path}.key"), problems);
        if !seen.insert(field.key.clone()) {
            let message = format!("\"{}\" is a key of this object already", field.key);
            problems.push(Problem::new(format!("{path}.key"), message));
        }
        let written = &written["object"][index];
        if LEAVES.iter().filter(|name| is_set(written, name)).count() != 1 {
            problems.push(Problem::new(path, FIELD));
            continue;
        }
        let leaf = Leaf {
            value: field.value,
            from_column: field.from_column,
            affected: field.affected,
            matched: field.matched,
            now: field.now,
            set_null: field.set_null,
        };
        if let Some(value) = leaf.row_value(&path, place, problems) {
            object.push(ObjectField { key: field.key, value });
        }
    }
    object
}

/// What a cell and a field of an object have in common; exactly one of them is set.
struct Leaf {
    value: Option<Scalar>,
    from_column: Option<String>,
    affected: Option<String>,
    matched: Option<String>,
    now: Option<bool>,
    set_null: Option<bool>,
}

impl Leaf {
    fn row_value(
        self,
        path: &str,
        place: Place<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<RowValue> {
        for (flag, field) in [(self.now, "now"), (self.set_null, "setNull")] {
            if flag == Some(false) {
                let message = "is either true or left out";
                problems.push(Problem::new(format!("{path}.{field}"), message));
            }
        }
        if let Some(value) = self.value {
            check_scalar(&value, &format!("{path}.value"), problems);
            return Some(RowValue::Scalar(value));
        }
        if let Some(name) = self.from_column {
            return source_column(&name, &format!("{path}.fromColumn"), place, problems)
                .map(RowValue::Column);
        }
        if let Some(name) = self.affected {
            return counted(&name, &format!("{path}.affected"), place, problems)
                .map(RowValue::Affected);
        }
        if let Some(name) = self.matched {
            return counted(&name, &format!("{path}.matched"), place, problems)
                .map(RowValue::Matched);
        }
        Some(if self.now.is_some() { RowValue::Now } else { RowValue::Null })
    }
}

fn source_column(
    name: &str,
    path: &str,
    place: Place<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Identifier> {
    if matches!(place, Place::Report(_)) {
        let message = "belongs to emit: a report has no row to take it from";
        problems.push(Problem::new(path, message));
        return None;
    }
    identifier(name, path, problems)
}

fn counted(name: &str, path: &str, place: Place<'_>, problems: &mut Vec<Problem>) -> Option<usize> {
    let Place::Report(rules) = place else {
        let message = "belongs to the report: an emitted row knows of no count";
        problems.push(Problem::new(path, message));
        return None;
    };
    let found = rules.iter().position(|rule| *rule == name);
    if found.is_none() {
        let message = format!("\"{name}\" is the name of no rule of this policy");
        problems.push(Problem::new(path, message));
    }
    found
}
