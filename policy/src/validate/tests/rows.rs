//! Other tables, archives, partitions, and the rows that a policy inserts.

use serde_json::{Value, json};

use super::{FULL, problems, replaced};
use crate::validate;

const CELL: &str =
    "a value is exactly one of: value, fromColumn, affected, matched, now, setNull, object";
const FIELD: &str =
    "a field of an object is exactly one of: value, fromColumn, affected, matched, now, setNull";
const BYTES: &str = "must have at most 63 bytes: Postgres would cut it off and mean another name";

/// Each value put in its place gives these problems, one a line, and no other.
fn check(cases: &[(&str, Value, &str)]) {
    for (path, value, expected) in cases {
        let found = problems(&replaced(FULL, path, value.clone()));
        assert_eq!(found, expected.lines().collect::<Vec<_>>(), "{path} = {value}");
    }
}

#[test]
fn a_unit_belongs_to_an_age() {
    check(&[
        (
            "/spec/rules/0/where/0/unit",
            json!("Seconds"),
            "spec.rules[0].where[0].unit: must be one of EpochSeconds, EpochMillis",
        ),
        (
            "/spec/rules/0/where/1/notExists/where/0",
            json!({"column": "a", "operator": "Equals", "value": 1, "unit": "EpochMillis"}),
            "spec.rules[0].where[1].notExists.where[0].unit: belongs to OlderThan and NewerThan on a number column; remove it",
        ),
        (
            "/spec/rules/0/where/2/unit",
            json!("EpochMillis"),
            "spec.rules[0].where[2].unit: belongs to a column condition, not beside exists",
        ),
    ]);
}

#[test]
fn another_table_is_named_joined_and_looked_at() {
    let table = json!({"schema": "app", "name": "people"});
    check(&[
        (
            "/spec/rules/0/where/1/notExists",
            json!({"table": table}),
            "spec.rules[0].where[1].notExists.join: is required",
        ),
        (
            "/spec/rules/0/where/1/notExists/join",
            json!([]),
            "spec.rules[0].where[1].notExists.join: must not be empty",
        ),
        (
            "/spec/rules/0/where/1/notExists/join/0",
            json!({"column": "é".repeat(32), "references": "id"}),
            &format!("spec.rules[0].where[1].notExists.join[0].column: {BYTES}"),
        ),
        (
            "/spec/rules/0/where/1/notExists/join/0",
            json!({"column": "id", "references": "a\0b"}),
            "spec.rules[0].where[1].notExists.join[0].references: must not contain a NUL character",
        ),
        (
            "/spec/rules/0/where/1/notExists/table/schema",
            json!(""),
            "spec.rules[0].where[1].notExists.table.schema: must not be empty",
        ),
        (
            "/spec/rules/0/where/1/notExists/where/0",
            json!({"column": "a", "operator": "OlderThan", "age": "soon"}),
            "spec.rules[0].where[1].notExists.where[0].age: must be numbers with units, such as 90s, 30m, 24h, 7d, 2w or 1h30m (units: w, d, h, m, s, ms)",
        ),
        (
            "/spec/rules/0/where/1/notExists/where/0",
            json!({"exists": {}}),
            "spec.rules[0].where[1].notExists.where[0].column: is required
spec.rules[0].where[1].notExists.where[0].exists: is an unknown field
spec.rules[0].where[1].notExists.where[0].operator: is required",
        ),
        (
            "/spec/rules/0/where/2",
            json!({"exists": {"table": table, "join": [{"column": "a", "references": "b"}]}, "anyOf": []}),
            "spec.rules[0].where[2]: a condition is exactly one of: column with operator, anyOf, exists, notExists
spec.rules[0].where[2].anyOf: must not be empty",
        ),
    ]);
}

#[test]
fn an_action_makes_demands_of_its_rule() {
    let young = "spec.rules[1].where: a rule that deletes needs an OlderThan of at least 1h here, since spec.limits.minimumAge says so";
    let shape = "spec.rules[1].where: dropPartitions takes exactly one condition: OlderThan on the column that the table is partitioned by";
    check(&[
        (
            "/spec/rules/0/action/archive/into",
            json!({"schema": "app", "name": "sessions"}),
            "spec.rules[0].action.archive.into: must be another table than the rule's own",
        ),
        (
            "/spec/rules/0/action/archive",
            json!({}),
            "spec.rules[0].action.archive.into: is required",
        ),
        (
            "/spec/rules/1/action/dropPartitions/graceAge",
            json!("0"),
            "spec.rules[1].action.dropPartitions.graceAge: must be numbers with units, such as 90s, 30m, 24h, 7d, 2w or 1h30m (units: w, d, h, m, s, ms)",
        ),
        (
            "/spec/rules/1/where",
            json!([{"column": "day", "operator": "OlderThan", "age": "30d"}, {"column": "a", "operator": "IsNull"}]),
            shape,
        ),
        (
            "/spec/rules/1/where",
            json!([{"anyOf": [{"column": "day", "operator": "OlderThan", "age": "30d"}]}]),
            &format!("{young}\n{shape}"),
        ),
        (
            "/spec/rules/1/emit",
            json!([{"into": {"schema": "a", "name": "b"}, "values": [{"column": "c", "now": true}]}]),
            "spec.rules[1].emit: needs rows that are changed one by one, which dropPartitions does not do",
        ),
        (
            "/spec/rules/1/emit",
            json!([{}]),
            "spec.rules[1].emit: needs rows that are changed one by one, which dropPartitions does not do
spec.rules[1].emit[0].into: is required
spec.rules[1].emit[0].values: is required",
        ),
    ]);
}

#[test]
fn the_minimum_age_holds_for_every_action_that_removes_rows() {
    let aged = |action: Value, age: &str| {
        let rule = json!({
            "name": "r", "table": {"schema": "a", "name": "b"}, "action": action,
            "where": [{"column": "c", "operator": "OlderThan", "age": age}],
        });
        problems(&replaced(FULL, "/spec/rules", json!([rule])))
    };
    let expected = "spec.rules[0].where: a rule that deletes needs an OlderThan of at least 1h here, since spec.limits.minimumAge says so";
    for action in [
        json!({"delete": {}}),
        json!({"archive": {"into": {"schema": "a", "name": "c"}}}),
        json!({"dropPartitions": {}}),
    ] {
        for (age, refused) in [("59m59s999ms", true), ("1h", false)] {
            let found = aged(action.clone(), age);
            assert_eq!(found.contains(&expected.to_owned()), refused, "{action} {age}: {found:?}");
        }
    }
    let found = aged(json!({"update": {"set": [{"column": "c", "now": true}]}}), "59m");
    assert!(!found.iter().any(|problem| problem.contains("minimumAge")), "{found:?}");
}

#[test]
fn an_emitted_row_takes_from_the_changed_row_and_a_report_from_the_counts() {
    let (emit, report) = ("/spec/rules/0/emit/0/values/0", "/spec/report/values/0");
    check(&[
        (
            emit,
            json!({"column": "kind", "affected": "silent"}),
            "spec.rules[0].emit[0].values[0].affected: belongs to the report: an emitted row knows of no count",
        ),
        (
            "/spec/rules/0/emit/0/values/4/object/0",
            json!({"key": "id", "matched": "silent"}),
            "spec.rules[0].emit[0].values[4].object[0].matched: belongs to the report: an emitted row knows of no count",
        ),
        (
            report,
            json!({"column": "kind", "fromColumn": "id"}),
            "spec.report.values[0].fromColumn: belongs to emit: a report has no row to take it from",
        ),
        (
            "/spec/report/values/2/object/0",
            json!({"key": "gone", "fromColumn": "id"}),
            "spec.report.values[2].object[0].fromColumn: belongs to emit: a report has no row to take it from",
        ),
        (
            report,
            json!({"column": "kind", "affected": "noisy"}),
            "spec.report.values[0].affected: \"noisy\" is the name of no rule of this policy",
        ),
        (
            "/spec/report/values/2/object/1/matched",
            json!("noisy"),
            "spec.report.values[2].object[1].matched: \"noisy\" is the name of no rule of this policy",
        ),
    ]);
}

#[test]
fn a_value_of_a_row_is_one_thing() {
    let cell = "/spec/rules/0/emit/0/values/0";
    let at = |path: &str, message: &str| format!("spec.rules[0].emit[0].values{path}: {message}");
    check(&[
        (cell, json!({"column": "a"}), &at("[0]", CELL)),
        (cell, json!({"column": "a", "now": true, "setNull": true}), &at("[0]", CELL)),
        (
            cell,
            json!({"column": "a", "value": 1, "object": [{"key": "k", "now": true}]}),
            &at("[0]", CELL),
        ),
        (cell, json!({"column": "a", "now": false}), &at("[0].now", "is either true or left out")),
        (
            cell,
            json!({"column": "a", "setNull": false}),
            &at("[0].setNull", "is either true or left out"),
        ),
        (
            cell,
            json!({"column": "session", "now": true}),
            &at("[1].column", "\"session\" is set twice"),
        ),
        (
            cell,
            json!({"column": "a", "value": "a\0b"}),
            &at("[0].value", "must not contain a NUL character"),
        ),
        (cell, json!({"column": "a", "fromColumn": "é".repeat(32)}), &at("[0].fromColumn", BYTES)),
        (cell, json!({"column": "a", "object": []}), &at("[0].object", "must not be empty")),
        (
            cell,
            json!({"column": "a", "value": true}),
            &at("[0].value", "must be a string or a 64-bit integer, not boolean; put it in quotes"),
        ),
    ]);
}

#[test]
fn a_field_of_an_object_is_one_thing_under_a_key_of_its_own() {
    let field = "/spec/rules/0/emit/0/values/4/object/0";
    let at = |path: &str, message: &str| format!("spec.rules[0].emit[0].values{path}: {message}");
    check(&[
        (field, json!({"key": "k"}), &at("[4].object[0]", FIELD)),
        (field, json!({"key": "k", "now": true, "value": 1}), &at("[4].object[0]", FIELD)),
        (
            field,
            json!({"key": "a\0b", "now": true}),
            &at("[4].object[0].key", "must not contain a NUL character"),
        ),
        (field, json!({"key": "", "now": true}), &at("[4].object[0].key", "must not be empty")),
        (
            field,
            json!({"key": "days", "now": true}),
            &at("[4].object[1].key", "\"days\" is a key of this object already"),
        ),
        (
            field,
            json!({"key": "k", "object": []}),
            &format!(
                "{}\n{}",
                at("[4].object[0]", FIELD),
                at("[4].object[0].object", "is an unknown field")
            ),
        ),
        (
            "/spec/rules/0/emit",
            json!(vec![
                json!({"into": {"schema": "a", "name": "b"}, "values": [{"column": "c", "now": true}]});
                5
            ]),
            "spec.rules[0].emit: must have at most 4 entries",
        ),
        ("/spec/report/values", json!([]), "spec.report.values: must not be empty"),
        (
            "/spec/report/into/name",
            json!("a\0b"),
            "spec.report.into.name: must not contain a NUL character",
        ),
    ]);
}

#[test]
fn a_rule_that_is_wrong_in_itself_is_still_one_that_a_report_can_name() {
    let document = replaced(FULL, "/spec/rules/0/action", json!({}));
    assert_eq!(
        problems(&document),
        [
            "spec.rules[0].action: an action is exactly one of: update, delete, archive, dropPartitions"
        ]
    );
}

#[test]
fn no_problem_of_a_rule_hides_another() {
    let rule = json!({
        "name": "days",
        "table": {"schema": "app", "name": "days"},
        "where": [{"column": "a", "operator": "IsNull"}],
        "action": {"dropPartitions": {"graceAge": "soon"}},
        "emit": [{"into": {"schema": "", "name": "b"}, "values": [
            {"column": "a", "affected": "days"},
            {"column": "a", "object": [{"key": "k"}, {"key": "k", "now": false}]},
        ]}],
    });
    let document = replaced(FULL, "/spec/rules/1", rule);
    let paths: Vec<_> =
        validate(&document).unwrap_err().into_iter().map(|problem| problem.path).collect();
    assert_eq!(
        paths,
        [
            "spec.rules[1].action.dropPartitions.graceAge",
            "spec.rules[1].emit",
            "spec.rules[1].emit[0].into.schema",
            "spec.rules[1].emit[0].values[0].affected",
            "spec.rules[1].emit[0].values[1].column",
            "spec.rules[1].emit[0].values[1].object[0]",
            "spec.rules[1].emit[0].values[1].object[1].key",
            "spec.rules[1].emit[0].values[1].object[1].now",
            "spec.rules[1].where",
        ]
    );
}
