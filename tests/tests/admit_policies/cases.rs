//! The cases: one for each rule and each bound of the CRD.

mod actions;
mod conditions;
mod inserts;
mod rules;
mod settings;

use super::case::Case;

/// The policy that every case changes in one place; every object of the CRD is somewhere in it.
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
    emit:
    - into: {schema: app, name: events}
      values: [{column: kind, value: gone}, {column: data, object: [{key: id, fromColumn: id}]}]
  - name: second
    table: {schema: app, name: sessions}
    where: [{anyOf: [{column: state, operator: Equals, value: old}]}]
    action: {update: {set: [{column: state, value: gone}]}}
  - name: third
    table: {schema: app, name: sessions}
    where:
    - column: closed_at
      operator: OlderThan
      age: 1h
    - exists:
        table: {schema: app, name: people}
        join: [{column: session_id, references: id}]
        where: [{column: state, operator: Equals, value: old}]
    - notExists:
        table: {schema: app, name: people}
        join: [{column: session_id, references: id}]
        where: [{column: seen_at, operator: NewerThan, age: 1h}]
    action: {archive: {into: {schema: archive, name: sessions}}}
  - name: fourth
    table: {schema: app, name: days}
    where: [{column: day, operator: OlderThan, age: 30d}]
    action: {dropPartitions: {graceAge: 1d}}
  report:
    into: {schema: app, name: events}
    values: [{column: kind, value: done}, {column: data, object: [{key: at, now: true}]}]
";

/// All of them.
pub fn all() -> Vec<Case> {
    [settings::all(), rules::all(), conditions::all(), actions::all(), inserts::all()]
        .into_iter()
        .flatten()
        .collect()
}
