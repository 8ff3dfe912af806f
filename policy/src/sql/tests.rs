//! The text of every statement, and that no input can change its shape.

mod hostile;

use serde_json::{Value, json};

use crate::catalog::{Catalog, ColumnFacts, PartitioningFacts, TableFacts};
use crate::identifier::{Identifier, QualifiedTable};
use crate::plan::Plan;
use crate::policy::Policy;
use crate::sql::Statement;
use crate::validate;

fn policy(rule: &Value) -> Policy {
    let document = json!({
        "apiVersion": "pgsweep.dev/v1alpha1",
        "kind": "CleanupPolicy",
        "metadata": {"name": "p"},
        "spec": {
            "schedule": "@hourly",
            "mode": "Enforce",
            "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "uri"}}},
            "rules": [rule],
        },
    });
    validate(&document).unwrap()
}

fn identifier(name: &str) -> Identifier {
    Identifier::parse(name).unwrap()
}

fn facts(columns: &[(&str, &str)], key: &[&str]) -> TableFacts {
    let column = |(name, sql_type): &(&str, &str)| ColumnFacts::new(identifier(name), sql_type);
    TableFacts {
        columns: columns.iter().map(column).collect(),
        primary_key: key.iter().map(|name| identifier(name)).collect(),
        insertable: true,
        analysed: true,
        role: "cleaner".to_owned(),
        can_use_schema: true,
        can_select: true,
        can_insert: true,
        can_delete: true,
        ..TableFacts::default()
    }
}

fn table(schema: &str, name: &str) -> QualifiedTable {
    QualifiedTable { schema: identifier(schema), name: identifier(name) }
}

/// A table that takes what is archived from one with these columns.
fn archive_of(columns: &[(&str, &str)]) -> TableFacts {
    let ours = [
        ("pgsweep_run_id", "text"),
        ("pgsweep_rule", "text"),
        ("pgsweep_archived_at", "timestamp with time zone"),
    ];
    facts(&[columns, &ours].concat(), &[])
}

/// The same table by range of a column.
fn partitioned(mut facts: TableFacts, key: &str) -> TableFacts {
    facts.is_owner = true;
    facts.partitioning = Some(PartitioningFacts {
        by_range: true,
        key: vec![Some(identifier(key))],
        default_partition: None,
        partitions: 3,
        pending: Vec::new(),
        foreign_owners: Vec::new(),
    });
    facts
}

fn plan(rule: &Value, facts: TableFacts) -> Plan {
    let mut catalog = Catalog::default();
    catalog.insert(table("app", "codes"), facts);
    catalog.insert(table("archive", "codes"), archive_of(&CODES));
    for (name, columns) in OTHERS {
        catalog.insert(table("app", name), self::facts(columns, &[]));
    }
    Plan::new(&policy(rule), &catalog).unwrap()
}

const CODES: [(&str, &str); 7] = [
    ("id", "uuid"),
    ("state", "character varying"),
    ("uses", "integer"),
    ("expires_at", "timestamp with time zone"),
    ("seen_on", "date"),
    ("at", "timestamp without time zone"),
    ("kind", "app.\"Kind of code\""),
];

/// The tables that rules look at or insert into.
const OTHERS: [(&str, &[(&str, &str)]); 3] = [
    ("people", &[("code_id", "uuid"), ("seen_at", "timestamp with time zone")]),
    ("kinds", &[("kind", "app.\"Kind of code\"")]),
    (
        "events",
        &[
            ("event_type", "character varying"),
            ("data", "jsonb"),
            ("code_id", "uuid"),
            ("at", "timestamp with time zone"),
            ("note", "text"),
        ],
    ),
];

fn codes() -> TableFacts {
    facts(&CODES, &["id"])
}

fn shown(statement: &Statement) -> String {
    let binds: Vec<_> = statement
        .binds
        .iter()
        .enumerate()
        .map(|(n, bind)| format!("${} = {bind:?}", n + 1))
        .collect();
    format!("{}\n\n{}", statement.text, binds.join("\n"))
}

fn every_condition() -> Value {
    json!([
        {"column": "expires_at", "operator": "OlderThan", "age": "1h"},
        {"column": "at", "operator": "OlderThan", "age": "2d"},
        {"column": "seen_on", "operator": "NewerThan", "age": "4w"},
        {"column": "state", "operator": "Equals", "value": "used"},
        {"column": "state", "operator": "NotEquals", "value": "kept"},
        {"column": "uses", "operator": "LessThan", "value": 5},
        {"column": "uses", "operator": "GreaterThan", "value": "1"},
        {"column": "kind", "operator": "In", "values": ["a", 2]},
        {"column": "kind", "operator": "NotIn", "values": ["b"]},
        {"column": "seen_on", "operator": "IsNotNull"},
        {"anyOf": [
            {"column": "at", "operator": "IsNull"},
            {"column": "expires_at", "operator": "OlderThan", "age": "1h"},
        ]},
    ])
}

#[test]
fn every_condition_in_a_delete() {
    let rule = json!({
        "name": "r", "table": {"schema": "app", "name": "codes"},
        "where": every_condition(), "action": {"delete": {}},
    });
    let plan = plan(&rule, codes());
    insta::assert_snapshot!("delete_first_batch", shown(&plan.steps()[0].change_batch(false)));
    insta::assert_snapshot!("delete_next_batch", shown(&plan.steps()[0].change_batch(true)));
    insta::assert_snapshot!("count", shown(&plan.steps()[0].count_matched()));
    insta::assert_snapshot!("oldest", shown(&plan.steps()[0].oldest_overdue().unwrap()));
}

#[test]
fn every_assignment_in_an_update() {
    let rule = json!({
        "name": "r", "table": {"schema": "app", "name": "codes"},
        "where": [{"column": "expires_at", "operator": "OlderThan", "age": "0s"}],
        "action": {"update": {"set": [
            {"column": "state", "value": "ended"},
            {"column": "expires_at", "now": true},
            {"column": "at", "now": true},
            {"column": "seen_on", "fromColumn": "at"},
            {"column": "kind", "setNull": true},
        ]}},
    });
    insta::assert_snapshot!(
        "update_next_batch",
        shown(&plan(&rule, codes()).steps()[0].change_batch(true))
    );
}

#[test]
fn without_a_database_the_types_are_left_to_postgres() {
    let policy = policy(&json!({
        "name": "r", "table": {"schema": "app", "name": "codes"},
        "where": every_condition(), "action": {"delete": {}},
    }));
    insta::assert_snapshot!(
        "offline",
        shown(&Plan::offline(&policy).steps()[0].change_batch(false))
    );
}

fn silent_sessions(action: &Value) -> Value {
    json!({
        "name": "r", "table": {"schema": "app", "name": "codes"},
        "where": [
            {"column": "state", "operator": "Equals", "value": "open"},
            {"notExists": {
                "table": {"schema": "app", "name": "people"},
                "join": [{"column": "code_id", "references": "id"}],
                "where": [{"column": "seen_at", "operator": "NewerThan", "age": "1h"}],
            }},
            {"exists": {
                "table": {"schema": "app", "name": "kinds"},
                "join": [{"column": "kind", "references": "kind"}],
            }},
        ],
        "action": action,
        "emit": [{"into": {"schema": "app", "name": "events"}, "values": [
            {"column": "event_type", "value": "gone"},
            {"column": "data", "object": [
                {"key": "id", "fromColumn": "id"}, {"key": "why", "value": "silent"},
                {"key": "days", "value": 30}, {"key": "at", "now": true}, {"key": "none", "setNull": true},
            ]},
            {"column": "code_id", "fromColumn": "id"},
            {"column": "at", "now": true},
            {"column": "note", "setNull": true},
        ]}],
    })
}

/// Every statement of a batch that locks first, with the rest that goes with it.
fn every_statement(plan: &Plan) -> String {
    let step = &plan.steps()[0];
    let mut statements = vec![step.lock_batch(true)];
    statements.extend(step.lock_partners());
    statements.push(step.change_locked());
    statements.extend(step.read_values());
    statements.iter().map(shown).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn rows_with_partners_are_locked_before_they_are_changed() {
    let rule = silent_sessions(&json!({"delete": {}}));
    let plan = plan(&rule, codes());
    assert!(plan.steps()[0].locks_first());
    assert_eq!(plan.steps()[0].strategy(), crate::Strategy::PrimaryKey);
    insta::assert_snapshot!("locks_first", every_statement(&plan));
}

#[test]
fn archived_rows_take_every_column_along() {
    let rule = json!({
        "name": "r", "table": {"schema": "app", "name": "codes"},
        "where": [{"column": "expires_at", "operator": "OlderThan", "age": "90d"}],
        "action": {"archive": {"into": {"schema": "archive", "name": "codes"}}},
    });
    let plan = plan(&rule, codes());
    insta::assert_snapshot!("archive", shown(&plan.steps()[0].change_batch(true)));
}

#[test]
fn whole_partitions_are_detached_and_dropped() {
    let rule = json!({
        "name": "r", "table": {"schema": "app", "name": "codes"},
        "where": [{"column": "expires_at", "operator": "OlderThan", "age": "30d"}],
        "action": {"dropPartitions": {}},
    });
    let plan = plan(&rule, partitioned(codes(), "expires_at"));
    let step = &plan.steps()[0];
    assert_eq!(step.strategy(), crate::Strategy::Partition);
    let old = table("app", "codes \" 2025");
    let parse = |text| crate::PartitionBound::parse(text).unwrap();
    let bound = parse("FOR VALUES FROM (MINVALUE) TO ('2026-01-01')");
    let range = parse("FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')");
    let statements = [
        step.due_partitions().unwrap(),
        step.count_partition(&old),
        step.count_partition_up_to(&old),
        step.count_range_up_to(&bound).unwrap(),
        step.count_range_up_to(&range).unwrap(),
        step.estimate_range(&range).unwrap(),
        step.detach(&old, false),
        step.detach(&old, true),
        step.attach(&old, &bound),
        crate::Step::lock_detached(&old),
        crate::Step::drop_detached(&old),
    ];
    let shown: Vec<_> = statements.iter().map(shown).collect();
    insta::assert_snapshot!("partitions", shown.join("\n\n"));
}

#[test]
fn numbers_are_compared_with_the_cutoff_as_a_number() {
    let older = |column: &str, unit: &str| json!({"column": column, "operator": "OlderThan", "age": "1s", "unit": unit});
    let newer = |column: &str, unit: &str| json!({"column": column, "operator": "NewerThan", "age": "1s", "unit": unit});
    let rule = json!({
        "name": "r", "table": {"schema": "app", "name": "codes"},
        "where": [
            older("uses", "EpochSeconds"), newer("uses", "EpochSeconds"), older("uses", "EpochMillis"),
            older("precise", "EpochMillis"), newer("rough", "EpochSeconds"),
        ],
        "action": {"delete": {}},
    });
    let columns = [
        ("id", "uuid"),
        ("uses", "integer"),
        ("precise", "numeric"),
        ("rough", "double precision"),
    ];
    let step = &plan(&rule, facts(&columns, &["id"])).steps()[0].clone();
    insta::assert_snapshot!("epoch", shown(&step.change_batch(false)));
    let now = "1970-01-02T00:00:00.123456Z".parse().unwrap();
    let moment = crate::Moment { now, ..crate::Moment::default() };
    let mut values = Vec::new();
    for value in step.change_batch(false).values(moment) {
        if let crate::Value::Text(text) = value {
            values.push(text);
        }
    }
    // A second before: 86,399.123456 s after the epoch.
    assert_eq!(values, ["86400", "86399", "86399124", "86399123456e-3", "86399123456e-6"]);
    insta::assert_snapshot!("epoch_overdue", shown(&step.oldest_overdue().unwrap()));
}

#[test]
fn a_report_counts_rules_by_name() {
    let mut document = json!({
        "apiVersion": "pgsweep.dev/v1alpha1", "kind": "CleanupPolicy", "metadata": {"name": "p"},
        "spec": {
            "schedule": "@hourly", "mode": "Enforce",
            "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "uri"}}},
            "rules": [silent_sessions(&json!({"delete": {}}))],
        },
    });
    document["spec"]["report"] = json!({"into": {"schema": "app", "name": "events"}, "values": [
        {"column": "event_type", "value": "cleanup_job_completed"},
        {"column": "total", "matched": "r"},
        {"column": "data", "object": [{"key": "gone", "affected": "r"}]},
        {"column": "at", "now": true},
    ]});
    let plan = Plan::offline(&validate(&document).unwrap());
    let statement = plan.report_row().unwrap();
    insta::assert_snapshot!("report", shown(&statement));
    let counts = [crate::Counts { matched: 7, affected: 5 }];
    let moment = crate::Moment { counts: &counts, ..crate::Moment::default() };
    let values = statement.values(moment);
    assert!(
        values.contains(&crate::Value::Integer(7)) && values.contains(&crate::Value::Integer(5))
    );
}
