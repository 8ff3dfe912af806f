//! Policies that nobody thought of.

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::{FULL, GOOD, document};
use crate::{CleanupPolicySpec, validate};

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_]{1,8}", "[^\0]{1,15}", Just("x".repeat(63)), Just("é".repeat(31))]
}

fn table() -> impl Strategy<Value = Value> {
    (name(), name()).prop_map(|(schema, name)| json!({"schema": schema, "name": name}))
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![any::<i64>().prop_map(Value::from), "[^\0]{0,12}".prop_map(Value::from)]
}

fn age() -> impl Strategy<Value = Value> {
    prop_oneof!["[0-9]{1,4}(w|d|h|m|s|ms)", "[0-9]h[0-9]m", Just("0s".to_owned())]
        .prop_map(Value::from)
}

/// An object without the fields that are null.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect())
}

fn column_condition() -> impl Strategy<Value = Value> {
    let operand = prop_oneof![
        (select(&["Equals", "NotEquals", "LessThan", "GreaterThan"][..]), scalar())
            .prop_map(|(operator, value)| json!({"operator": operator, "value": value})),
        (select(&["In", "NotIn"][..]), vec(scalar(), 1..5))
            .prop_map(|(operator, values)| json!({"operator": operator, "values": values})),
        select(&["IsNull", "IsNotNull"][..]).prop_map(|operator| json!({"operator": operator})),
        (
            select(&["OlderThan", "NewerThan"][..]),
            age(),
            select(vec![json!(null), json!("EpochSeconds"), json!("EpochMillis")])
        )
            .prop_map(|(operator, age, unit)| {
                object([("operator", json!(operator)), ("age", age), ("unit", unit)])
            }),
    ];
    (name(), operand).prop_map(|(column, mut condition)| {
        condition["column"] = json!(column);
        condition
    })
}

fn condition() -> impl Strategy<Value = Value> {
    let related = (table(), vec((name(), name()), 1..3), vec(column_condition(), 0..3)).prop_map(
        |(table, join, conditions)| {
            let pair = |(column, references): (String, String)| json!({"column": column, "references": references});
            let join: Vec<_> = join.into_iter().map(pair).collect();
            json!({"table": table, "join": join, "where": conditions})
        },
    );
    let kind = select(&["exists", "notExists"][..]);
    prop_oneof![
        column_condition(),
        vec(column_condition(), 1..4).prop_map(|conditions| json!({"anyOf": conditions})),
        (kind, related).prop_map(|(kind, related)| object([(kind, related)])),
    ]
}

/// One of the values that a row can have in either place, or one of `more`.
fn leaf(more: &'static [&'static str]) -> impl Strategy<Value = (String, Value)> {
    let more = select(more).prop_flat_map(|field| match field {
        "fromColumn" => (Just(field), name().prop_map(Value::from).boxed()),
        _ => (Just(field), Just(json!("r0")).boxed()),
    });
    prop_oneof![
        scalar().prop_map(|value| ("value".to_owned(), value)),
        Just(("now".to_owned(), json!(true))),
        Just(("setNull".to_owned(), json!(true))),
        more.prop_map(|(field, value)| (field.to_owned(), value)),
    ]
}

fn new_row(more: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let keyed = |key: &'static str| {
        move |(names, leaves): (std::collections::BTreeSet<String>, Vec<(String, Value)>)| {
            let pairs = names.into_iter().zip(leaves).map(|(name, (field, value))| {
                let mut pair = json!({key: name});
                pair[field] = value;
                pair
            });
            json!(pairs.collect::<Vec<_>>())
        }
    };
    let cells = (btree_set(name(), 1..4), vec(leaf(more), 4)).prop_map(keyed("column"));
    let fields = (btree_set(name(), 1..4), vec(leaf(more), 4)).prop_map(keyed("key"));
    (table(), cells, fields, any::<bool>()).prop_map(|(into, mut cells, fields, with_object)| {
        if with_object {
            let column = cells[0]["column"].clone();
            cells[0] = json!({"column": column, "object": fields});
        }
        json!({"into": into, "values": cells})
    })
}

fn rule() -> impl Strategy<Value = Value> {
    let set = (btree_set(name(), 1..3), scalar()).prop_map(|(columns, value)| {
        let set: Vec<_> =
            columns.into_iter().map(|column| json!({"column": column, "value": value})).collect();
        json!({"update": {"set": set}})
    });
    let action = prop_oneof![
        set,
        Just(json!({"delete": {}})),
        Just(json!({"archive": {"into": {"schema": "the archive", "name": "rows of old"}}})),
    ];
    let limits = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        (1_i64..1000).prop_map(|rows| json!({"maxRows": rows, "maxPercentOfTable": 7})),
    ];
    let changed =
        (table(), vec(condition(), 1..4), action, vec(new_row(&["fromColumn"]), 0..3), limits)
            .prop_map(|(table, conditions, action, emit, limits)| {
                object([
                    ("table", table),
                    ("where", json!(conditions)),
                    ("action", action),
                    ("emit", json!(emit)),
                    ("limits", limits),
                ])
            });
    let dropped = (
        table(),
        name(),
        age(),
        prop_oneof![Just(json!({})), age().prop_map(|age| json!({"graceAge": age}))],
    )
        .prop_map(|(table, column, age, action)| {
            let condition = json!({"column": column, "operator": "OlderThan", "age": age});
            json!({"table": table, "where": [condition], "action": {"dropPartitions": action}})
        });
    prop_oneof![4 => changed, 1 => dropped]
}

fn policy() -> impl Strategy<Value = Value> {
    let report = prop_oneof![Just(Value::Null), new_row(&["affected", "matched"])];
    (vec(rule(), 1..4), report, any::<bool>()).prop_map(|(mut rules, report, bare)| {
        for (index, rule) in rules.iter_mut().enumerate() {
            rule["name"] = json!(format!("r{index}"));
        }
        let mut document = document(GOOD);
        document["spec"]["rules"] = json!(rules);
        if !report.is_null() {
            document["spec"]["report"] = report;
        }
        if !bare {
            document["spec"]["limits"] = json!({"maxRowsPerRun": 9});
        }
        document
    })
}

/// Any JSON, of the words of the language more often than not.
fn anything() -> impl Strategy<Value = Value> {
    let word = select(
        &[
            "column", "operator", "age", "where", "emit", "into", "values", "object", "exists",
            "join", "delete", "update", "set", "name", "schema", "now", "key",
        ][..],
    );
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|float| json!(float)),
        ".{0,8}".prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((word.clone(), inner), 0..4).prop_map(|fields| {
                let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
                Value::Object(fields.collect::<Map<_, _>>())
            }),
        ]
    })
}

/// Every place of a document, as pointers.
fn places(value: &Value, path: &str, places: &mut Vec<String>) {
    places.push(path.to_owned());
    match value {
        Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(name, value)| self::places(value, &format!("{path}/{name}"), places));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(n, value)| self::places(value, &format!("{path}/{n}"), places));
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn a_right_policy_is_still_right_and_the_same_when_it_is_printed(document in policy()) {
        let policy = validate(&document);
        prop_assert!(policy.is_ok(), "{:?} of {document}", policy.err());
        let spec: CleanupPolicySpec = serde_json::from_value(document["spec"].clone()).unwrap();
        let mut printed = document.clone();
        printed["spec"] = serde_json::to_value(spec).unwrap();
        prop_assert_eq!(validate(&printed), policy, "{}", printed);
    }

    #[test]
    fn nothing_makes_it_panic(spec in anything()) {
        let _ = validate(&spec);
        let mut document = document(GOOD);
        document["spec"] = spec;
        prop_assert!(validate(&document).is_err());
    }

    #[test]
    fn nothing_in_any_place_makes_it_panic_or_goes_unnamed(value in anything(), at in any::<prop::sample::Index>()) {
        let mut document = document(FULL);
        let mut all = Vec::new();
        places(&document, "", &mut all);
        let place = at.get(&all);
        *document.pointer_mut(place).unwrap() = value;
        if let Err(problems) = validate(&document) {
            prop_assert!(!problems.is_empty());
        }
    }
}
