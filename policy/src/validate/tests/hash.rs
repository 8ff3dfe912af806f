//! What an approval speaks of.

use serde_json::{Value, json};

use super::{FULL, GOOD, document, replaced, with};
use crate::validate;

fn hash(document: &Value) -> String {
    validate(document).unwrap().rules_hash().to_owned()
}

/// An upgrade must not change these: it would un-approve every policy of a fleet.
#[test]
fn the_hash_of_the_rules_is_pinned() {
    assert_eq!(hash(&document(GOOD)), "f4308a8fee086305f1e7f487dfdb9dbd");
    assert_eq!(hash(&document(FULL)), "21bd33d35c08e770c0d21b97439f88a8");
}

#[test]
fn what_stands_at_its_default_changes_no_hash() {
    let plain = hash(&document(GOOD));
    let limits = json!({"maxRowsPerRun": 1_000_000, "maxPercentOfTable": 50, "minimumAge": "0s"});
    for (path, value) in [
        ("/spec/limits", limits),
        ("/spec/limits", json!({})),
        ("/spec/limits", Value::Null),
        ("/spec/report", Value::Null),
        ("/spec/rules/0/emit", json!([])),
        ("/spec/rules/0/emit", Value::Null),
        ("/spec/rules/0/limits", Value::Null),
        ("/spec/rules/0/where/0/unit", Value::Null),
        ("/spec/database/caFrom", Value::Null),
    ] {
        assert_eq!(hash(&with(path, value.clone())), plain, "{path} = {value}");
    }
    let days = |grace: Value| hash(&replaced(FULL, "/spec/rules/1/action/dropPartitions", grace));
    assert_eq!(days(json!({"graceAge": "0s"})), days(json!({})));
    let kinds = |related: Value| hash(&replaced(FULL, "/spec/rules/0/where/2/exists", related));
    let (table, join) =
        (json!({"schema": "a", "name": "b"}), json!([{"column": "c", "references": "d"}]));
    assert_eq!(
        kinds(json!({"table": table, "join": join})),
        kinds(json!({"table": table, "join": join, "where": []}))
    );
}

#[test]
fn what_decides_which_rows_go_changes_the_hash_and_nothing_else_does() {
    let plain = hash(&document(FULL));
    let decides = [
        ("/spec/limits", json!({"minimumAge": "1h", "maxRowsPerRun": 5})),
        ("/spec/rules/0/where/0/age", json!("3h")),
        ("/spec/rules/0/where/0/unit", json!("EpochSeconds")),
        ("/spec/rules/0/where/1/notExists/where/0/age", json!("2h")),
        ("/spec/rules/0/action/archive/into/name", json!("old")),
        ("/spec/rules/0/emit/0/values/0/value", json!("left")),
        ("/spec/rules/0/limits", Value::Null),
        ("/spec/rules/1/action/dropPartitions", json!({})),
        ("/spec/report/values/0/value", json!("ended")),
        ("/spec/report", Value::Null),
        ("/spec/database/urlFrom/secretKeyRef/key", json!("url")),
    ];
    for (path, value) in decides {
        assert_ne!(hash(&replaced(FULL, path, value.clone())), plain, "{path} = {value}");
    }
    for (path, value) in [
        ("/metadata/generation", json!(7)),
        ("/spec/schedule", json!("@hourly")),
        ("/spec/mode", json!("DryRun")),
        ("/spec/suspend", json!(true)),
        ("/spec/execution", json!({"maxReplicaLag": "10s", "batchSize": 5})),
    ] {
        assert_eq!(hash(&replaced(FULL, path, value.clone())), plain, "{path} = {value}");
    }
}
