//! What a step says of itself: its guard, its caps, its locks, its statements, and its remarks.

use serde_json::{Value, json};

use crate::catalog::tests::{catalog, delete, facts, policy, table, warnings};
use crate::catalog::{Catalog, ColumnFacts, TableFacts};
use crate::explain::Access;
use crate::identifier::Identifier;
use crate::{Named, Plan, Step, Strategy};

fn identifier(name: &str) -> Identifier {
    Identifier::parse(name).unwrap()
}

/// The first step of a plan of one rule against these tables and keys.
fn step_of(rule: &Value, catalog: &Catalog) -> Step {
    Plan::new(&policy(&json!([rule])), catalog).unwrap().steps()[0].clone()
}

fn with(mut rule: Value, field: &str, value: Value) -> Value {
    rule[field] = value;
    rule
}

/// `delete` with conditions on these tables besides.
fn looking_at(conditions: &[(&str, &str)]) -> Value {
    let mut rule = delete("r", "codes");
    for (operator, table) in conditions {
        let condition = json!({*operator: {
            "table": {"schema": "app", "name": table}, "join": [{"column": "id", "references": "id"}],
        }});
        rule["where"].as_array_mut().unwrap().push(condition);
    }
    rule
}

fn texts(statements: &[crate::Statement]) -> Vec<&str> {
    statements.iter().map(|it| it.text.as_str()).collect()
}

#[test]
fn the_guard_demands_enough_rows_for_its_share_and_leaves_a_thousand_alone() {
    let limited = |percent: i64| {
        let limits = json!({"maxPercentOfTable": percent});
        step_of(&with(delete("r", "codes"), "limits", limits), &catalog(&["codes"], &[]))
    };
    let step = limited(30);
    assert_eq!(step.max_percent_of_table(), 30);
    assert_eq!(step.rows_demanded_by_guard(1000), None);
    // 30 % of 3,336 are 1,000.8 rows, and of 3,337 they are 1,001.1.
    assert_eq!(step.rows_demanded_by_guard(1001), Some(3337));
    assert_eq!(step.rows_demanded_by_guard(3000), Some(10_000), "exactly the share is allowed");
    assert_eq!(step.rows_demanded_by_guard(i64::MAX), Some(i64::MAX));
    assert_eq!(limited(99).rows_demanded_by_guard(1980), Some(2000));
    assert_eq!(limited(100).rows_demanded_by_guard(1_000_000), None);
}

#[test]
fn what_is_counted_is_the_cap_and_what_the_guard_needs() {
    let limited = |most: i64| {
        let limits = json!({"maxRows": most});
        step_of(&with(delete("r", "codes"), "limits", limits), &catalog(&["codes"], &[]))
    };
    let few = limited(10);
    assert_eq!((few.max_rows(), few.counted_up_to()), (10, 1000));
    let many = limited(2000);
    assert_eq!((many.max_rows(), many.counted_up_to()), (2000, 2000));
}

#[test]
fn what_the_catalog_knows_of_the_table_is_told() {
    let known = step_of(&delete("r", "codes"), &catalog(&["codes"], &[]));
    assert_eq!((known.table_rows(), known.table_is_analysed()), (Some(1000), true));
    let mut catalog = Catalog::new(true);
    catalog.insert(table("codes"), TableFacts { rows: None, analysed: false, ..facts() });
    let unknown = Plan::new(&policy(&json!([delete("r", "codes")])), &catalog).unwrap();
    let step = &unknown.steps()[0];
    assert_eq!((step.table_rows(), step.table_is_analysed()), (None, false));
    let advice: Vec<_> = unknown.advice().map(Named::name).collect();
    assert_eq!(advice, ["StatisticsMissing"]);
}

#[test]
fn a_role_that_may_not_see_replicas_is_advised_and_one_that_may_is_not() {
    for (sees, expected) in [(true, vec![]), (false, vec!["ReplicaLagUnavailable"])] {
        let mut catalog = Catalog::new(sees);
        catalog.insert(table("codes"), facts());
        let plan = Plan::new(&policy(&json!([delete("r", "codes")])), &catalog).unwrap();
        assert_eq!(plan.advice().map(Named::name).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn rows_are_locked_first_where_their_partners_or_children_can_change() {
    let own = || delete("r", "codes");
    let cascade = [("children", "codes", "Cascade", Some(1.0))];
    let refusal = [("children", "codes", "Refuse", Some(1.0))];
    let update = with(own(), "action", json!({"update": {"set": [{"column": "at", "now": true}]}}));
    let mut deactivated = looking_at(&[("exists", "people")]);
    deactivated["action"] = update["action"].clone();
    for (rule, keys, locks_first, lock, statements) in [
        (own(), &[][..], false, "FOR UPDATE", 1),
        (own(), &cascade[..], true, "FOR UPDATE", 2),
        (own(), &refusal[..], false, "FOR UPDATE", 1),
        (update, &cascade[..], false, "FOR NO KEY UPDATE", 1),
        (deactivated, &[][..], true, "FOR UPDATE", 2),
        (looking_at(&[("notExists", "people")]), &[][..], true, "FOR UPDATE", 3),
        (
            looking_at(&[("notExists", "people"), ("exists", "toys"), ("notExists", "toys")]),
            &[][..],
            true,
            "FOR UPDATE",
            4,
        ),
    ] {
        let step = step_of(&rule, &catalog(&["codes", "people", "toys"], keys));
        assert_eq!(step.locks_first(), locks_first, "{rule}");
        assert_eq!(step.row_lock(), lock, "{rule}");
        assert_eq!(step.statements_of_a_batch(), statements, "{rule}");
    }
}

#[test]
fn the_first_batch_is_every_statement_of_it_in_order() {
    let catalog = catalog(&["codes", "people"], &[]);
    let at_once = step_of(&delete("r", "codes"), &catalog);
    assert_eq!(at_once.first_batch(), [at_once.change_batch(false)]);
    let step = step_of(&looking_at(&[("notExists", "people")]), &catalog);
    let mut expected = vec![step.lock_batch(false)];
    expected.extend(step.lock_partners());
    expected.push(step.change_locked());
    assert_eq!(step.first_batch(), expected);
    assert_eq!(expected.len(), 3);
    let drop = with(delete("r", "codes"), "action", json!({"dropPartitions": {}}));
    let whole = &Plan::offline(&policy(&json!([drop]))).steps()[0].clone();
    assert_eq!(whole.first_batch(), [whole.due_partitions().unwrap()]);
    for (explained, plain) in texts(&step.explain_batch()).iter().zip(texts(&expected)) {
        assert_eq!(*explained, format!("EXPLAIN (FORMAT JSON)\n{plain}"));
    }
    assert_eq!(step.explain_batch().len(), 3);
}

#[test]
fn each_table_that_a_batch_touches_is_told_once_with_its_locks() {
    let mut rule =
        looking_at(&[("exists", "people"), ("notExists", "toys"), ("notExists", "toys")]);
    rule["emit"] = json!([{"into": {"schema": "app", "name": "events"}, "values": [{"column": "id", "value": 1}]},
        {"into": {"schema": "app", "name": "events"}, "values": [{"column": "id", "value": 2}]}]);
    rule["action"] = json!({"archive": {"into": {"schema": "app", "name": "old"}}});
    let keys = [
        ("children", "codes", "Cascade", Some(1.0)),
        ("letters", "codes", "Set", Some(1.0)),
        ("refusers", "codes", "Refuse", Some(1.0)),
    ];
    let mut catalog = catalog(&["codes", "people", "toys", "events"], &keys);
    let mut archive = facts();
    let ours = crate::ARCHIVE_COLUMNS.iter();
    archive.columns.extend(ours.map(|(name, kind)| ColumnFacts::new(identifier(name), kind)));
    catalog.insert(table("old"), archive);
    // Children that no rule archives would be a problem of their own.
    let step = Plan::of(&policy(&json!([rule])), Some(&catalog)).steps()[0].clone();
    let names: Vec<_> = step.tables().iter().map(crate::QualifiedTable::plain).collect();
    assert_eq!(
        names,
        ["app.codes", "app.people", "app.toys", "app.children", "app.old", "app.events"]
    );
    assert_eq!(
        step.locks(),
        [
            "ROW EXCLUSIVE on app.codes, FOR UPDATE on its rows",
            "ACCESS SHARE on app.people",
            "ROW SHARE on app.toys, FOR SHARE on the rows that are joined",
            "ROW EXCLUSIVE on app.old",
            "ROW EXCLUSIVE on app.events",
            "ROW EXCLUSIVE on app.children",
            "ROW EXCLUSIVE on app.letters",
            "ROW SHARE on app.refusers",
        ]
    );
    let drop = with(delete("r", "codes"), "action", json!({"dropPartitions": {}}));
    let deeper = [keys[0], ("grandchildren", "children", "Cascade", Some(1.0))];
    let catalog = self::catalog(&["codes"], &deeper);
    let whole = Plan::of(&policy(&json!([drop])), Some(&catalog)).steps()[0].clone();
    assert_eq!(
        whole.locks(),
        [
            "ACCESS EXCLUSIVE on app.codes and on each partition that is dropped",
            "SHARE ROW EXCLUSIVE on app.children",
        ]
    );
}

#[test]
fn what_a_delete_takes_along_from_tables_that_no_rule_names_is_a_warning() {
    let keys = [
        ("codes", "codes", "Cascade", Some(0.25)),
        ("children", "codes", "Cascade", Some(0.5)),
        ("letters", "codes", "Set", None),
    ];
    let catalog = catalog(&["codes", "children", "letters"], &keys);
    let alone = Plan::new(&policy(&json!([delete("r", "codes")])), &catalog).unwrap();
    assert_eq!(
        warnings(&alone),
        ["CascadesIntoOwnTable", "CascadesIntoUnnamedTable", "SetsColumnsOfUnnamedTable"]
    );
    let messages: Vec<_> = alone.warnings().map(Named::message).collect();
    assert!(messages[0].ends_with("about 50 with a batch of 200 rows"), "{}", messages[0]);
    assert!(messages[1].ends_with("about 100 with a batch of 200 rows"), "{}", messages[1]);
    assert!(
        messages[2].ends_with(r#"ANALYZE "app"."letters" and "app"."codes""#),
        "{}",
        messages[2]
    );
    let rules = json!([delete("c", "children"), delete("l", "letters"), delete("r", "codes")]);
    let named = Plan::new(&policy(&rules), &catalog).unwrap();
    let step = &named.steps()[2];
    assert_eq!(step.warnings(), ["CascadesIntoOwnTable", "CascadesIntoNamedTable"]);
    let drop = with(delete("r", "codes"), "action", json!({"dropPartitions": {}}));
    let whole = Plan::of(&policy(&json!([drop])), Some(&catalog));
    assert_eq!(warnings(&whole), [] as [&str; 0], "a drop meets no row of another table");
}

#[test]
fn a_foreign_key_without_an_index_is_a_warning_with_the_index_that_it_lacks() {
    let mut catalog = catalog(&["codes", "children", "toys"], &[]);
    for child in ["children", "toys"] {
        let key = json!({
            "constraint": "fk", "table": {"schema": "app", "name": child}, "columns": ["a", "b"], "references": ["id", "at"], "on_delete": "Refuse",
            "partitioned": child == "toys", "unidentified": false, "indexed": false, "children_per_parent": 1.0,
        });
        catalog.refer(table("codes"), serde_json::from_value(key).unwrap());
    }
    let rules = json!([delete("c", "children"), delete("t", "toys"), delete("r", "codes")]);
    let plan = Plan::new(&policy(&rules), &catalog).unwrap();
    assert_eq!(warnings(&plan), ["ForeignKeyWithoutIndex"; 2]);
    assert_eq!(plan.steps()[2].warnings(), ["ForeignKeyWithoutIndex"], "each name once");
    let advice: Vec<_> = plan.advice().map(|it| (it.rule(), it.message())).collect();
    let one = r#"for constraint "fk": CREATE INDEX CONCURRENTLY ON "app"."children" ("a", "b");"#;
    assert_eq!(advice[0], ("r", one));
    assert!(advice[1].1.contains(r#"CREATE INDEX ON ONLY "app"."toys" ("a", "b");"#));
}

#[test]
fn a_large_partner_without_an_index_on_the_join_is_advised() {
    let rule = looking_at(&[("exists", "people")]);
    let index = json!({"name": "i", "method": "btree", "unique": true, "partial": false, "valid": true, "columns": ["id"]});
    for (rows, indexed, advised) in
        [(60_000, false, true), (60_000, true, false), (1000, false, false)]
    {
        let indexes =
            if indexed { vec![serde_json::from_value(index.clone()).unwrap()] } else { vec![] };
        let mut catalog = catalog(&["codes"], &[]);
        catalog.insert(
            table("people"),
            TableFacts { rows: Some(rows), pages: 5000, indexes, ..facts() },
        );
        let plan = Plan::new(&policy(&json!([rule])), &catalog).unwrap();
        let advice: Vec<_> = plan.advice().map(Named::name).collect();
        assert_eq!(advice.contains(&"MissingIndex"), advised, "{rows} {indexed}");
    }
}

#[test]
fn a_walk_goes_by_the_primary_key_and_its_missing_index_names_each_column_once() {
    let mut catalog = Catalog::new(true);
    let primary_key = vec![identifier("at"), identifier("id")];
    catalog.insert(
        table("codes"),
        TableFacts { rows: Some(60_000), pages: 5000, primary_key, ..facts() },
    );
    let mut plan = Plan::new(&policy(&json!([delete("r", "codes")])), &catalog).unwrap();
    let keyset = plan.steps()[0].clone();
    let walked = keyset.clone().by_primary_key();
    assert_eq!((keyset.strategy(), walked.strategy()), (Strategy::Keyset, Strategy::PrimaryKey));
    assert_ne!(keyset.change_batch(false), walked.change_batch(false));
    plan.decide(0, Some(Access { indexes: Vec::new(), reads_everything: true }));
    let message = plan.advice().map(Named::message).next().unwrap();
    assert!(message.ends_with(r#"CREATE INDEX CONCURRENTLY ON "app"."codes" ("at", "id");"#));
}

#[test]
fn a_rule_depends_on_an_earlier_one_that_writes_what_it_looks_at() {
    let set = |name: &str, on: &str, column: &str| {
        let value = if column == "at" { json!({"now": true}) } else { json!({"value": 1}) };
        let mut assignment = value;
        assignment["column"] = json!(column);
        with(delete(name, on), "action", json!({"update": {"set": [assignment]}}))
    };
    let partner = |operator: &str, column: &str| {
        let mut rule = delete("later", "codes");
        rule["where"].as_array_mut().unwrap().push(json!({operator: {
            "table": {"schema": "app", "name": "people"}, "join": [{"column": column, "references": "id"}],
        }}));
        rule
    };
    for (earlier, later, depends) in [
        (set("earlier", "codes", "at"), delete("later", "codes"), true),
        (set("earlier", "codes", "id"), delete("later", "codes"), false),
        (set("earlier", "people", "at"), delete("later", "codes"), false),
        (delete("earlier", "codes"), delete("later", "codes"), true),
        (delete("earlier", "people"), delete("later", "codes"), false),
        (set("earlier", "people", "id"), partner("exists", "id"), true),
        (set("earlier", "people", "at"), partner("exists", "id"), false),
        (delete("earlier", "people"), partner("notExists", "id"), true),
        (delete("earlier", "toys"), partner("notExists", "id"), false),
    ] {
        let catalog = catalog(&["codes", "people", "toys"], &[]);
        let plan = Plan::new(&policy(&json!([earlier, later])), &catalog).unwrap();
        assert_eq!(plan.steps()[1].depends_on_earlier(), depends, "{earlier} {later}");
        assert_eq!(warnings(&plan).contains(&"CountDependsOnEarlierRule"), depends);
    }
    // A cascade from a third table reaches the partner.
    let keys = [("people", "toys", "Cascade", Some(1.0))];
    let catalog = catalog(&["codes", "people", "toys"], &keys);
    let rules =
        json!([delete("earlier", "toys"), partner("exists", "id"), delete("last", "codes")]);
    let plan = Plan::new(&policy(&rules), &catalog).unwrap();
    assert!(plan.steps()[1].depends_on_earlier());
}

#[test]
fn a_list_of_values_is_compared_with_a_column_of_lists_one_by_one() {
    let mut catalog = Catalog::new(true);
    let mut facts = facts();
    facts.columns.push(ColumnFacts::new(identifier("tags"), "text[]"));
    catalog.insert(table("codes"), facts);
    let mut rule = delete("r", "codes");
    let among = json!({"column": "tags", "operator": "In", "values": ["{a}", "{b,c}"]});
    rule["where"].as_array_mut().unwrap().push(among);
    let step = step_of(&rule, &catalog);
    let text = step.count_matched().text;
    assert!(text.contains(r#"t."tags" IN (CAST($2 AS text[]), CAST($3 AS text[]))"#), "{text}");
    let read = step.read_values().unwrap();
    assert_eq!(
        read.text, "SELECT CAST($1 AS text[]) IS NULL OR CAST($2 AS text[]) IS NULL",
        "each is read as the type that it is compared as"
    );
    let texts = ["{a}", "{b,c}"].map(|text| crate::Value::Text(text.to_owned()));
    assert_eq!(read.values(crate::Moment::default()), texts);
}

#[test]
fn a_cascade_into_a_table_with_a_rule_of_its_own_is_a_warning_unless_its_rows_keep_theirs() {
    let keys =
        [("children", "codes", "Cascade", Some(1.0)), ("toys", "children", "Cascade", Some(1.0))];
    let catalog = catalog(&["codes", "children", "toys", "people"], &keys);
    let mut conditional = looking_at(&[("notExists", "children")]);
    conditional["where"][1]["notExists"]["where"] =
        json!([{"column": "at", "operator": "NewerThan", "age": "1h"}]);
    for (rule, cascading) in [
        (delete("r", "codes"), 2),
        (looking_at(&[("notExists", "children")]), 0),
        (looking_at(&[("notExists", "toys")]), 1),
        (looking_at(&[("notExists", "people")]), 2),
        (looking_at(&[("exists", "children")]), 2),
        // An old child still goes along.
        (conditional, 2),
    ] {
        let rules = json!([delete("t", "toys"), delete("c", "children"), rule]);
        let plan = Plan::new(&policy(&rules), &catalog).unwrap();
        let of_rule = plan.warnings().filter(|it| it.rule() == "r");
        let warned = of_rule.filter(|it| it.name() == "CascadesIntoNamedTable").count();
        assert_eq!(warned, cascading, "{rule}");
    }
}

#[test]
fn a_trigger_that_fires_before_each_row_can_keep_it() {
    for (row, before, on_delete, warned, refuses) in [
        (true, true, true, true, true),
        (true, false, true, true, false),
        (false, true, true, true, false),
        (true, true, false, false, false),
    ] {
        let trigger = json!({"name": "t", "row": row, "before": before, "insert": true, "update": true, "delete": on_delete});
        let triggers = vec![serde_json::from_value(trigger).unwrap()];
        let mut catalog = Catalog::new(true);
        catalog.insert(table("codes"), TableFacts { triggers, ..facts() });
        let step = step_of(&delete("r", "codes"), &catalog);
        assert_eq!(step.warnings().contains(&"UserTriggers"), warned);
        assert_eq!(step.may_be_refused(), refuses, "{row} {before} {on_delete}");
    }
}

#[test]
fn rows_that_are_emitted_into_the_own_table_are_a_warning() {
    for (into, warned) in [("codes", true), ("people", false)] {
        let emitted = json!([{"into": {"schema": "app", "name": into}, "values": [{"column": "id", "value": 1}]}]);
        let rule = with(delete("r", "codes"), "emit", emitted);
        let step = step_of(&rule, &catalog(&["codes", "people"], &[]));
        assert_eq!(step.warnings().contains(&"EmitsIntoOwnTable"), warned, "{into}");
    }
}
