//! What a field can be given that it does not want.

use serde_json::{Value, json};

use super::fields::Field;

/// Each kind of hostile text at once, short enough for a name: it is taken where text is taken.
pub const HOSTILE: &str = "$(DATABASE_URL)\n'\";--\\ {{x}} $$ é";

/// A value that is wrong in one way, or looks like it.
#[derive(Debug, Clone, PartialEq)]
pub struct Bad {
    pub kind: Kind,
    pub value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    WrongType,
    Null,
    OutOfRange,
    UnknownWord,
    Empty,
    TooLong,
    Hostile,
    UnknownField,
}

impl Bad {
    /// All for one field, where it now has a good value.
    pub fn values(field: &Field, good: &Value) -> Vec<Self> {
        let mut all = vec![Self { kind: Kind::Null, value: Value::Null }];
        let mut add = |kind, value: Value| all.push(Self { kind, value });
        let schema = &field.schema;
        if schema["x-kubernetes-int-or-string"] == true {
            wrong_types(&[json!(true), json!(1.5), json!([]), json!({})], &mut add);
            texts(schema, &mut add);
            return all;
        }
        match schema["type"].as_str().unwrap_or_default() {
            "object" => {
                wrong_types(&[json!("text"), json!(1), json!(false), json!([])], &mut add);
                object(schema, good, &mut add);
            }
            "array" => {
                wrong_types(&[json!("text"), json!(1), json!({})], &mut add);
                array(schema, good, &mut add);
            }
            "integer" => {
                wrong_types(&[json!("1"), json!(true), json!(1.5), json!([])], &mut add);
                integer(schema, &mut add);
            }
            "boolean" => {
                wrong_types(&[json!("true"), json!(1), json!({})], &mut add);
                add(Kind::Hostile, json!(HOSTILE));
            }
            _ => {
                wrong_types(&[json!(17), json!(true), json!([]), json!({})], &mut add);
                texts(schema, &mut add);
                if schema["enum"].is_array() {
                    add(Kind::UnknownWord, json!("NoSuchWord"));
                    let lower = good.as_str().unwrap_or_default().to_lowercase();
                    add(Kind::UnknownWord, json!(lower));
                }
            }
        }
        special(&field.path, &mut add);
        all.retain(|bad| bad.value != *good);
        all
    }
}

fn wrong_types(values: &[Value], add: &mut impl FnMut(Kind, Value)) {
    for value in values {
        add(Kind::WrongType, value.clone());
    }
}

fn texts(schema: &Value, add: &mut impl FnMut(Kind, Value)) {
    add(Kind::Empty, json!(""));
    let longest = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok());
    add(Kind::TooLong, json!("x".repeat(longest.unwrap_or_default() + 1)));
    add(Kind::TooLong, json!("x".repeat(10_240)));
    for text in
        ["$(DATABASE_URL)", "'; DROP TABLE codes; --", "\"quoted\"", "line\nbreak", "a\u{0}b"]
    {
        add(Kind::Hostile, json!(text));
    }
    add(Kind::Hostile, json!(HOSTILE));
}

fn integer(schema: &Value, add: &mut impl FnMut(Kind, Value)) {
    let bound = |name: &str| schema[name].as_f64().map(|bound| format!("{bound:.0}"));
    let bound = |name: &str| bound(name).and_then(|text| text.parse::<i64>().ok());
    for value in [
        bound("minimum").map(|least| least - 1),
        bound("maximum").map(|most| most + 1),
        Some(-1),
        Some(i64::MAX),
        Some(i64::MIN),
    ]
    .into_iter()
    .flatten()
    {
        add(Kind::OutOfRange, json!(value));
    }
    add(Kind::OutOfRange, json!(1e300));
}

fn array(schema: &Value, good: &Value, add: &mut impl FnMut(Kind, Value)) {
    add(Kind::Empty, json!([]));
    let item = good.get(0).cloned().unwrap_or_default();
    let most = schema["maxItems"].as_u64().and_then(|most| usize::try_from(most).ok());
    if let Some(most) = most {
        add(Kind::TooLong, Value::Array(vec![item; most + 1]));
    }
    add(Kind::Hostile, json!([HOSTILE]));
    add(Kind::Null, json!([null]));
}

fn object(schema: &Value, good: &Value, add: &mut impl FnMut(Kind, Value)) {
    add(Kind::Empty, json!({}));
    if schema["additionalProperties"].is_object() {
        add(Kind::Hostile, json!({HOSTILE: "a"}));
        add(Kind::Hostile, json!({"": "a"}));
        let many = (0..100).map(|number| (format!("k{number}"), json!("v")));
        add(Kind::TooLong, Value::Object(many.collect()));
        return;
    }
    let mut more = good.clone();
    more["noSuchField"] = json!(1);
    add(Kind::UnknownField, more);
    add(Kind::UnknownField, json!({HOSTILE: 1}));
}

/// What is right by its shape and wrong by its meaning, which no schema tells.
fn special(path: &str, add: &mut impl FnMut(Kind, Value)) {
    let values: &[Value] = match path {
        "spec.schedule" => &[
            json!("99 * * * *"),
            json!("$(DATABASE_URL) * * * *"),
            json!("0 0 31 2 *"),
            json!("* * * * * *"),
            json!("@every 1s"),
        ],
        "spec.timeZone" => &[json!("Mars/Olympus"), json!("../../etc/passwd"), json!("Local")],
        "spec.execution.maxDuration" => &[json!("2h"), json!("99999999999w")],
        "spec.activeDeadlineSeconds" => &[json!(61)],
        "spec.limits.minimumAge" => &[json!("10w")],
        "spec.podTemplate.resources" => &[
            json!({"limits": {"memory": "plenty"}}),
            json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}),
        ],
        "spec.podTemplate.tolerations" => &[json!([{"key": "a b", "operator": "Exists"}])],
        "spec.podTemplate.imagePullSecrets" => &[json!([{"name": HOSTILE}])],
        "spec.podTemplate.topologySpreadConstraints" => {
            &[json!([{"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "Perhaps"}])]
        }
        "spec.podTemplate.affinity" => &[json!({"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}})],
        "spec.rules[].action" => &[json!({"delete": {}, "archive": {"into": {
            "schema": "public", "name": "codes_archive"}}})],
        _ => &[],
    };
    for value in values {
        add(Kind::OutOfRange, value.clone());
    }
}
