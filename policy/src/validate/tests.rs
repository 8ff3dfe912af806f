//! Every rule of the language, by what is said when it is broken.

mod hash;
mod random;
mod rows;
mod scalars;

use serde_json::{Value, json};

use crate::{Problem, validate};

fn document(spec: &str) -> Value {
    let spec: Value = serde_saphyr::from_str(spec).unwrap();
    json!({
        "apiVersion": "pgsweep.dev/v1alpha1",
        "kind": "CleanupPolicy",
        "metadata": {"name": "codes", "namespace": "shop"},
        "spec": spec,
    })
}

const GOOD: &str = r#"
schedule: "*/5 * * * *"
mode: Enforce
database: {urlFrom: {secretKeyRef: {name: db, key: uri}}}
rules:
- name: delete-expired
  table: {schema: app, name: codes}
  where:
  - {column: expires_at, operator: OlderThan, age: 1h}
  - anyOf:
    - {column: state, operator: In, values: [used, 7]}
    - {column: state, operator: IsNull}
  action: {delete: {}}
- name: clear
  table: {schema: app, name: codes}
  where: [{column: state, operator: NotEquals, value: used}]
  action:
    update:
      set:
      - {column: a, value: x}
      - {column: b, now: true}
      - {column: c, fromColumn: a}
      - {column: d, setNull: true}
"#;

/// A policy with every field of the language.
const FULL: &str = r#"
schedule: "@daily"
mode: Enforce
database: {urlFrom: {secretKeyRef: {name: db, key: uri}}}
limits: {minimumAge: 1h}
execution: {maxReplicaLag: 5s}
rules:
- name: silent
  table: {schema: app, name: sessions}
  where:
  - {column: created_ms, operator: OlderThan, age: 2h, unit: EpochMillis}
  - notExists:
      table: {schema: app, name: people}
      join: [{column: session_id, references: id}]
      where: [{column: seen_s, operator: NewerThan, age: 1h, unit: EpochSeconds}]
  - exists:
      table: {schema: app, name: kinds}
      join: [{column: kind, references: kind}]
  action: {archive: {into: {schema: archive, name: sessions}}}
  emit:
  - into: {schema: app, name: events}
    values:
    - {column: kind, value: gone}
    - {column: session, fromColumn: id}
    - {column: at, now: true}
    - {column: note, setNull: true}
    - column: data
      object:
      - {key: id, fromColumn: id}
      - {key: days, value: 30}
      - {key: at, now: true}
      - {key: none, setNull: true}
  limits: {maxRows: 5, maxPercentOfTable: 100}
- name: days
  table: {schema: app, name: days}
  where: [{column: day, operator: OlderThan, age: 30d}]
  action: {dropPartitions: {graceAge: 1d}}
report:
  into: {schema: app, name: events}
  values:
  - {column: kind, value: done}
  - {column: held, matched: silent}
  - {column: data, object: [{key: gone, affected: silent}, {key: held, matched: days}]}
"#;

/// The good policy with one place of it replaced.
fn with(path: &str, value: Value) -> Value {
    replaced(GOOD, path, value)
}

/// A policy with one place of it replaced.
fn replaced(spec: &str, path: &str, value: Value) -> Value {
    let mut document = document(spec);
    let (parent, field) = path.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match parent {
        Value::Object(fields) => {
            fields.insert(field.to_owned(), value);
        }
        Value::Array(items) => items[field.parse::<usize>().unwrap()] = value,
        _ => unreachable!("a path into the document"),
    }
    document
}

fn problems(document: &Value) -> Vec<String> {
    let problems = validate(document).err().unwrap_or_default();
    problems.iter().map(Problem::to_string).collect()
}

#[test]
fn a_limit_takes_what_is_exactly_as_much() {
    for (path, most, above) in [
        ("/metadata/name", json!("x".repeat(49)), json!("x".repeat(50))),
        ("/metadata/namespace", json!("x".repeat(63)), json!("x".repeat(64))),
        ("/spec/rules/0/name", json!("x".repeat(40)), json!("x".repeat(41))),
        (
            "/spec/execution",
            json!({"batchTimeout": "2147483647ms"}),
            json!({"batchTimeout": "2147483648ms"}),
        ),
    ] {
        let mut whole = document(GOOD);
        whole["spec"]["execution"] = json!({});
        assert_eq!(problems(&replaced_in(&whole, path, most)), [""; 0], "{path}");
        assert_eq!(problems(&replaced_in(&whole, path, above)).len(), 1, "{path}");
    }
    let dotted =
        replaced_in(&document(GOOD), "/spec/rules/0/name", json!(format!("{}.", "x".repeat(39))));
    assert_eq!(problems(&dotted).len(), 1, "40 characters, and no label");
}

fn replaced_in(document: &Value, path: &str, value: Value) -> Value {
    let mut document = document.clone();
    *document.pointer_mut(path).unwrap() = value;
    document
}

#[test]
fn a_right_policy_is_taken() {
    assert_eq!(problems(&document(GOOD)), [""; 0]);
    assert_eq!(problems(&document(FULL)), [""; 0]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: a line a rule of the language")]
fn each_wrong_field_is_named_with_its_path() {
    for (path, value, expected) in [
        ("/kind", json!("CronJob"), "kind: must be CleanupPolicy"),
        ("/apiVersion", json!("v1"), "apiVersion: must be pgsweep.dev/v1alpha1"),
        (
            "/metadata/name",
            json!("a.b"),
            "metadata.name: must be a DNS label: lower-case letters, digits and '-', without dots",
        ),
        (
            "/metadata/name",
            json!("a".repeat(50)),
            "metadata.name: must have at most 49 characters, so that the names of its Jobs fit",
        ),
        ("/spec/mode", json!("enforce"), "spec.mode: must be one of Enforce, DryRun"),
        ("/spec/suspend", json!("yes"), "spec.suspend: must be of type boolean, not string"),
        ("/spec/historyLimit", json!(31), "spec.historyLimit: must be at most 30"),
        (
            "/spec/failedJobsHistoryLimit",
            json!(0),
            "spec.failedJobsHistoryLimit: must be at least 1",
        ),
        (
            "/spec/backoffLimit",
            json!(1.5),
            "spec.backoffLimit: must be of type integer, not decimal",
        ),
        ("/spec/Suspend", json!(true), "spec.Suspend: is an unknown field; did you mean suspend?"),
        ("/spec/approval", json!("Always"), "spec.approval: must be one of Never, OnRulesChange"),
        ("/spec/database/caFrom", json!({}), "spec.database.caFrom.secretKeyRef: is required"),
        (
            "/spec/database/caFrom",
            json!({"secretKeyRef": {"name": "db-ca", "key": "ca/crt"}}),
            "spec.database.caFrom.secretKeyRef.key: must be a key of a Secret: letters, digits, '-', '_' and '.'",
        ),
        (
            "/spec/database/urlFrom/secretKeyRef/name",
            json!("A b"),
            "spec.database.urlFrom.secretKeyRef.name: must be the name of a Secret: lower-case letters, digits, '-' and '.'",
        ),
        (
            "/spec/execution",
            json!({"lockTimeout": "0s"}),
            "spec.execution.lockTimeout: must be more than 0",
        ),
        (
            "/spec/execution",
            json!({"batchTimeout": "fast"}),
            "spec.execution.batchTimeout: must be numbers with units, such as 90s, 30m, 24h, 7d, 2w or 1h30m (units: w, d, h, m, s, ms)",
        ),
        (
            "/spec/activeDeadlineSeconds",
            json!(1260),
            "spec.activeDeadlineSeconds: must be more than execution.maxDuration + 60 s, so that a run can end by itself",
        ),
        (
            "/spec/podTemplate",
            json!({"labels": {"pgsweep.dev/policy": "x"}}),
            "spec.podTemplate.labels.pgsweep.dev/policy: must not use pgsweep.dev/ or app.kubernetes.io/: those are the operator's",
        ),
        (
            "/spec/podTemplate",
            json!({"hostNetwork": true}),
            "spec.podTemplate.hostNetwork: is an unknown field",
        ),
        ("/spec/rules", json!([]), "spec.rules: must not be empty"),
        (
            "/spec/rules/1/name",
            json!("delete-expired"),
            "spec.rules[1].name: \"delete-expired\" is the name of an earlier rule",
        ),
        (
            "/spec/rules/0/name",
            json!("Delete"),
            "spec.rules[0].name: must be a DNS label: lower-case letters, digits and '-'",
        ),
        (
            "/spec/rules/0/table/name",
            json!("é".repeat(32)),
            "spec.rules[0].table.name: must have at most 63 bytes: Postgres would cut it off and mean another name",
        ),
        (
            "/spec/rules/0/limits",
            json!({"maxRows": 0}),
            "spec.rules[0].limits.maxRows: must be at least 1",
        ),
        ("/spec/rules/0/where", json!([]), "spec.rules[0].where: must not be empty"),
        (
            "/spec/rules/0/where/0",
            json!({}),
            "spec.rules[0].where[0]: a condition is exactly one of: column with operator, anyOf, exists, notExists",
        ),
        (
            "/spec/rules/0/where/0",
            json!({"column": "a"}),
            "spec.rules[0].where[0].operator: is required beside column",
        ),
        (
            "/spec/rules/0/where/0/age",
            json!("-1h"),
            "spec.rules[0].where[0].age: must be numbers with units, such as 90s, 30m, 24h, 7d, 2w or 1h30m (units: w, d, h, m, s, ms)",
        ),
        (
            "/spec/rules/0/where/0/value",
            json!(1),
            "spec.rules[0].where[0].value: does not belong to operator OlderThan; remove it",
        ),
        (
            "/spec/rules/0/where/1/value",
            json!(1),
            "spec.rules[0].where[1].value: belongs to a column condition, not beside anyOf",
        ),
        (
            "/spec/rules/0/where/1/anyOf/0/operator",
            json!("Like"),
            "spec.rules[0].where[1].anyOf[0].operator: must be one of Equals, NotEquals, In, NotIn, LessThan, GreaterThan, IsNull, IsNotNull, OlderThan, NewerThan",
        ),
        (
            "/spec/rules/0/where/1/anyOf/0/values",
            json!([true]),
            "spec.rules[0].where[1].anyOf[0].values[0]: must be a string or a 64-bit integer, not boolean; put it in quotes",
        ),
        (
            "/spec/rules/1/where/0/value",
            json!(1.5),
            "spec.rules[1].where[0].value: must be a string or a 64-bit integer, not decimal; put it in quotes",
        ),
        (
            "/spec/rules/1/where/0/value",
            json!("a\0b"),
            "spec.rules[1].where[0].value: must not contain a NUL character",
        ),
        (
            "/spec/rules/0/action",
            json!({}),
            "spec.rules[0].action: an action is exactly one of: update, delete, archive, dropPartitions",
        ),
        (
            "/spec/rules/1/action/update/set/0",
            json!({"column": "a"}),
            "spec.rules[1].action.update.set[0]: set is exactly one of: value, now, fromColumn, setNull",
        ),
        (
            "/spec/rules/1/action/update/set/1",
            json!({"column": "b", "now": false}),
            "spec.rules[1].action.update.set[1].now: is either true or left out",
        ),
        (
            "/spec/rules/1/action/update/set/1",
            json!({"column": "a", "now": true}),
            "spec.rules[1].action.update.set[1].column: \"a\" is set twice",
        ),
        (
            "/spec/limits",
            json!({"minimumAge": "2h"}),
            "spec.rules[0].where: a rule that deletes needs an OlderThan of at least 2h here, since spec.limits.minimumAge says so",
        ),
    ] {
        let found = problems(&with(path, value.clone()));
        assert_eq!(found, [expected], "{path} = {value}");
    }
}

#[test]
fn a_wrong_schedule_and_a_wrong_zone_are_told_apart() {
    let found = problems(&with("/spec/schedule", json!("0 0 30 2 *")));
    assert_eq!(found, ["spec.schedule: names a day that never comes"]);
    let found = problems(&with("/spec/schedule", json!("* * * *")));
    assert!(found.len() == 1 && found[0].starts_with("spec.schedule: "), "{found:?}");
    let found = problems(&with("/spec/timeZone", json!("Mars/Olympus")));
    assert!(found.len() == 1 && found[0].starts_with("spec.timeZone: "), "{found:?}");
}

#[test]
fn one_wrong_field_hides_no_other() {
    let mut document = with("/spec/mode", json!("Maybe"));
    document["spec"]["schedule"] = json!("every day");
    document["spec"]["timeZone"] = json!("Local");
    document["spec"]["activeDeadlineSeconds"] = json!(100);
    document["spec"]["rules"][0]["where"][0]["age"] = json!("soon");
    document["spec"]["rules"][0]["where"][1]["anyOf"][0]["values"] = json!([true]);
    document["spec"]["rules"][1]["name"] = json!("delete-expired");
    document["spec"]["rules"][1]["action"] = json!({});
    let found = validate(&document).unwrap_err();
    let paths: Vec<_> = found.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "spec.activeDeadlineSeconds",
            "spec.mode",
            "spec.rules[0].where[0].age",
            "spec.rules[0].where[1].anyOf[0].values[0]",
            "spec.rules[1].action",
            "spec.rules[1].name",
            "spec.schedule",
            "spec.timeZone",
        ]
    );
}

#[test]
fn a_document_that_is_nothing_of_ours_is_refused_without_a_panic() {
    for document in [
        json!(null),
        json!(1),
        json!("x"),
        json!([]),
        json!({}),
        json!({"spec": 1}),
        json!({"spec": {"rules": 1}}),
        json!({"spec": {"rules": [1, null, {"where": [[]], "action": []}]}}),
    ] {
        assert!(validate(&document).is_err(), "{document}");
    }
}

#[test]
fn a_policy_that_fits_no_environment_variable_is_refused() {
    let value = Value::String("$".repeat(4000));
    let condition = json!({"column": "a", "operator": "In", "values": vec![value; 16]});
    let found = problems(&with("/spec/rules/0/where/0", condition));
    assert!(found[0].starts_with("spec: must have at most 98304 bytes as JSON"), "{found:?}");
}
