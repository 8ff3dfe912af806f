//! What keeps a policy from running, and what comes close to it and does not.

use serde_json::{Value, json};

use super::{catalog, delete, facts, policy, table};
use crate::SchemaProblemKind::{self, *};
use crate::catalog::{ARCHIVE_COLUMNS, Catalog, ColumnFacts, RelationKind, TableFacts};
use crate::crd::Mode;
use crate::identifier::Identifier;

fn column(name: &str, sql_type: &str) -> ColumnFacts {
    ColumnFacts::new(Identifier::parse(name).unwrap(), sql_type)
}

fn with_column(column: ColumnFacts) -> TableFacts {
    let mut facts = facts();
    facts.columns.push(column);
    facts
}

/// The kinds of the problems of these rules where `codes` and `people` are like this.
fn kinds(rules: &Value, codes: TableFacts, people: TableFacts) -> Vec<SchemaProblemKind> {
    let mut catalog = Catalog::new(true);
    catalog.insert(table("codes"), codes);
    catalog.insert(table("people"), people);
    catalog.problems(&policy(rules)).into_iter().map(|it| it.kind).collect()
}

fn of_one(rule: &Value, codes: TableFacts) -> Vec<SchemaProblemKind> {
    kinds(&json!([rule]), codes, facts())
}

/// `delete` with one more condition.
fn where_too(condition: Value) -> Value {
    let mut rule = delete("r", "codes");
    rule["where"].as_array_mut().unwrap().push(condition);
    rule
}

fn update(assignment: &Value) -> Value {
    let mut rule = delete("r", "codes");
    rule["action"] = json!({"update": {"set": [assignment]}});
    rule
}

#[test]
fn only_tables_whose_rows_can_be_named_are_changed() {
    let rule = delete("r", "codes");
    for (kind, expected) in [
        (RelationKind::Table, vec![]),
        (RelationKind::PartitionedTable, vec![]),
        (RelationKind::Inherited, vec![NotATable]),
        (RelationKind::View, vec![NotATable]),
        (RelationKind::MaterializedView, vec![NotATable]),
        (RelationKind::ForeignTable, vec![NotATable]),
        (RelationKind::Other, vec![NotATable]),
    ] {
        assert_eq!(of_one(&rule, TableFacts { kind, ..facts() }), expected, "{kind:?}");
    }
    for (base_tables, behind) in [(vec!["app.real"], true), (vec!["app.a", "app.b"], false)] {
        let base_tables = base_tables.into_iter().map(str::to_owned).collect();
        let mut catalog = Catalog::new(true);
        let view = TableFacts { kind: RelationKind::View, base_tables, ..facts() };
        catalog.insert(table("codes"), view);
        let problems = catalog.problems(&policy(&json!([rule])));
        let shown = problems[0].to_string();
        assert!(shown.starts_with("rule r: NotATable: app.codes is a view"), "{shown}");
        assert_eq!(shown.ends_with(", app.real"), behind, "{shown}");
    }
    let keyless = TableFacts { primary_key: vec![], ..facts() };
    assert_eq!(of_one(&rule, keyless), [NoPrimaryKey]);
    let hidden = TableFacts { row_security: true, ..facts() };
    assert_eq!(of_one(&rule, hidden), [RowSecurity]);
    let missing = Catalog::new(true).problems(&policy(&json!([rule])));
    assert_eq!(missing[0].kind, TableMissing);
    assert_eq!(missing.len(), 1);
}

#[test]
fn a_partner_may_have_children_and_must_else_be_a_table_that_joins() {
    let joined = |on: &str| {
        where_too(json!({"exists": {
            "table": {"schema": "app", "name": "people"}, "join": [{"column": on, "references": "id"}],
            "where": [{"column": "seen_at", "operator": "NewerThan", "age": "1h"}],
        }}))
    };
    let people = || {
        let mut facts = with_column(column("seen_at", "date"));
        facts.columns.push(column("code", "text"));
        facts.columns.push(column("own", "app.code"));
        facts
    };
    let problems = |rule: &Value, people| kinds(&json!([rule]), facts(), people);
    for (kind, expected) in [
        (RelationKind::Table, vec![]),
        (RelationKind::Inherited, vec![]),
        (RelationKind::View, vec![NotATable]),
    ] {
        let people = TableFacts { kind, ..people() };
        assert_eq!(problems(&joined("id"), people), expected, "{kind:?}");
    }
    let hidden = TableFacts { row_security: true, ..people() };
    assert_eq!(problems(&joined("id"), hidden), [RowSecurity]);
    assert_eq!(problems(&joined("code"), people()), [TypeMismatch], "a text is no number");
    assert_eq!(problems(&joined("own"), people()), [], "only the database knows");
    assert_eq!(problems(&joined("absent"), people()), [ColumnMissing]);
    assert_eq!(problems(&joined("id"), facts()), [ColumnMissing], "of its condition");
}

#[test]
fn a_column_is_compared_only_where_that_means_what_it_says() {
    let equals =
        |value: &str| where_too(json!({"column": "x", "operator": "Equals", "value": value}));
    let kinds =
        |sql_type: &str, value: &str| of_one(&equals(value), with_column(column("x", sql_type)));
    for (sql_type, value, expected) in [
        ("text", "now", vec![]),
        ("date", "2026-01-01", vec![]),
        ("date", "Tomorrow", vec![TypeMismatch]),
        ("tstzrange", "[now,)", vec![TypeMismatch]),
        ("date", "nowhere", vec![]),
        ("timestamp with time zone", "5now", vec![TypeMismatch]),
        ("json", "{}", vec![TypeMismatch]),
        ("xml[]", "{}", vec![TypeMismatch]),
        ("point", "(1,1)", vec![TypeMismatch]),
        ("box", "(1,1),(2,2)", vec![TypeMismatch]),
        ("circle", "<(1,1),1>", vec![TypeMismatch]),
        ("path", "[(1,1)]", vec![TypeMismatch]),
        ("jsonb", "{}", vec![]),
        ("name", &"x".repeat(63), vec![]),
        ("name", &"x".repeat(64), vec![TypeMismatch]),
        ("text", &"x".repeat(64), vec![]),
    ] {
        assert_eq!(kinds(sql_type, value), expected, "{sql_type} {value}");
    }
    let of_extension = ColumnFacts { foreign_operators: true, ..column("x", "app.citext") };
    assert_eq!(of_one(&equals("a"), with_column(of_extension)), [TypeMismatch]);
    let null = where_too(json!({"column": "x", "operator": "IsNull"}));
    assert_eq!(of_one(&null, with_column(column("x", "json"))), []);
}

#[test]
fn an_age_needs_a_time_and_a_unit_a_number() {
    let older = where_too(json!({"column": "x", "operator": "OlderThan", "age": "1h"}));
    let newer = where_too(
        json!({"column": "x", "operator": "NewerThan", "age": "1h", "unit": "EpochMillis"}),
    );
    for (sql_type, is_time, is_number) in [
        ("date", true, false),
        ("timestamp without time zone", true, false),
        ("time without time zone", false, false),
        ("bigint", false, true),
        ("numeric", false, true),
        ("money", false, false),
        ("text", false, false),
    ] {
        let of = |rule| of_one(rule, with_column(column("x", sql_type)));
        assert_eq!(of(&older).is_empty(), is_time, "{sql_type}");
        assert_eq!(of(&newer).is_empty(), is_number, "{sql_type}");
    }
}

#[test]
fn a_column_is_set_only_to_what_it_takes() {
    let set = |rule: &Value, column: ColumnFacts| of_one(rule, with_column(column));
    let value = |text: &str| update(&json!({"column": "x", "value": text}));
    let short = || ColumnFacts { max_length: Some(3), ..column("x", "character varying") };
    assert_eq!(set(&value("äöü"), short()), [], "characters count, not bytes");
    assert_eq!(set(&value("abcd"), short()), [TypeMismatch]);
    assert_eq!(set(&value("today"), column("x", "date")), [TypeMismatch]);
    let now = update(&json!({"column": "x", "now": true}));
    assert_eq!(set(&now, column("x", "date")), []);
    assert_eq!(set(&now, column("x", "text")), [TypeMismatch]);
    let null = update(&json!({"column": "x", "setNull": true}));
    assert_eq!(set(&null, column("x", "text")), []);
    assert_eq!(set(&null, ColumnFacts { not_null: true, ..column("x", "text") }), [TypeMismatch]);
    let generated = ColumnFacts { generated: true, ..column("x", "text") };
    assert_eq!(set(&value("a"), generated), [TypeMismatch]);
}

#[test]
fn an_emitted_row_fills_what_must_be_filled() {
    let emit = |values: Value| {
        let mut rule = delete("r", "codes");
        rule["emit"] = json!([{"into": {"schema": "app", "name": "people"}, "values": values}]);
        rule
    };
    let kinds = |values: Value, people| kinds(&json!([emit(values)]), facts(), people);
    let x = |column: ColumnFacts| with_column(ColumnFacts { not_null: true, ..column });
    let id = || json!([{"column": "id", "fromColumn": "id"}]);
    let object = json!([{"column": "x", "object": [{"key": "a", "value": "b"}]}]);
    assert_eq!(kinds(id(), x(column("x", "text"))), [ColumnNotFilled]);
    assert_eq!(kinds(id(), x(ColumnFacts { has_default: true, ..column("x", "text") })), []);
    let mut filled_by_trigger = x(column("x", "text"));
    let trigger = |before: bool| json!({"name": "t", "row": true, "before": before, "insert": true, "update": false, "delete": false});
    filled_by_trigger.triggers = vec![serde_json::from_value(trigger(true)).unwrap()];
    assert_eq!(kinds(id(), filled_by_trigger.clone()), [], "a trigger may fill it");
    filled_by_trigger.triggers = vec![serde_json::from_value(trigger(false)).unwrap()];
    assert_eq!(kinds(id(), filled_by_trigger), [ColumnNotFilled], "one that fires later cannot");
    for (sql_type, takes_objects) in
        [("jsonb", true), ("json", true), ("text", true), ("bigint", false)]
    {
        let problems = kinds(object.clone(), with_column(column("x", sql_type)));
        assert_eq!(problems.is_empty(), takes_objects, "{sql_type}");
    }
    assert_eq!(kinds(json!([{"column": "gone", "value": 1}]), facts()), [ColumnMissing]);
    let closed = ColumnFacts {
        closed_sequence: Some("app.people_x_seq".to_owned()),
        has_default: true,
        ..column("x", "bigint")
    };
    assert_eq!(kinds(id(), with_column(closed.clone())), [PrivilegeMissing]);
    let given = json!([{"column": "x", "value": 1}]);
    assert_eq!(kinds(given, with_column(closed)), [], "the default is not used");
}

#[test]
fn an_archive_takes_rows_as_they_are_and_nothing_goes_without_one() {
    let mut rule = delete("r", "codes");
    rule["action"] = json!({"archive": {"into": {"schema": "app", "name": "people"}}});
    let archive = || {
        let mut facts = facts();
        facts.columns.extend(ARCHIVE_COLUMNS.iter().map(|(name, kind)| column(name, kind)));
        facts
    };
    let kinds = |source, archive| kinds(&json!([rule]), source, archive);
    assert_eq!(kinds(facts(), archive()), []);
    assert_eq!(kinds(facts(), facts()), [ArchiveMismatch], "it lacks our columns");
    let unlogged = || TableFacts { unlogged: true, ..archive() };
    assert_eq!(kinds(facts(), unlogged()), [ArchiveMismatch]);
    assert_eq!(kinds(TableFacts { unlogged: true, ..facts() }, unlogged()), []);
    for (row, before, insert, expected) in [
        (true, true, true, vec![ArchiveChangesRows]),
        (false, true, true, vec![]),
        (true, false, true, vec![]),
        (true, true, false, vec![]),
    ] {
        let trigger = json!({"name": "t", "row": row, "before": before, "insert": insert, "update": true, "delete": true});
        let triggers = vec![serde_json::from_value(trigger).unwrap()];
        assert_eq!(
            kinds(facts(), TableFacts { triggers, ..archive() }),
            expected,
            "{row} {before} {insert}"
        );
    }
    let mut strict = archive();
    strict.columns[1].not_null = true;
    assert_eq!(kinds(facts(), strict.clone()), [ArchiveMismatch], "it takes no NULL there");
    let mut never_null = facts();
    never_null.columns[1].not_null = true;
    assert_eq!(kinds(never_null, strict), []);
}

#[test]
fn what_goes_along_with_an_archived_row_was_archived_before() {
    let archive = |name: &str, from: &str| {
        let mut rule = delete(name, from);
        rule["action"] = json!({"archive": {"into": {"schema": "app", "name": "kept"}}});
        rule
    };
    let (own, child) = (|| archive("codes", "codes"), || archive("children", "children"));
    for (rules, on_delete, refused) in [
        (json!([own()]), "Cascade", true),
        (json!([own()]), "Set", false),
        (json!([child(), own()]), "Cascade", false),
        (json!([delete("children", "children"), own()]), "Cascade", true),
        (json!([own(), child()]), "Cascade", true),
        (json!([archive("toys", "toys"), own()]), "Cascade", true),
    ] {
        let keys = [("children", "codes", on_delete, Some(1.0))];
        let mut catalog = catalog(&["codes", "children", "toys"], &keys);
        let mut kept = facts();
        kept.columns.extend(ARCHIVE_COLUMNS.iter().map(|(name, kind)| column(name, kind)));
        catalog.insert(table("kept"), kept);
        let problems = catalog.problems(&policy(&rules));
        let found = problems.iter().any(|it| it.kind == CascadeNotArchived);
        assert_eq!(found, refused, "{rules} {on_delete}");
    }
}

#[test]
fn what_a_subscriber_could_not_find_again_is_not_changed() {
    let published = |update: bool, delete: bool| {
        let part = json!({"part": "app.codes", "update": update, "delete": delete});
        let published_without_identity = vec![serde_json::from_value(part).unwrap()];
        TableFacts { published_without_identity, ..facts() }
    };
    let (removing, setting) = (delete("r", "codes"), update(&json!({"column": "at", "now": true})));
    assert_eq!(of_one(&removing, published(true, false)), []);
    assert_eq!(of_one(&removing, published(false, true)), [NoReplicaIdentity]);
    assert_eq!(of_one(&setting, published(true, false)), [NoReplicaIdentity]);
    assert_eq!(of_one(&setting, published(false, true)), []);
    let mut catalog = Catalog::new(true);
    catalog.insert(table("codes"), published(true, true));
    let dry = policy(&json!([removing])).with_mode(Mode::DryRun);
    assert_eq!(catalog.problems(&dry), [], "a dry run changes nothing");
}

#[test]
fn a_missing_privilege_is_told_once_and_not_of_what_a_dry_run_leaves_alone() {
    let shut = || TableFacts { can_delete: false, can_select: false, ..facts() };
    let mut catalog = Catalog::new(true);
    let mut codes = shut();
    for column in &mut codes.columns {
        column.can_select = false;
    }
    catalog.insert(table("codes"), codes);
    let policy = policy(&json!([delete("r", "codes")]));
    let problems = catalog.problems(&policy);
    assert_eq!(problems.iter().map(|it| it.kind).collect::<Vec<_>>(), [PrivilegeMissing]);
    let message = &problems[0].message;
    assert_eq!(message.matches("SELECT").count(), 1, "{message}");
    assert_eq!(message.matches("DELETE").count(), 1, "{message}");
    let dry = catalog.problems(&policy.with_mode(Mode::DryRun));
    assert!(!dry[0].message.contains("DELETE"), "{}", dry[0].message);
}

#[test]
fn partitions_are_dropped_by_their_owner_where_each_is_due_as_a_whole() {
    let mut rule = delete("r", "codes");
    rule["action"] = json!({"dropPartitions": {}});
    let of = |change: &Value| {
        let mut partitioning = json!({
            "by_range": true, "key": ["at"], "default_partition": null, "partitions": 3, "pending": [], "foreign_owners": [],
        });
        for (field, value) in change.as_object().unwrap() {
            partitioning[field] = value.clone();
        }
        let partitioning = Some(serde_json::from_value(partitioning).unwrap());
        let kind = RelationKind::PartitionedTable;
        TableFacts { kind, is_owner: true, partitioning, primary_key: vec![], ..facts() }
    };
    for (change, expected) in [
        (json!({}), vec![]),
        (json!({"by_range": false}), vec![NotPartitioned]),
        (json!({"key": ["id"]}), vec![NotPartitioned]),
        (json!({"key": ["at", "id"]}), vec![NotPartitioned]),
        (json!({"key": [null]}), vec![NotPartitioned]),
        (json!({"default_partition": "app.rest"}), vec![DefaultPartition]),
        (json!({"foreign_owners": ["other"]}), vec![NotOwner]),
    ] {
        assert_eq!(of_one(&rule, of(&change)), expected, "{change}");
    }
    assert_eq!(of_one(&rule, TableFacts { is_owner: false, ..of(&json!({})) }), [NotOwner]);
    assert_eq!(of_one(&rule, facts()), [NotPartitioned]);
}
