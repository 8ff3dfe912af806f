//! `action`, and what it demands of its rule.

use super::super::case::{Case, MATCH, case, entries, required};

pub fn all() -> Vec<Case> {
    let mut cases = kinds();
    cases.extend(assignments("spec.rules[1].action.update.set[0]"));
    cases.extend(demands());
    for field in [
        "spec.rules[1].action.update.set",
        "spec.rules[1].action.update.set[0].column",
        "spec.rules[2].action.archive.into",
        "spec.rules[2].action.archive.into.schema",
        "spec.rules[2].action.archive.into.name",
    ] {
        cases.push(required(field));
    }
    cases
}

fn kinds() -> Vec<Case> {
    let action = "an action is exactly one of: update, delete, archive, dropPartitions";
    let at = "spec.rules[0].action";
    let update = "update: {set: [{column: a, now: true}]}";
    let archive = "archive: {into: {schema: a, name: b}}";
    vec![
        case(
            at,
            &["{delete: {}}", &format!("{{{update}}}"), &format!("{{{archive}}}")],
            "{}",
            action,
        ),
        case(at, &[], &format!("{{delete: {{}}, {update}}}"), action),
        case(at, &[], &format!("{{delete: {{}}, {archive}}}"), action),
        case(at, &[], "{delete: {}, dropPartitions: {}}", action),
        case(at, &[], "{truncate: {}}", "unknown field \"spec.rules[0].action.truncate\"")
            .problem("spec.rules[0].action.truncate"),
        case("spec.rules[3].action", &["{dropPartitions: {}}"], "{}", action),
        case("spec.rules[3].action.dropPartitions.graceAge", &["0s", "30d"], "soon", MATCH),
    ]
}

/// What an action demands of the rest of its rule.
fn demands() -> Vec<Case> {
    let shape = "dropPartitions takes exactly one condition: OlderThan on the column that the table is partitioned by";
    let older = "{column: day, operator: OlderThan, age: 30d}";
    let related = "{table: {schema: a, name: b}, join: [{column: c, references: d}]}";
    let place = "spec.rules[3].where";
    let mut cases = vec![
        case(
            "spec.rules[2].action.archive.into",
            &["{schema: archive, name: sessions}", "{schema: app, name: old_sessions}"],
            "{schema: app, name: sessions}",
            "archive.into must be another table than the rule's own",
        ),
        case(
            "spec.rules[3].emit",
            &["[]"],
            "[{into: {schema: a, name: b}, values: [{column: c, now: true}]}]",
            "emit needs rows that are changed one by one, which dropPartitions does not do",
        ),
        case(
            place,
            &["[{column: at, operator: OlderThan, age: 30d, unit: EpochMillis}]"],
            "[]",
            "at least 1 items",
        ),
    ];
    for wrong in [
        &format!("[{older}, {older}]"),
        &format!("[{older}, {{column: state, operator: IsNull}}]"),
        "[{column: day, operator: NewerThan, age: 30d}]",
        "[{column: day, operator: LessThan, value: 2026-01-01}]",
        &format!("[{{anyOf: [{older}]}}]"),
        &format!("[{{notExists: {related}}}]"),
    ] {
        cases.push(case(place, &[], wrong, shape));
    }
    cases
}

fn assignments(at: &str) -> Vec<Case> {
    let set = "set is exactly one of: value, now, fromColumn, setNull";
    let inside = |field: &str| format!("{at}.{field}");
    let fits = [
        "{column: a, value: 5}",
        "{column: a, now: true}",
        "{column: a, fromColumn: b}",
        "{column: a, setNull: true}",
    ];
    let from = |name: &str| format!("{{column: a, fromColumn: {name}}}");
    let long = |length: usize| format!("{{column: a, value: {}}}", "x".repeat(length));
    let mut cases = vec![
        case(at, &fits, "{column: a}", set),
        case(at, &[], "{column: a, value: 5, now: true}", set),
        case(at, &[], "{column: a, now: false}", "now is either true or left out")
            .problem(&inside("now")),
        case(at, &[], "{column: a, setNull: false}", "setNull is either true or left out")
            .problem(&inside("setNull")),
        case(&inside("value"), &[], "true", "must be of type"),
        case(&inside("value"), &[], "\"a\\0b\"", MATCH),
        case(at, &[&long(4096)], &long(4097), "Too long").problem(&inside("value")),
        case(at, &[&from(&"x".repeat(63))], &from(&"x".repeat(64)), "Too long")
            .problem(&inside("fromColumn")),
        case(
            at,
            &[&from(&"é".repeat(31))],
            &from(&"é".repeat(32)),
            "must have at most 63 bytes: Postgres would cut it off and mean another name",
        )
        .problem(&inside("fromColumn")),
    ];
    let assignment = |n: usize| format!("{{column: c{n}, now: true}}");
    cases.extend(entries("spec.rules[1].action.update.set", 32, assignment));
    let twice = "[{column: c, now: true}, {column: c, setNull: true}]";
    let second = "spec.rules[1].action.update.set[1].column";
    cases.push(
        case("spec.rules[1].action.update.set", &[], twice, "Duplicate value").problem(second),
    );
    cases
}
