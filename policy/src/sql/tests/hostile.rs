//! No input can change the shape of a statement.

use proptest::prelude::*;
use serde_json::Value;

use super::{archive_of, facts, identifier, partitioned, table};
use crate::catalog::Catalog;
use crate::identifier::QualifiedTable;
use crate::plan::{Plan, Step};
use crate::policy::Policy;
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

/// A policy with every part of the language; each capital letter stands for a name or a value.
const POLICY: &str = "
apiVersion: pgsweep.dev/v1alpha1
kind: CleanupPolicy
metadata: {name: p}
spec:
  schedule: '@hourly'
  mode: Enforce
  database: {urlFrom: {secretKeyRef: {name: db, key: uri}}}
  rules:
  - name: locks
    table: {schema: S, name: R}
    where:
    - {column: T, operator: Equals, value: V}
    - anyOf: [{column: T, operator: In, values: [V, F]}]
    - notExists: &people
        table: {schema: S, name: P}
        join: [{column: J, references: K}]
        where: [{column: W, operator: NewerThan, age: 1h}, {column: J, operator: NotEquals, value: V}]
    - exists: *people
    action: {delete: {}}
    emit: &events
    - into: {schema: S, name: E}
      values:
      - {column: C, fromColumn: T}
      - {column: F, object: [{key: F, value: V}, {key: C, fromColumn: K}, {key: V, now: true}]}
      - {column: W, value: V}
  - name: sets
    table: {schema: S, name: R}
    where:
    - {column: A, operator: OlderThan, age: 1h}
    - {column: U, operator: OlderThan, age: 1h, unit: EpochMillis}
    - {column: T, operator: NotIn, values: [V]}
    action: {update: {set: [{column: T, value: V}, {column: U, fromColumn: K}]}}
  - name: counts
    table: {schema: S, name: R}
    where: [{column: U, operator: OlderThan, age: 1h, unit: EpochSeconds}]
    action: {delete: {}}
  - name: keeps
    table: {schema: S, name: R}
    where: [{column: A, operator: OlderThan, age: 1h}]
    action: {archive: {into: {schema: S, name: O}}}
    emit: *events
  - name: drops
    table: {schema: S, name: R}
    where: [{column: A, operator: OlderThan, age: 1h}]
    action: {dropPartitions: {}}
  report:
    into: {schema: S, name: E}
    values:
    - {column: C, value: V}
    - {column: F, object: [{key: F, affected: locks}, {key: V, value: V}]}
";

/// The letters of the policy; the last is a value alone.
const LETTERS: &str = "SRPOEAKTUJWCFV";

/// What each letter stands for: itself, so that no two are the same, and a text behind it.
struct Texts(Vec<String>);

impl Texts {
    fn all(text: &str) -> Self {
        Self(vec![text.to_owned(); LETTERS.len()])
    }

    fn of(&self, letter: char) -> String {
        let place = LETTERS.find(letter).unwrap();
        format!("{letter}{}", self.0[place])
    }

    fn put_into(&self, value: &mut Value) {
        match value {
            Value::String(text) if text.len() == 1 && LETTERS.contains(text.as_str()) => {
                *text = self.of(text.chars().next().unwrap());
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.put_into(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.put_into(field)),
            _ => {}
        }
    }

    fn policy(&self) -> Policy {
        let mut document = serde_saphyr::from_str(POLICY).unwrap();
        self.put_into(&mut document);
        validate(&document).unwrap()
    }

    fn table(&self, letter: char) -> QualifiedTable {
        table(&self.of('S'), &self.of(letter))
    }

    fn catalog(&self) -> Catalog {
        let columns = |columns: &[(char, &'static str)]| -> Vec<(String, &'static str)> {
            columns.iter().map(|(letter, sql_type)| (self.of(*letter), *sql_type)).collect()
        };
        let moment = "timestamp with time zone";
        let rows = columns(&[('K', "text"), ('A', moment), ('T', "text"), ('U', "bigint")]);
        let people = columns(&[('J', "text"), ('W', moment)]);
        let events = columns(&[('C', "text"), ('F', "jsonb"), ('W', "text")]);
        let [rows, people, events] = [&rows, &people, &events].map(|columns| {
            columns.iter().map(|(name, kind)| (name.as_str(), *kind)).collect::<Vec<_>>()
        });
        let mut catalog = Catalog::default();
        let source = partitioned(facts(&rows, &[&self.of('K')]), &self.of('A'));
        catalog.insert(self.table('R'), source);
        catalog.insert(self.table('O'), archive_of(&rows));
        catalog.insert(self.table('P'), facts(&people, &[]));
        catalog.insert(self.table('E'), facts(&events, &[]));
        catalog
    }

    /// Every statement that the policy can make.
    fn statements(&self) -> Vec<Statement> {
        let policy = self.policy();
        let planned = Plan::new(&policy, &self.catalog()).unwrap();
        let offline = Plan::offline(&policy);
        let mut statements = Vec::new();
        for plan in [&planned, &offline] {
            statements.extend(plan.steps().iter().flat_map(of_step));
            statements.extend(plan.report_row());
            statements.extend(plan.read_report_values());
            statements.extend(plan.explain_report_row());
        }
        statements.extend(of_partition(&planned.steps()[4], &self.table('P')));
        statements
    }
}

fn of_step(step: &Step) -> Vec<Statement> {
    let mut statements = vec![
        step.change_batch(false),
        step.change_batch(true),
        step.lock_batch(false),
        step.lock_batch(true),
        step.change_locked(),
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

fn of_partition(step: &Step, partition: &QualifiedTable) -> Vec<Statement> {
    let bound = PartitionBound::parse("FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')").unwrap();
    let mut statements = vec![
        step.count_partition(partition),
        step.count_partition_up_to(partition),
        step.detach(partition, false),
        step.attach(partition, &bound),
        Step::lock_detached(partition),
        Step::drop_detached(partition),
    ];
    statements.extend(step.due_partitions());
    statements.extend(step.count_range_up_to(&bound));
    statements
}

proptest! {
    #[test]
    fn no_name_and_no_value_changes_the_shape_of_a_statement(
        texts in prop::collection::vec(hostile(), LETTERS.len()),
    ) {
        let hostile = Texts(texts).statements();
        let tame = Texts::all("").statements();
        prop_assert_eq!(hostile.len(), tame.len());
        for (hostile, tame) in hostile.iter().zip(&tame) {
            prop_assert_eq!(shape(&hostile.text), shape(&tame.text));
            prop_assert_eq!(hostile.binds.len(), tame.binds.len(), "{}", hostile.text);
        }
    }
}

#[test]
fn every_name_is_quoted_and_no_value_is_in_the_text() {
    let texts = Texts::all(" canary");
    let mut all: String = texts.statements().into_iter().map(|it| it.text).collect();
    for letter in LETTERS.chars().filter(|letter| *letter != 'V') {
        let name = identifier(&texts.of(letter)).to_string();
        assert!(all.contains(&name), "{name} is in a statement");
        all = all.replace(&name, "");
    }
    assert!(!all.contains("canary"), "{all}");
}
