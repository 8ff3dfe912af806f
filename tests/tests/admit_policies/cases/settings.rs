//! The policy as a whole: its name, schedule, database, limits, execution and pods.

use super::super::case::{Case, EMPTY, MATCH, case, longest, range, required};

pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(metadata_and_required());
    cases.extend(settings());
    cases.extend(authority());
    cases.extend(numbers());
    cases.extend(durations());
    cases.extend(pod_template());
    cases
}

fn metadata_and_required() -> Vec<Case> {
    let dns = "metadata.name must be a DNS label: lower-case letters, digits and '-', without dots";
    let long = "metadata.name must have at most 49 characters, so that the names of its Jobs fit";
    let mut cases = vec![
        case("metadata.name", &["a", "a-1"], "a.b", dns),
        case("metadata.name", &[&"x".repeat(49)], &"x".repeat(50), long),
        case("spec.rulez", &[], "[]", "unknown field \"spec.rulez\""),
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
    ] {
        cases.push(required(field));
    }
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
        case("spec.database.urlFrom.secretKeyRef.name", &[], "a..b", MATCH),
        longest("spec.database.urlFrom.secretKeyRef.key", 253),
        case("spec.database.urlFrom.secretKeyRef.key", &["A_b.c-d"], "a/b", MATCH),
        case(
            "spec.approval",
            &["Never", "OnRulesChange"],
            "Always",
            "Unsupported value: \"Always\"",
        ),
    ]
}

fn authority() -> Vec<Case> {
    vec![
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
    ]
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
        "spec.execution.maxReplicaLag",
        "spec.execution.maxDuration",
        "spec.rules[0].where[0].age",
        "spec.rules[3].action.dropPartitions.graceAge",
    ] {
        for refused in ["'5'", "-5m", "1.5h", "1 h", "''"] {
            cases.push(case(at, &["1s"], refused, MATCH));
        }
        cases.push(case(at, &[], &"1s".repeat(17), "Too long"));
        if at.starts_with("spec.execution.") {
            cases.push(case(at, &["1ms"], "0h0s", "must be more than 0"));
        }
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

/// A reference to a CA: the base has none, so it is set whole.
fn ca(name: &str, key: &str, wrong_name: &str, wrong_key: &str, says: &str) -> Case {
    let reference =
        |name: &str, key: &str| format!("{{secretKeyRef: {{name: {name}, key: {key}}}}}");
    case("spec.database.caFrom", &[&reference(name, key)], &reference(wrong_name, wrong_key), says)
}
