//! No input can change the shape of a statement.

use proptest::prelude::*;
use serde_json::json;

use super::{archive_of, facts, identifier, partitioned, table};
use crate::catalog::Catalog;
use crate::plan::{Plan, Step};
use crate::sql::Statement;
use crate::{PartitionBound, validate};

/// What a statement is made of, with names and numbers taken out.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        shape.push(if character.is_ascii_digit() { '#' } else { character });
        if character == '"' {
            while let Some(inner) = characters.next() {
                let escaped = inner == '"' && characters.next_if_eq(&'"').is_some();
                if inner == '"' && !escaped {
                    shape.push('"');
                    break;
                }
            }
        }
    }
    shape
}

/// A text of at most 62 bytes.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[^\0]{1,15}",
        1 => "[\"'$;\\\\ -]{1,15}",
        1 => Just("\"; DROP TABLE x; --".to_owned()),
        1 => Just("a\" OR 1=1 --".to_owned()),
        1 => Just("select".to_owned()),
        1 => Just("$1".to_owned()),
        1 => Just("'; --".to_owned()),
        1 => Just("/* */".to_owned()),
        1 => Just("\\".to_owned()),
        1 => Just("\"".repeat(62)),
        1 => Just("x".repeat(62)),
        1 => Just("é".repeat(31)),
        1 => Just("$(DATABASE_URL)".to_owned()),
    ]
    .prop_filter("too long for a name", |text| text.len() <= 62)
}

/// Every string that a policy can hold, each another one.
struct Texts(Vec<String>);

impl Texts {
    const COUNT: usize = 14;

    /// A letter of its own before each keeps one from being the other.
    fn of(texts: &[String]) -> Self {
        let letters = 'a'..='z';
        Self(letters.zip(texts).map(|(letter, text)| format!("{letter}{text}")).collect())
    }

    fn names<const N: usize>(&self) -> [&str; N] {
        std::array::from_fn(|index| self.0[index].as_str())
    }
}

/// Every statement that a policy with these texts can make.
fn statements(texts: &Texts) -> Vec<Statement> {
    let [
        schema,
        name,
        other,
        old,
        events,
        age,
        key,
        plain,
        epoch,
        joined,
        seen,
        cell,
        field,
        value,
    ] = texts.names();
    let own = json!({"schema": schema, "name": name});
    let related = json!({
        "table": {"schema": schema, "name": other},
        "join": [{"column": joined, "references": key}],
        "where": [
            {"column": seen, "operator": "NewerThan", "age": "1h"},
            {"column": joined, "operator": "NotEquals", "value": value},
        ],
    });
    let due = json!({"column": age, "operator": "OlderThan", "age": "1h"});
    let emit = json!([{"into": {"schema": schema, "name": events}, "values": [
        {"column": cell, "fromColumn": plain},
        {"column": field, "object": [
            {"key": field, "value": value}, {"key": cell, "fromColumn": key}, {"key": value, "now": true},
        ]},
        {"column": seen, "value": value},
    ]}]);
    let rules = json!([
        {"name": "locks", "table": own, "action": {"delete": {}}, "emit": emit, "where": [
            {"column": plain, "operator": "Equals", "value": value},
            {"anyOf": [{"column": plain, "operator": "In", "values": [value, field]}]},
            {"notExists": related}, {"exists": related},
        ]},
        {"name": "sets", "table": own, "where": [
            due,
            {"column": epoch, "operator": "OlderThan", "age": "1h", "unit": "EpochMillis"},
            {"column": plain, "operator": "NotIn", "values": [value]},
        ], "action": {"update": {"set": [{"column": plain, "value": value}, {"column": epoch, "fromColumn": key}]}}},
        {"name": "counts", "table": own, "action": {"delete": {}}, "where": [
            {"column": epoch, "operator": "OlderThan", "age": "1h", "unit": "EpochSeconds"},
        ]},
        {"name": "keeps", "table": own, "where": [due], "emit": emit,
         "action": {"archive": {"into": {"schema": schema, "name": old}}}},
        {"name": "drops", "table": own, "where": [due], "action": {"dropPartitions": {}}},
    ]);
    let report = json!({"into": {"schema": schema, "name": events}, "values": [
        {"column": cell, "value": value},
        {"column": field, "object": [{"key": field, "affected": "locks"}, {"key": value, "value": value}]},
    ]});
    let document = json!({
        "apiVersion": "pgsweep.dev/v1alpha1", "kind": "CleanupPolicy", "metadata": {"name": "p"},
        "spec": {
            "schedule": "@hourly", "mode": "Enforce",
            "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "uri"}}},
            "rules": rules, "report": report,
        },
    });
    let policy = validate(&document).unwrap();
    let columns =
        [(key, "text"), (age, "timestamp with time zone"), (plain, "text"), (epoch, "bigint")];
    let mut catalog = Catalog::default();
    catalog.insert(table(schema, name), partitioned(facts(&columns, &[key]), age));
    catalog.insert(table(schema, old), archive_of(&columns));
    let people = [(joined, "text"), (seen, "timestamp with time zone")];
    catalog.insert(table(schema, other), facts(&people, &[]));
    let written = [(cell, "text"), (field, "jsonb"), (seen, "text")];
    catalog.insert(table(schema, events), facts(&written, &[]));
    let planned = Plan::new(&policy, &catalog).unwrap();
    let offline = Plan::offline(&policy);
    let mut statements = Vec::new();
    for plan in [&planned, &offline] {
        plan.steps().iter().for_each(|step| statements.extend(of_step(step)));
        statements.extend(plan.report_row());
        statements.extend(plan.read_report_values());
        statements.extend(plan.explain_report_row());
    }
    statements.extend(of_partition(&planned.steps()[4], schema, other));
    statements
}

fn of_step(step: &Step) -> Vec<Statement> {
    let mut statements = vec![
        step.change_batch(false),
        step.change_batch(true),
        step.lock_batch(false),
        step.lock_batch(true),
        step.change_locked(),
        step.next_place(true),
        step.count_matched(),
        step.count_table(),
        step.estimate_matched(),
        step.estimate_table(),
        step.clone().by_primary_key().change_batch(true),
    ];
    statements.extend(step.lock_partners());
    statements.extend(step.first_batch());
    statements.extend(step.explain_batch());
    statements.extend(step.oldest_overdue());
    statements.extend(step.read_values());
    statements
}

fn of_partition(step: &Step, schema: &str, partition: &str) -> Vec<Statement> {
    let partition = table(schema, partition);
    let bound = PartitionBound::parse("FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')").unwrap();
    let mut statements = vec![
        step.count_partition(&partition),
        step.count_partition_up_to(&partition),
        step.detach(&partition, false),
        step.attach(&partition, &bound),
        Step::lock_detached(&partition),
        Step::drop_detached(&partition),
    ];
    statements.extend(step.due_partitions());
    statements.extend(step.count_range_up_to(&bound));
    statements
}

proptest! {
    #[test]
    fn no_name_and_no_value_changes_the_shape_of_a_statement(
        texts in prop::collection::vec(hostile(), Texts::COUNT),
    ) {
        let hostile = statements(&Texts::of(&texts));
        let tame = statements(&Texts::of(&vec!["t".to_owned(); Texts::COUNT]));
        prop_assert_eq!(hostile.len(), tame.len());
        for (hostile, tame) in hostile.iter().zip(&tame) {
            prop_assert_eq!(shape(&hostile.text), shape(&tame.text));
            prop_assert_eq!(hostile.binds.len(), tame.binds.len(), "{}", hostile.text);
        }
    }
}

/// Names that Postgres folds or reserves stand between quotes, and what is bound stands nowhere.
#[test]
fn every_name_is_quoted_and_no_value_is_in_the_text() {
    let texts = Texts::of(&vec!["Z canary".to_owned(); Texts::COUNT]);
    let names: Vec<_> = texts.0[..12].iter().map(|name| format!("{}", identifier(name))).collect();
    let all: String = statements(&texts).into_iter().map(|it| it.text).collect();
    for name in &names {
        assert!(all.contains(name.as_str()), "{name} is in a statement");
    }
    let mut unquoted = all;
    for name in &names {
        unquoted = unquoted.replace(name.as_str(), "");
    }
    // The thirteenth is a key of an object and a column, the last a value alone.
    unquoted = unquoted.replace(&identifier(&texts.0[12]).to_string(), "");
    assert!(!unquoted.contains("canary"), "{unquoted}");
}
