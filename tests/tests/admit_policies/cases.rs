//! The cases: one for each rule and each bound of the CRD.

use super::case::{
    ABSENT, Case, EMPTY, MATCH, NOT_IMPLEMENTED, case, entries, longest, not_implemented, range,
};

/// The policy that every case changes in one place.
pub const BASE: &str = "
apiVersion: pgsweep.dev/v1alpha1
kind: CleanupPolicy
metadata: {name: admitted}
spec:
  schedule: '*/5 * * * *'
  mode: Enforce
  database: {urlFrom: {secretKeyRef: {name: db, key: uri}}}
  rules:
  - name: first
    table: {schema: app, name: sessions}
    where: [{column: expires_at, operator: OlderThan, age: 1h}]
    action: {delete: {}}
  - name: second
    table: {schema: app, name: sessions}
    where: [{anyOf: [{column: state, operator: Equals, value: old}]}]
    action: {update: {set: [{column: state, value: gone}]}}
";

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(metadata_and_required());
    cases.extend(settings());
    cases.extend(numbers());
    cases.extend(durations());
    cases.extend(pod_template());
    cases.extend(rules());
    for (at, with_kind) in
        [("spec.rules[0].where[0]", true), ("spec.rules[1].where[0].anyOf[0]", false)]
    {
        cases.extend(column_conditions(at, with_kind));
    }
    cases.extend(conditions());
    cases.extend(actions());
    cases
}

fn metadata_and_required() -> Vec<Case> {
    let dns = "metadata.name must be a DNS label: lower-case letters, digits and '-', without dots";
    let long = "metadata.name must have at most 49 characters, so that the names of its Jobs fit";
    let mut cases = vec![
        case("metadata.name", &["a", "a-1"], "a.b", dns),
        case("metadata.name", &[&"x".repeat(49)], &"x".repeat(50), long),
        case("spec.rulez", &[], "[]", "unknown field \"spec.rulez\""),
        case(
            "spec.rules[0].where[0].colum",
            &[],
            "x",
            "unknown field \"spec.rules[0].where[0].colum\"",
        ),
    ];
    for field in [
        "spec.schedule",
        "spec.mode",
        "spec.database",
        "spec.database.urlFrom",
        "spec.database.urlFrom.secretKeyRef",
        "spec.database.urlFrom.secretKeyRef.name",
        "spec.database.urlFrom.secretKeyRef.key",
        "spec.rules",
        "spec.rules[0].table",
        "spec.rules[0].table.schema",
        "spec.rules[0].table.name",
        "spec.rules[0].where",
        "spec.rules[0].action",
        "spec.rules[1].where[0].anyOf[0].column",
        "spec.rules[1].where[0].anyOf[0].operator",
        "spec.rules[1].action.update.set",
        "spec.rules[1].action.update.set[0].column",
    ] {
        cases.push(case(field, &[], ABSENT, &format!("{field}: Required value")));
    }
    // The key of a list map: the server asks for it before it looks at the schema.
    cases.push(case("spec.rules[0].name", &[], ABSENT, "name"));
    cases
}

fn settings() -> Vec<Case> {
    let schedules = ["'@hourly'", "'@daily'", "0 4 * * 1-5", "'*/15 0,12 1 JAN MON'"];
    vec![
        case("spec.schedule", &schedules, "'* * * *'", MATCH),
        case("spec.schedule", &[], "'0 * * * * *'", MATCH),
        case("spec.schedule", &[], "'@every 5m'", MATCH),
        case("spec.schedule", &[], "''", EMPTY),
        case("spec.schedule", &[], &format!("'{} * * * *'", "1,".repeat(64)), "Too long"),
        case(
            "spec.schedule",
            &[],
            "'TZ=UTC * * * *'",
            "schedule takes no TZ=; set spec.timeZone instead",
        ),
        case("spec.timeZone", &["Europe/Berlin"], "''", EMPTY),
        case("spec.timeZone", &[], &"x".repeat(65), "Too long"),
        case(
            "spec.concurrencyPolicy",
            &["Forbid", "Replace"],
            "Allow",
            "Unsupported value: \"Allow\"",
        ),
        case("spec.mode", &["Enforce", "DryRun"], "Delete", "Unsupported value: \"Delete\""),
        case("spec.execution.onRuleError", &["Continue", "Stop"], "Ignore", "Unsupported value"),
        longest("spec.runNow", 63),
        longest("spec.database.urlFrom.secretKeyRef.name", 253),
        case("spec.database.urlFrom.secretKeyRef.name", &["a.b-c"], "A", MATCH),
        longest("spec.database.urlFrom.secretKeyRef.key", 253),
        case("spec.database.urlFrom.secretKeyRef.key", &["A_b.c-d"], "a/b", MATCH),
        not_implemented("spec.approval", "OnRulesChange"),
        case("spec.approval", &[], &"x".repeat(33), "Too long"),
        not_implemented("spec.report", "{}"),
        case(
            "spec.database.caFrom",
            &["{secretKeyRef: {name: db-ca, key: ca.crt}}"],
            "{}",
            "spec.database.caFrom.secretKeyRef: Required value",
        )
        .problem("spec.database.caFrom.secretKeyRef"),
        ca(
            &"x".repeat(253),
            "ca.crt",
            &"x".repeat(254),
            "ca.crt",
            "Too long: may not be more than 253 ",
        )
        .problem("spec.database.caFrom.secretKeyRef.name"),
        ca("a.b-c", "ca.crt", "A", "ca.crt", MATCH)
            .problem("spec.database.caFrom.secretKeyRef.name"),
        ca(
            "db-ca",
            &"x".repeat(253),
            "db-ca",
            &"x".repeat(254),
            "Too long: may not be more than 253 ",
        )
        .problem("spec.database.caFrom.secretKeyRef.key"),
        ca("db-ca", "A_b.c-d", "db-ca", "a/b", MATCH)
            .problem("spec.database.caFrom.secretKeyRef.key"),
        not_implemented("spec.execution.maxReplicaLag", "10s"),
    ]
}

/// A reference to a CA: the base has none, so it is set whole.
fn ca(name: &str, key: &str, wrong_name: &str, wrong_key: &str, says: &str) -> Case {
    let reference =
        |name: &str, key: &str| format!("{{secretKeyRef: {{name: {name}, key: {key}}}}}");
    case("spec.database.caFrom", &[&reference(name, key)], &reference(wrong_name, wrong_key), says)
}

fn numbers() -> Vec<Case> {
    [
        range("spec.startingDeadlineSeconds", 10, 604_800),
        range("spec.successfulJobsHistoryLimit", 1, 100),
        range("spec.failedJobsHistoryLimit", 1, 100),
        range("spec.historyLimit", 1, 30),
        range("spec.backoffLimit", 0, 20),
        range("spec.limits.maxRowsPerRun", 1, 1_000_000_000_000),
        range("spec.limits.maxPercentOfTable", 1, 100),
        range("spec.execution.batchSize", 1, 50_000),
        range("spec.execution.maxRowsPerSecond", 0, 1_000_000_000),
        range("spec.rules[0].limits.maxRows", 1, 1_000_000_000_000),
        range("spec.rules[0].limits.maxPercentOfTable", 1, 100),
    ]
    .into_iter()
    .flatten()
    .chain([
        // 61 is taken by the schema and refused by `policy::validate`, beside `maxDuration`.
        case("spec.activeDeadlineSeconds", &["604800"], "60", "greater than or equal to 61"),
        case("spec.activeDeadlineSeconds", &[], "604801", "less than or equal to 604800"),
    ])
    .collect()
}

fn durations() -> Vec<Case> {
    let mut cases = Vec::new();
    for at in [
        "spec.limits.minimumAge",
        "spec.execution.targetBatchDuration",
        "spec.execution.batchTimeout",
        "spec.execution.lockTimeout",
        "spec.execution.statementTimeout",
        "spec.execution.maxDuration",
        "spec.rules[0].where[0].age",
    ] {
        for refused in ["'5'", "-5m", "1.5h", "1 h", "''"] {
            cases.push(case(at, &["1s"], refused, MATCH));
        }
        cases.push(case(at, &[], &"1s".repeat(17), "Too long"));
    }
    cases
}

fn pod_template() -> Vec<Case> {
    let many = |count: usize| {
        let pairs: Vec<_> = (0..count).map(|n| format!("k{n}: v")).collect();
        format!("{{{}}}", pairs.join(", "))
    };
    let reserved = "podTemplate.labels must not use pgsweep.dev/ or app.kubernetes.io/: those are the operator's";
    let mut cases = vec![
        case(
            "spec.podTemplate.labels",
            &["{example.com/team: a}"],
            "{pgsweep.dev/mode: a}",
            reserved,
        )
        .problem("spec.podTemplate.labels.pgsweep.dev/mode"),
        case("spec.podTemplate.labels", &[], "{app.kubernetes.io/name: a}", reserved)
            .problem("spec.podTemplate.labels.app.kubernetes.io/name"),
        case(
            "spec.podTemplate.labels",
            &[],
            "{job-name: a}",
            "podTemplate.labels must not use batch.kubernetes.io/, job-name or controller-uid: those are the Job's",
        )
        .problem("spec.podTemplate.labels.job-name"),
        longest("spec.podTemplate.priorityClassName", 253),
        longest("spec.podTemplate.serviceAccountName", 253),
        longest("spec.podTemplate.runtimeClassName", 253),
    ];
    for field in ["labels", "annotations", "nodeSelector"] {
        let at = format!("spec.podTemplate.{field}");
        cases.push(case(&at, &[&many(32)], &many(33), "must have at most 32 items"));
    }
    cases
}

fn rules() -> Vec<Case> {
    let rule = |n: usize| {
        format!(
            "{{name: r{n}, table: {{schema: a, name: b}}, where: [{{column: c, operator: IsNull}}], action: {{delete: {{}}}}}}"
        )
    };
    let condition = |n: usize| format!("{{column: c{n}, operator: IsNull}}");
    let twice = format!("[{}, {}]", rule(1), rule(1));
    let mut cases = vec![
        case("spec.rules", &[], &twice, "Duplicate value").problem("spec.rules[1].name"),
        longest("spec.rules[0].name", 40),
        case("spec.rules[0].name", &["a-1"], "A", MATCH),
        case("spec.rules[0].name", &[], "'-a'", MATCH),
        case("spec.rules[0].name", &[], "''", EMPTY),
        not_implemented("spec.rules[0].emit", "[{}]"),
        case("spec.rules[0].emit", &[], "[{}, {}, {}, {}, {}]", "must have at most 4 items"),
    ];
    for at in [
        "spec.rules[0].table.schema",
        "spec.rules[0].table.name",
        "spec.rules[0].where[0].column",
        "spec.rules[1].where[0].anyOf[0].column",
        "spec.rules[1].action.update.set[0].column",
    ] {
        cases.push(longest(at, 63));
        cases.push(case(at, &["'say \"hi\"'"], "''", EMPTY));
    }
    cases.extend(entries("spec.rules", 32, rule));
    cases.extend(entries("spec.rules[0].where", 16, condition));
    cases.extend(entries("spec.rules[1].where[0].anyOf", 16, condition));
    cases
}

/// What holds for a column condition, at the top and inside `anyOf`.
fn column_conditions(at: &str, top: bool) -> Vec<Case> {
    let value =
        "Equals, NotEquals, LessThan and GreaterThan need value, and no other operator takes it";
    let values = "In and NotIn need values, and no other operator takes it";
    let age = "OlderThan and NewerThan need age, and no other operator takes it";
    let fits = [
        "{column: c, operator: Equals, value: a}",
        "{column: c, operator: LessThan, value: 5}",
        "{column: c, operator: NotIn, values: [a, 5]}",
        "{column: c, operator: NewerThan, age: 0s}",
        "{column: c, operator: IsNotNull}",
    ];
    let inside = |field: &str| format!("{at}.{field}");
    let list = |count: usize| {
        format!("{{column: c, operator: In, values: [{}]}}", vec!["x"; count].join(", "))
    };
    let long =
        |length: usize| format!("{{column: c, operator: Equals, value: {}}}", "x".repeat(length));
    let mut cases = vec![
        case(at, &fits, "{column: c, operator: Equals}", value).problem(&inside("value")),
        case(at, &[], "{column: c, operator: IsNull, value: a}", value).problem(&inside("value")),
        case(at, &[], "{column: c, operator: In}", values).problem(&inside("values")),
        case(at, &[], "{column: c, operator: Equals, value: a, values: [a]}", values)
            .problem(&inside("values")),
        case(at, &[], "{column: c, operator: OlderThan}", age).problem(&inside("age")),
        case(at, &[], "{column: c, operator: IsNull, age: 1h}", age).problem(&inside("age")),
        case(&inside("operator"), &[], "Like", "Unsupported value: \"Like\""),
        case(&inside("age"), &[], "5", "string"),
        case(&inside("value"), &[], "true", "must be of type"),
        case(&inside("value"), &[], "1.5", "must be of type"),
        case(&inside("values"), &[], "[]", "should have at least 1 items"),
        case(&inside("values[0]"), &[], "true", "must be of type"),
        case(at, &[&list(256)], &list(257), "must have at most 256 items")
            .problem(&inside("values")),
        case(at, &[&long(4096)], &long(4097), "Too long").problem(&inside("value")),
        case(&inside("unit"), &[], "EpochSeconds", &format!("unit {NOT_IMPLEMENTED}")),
    ];
    if top {
        let kind = "a condition is exactly one of: column with operator, anyOf, exists, notExists";
        cases.push(case(at, &[], "{}", kind));
    }
    cases
}

fn conditions() -> Vec<Case> {
    let at = "spec.rules[0].where[0]";
    let kind = "a condition is exactly one of: column with operator, anyOf, exists, notExists";
    let any_of = "anyOf: [{column: c, operator: IsNull}]";
    vec![
        case(
            at,
            &[&format!("{{{any_of}}}")],
            &format!("{{column: c, operator: IsNull, {any_of}}}"),
            kind,
        ),
        case(at, &[], "{column: c}", "column and operator belong together")
            .problem("spec.rules[0].where[0].operator"),
        case(
            at,
            &[],
            &format!("{{value: a, {any_of}}}"),
            "value, values and age belong to a column condition",
        )
        .problem("spec.rules[0].where[0].value"),
        not_implemented("spec.rules[0].where[0].exists", "{}"),
        not_implemented("spec.rules[0].where[0].notExists", "{}"),
    ]
}

fn actions() -> Vec<Case> {
    let action = "an action is exactly one of: update, delete, archive, dropPartitions";
    let set = "set is exactly one of: value, now, fromColumn, setNull";
    let at = "spec.rules[1].action.update.set[0]";
    let inside = |field: &str| format!("{at}.{field}");
    let fits = [
        "{column: a, value: 5}",
        "{column: a, now: true}",
        "{column: a, fromColumn: b}",
        "{column: a, setNull: true}",
    ];
    let from = |length: usize| format!("{{column: a, fromColumn: {}}}", "x".repeat(length));
    let long = |length: usize| format!("{{column: a, value: {}}}", "x".repeat(length));
    let mut cases = vec![
        case("spec.rules[0].action", &["{delete: {}}"], "{}", action),
        case(
            "spec.rules[0].action",
            &[],
            "{delete: {}, update: {set: [{column: a, now: true}]}}",
            action,
        ),
        not_implemented("spec.rules[0].action.archive", "{}"),
        not_implemented("spec.rules[0].action.dropPartitions", "{}"),
        case(at, &fits, "{column: a}", set),
        case(at, &[], "{column: a, value: 5, now: true}", set),
        case(at, &[], "{column: a, now: false}", "now is either true or left out")
            .problem(&inside("now")),
        case(at, &[], "{column: a, setNull: false}", "setNull is either true or left out")
            .problem(&inside("setNull")),
        case(&inside("value"), &[], "true", "must be of type"),
        case(at, &[&long(4096)], &long(4097), "Too long").problem(&inside("value")),
        case(at, &[&from(63)], &from(64), "Too long").problem(&inside("fromColumn")),
    ];
    let assignment = |n: usize| format!("{{column: c{n}, now: true}}");
    cases.extend(entries("spec.rules[1].action.update.set", 32, assignment));
    cases
}
