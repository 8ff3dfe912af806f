//! One rule, piece by piece.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::age::Age;
use crate::crd::{
    AssignmentSpec, CleanupPolicySpec, ColumnConditionSpec, ConditionSpec, DropPartitionsSpec,
    JoinSpec, Operator, RuleLimitsSpec, Scalar,
};
use crate::identifier::{Identifier, QualifiedTable};
use crate::policy::{
    Action, Assignment, ColumnCondition, Condition, Join, NewRow, NewValue, Related, Rule, Test,
};
use crate::problem::Problem;

use super::row::{self, Place};
use super::{age, piece};

/// Every rule of the spec that is right; what is wrong is in `problems`.
pub(super) fn rules(
    spec: &Value,
    shell: Option<&CleanupPolicySpec>,
    problems: &mut Vec<Problem>,
) -> Vec<Rule> {
    let minimum_age =
        shell.and_then(|spec| age("spec.limits.minimumAge", &spec.limits.minimum_age, problems));
    let max_percent = shell.map_or(100, |spec| i64::from(spec.limits.max_percent_of_table));
    let mut seen = BTreeSet::new();
    let written = spec.get("rules").and_then(Value::as_array).into_iter().flatten();
    let mut rules = Vec::new();
    for (index, value) in written.enumerate() {
        let path = format!("spec.rules[{index}]");
        if let Some(name) = value.get("name").and_then(Value::as_str) {
            if !seen.insert(name) {
                let message = format!("\"{name}\" is the name of an earlier rule");
                problems.push(Problem::new(format!("{path}.name"), message));
            }
            check_name(name, &path, problems);
        }
        if let Some(rule) = rule(value, &path, max_percent, problems) {
            if has_all_conditions(value, &rule.conditions) {
                check_minimum_age(&rule, minimum_age, &path, problems);
            }
            rules.push(rule);
        }
    }
    rules
}

fn check_name(name: &str, path: &str, problems: &mut Vec<Problem>) {
    if !name.is_empty() && name.len() <= 40 && !super::is_dns_label(name) {
        let message = "must be a DNS label: lower-case letters, digits and '-'";
        problems.push(Problem::new(format!("{path}.name"), message));
    }
}

fn rule(value: &Value, path: &str, max_percent: i64, problems: &mut Vec<Problem>) -> Option<Rule> {
    let table =
        value.get("table").and_then(|value| table(value, &format!("{path}.table"), problems));
    let conditions = conditions(value, path, problems);
    let action =
        value.get("action").and_then(|value| action(value, &format!("{path}.action"), problems));
    let emit = emitted(value, path, problems);
    if let Some(Action::Archive(into)) = &action
        && Some(into) == table.as_ref()
    {
        let message = "must be another table than the rule's own";
        problems.push(Problem::new(format!("{path}.action.archive.into"), message));
    }
    if value.pointer("/action/dropPartitions").is_some() {
        check_partition_rule(value, &conditions, path, problems);
    }
    let limits: RuleLimitsSpec =
        value.get("limits").map_or_else(|| Some(RuleLimitsSpec::default()), piece)?;
    Some(Rule {
        name: value.get("name")?.as_str()?.to_owned(),
        table: table?,
        conditions,
        action: action?,
        emit,
        max_rows: limits.max_rows,
        max_percent_of_table: limits.max_percent_of_table.map_or(max_percent, i64::from),
    })
}

fn emitted(rule: &Value, path: &str, problems: &mut Vec<Problem>) -> Vec<NewRow> {
    let entries = rule.get("emit").and_then(Value::as_array).into_iter().flatten();
    let mut rows = Vec::new();
    for (index, value) in entries.enumerate() {
        rows.extend(row::new_row(value, &format!("{path}.emit[{index}]"), Place::Emit, problems));
    }
    rows
}

/// What `dropPartitions` demands of the rest of its rule.
fn check_partition_rule(
    rule: &Value,
    conditions: &[Condition],
    path: &str,
    problems: &mut Vec<Problem>,
) {
    let one_age = matches!(
        conditions,
        [Condition::Column(ColumnCondition { test: Test::OlderThan { .. }, .. })]
    );
    if has_all_conditions(rule, conditions) && !one_age {
        let message = "dropPartitions takes exactly one condition: OlderThan on the column that the table is partitioned by";
        problems.push(Problem::new(format!("{path}.where"), message));
    }
    if rule.get("emit").and_then(Value::as_array).is_some_and(|it| !it.is_empty()) {
        let message = "needs rows that are changed one by one, which dropPartitions does not do";
        problems.push(Problem::new(format!("{path}.emit"), message));
    }
}

/// Whether no condition was left out as wrong in itself: only then can more be said of them all.
fn has_all_conditions(rule: &Value, conditions: &[Condition]) -> bool {
    let written = rule.get("where").and_then(Value::as_array).map_or(0, Vec::len);
    written == conditions.len()
}

pub(super) fn is_set(value: &Value, field: &str) -> bool {
    value.get(field).is_some()
}

pub(super) fn table(
    value: &Value,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<QualifiedTable> {
    let schema = identifier(value.get("schema")?.as_str()?, &format!("{path}.schema"), problems);
    let name = identifier(value.get("name")?.as_str()?, &format!("{path}.name"), problems);
    Some(QualifiedTable { schema: schema?, name: name? })
}

pub(super) fn identifier(
    name: &str,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<Identifier> {
    Identifier::parse(name)
        .map_err(|problem| problems.push(Problem::new(path, problem.to_string())))
        .ok()
}

fn conditions(rule: &Value, path: &str, problems: &mut Vec<Problem>) -> Vec<Condition> {
    let entries = rule.get("where").and_then(Value::as_array).into_iter().flatten();
    let mut conditions = Vec::new();
    for (index, value) in entries.enumerate() {
        let path = format!("{path}.where[{index}]");
        conditions.extend(condition(value, &path, problems));
    }
    conditions
}

fn condition(value: &Value, path: &str, problems: &mut Vec<Problem>) -> Option<Condition> {
    let kinds = ["column", "anyOf", "exists", "notExists"];
    let set: Vec<_> = kinds.into_iter().filter(|field| is_set(value, field)).collect();
    let [kind] = set.as_slice() else {
        let message =
            "a condition is exactly one of: column with operator, anyOf, exists, notExists";
        problems.push(Problem::new(path, message));
        return None;
    };
    if *kind != "column" {
        for field in ["operator", "value", "values", "age", "unit"] {
            if is_set(value, field) {
                let message = format!("belongs to a column condition, not beside {kind}");
                problems.push(Problem::new(format!("{path}.{field}"), message));
            }
        }
    }
    let inner = format!("{path}.{kind}");
    match *kind {
        "anyOf" => Some(Condition::AnyOf(column_conditions(value.get(kind)?, &inner, problems))),
        "exists" => related(value.get(kind)?, &inner, problems).map(Condition::Exists),
        "notExists" => related(value.get(kind)?, &inner, problems).map(Condition::NotExists),
        _ => {
            let spec: ConditionSpec = piece(value)?;
            let Some(operator) = spec.operator else {
                problems
                    .push(Problem::new(format!("{path}.operator"), "is required beside column"));
                return None;
            };
            let spec = ColumnConditionSpec {
                column: spec.column?,
                operator,
                value: spec.value,
                values: spec.values,
                age: spec.age,
                unit: spec.unit,
            };
            column_condition(&spec, path, problems).map(Condition::Column)
        }
    }
}

fn column_conditions(
    value: &Value,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Vec<ColumnCondition> {
    let entries = value.as_array().into_iter().flatten();
    let mut conditions = Vec::new();
    for (index, value) in entries.enumerate() {
        if let Some(spec) = piece::<ColumnConditionSpec>(value) {
            conditions.extend(column_condition(&spec, &format!("{path}[{index}]"), problems));
        }
    }
    conditions
}

fn related(value: &Value, path: &str, problems: &mut Vec<Problem>) -> Option<Related> {
    let table =
        value.get("table").and_then(|value| table(value, &format!("{path}.table"), problems));
    let mut join = Vec::new();
    let pairs = value.get("join").and_then(Value::as_array).into_iter().flatten();
    for (index, value) in pairs.enumerate() {
        let Some(pair) = piece::<JoinSpec>(value) else { continue };
        let path = format!("{path}.join[{index}]");
        let column = identifier(&pair.column, &format!("{path}.column"), problems);
        let references = identifier(&pair.references, &format!("{path}.references"), problems);
        if let (Some(column), Some(references)) = (column, references) {
            join.push(Join { column, references });
        }
    }
    let conditions = value.get("where").map_or_else(Vec::new, |value| {
        column_conditions(value, &format!("{path}.where"), problems)
    });
    Some(Related { table: table?, join, conditions })
}

fn column_condition(
    spec: &ColumnConditionSpec,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<ColumnCondition> {
    let column = identifier(&spec.column, &format!("{path}.column"), problems);
    check_operands(spec, path, problems);
    let scalar = || spec.value.clone();
    let list = || spec.values.clone();
    if let Some(value) = &spec.value {
        check_scalar(value, &format!("{path}.value"), problems);
    }
    for (index, value) in spec.values.iter().flatten().enumerate() {
        check_scalar(value, &format!("{path}.values[{index}]"), problems);
    }
    let mut span = || -> Option<Age> { age(&format!("{path}.age"), spec.age.as_ref()?, problems) };
    let test = match spec.operator {
        Operator::Equals => Test::Equals(scalar()?),
        Operator::NotEquals => Test::NotEquals(scalar()?),
        Operator::LessThan => Test::LessThan(scalar()?),
        Operator::GreaterThan => Test::GreaterThan(scalar()?),
        Operator::In => Test::In(list()?),
        Operator::NotIn => Test::NotIn(list()?),
        Operator::IsNull => Test::IsNull,
        Operator::IsNotNull => Test::IsNotNull,
        Operator::OlderThan => Test::OlderThan { age: span()?, unit: spec.unit },
        Operator::NewerThan => Test::NewerThan { age: span()?, unit: spec.unit },
    };
    Some(ColumnCondition { column: column?, test })
}

/// Each operator takes its one operand and no other.
fn check_operands(spec: &ColumnConditionSpec, path: &str, problems: &mut Vec<Problem>) {
    let wanted = match spec.operator {
        Operator::Equals | Operator::NotEquals | Operator::LessThan | Operator::GreaterThan => {
            Some("value")
        }
        Operator::In | Operator::NotIn => Some("values"),
        Operator::OlderThan | Operator::NewerThan => Some("age"),
        Operator::IsNull | Operator::IsNotNull => None,
    };
    let present = [
        ("value", spec.value.is_some()),
        ("values", spec.values.is_some()),
        ("age", spec.age.is_some()),
    ];
    for (field, present) in present {
        let field_path = format!("{path}.{field}");
        if present && wanted != Some(field) {
            let message = format!("does not belong to operator {:?}; remove it", spec.operator);
            problems.push(Problem::new(field_path, message));
        } else if !present && wanted == Some(field) {
            let message = format!("is required by operator {:?}", spec.operator);
            problems.push(Problem::new(field_path, message));
        }
    }
    if spec.unit.is_some() && wanted != Some("age") {
        let message = "belongs to OlderThan and NewerThan on a number column; remove it";
        problems.push(Problem::new(format!("{path}.unit"), message));
    }
}

pub(super) fn check_scalar(value: &Scalar, path: &str, problems: &mut Vec<Problem>) {
    if matches!(value, Scalar::Text(text) if text.contains('\0')) {
        problems.push(Problem::new(path, "must not contain a NUL character"));
    }
}

fn action(value: &Value, path: &str, problems: &mut Vec<Problem>) -> Option<Action> {
    let kinds = ["update", "delete", "archive", "dropPartitions"];
    if kinds.iter().filter(|field| is_set(value, field)).count() != 1 {
        let message = "an action is exactly one of: update, delete, archive, dropPartitions";
        problems.push(Problem::new(path, message));
        return None;
    }
    if is_set(value, "delete") {
        return Some(Action::Delete);
    }
    if let Some(into) = value.pointer("/archive/into") {
        return table(into, &format!("{path}.archive.into"), problems).map(Action::Archive);
    }
    if let Some(spec) = value.get("dropPartitions") {
        let spec: DropPartitionsSpec = piece(spec)?;
        let path = format!("{path}.dropPartitions.graceAge");
        return Some(Action::DropPartitions { grace_age: age(&path, &spec.grace_age, problems)? });
    }
    let entries = value.pointer("/update/set")?.as_array()?;
    let mut seen = BTreeSet::new();
    let mut assignments = Vec::new();
    for (index, value) in entries.iter().enumerate() {
        let path = format!("{path}.update.set[{index}]");
        check_repeated_column(value, &path, &mut seen, problems);
        assignments.extend(assignment(value, &path, problems));
    }
    Some(Action::Update(assignments))
}

/// A column gets one value, whatever else is wrong with it.
pub(super) fn check_repeated_column<'a>(
    entry: &'a Value,
    path: &str,
    seen: &mut BTreeSet<&'a str>,
    problems: &mut Vec<Problem>,
) {
    let Some(column) = entry.get("column").and_then(Value::as_str) else { return };
    if !seen.insert(column) {
        problems.push(Problem::new(format!("{path}.column"), format!("\"{column}\" is set twice")));
    }
}

fn assignment(value: &Value, path: &str, problems: &mut Vec<Problem>) -> Option<Assignment> {
    let kinds = ["value", "now", "fromColumn", "setNull"];
    if kinds.iter().filter(|field| is_set(value, field)).count() != 1 {
        let message = "set is exactly one of: value, now, fromColumn, setNull";
        problems.push(Problem::new(path, message));
        return None;
    }
    let spec: AssignmentSpec = piece(value)?;
    for (flag, field) in [(spec.now, "now"), (spec.set_null, "setNull")] {
        if flag == Some(false) {
            problems.push(Problem::new(format!("{path}.{field}"), "is either true or left out"));
        }
    }
    if let Some(value) = &spec.value {
        check_scalar(value, &format!("{path}.value"), problems);
    }
    let to = match (spec.value, spec.from_column) {
        (Some(value), _) => NewValue::Scalar(value),
        (None, Some(name)) => {
            NewValue::Column(identifier(&name, &format!("{path}.fromColumn"), problems)?)
        }
        (None, None) if spec.now.is_some() => NewValue::Now,
        (None, None) => NewValue::Null,
    };
    Some(Assignment { column: identifier(&spec.column, &format!("{path}.column"), problems)?, to })
}

fn check_minimum_age(rule: &Rule, least: Option<Age>, path: &str, problems: &mut Vec<Problem>) {
    let Some(least) = least.filter(|least| least.as_millis() > 0) else { return };
    if rule.action.removes_rows() && !rule.top_level_ages().any(|due| due.age >= least) {
        let message = format!(
            "a rule that deletes needs an OlderThan of at least {least} here, since spec.limits.minimumAge says so"
        );
        problems.push(Problem::new(format!("{path}.where"), message));
    }
}
