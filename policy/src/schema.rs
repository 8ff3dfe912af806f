//! The schema of the CRD, enforced where no API server does it: types, required
//! and unknown fields, enums, patterns and bounds, each with its field path.
//!
//! CEL rules are not evaluated here: [`crate::validate()`] has them in Rust, with
//! the same words.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Map, Value};

use crate::crd::custom_resource_definition;
use crate::problem::Problem;

static SPEC: LazyLock<JSONSchemaProps> = LazyLock::new(|| {
    let versions = custom_resource_definition().spec.versions;
    let root = versions.into_iter().next().and_then(|version| version.schema?.open_api_v3_schema);
    root.and_then(|root| root.properties?.remove("spec")).unwrap_or_default()
});

/// Checks a `spec`, which has no field that is null, against the schema of the CRD.
pub(crate) fn check_spec(spec: &Value, problems: &mut Vec<Problem>) {
    check(&SPEC, spec, "spec", problems);
}

/// Leaves out of a `spec` what stands at its default, and what is empty: the
/// part of it that says something.
pub(crate) fn without_defaults(spec: &Value) -> Value {
    prune(&SPEC, spec)
}

fn check(schema: &JSONSchemaProps, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    if let Some(wrong) = wrong_type(schema, value) {
        problems.push(Problem::new(path, wrong));
        return;
    }
    match value {
        Value::String(text) => check_string(schema, text, path, problems),
        Value::Number(number) => check_number(schema, number.as_f64(), path, problems),
        Value::Array(items) => check_array(schema, items, path, problems),
        Value::Object(fields) => check_object(schema, fields, path, problems),
        Value::Null | Value::Bool(_) => {}
    }
}

fn wrong_type(schema: &JSONSchemaProps, value: &Value) -> Option<String> {
    if schema.x_kubernetes_int_or_string == Some(true) {
        let fits = value.is_string() || value.is_i64();
        return (!fits).then(|| {
            format!(
                "must be a string or a 64-bit integer, not {}; put it in quotes",
                kind_of(value)
            )
        });
    }
    let wanted = schema.type_.as_deref()?;
    let fits = match wanted {
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    };
    // YAML reads `n` and `7` as something else than a string.
    let quotes = wanted == "string" && (value.is_boolean() || value.is_number());
    let way_out = if quotes { "; put it in quotes" } else { "" };
    (!fits).then(|| format!("must be of type {wanted}, not {}{way_out}", kind_of(value)))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(number) if number.is_u64() => "a larger integer",
        Value::Number(_) => "decimal",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check_string(schema: &JSONSchemaProps, text: &str, path: &str, problems: &mut Vec<Problem>) {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if schema.min_length.is_some_and(|least| length < least) {
        problems.push(Problem::new(path, "must not be empty"));
    } else if let Some(most) = schema.max_length.filter(|most| length > *most) {
        problems.push(Problem::new(path, format!("must have at most {most} characters")));
    } else if let Some(words) = allowed(schema)
        && !words.iter().any(|word| word == text)
    {
        let words = words.join(", ");
        problems.push(Problem::new(path, format!("must be one of {words}")));
    }
}

fn allowed(schema: &JSONSchemaProps) -> Option<Vec<String>> {
    let words = schema.enum_.as_ref()?;
    Some(words.iter().filter_map(|word| word.0.as_str()).map(str::to_owned).collect())
}

fn check_number(
    schema: &JSONSchemaProps,
    number: Option<f64>,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    let Some(number) = number else { return };
    if let Some(least) = schema.minimum.filter(|least| number < *least) {
        problems.push(Problem::new(path, format!("must be at least {least}")));
    }
    if let Some(most) = schema.maximum.filter(|most| number > *most) {
        problems.push(Problem::new(path, format!("must be at most {most}")));
    }
}

fn check_array(schema: &JSONSchemaProps, items: &[Value], path: &str, problems: &mut Vec<Problem>) {
    let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    if schema.min_items.is_some_and(|least| count < least) {
        problems.push(Problem::new(path, "must not be empty"));
    }
    if let Some(most) = schema.max_items.filter(|most| count > *most) {
        problems.push(Problem::new(path, format!("must have at most {most} entries")));
    }
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
        for (index, value) in items.iter().enumerate() {
            check(item, value, &format!("{path}[{index}]"), problems);
        }
    }
}

fn check_object(
    schema: &JSONSchemaProps,
    fields: &Map<String, Value>,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    for name in schema.required.iter().flatten() {
        if !fields.contains_key(name) {
            problems.push(Problem::new(format!("{path}.{name}"), "is required"));
        }
    }
    let most = schema.max_properties.and_then(|most| usize::try_from(most).ok());
    if let Some(most) = most.filter(|most| fields.len() > *most) {
        problems.push(Problem::new(path, format!("must have at most {most} entries")));
    }
    for (name, value) in fields {
        let field = format!("{path}.{name}");
        if let Some(schema) = schema.properties.as_ref().and_then(|known| known.get(name)) {
            check(schema, value, &field, problems);
        } else if let Some(JSONSchemaPropsOrBool::Schema(schema)) = &schema.additional_properties {
            check(schema, value, &field, problems);
        } else if schema.x_kubernetes_preserve_unknown_fields != Some(true) {
            problems.push(Problem::new(field, unknown(schema, name)));
        }
    }
}

fn unknown(schema: &JSONSchemaProps, name: &str) -> String {
    let mut known = schema.properties.iter().flatten().map(|(known, _)| known);
    match known.find(|known| known.eq_ignore_ascii_case(name)) {
        Some(known) => format!("is an unknown field; did you mean {known}?"),
        None => "is an unknown field".to_owned(),
    }
}

fn prune(schema: &JSONSchemaProps, value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let known = schema.properties.as_ref();
            let kept = fields.iter().filter_map(|(name, value)| {
                let Some(schema) = known.and_then(|known| known.get(name)) else {
                    return Some((name.clone(), value.clone()));
                };
                let pruned = prune(schema, value);
                let default = schema.default.as_ref().is_some_and(|default| default.0 == pruned);
                let empty = match &pruned {
                    Value::Object(fields) => {
                        fields.is_empty() && schema.properties.is_some() && schema.default.is_some()
                    }
                    // A list that must have entries is refused when it is empty.
                    Value::Array(items) => items.is_empty(),
                    _ => false,
                };
                (!default && !empty).then(|| (name.clone(), pruned))
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => match &schema.items {
            Some(JSONSchemaPropsOrArray::Schema(item)) => {
                Value::Array(items.iter().map(|value| prune(item, value)).collect())
            }
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}
