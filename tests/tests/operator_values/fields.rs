//! The fields of the spec, as the CRD's own schema has them.

use serde_json::Value;

/// Kubernetes' own types inside `podTemplate`: taken as one field each, since what is in them is not
/// ours.
const FOREIGN: [&str; 5] = [
    "spec.podTemplate.affinity",
    "spec.podTemplate.imagePullSecrets",
    "spec.podTemplate.resources",
    "spec.podTemplate.tolerations",
    "spec.podTemplate.topologySpreadConstraints",
];

/// A field that may stand in the spec.
#[derive(Debug, Clone)]
pub struct Field {
    /// `spec.rules[].name`; `{}` is a key of a map.
    pub path: String,
    pub schema: Value,
}

/// All of them, with the objects and lists that they are in.
pub fn all() -> Vec<Field> {
    let crd = serde_json::to_value(policy::custom_resource_definition()).unwrap_or_default();
    let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    let mut fields = Vec::new();
    collect("spec", spec.unwrap_or(&Value::Null), &mut fields);
    fields
}

fn collect(path: &str, schema: &Value, fields: &mut Vec<Field>) {
    fields.push(Field { path: path.to_owned(), schema: schema.clone() });
    if FOREIGN.contains(&path) {
        return;
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        collect(&format!("{path}.{name}"), field, fields);
    }
    for (mark, inside) in [("[]", "items"), ("{}", "additionalProperties")] {
        if schema[inside].is_object() {
            collect(&format!("{path}{mark}"), &schema[inside], fields);
        }
    }
}
