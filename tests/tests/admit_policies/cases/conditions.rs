//! `where`.

use super::super::case::{Case, MATCH, case, entries, required};

pub fn all() -> Vec<Case> {
    let mut cases = kinds();
    for (at, top) in [
        ("spec.rules[0].where[0]", true),
        ("spec.rules[1].where[0].anyOf[0]", false),
        ("spec.rules[2].where[1].exists.where[0]", false),
        ("spec.rules[2].where[2].notExists.where[0]", false),
    ] {
        cases.extend(operands(at));
        cases.extend(bounds(at));
        if !top {
            cases.push(required(&format!("{at}.column")));
            cases.push(required(&format!("{at}.operator")));
        }
    }
    cases.extend(related("spec.rules[2].where[1].exists"));
    cases.extend(related("spec.rules[2].where[2].notExists"));
    cases
}

/// A condition is one of four things.
fn kinds() -> Vec<Case> {
    let at = "spec.rules[0].where[0]";
    let kind = "a condition is exactly one of: column with operator, anyOf, exists, notExists";
    let any_of = "anyOf: [{column: c, operator: IsNull}]";
    let related = "{table: {schema: a, name: b}, join: [{column: c, references: d}]}";
    let operands = "value, values, age and unit belong to a column condition";
    let beside = |field: &str, value: &str| {
        case(at, &[], &format!("{{{field}: {value}, {any_of}}}"), operands)
            .problem(&format!("{at}.{field}"))
    };
    vec![
        case(
            at,
            &[
                &format!("{{{any_of}}}"),
                &format!("{{exists: {related}}}"),
                &format!("{{notExists: {related}}}"),
            ],
            &format!("{{column: c, operator: IsNull, {any_of}}}"),
            kind,
        ),
        case(at, &[], "{}", kind),
        case(at, &[], &format!("{{exists: {related}, notExists: {related}}}"), kind),
        case(at, &[], &format!("{{{any_of}, exists: {related}}}"), kind),
        case(at, &[], "{column: c}", "column and operator belong together")
            .problem("spec.rules[0].where[0].operator"),
        case(
            at,
            &[],
            &format!("{{operator: IsNull, exists: {related}}}"),
            "column and operator belong together",
        )
        .problem("spec.rules[0].where[0].operator"),
        beside("value", "a"),
        beside("values", "[a]"),
        beside("age", "1h"),
        beside("unit", "EpochSeconds"),
    ]
}

/// What each operator takes.
fn operands(at: &str) -> Vec<Case> {
    let value =
        "Equals, NotEquals, LessThan and GreaterThan need value, and no other operator takes it";
    let values = "In and NotIn need values, and no other operator takes it";
    let age = "OlderThan and NewerThan need age, and no other operator takes it";
    let unit = "unit belongs to OlderThan and NewerThan on a number column";
    let fits = [
        "{column: c, operator: Equals, value: a}",
        "{column: c, operator: NotEquals, value: ''}",
        "{column: c, operator: LessThan, value: 9223372036854775807}",
        "{column: c, operator: GreaterThan, value: -5}",
        "{column: c, operator: In, values: [a]}",
        "{column: c, operator: NotIn, values: [a, 5]}",
        "{column: c, operator: OlderThan, age: 0s, unit: EpochSeconds}",
        "{column: c, operator: NewerThan, age: 0s, unit: EpochMillis}",
        "{column: c, operator: IsNull}",
        // What stands there as null is not there.
        "{column: c, operator: IsNotNull, value: null, values: null, age: null, unit: null}",
    ];
    let inside = |field: &str| format!("{at}.{field}");
    vec![
        case(at, &fits, "{column: c, operator: Equals}", value).problem(&inside("value")),
        case(at, &[], "{column: c, operator: IsNull, value: a}", value).problem(&inside("value")),
        case(at, &[], "{column: c, operator: In}", values).problem(&inside("values")),
        case(at, &[], "{column: c, operator: Equals, value: a, values: [a]}", values)
            .problem(&inside("values")),
        case(at, &[], "{column: c, operator: OlderThan}", age).problem(&inside("age")),
        case(at, &[], "{column: c, operator: IsNull, age: 1h}", age).problem(&inside("age")),
        case(at, &[], "{column: c, operator: Equals, value: 5, unit: EpochMillis}", unit)
            .problem(&inside("unit")),
    ]
}

/// How long and of which kind operands are.
fn bounds(at: &str) -> Vec<Case> {
    let inside = |field: &str| format!("{at}.{field}");
    let list = |count: usize| {
        format!("{{column: c, operator: In, values: [{}]}}", vec!["x"; count].join(", "))
    };
    let long =
        |length: usize| format!("{{column: c, operator: Equals, value: {}}}", "x".repeat(length));
    let aged = |age: &str| format!("{{column: c, operator: OlderThan, age: {age}}}");
    vec![
        case(&inside("operator"), &[], "Like", "Unsupported value: \"Like\""),
        case(&inside("unit"), &[], "Seconds", "Unsupported value: \"Seconds\""),
        case(&inside("age"), &[], "5", "string"),
        case(at, &[&aged("1h30m")], &aged("'5'"), MATCH).problem(&inside("age")),
        case(&inside("value"), &[], "true", "must be of type"),
        case(&inside("value"), &[], "1.5", "must be of type"),
        case(&inside("values"), &[], "[]", "should have at least 1 items"),
        case(&inside("values[0]"), &[], "true", "must be of type"),
        case(&inside("values[0]"), &[], "\"a\\0b\"", MATCH),
        case(at, &[&list(256)], &list(257), "must have at most 256 items")
            .problem(&inside("values")),
        case(at, &[&long(4096)], &long(4097), "Too long").problem(&inside("value")),
        case(at, &[], "{column: c, operator: Equals, value: \"a\\0b\"}", MATCH)
            .problem(&inside("value")),
    ]
}

/// `exists` and `notExists`.
fn related(at: &str) -> Vec<Case> {
    let condition = |n: usize| format!("{{column: c{n}, operator: IsNull}}");
    let pair = |n: usize| format!("{{column: c{n}, references: d{n}}}");
    let inside = |field: &str| format!("{at}.{field}");
    let none: Vec<_> = (0..17).map(condition).collect();
    let mut cases = vec![
        case(
            &inside("where"),
            &["[]"],
            &format!("[{}]", none.join(", ")),
            "must have at most 16 items",
        ),
        // Related rows are of one other table: nothing is nested.
        case(
            &inside("where[0].exists"),
            &[],
            "{}",
            &format!("unknown field \"{at}.where[0].exists\""),
        ),
    ];
    for field in
        ["table", "table.schema", "table.name", "join", "join[0].column", "join[0].references"]
    {
        cases.push(required(&inside(field)));
    }
    cases.extend(entries(&inside("join"), 8, pair));
    cases
}
