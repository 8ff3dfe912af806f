//! One rule, piece by piece.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::age::Age;
use crate::crd::{
    AssignmentSpec, CleanupPolicySpec, ColumnConditionSpec, ConditionSpec, Operator,
    RuleLimitsSpec, Scalar,
};
use crate::identifier::{Identifier, QualifiedTable};
use crate::policy::{Action, Assignment, ColumnCondition, Condition, NewValue, Rule, Test};
use crate::problem::Problem;

use super::{age, piece, refuse_when_set};

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
            check_minimum_age(&rule, minimum_age, &path, problems);
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
    refuse_when_set(is_set(value, "emit"), path, "emit", problems);
    let table =
        value.get("table").and_then(|value| table(value, &format!("{path}.table"), problems));
    let conditions = conditions(value, path, problems);
    let action =
        value.get("action").and_then(|value| action(value, &format!("{path}.action"), problems));
    let limits: RuleLimitsSpec =
        value.get("limits").map_or_else(|| Some(RuleLimitsSpec::default()), piece)?;
    Some(Rule {
        name: value.get("name")?.as_str()?.to_owned(),
        table: table?,
        conditions,
        action: action?,
        max_rows: limits.max_rows,
        max_percent_of_table: limits.max_percent_of_table.map_or(max_percent, i64::from),
    })
}

fn is_set(value: &Value, field: &str) -> bool {
    value.get(field).is_some_and(|value| !value.is_null())
}

fn table(value: &Value, path: &str, problems: &mut Vec<Problem>) -> Option<QualifiedTable> {
    let schema = identifier(value.get("schema")?.as_str()?, &format!("{path}.schema"), problems);
    let name = identifier(value.get("name")?.as_str()?, &format!("{path}.name"), problems);
    Some(QualifiedTable { schema: schema?, name: name? })
}

fn identifier(name: &str, path: &str, problems: &mut Vec<Problem>) -> Option<Identifier> {
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
    for field in ["exists", "notExists", "unit"] {
        refuse_when_set(is_set(value, field), path, field, problems);
    }
    let kinds = ["column", "anyOf", "exists", "notExists"];
    if kinds.iter().filter(|field| is_set(value, field)).count() != 1 {
        let message =
            "a condition is exactly one of: column with operator, anyOf, exists, notExists";
        problems.push(Problem::new(path, message));
        return None;
    }
    if let Some(entries) = value.get("anyOf").and_then(Value::as_array) {
        for field in ["operator", "value", "values", "age"] {
            if is_set(value, field) {
                let message = "belongs to a column condition, not beside anyOf";
                problems.push(Problem::new(format!("{path}.{field}"), message));
            }
        }
        let mut any_of = Vec::new();
        for (index, value) in entries.iter().enumerate() {
            let path = format!("{path}.anyOf[{index}]");
            refuse_when_set(is_set(value, "unit"), &path, "unit", problems);
            if let Some(spec) = piece::<ColumnConditionSpec>(value) {
                any_of.extend(column_condition(&spec, &path, problems));
            }
        }
        return Some(Condition::AnyOf(any_of));
    }
    if !is_set(value, "column") {
        return None;
    }
    let spec: ConditionSpec = piece(value)?;
    let Some(operator) = spec.operator else {
        problems.push(Problem::new(format!("{path}.operator"), "is required beside column"));
        return None;
    };
    let spec = ColumnConditionSpec {
        column: spec.column?,
        operator,
        value: spec.value,
        values: spec.values,
        age: spec.age,
        unit: None,
    };
    column_condition(&spec, path, problems).map(Condition::Column)
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
        Operator::OlderThan => Test::OlderThan(span()?),
        Operator::NewerThan => Test::NewerThan(span()?),
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
}

fn check_scalar(value: &Scalar, path: &str, problems: &mut Vec<Problem>) {
    if matches!(value, Scalar::Text(text) if text.contains('\0')) {
        problems.push(Problem::new(path, "must not contain a NUL character"));
    }
}

fn action(value: &Value, path: &str, problems: &mut Vec<Problem>) -> Option<Action> {
    for field in ["archive", "dropPartitions"] {
        refuse_when_set(is_set(value, field), path, field, problems);
    }
    let kinds = ["update", "delete", "archive", "dropPartitions"];
    if kinds.iter().filter(|field| is_set(value, field)).count() != 1 {
        let message = "an action is exactly one of: update, delete, archive, dropPartitions";
        problems.push(Problem::new(path, message));
        return None;
    }
    if is_set(value, "delete") {
        return Some(Action::Delete);
    }
    let entries = value.pointer("/update/set")?.as_array()?;
    let mut seen = BTreeSet::new();
    let mut assignments = Vec::new();
    for (index, value) in entries.iter().enumerate() {
        let path = format!("{path}.update.set[{index}]");
        let Some(assignment) = assignment(value, &path, problems) else { continue };
        if !seen.insert(assignment.column.clone()) {
            let message = format!("\"{}\" is set twice", assignment.column.as_str());
            problems.push(Problem::new(format!("{path}.column"), message));
        }
        assignments.push(assignment);
    }
    Some(Action::Update(assignments))
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
    if matches!(rule.action, Action::Update(_)) {
        return;
    }
    if !rule.older_than().any(|age| age >= least) {
        let message = format!(
            "a rule that deletes needs an OlderThan of at least {least} here, since spec.limits.minimumAge says so"
        );
        problems.push(Problem::new(format!("{path}.where"), message));
    }
}
