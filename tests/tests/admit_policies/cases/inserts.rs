//! `emit` and `report`: the rows that a policy inserts.

use super::super::case::{ABSENT, Case, EMPTY, MATCH, case, entries, longest, required};

const NOW: &str = "now is either true or left out";
const SET_NULL: &str = "setNull is either true or left out";
const BYTES: &str = "must have at most 63 bytes: Postgres would cut it off and mean another name";

pub fn all() -> Vec<Case> {
    let emit = "spec.rules[0].emit[0]";
    let mut cases = Vec::new();
    for row in [emit, "spec.report"] {
        cases.extend(row_of_values(row));
        cases.extend(cells(&format!("{row}.values[0]"), "column: c", &CELL));
        cases.extend(cells(&format!("{row}.values[1].object[0]"), "key: k", &FIELD));
        cases.extend(keys(&format!("{row}.values[1].object")));
    }
    cases.extend(of_emit(emit));
    cases.extend(of_report());
    cases
}

/// What a value and a field of an object say when they are not exactly one thing.
struct Words {
    one_of: &'static str,
    also: &'static [&'static str],
}

const CELL: Words = Words {
    one_of: "a value is exactly one of: value, fromColumn, affected, matched, now, setNull, object",
    also: &["object: [{key: a, value: 1}, {key: b, value: x}, {key: c, setNull: true}]"],
};
const FIELD: Words = Words {
    one_of: "a field of an object is exactly one of: value, fromColumn, affected, matched, now, setNull",
    also: &[],
};

fn row_of_values(at: &str) -> Vec<Case> {
    let inside = |field: &str| format!("{at}.{field}");
    let values = inside("values");
    let mut cases = Vec::new();
    for field in ["into", "into.schema", "into.name", "values"] {
        cases.push(required(&inside(field)));
    }
    cases.push(case(&inside("values[0].column"), &[], ABSENT, "column"));
    cases.extend(entries(&values, 32, |n| format!("{{column: c{n}, now: true}}")));
    let twice = "[{column: c, now: true}, {column: c, setNull: true}]";
    cases.push(case(&values, &[], twice, "Duplicate value").problem(&inside("values[1].column")));
    cases
}

/// What a value and a field of an object have in common.
fn cells(at: &str, name: &str, words: &Words) -> Vec<Case> {
    let inside = |field: &str| format!("{at}.{field}");
    let of = |value: &str| format!("{{{name}, {value}}}");
    let mut fits = vec![of("value: text"), of("value: 5"), of("now: true"), of("setNull: true")];
    fits.extend(words.also.iter().map(|value| of(value)));
    let fits: Vec<_> = fits.iter().map(String::as_str).collect();
    let long = |length: usize| of(&format!("value: {}", "x".repeat(length)));
    vec![
        case(at, &fits, &format!("{{{name}}}"), words.one_of),
        case(at, &[], &of("value: 5, now: true"), words.one_of),
        case(at, &[], &of("affected: first, matched: first"), words.one_of),
        case(at, &[], &of("now: false"), NOW).problem(&inside("now")),
        case(at, &[], &of("setNull: false"), SET_NULL).problem(&inside("setNull")),
        case(&inside("value"), &[], "true", "must be of type"),
        case(at, &[], &of("value: \"a\\0b\""), MATCH).problem(&inside("value")),
        case(at, &[&long(4096)], &long(4097), "Too long").problem(&inside("value")),
        case(at, &[], &of(&format!("affected: {}", "x".repeat(41))), "Too long")
            .problem(&inside("affected")),
        case(at, &[], &of("affected: ''"), EMPTY).problem(&inside("affected")),
        case(at, &[], &of(&format!("matched: {}", "x".repeat(41))), "Too long")
            .problem(&inside("matched")),
        case(at, &[], &of("matched: ''"), EMPTY).problem(&inside("matched")),
        case(at, &[], &of(&format!("fromColumn: {}", "x".repeat(64))), "Too long")
            .problem(&inside("fromColumn")),
        case(at, &[], &of(&format!("fromColumn: {}", "é".repeat(32))), BYTES)
            .problem(&inside("fromColumn")),
    ]
}

/// The keys of an object.
fn keys(at: &str) -> Vec<Case> {
    let key = format!("{at}[0].key");
    let mut cases = vec![
        longest(&key, 253),
        case(&key, &["'$1 \"; --'"], "''", EMPTY),
        case(&key, &[], "\"a\\0b\"", MATCH),
        case(&key, &[], ABSENT, "key"),
        case(at, &[], "[{key: a, now: true}, {key: a, value: 1}]", "Duplicate value")
            .problem(&format!("{at}[1].key")),
    ];
    cases.extend(entries(at, 16, |n| format!("{{key: k{n}, now: true}}")));
    cases
}

fn of_emit(row: &str) -> Vec<Case> {
    let counts = "affected and matched belong to the report: an emitted row knows of no count";
    let one = |n: usize| {
        format!("{{into: {{schema: a, name: b{n}}}, values: [{{column: c, fromColumn: d}}]}}")
    };
    let list = |count: usize| format!("[{}]", (0..count).map(one).collect::<Vec<_>>().join(", "));
    let (cell, field) = (format!("{row}.values[0]"), format!("{row}.values[1].object[0]"));
    let mut cases =
        vec![case("spec.rules[0].emit", &["[]", &list(4)], &list(5), "must have at most 4 items")];
    for (at, name) in [(&cell, "column: c"), (&field, "key: k")] {
        let taken = format!("{{{name}, fromColumn: {}}}", "é".repeat(31));
        cases.push(case(at, &[&taken], "[]", "must be of type object"));
        for count in ["affected", "matched"] {
            let value = format!("{{{name}, {count}: first}}");
            let refused = case(at, &[], &value, counts).said_of("spec.rules[0].emit");
            cases.push(refused.problem(&format!("{at}.{count}")));
        }
    }
    cases
}

fn of_report() -> Vec<Case> {
    let named = "affected and matched name a rule of this policy";
    let source = "fromColumn belongs to emit: a report has no row to take it from";
    let mut cases = Vec::new();
    for (at, name) in
        [("spec.report.values[0]", "column: c"), ("spec.report.values[1].object[0]", "key: k")]
    {
        for count in ["affected", "matched"] {
            let counted = |rule: &str| format!("{{{name}, {count}: {rule}}}");
            cases.push(
                case(at, &[&counted("first"), &counted("fourth")], &counted("fifth"), named)
                    .said_of("spec.report")
                    .problem(&format!("{at}.{count}")),
            );
        }
        let taken = format!("{{{name}, fromColumn: d}}");
        let refused = case(at, &[], &taken, source).said_of("spec.report");
        cases.push(refused.problem(&format!("{at}.fromColumn")));
    }
    cases
}
