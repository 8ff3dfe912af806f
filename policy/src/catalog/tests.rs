//! What the facts of a database lead to, without one.

mod problems;

use serde_json::{Value, json};

use crate::catalog::{Catalog, ColumnFacts, TableFacts, grants};
use crate::explain::Access;
use crate::identifier::{Identifier, QualifiedTable};
use crate::plan::Plan;
use crate::policy::Policy;
use crate::{SchemaProblemKind, Strategy, Warning, validate};

pub(crate) fn policy(rules: &Value) -> Policy {
    let document = json!({
        "apiVersion": "pgsweep.dev/v1alpha1", "kind": "CleanupPolicy", "metadata": {"name": "p"},
        "spec": {
            "schedule": "@hourly", "mode": "Enforce",
            "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "uri"}}},
            "rules": rules,
        },
    });
    validate(&document).unwrap()
}

pub(crate) fn delete(name: &str, table: &str) -> Value {
    json!({
        "name": name, "table": {"schema": "app", "name": table},
        "where": [{"column": "at", "operator": "OlderThan", "age": "1h"}],
        "action": {"delete": {}},
    })
}

pub(crate) fn table(name: &str) -> QualifiedTable {
    let identifier = |name| Identifier::parse(name).unwrap();
    QualifiedTable { schema: identifier("app"), name: identifier(name) }
}

/// A table with the columns `id` and `at`, of which the role may do anything.
pub(crate) fn facts() -> TableFacts {
    let column = |name, sql_type| ColumnFacts::new(Identifier::parse(name).unwrap(), sql_type);
    TableFacts {
        columns: vec![column("id", "bigint"), column("at", "timestamp with time zone")],
        primary_key: vec![Identifier::parse("id").unwrap()],
        insertable: true,
        analysed: true,
        role: "cleaner".to_owned(),
        can_use_schema: true,
        can_select: true,
        can_insert: true,
        can_delete: true,
        rows: Some(1000),
        ..TableFacts::default()
    }
}

/// Tables of these names, and keys as (child, parent, on delete, children per parent).
pub(crate) fn catalog(tables: &[&str], keys: &[(&str, &str, &str, Option<f64>)]) -> Catalog {
    let mut catalog = Catalog::new(true);
    for name in tables {
        catalog.insert(table(name), facts());
    }
    for (child, parent, on_delete, children) in keys {
        let key = json!({
            "constraint": format!("{child}_fkey"), "table": {"schema": "app", "name": child},
            "columns": ["parent_id"], "references": ["id"], "on_delete": on_delete, "partitioned": false, "unidentified": false, "indexed": true,
            "children_per_parent": children,
        });
        catalog.refer(table(parent), serde_json::from_value(key).unwrap());
    }
    catalog
}

pub(crate) fn warnings(plan: &Plan) -> Vec<&'static str> {
    plan.warnings().map(crate::Named::name).collect()
}

#[test]
fn a_row_weighs_what_goes_with_it() {
    let keys = [
        ("children", "codes", "Cascade", Some(3.0)),
        ("toys", "children", "Cascade", Some(2.0)),
        ("letters", "codes", "Set", Some(0.5)),
        ("unknown", "codes", "Cascade", None),
        ("refusers", "toys", "Refuse", Some(100.0)),
        // A circle ends where it began.
        ("codes", "toys", "Cascade", Some(1.0)),
    ];
    let policy = policy(&json!([delete("r", "codes")]));
    let plan = Plan::new(&policy, &catalog(&["codes"], &keys)).unwrap();
    let step = &plan.steps()[0];
    // Itself, 3 children, 6 toys, 6 rows of its own table again, half a letter, one unknown.
    assert!((step.weight() - 17.5).abs() < 1e-9, "{}", step.weight());
    let depths: Vec<_> =
        step.cascades().iter().map(|it| (it.depth, it.key.table.name.as_str())).collect();
    assert_eq!(
        depths,
        [
            (0, "children"),
            (1, "toys"),
            (2, "refusers"),
            (2, "codes"),
            (0, "letters"),
            (0, "unknown")
        ]
    );
}

#[test]
fn rows_that_refuse_are_no_surprise_where_they_go_first_or_are_looked_out_for() {
    let keys = [("children", "codes", "Refuse", Some(1.0))];
    let catalog = catalog(&["codes", "children"], &keys);
    let plan = |rules: Value| Plan::new(&policy(&rules), &catalog);
    let right = plan(json!([delete("children", "children"), delete("codes", "codes")])).unwrap();
    assert_eq!(warnings(&right), [] as [&str; 0]);
    let alone = plan(json!([delete("codes", "codes")])).unwrap();
    assert_eq!(warnings(&alone), [Warning::ReferencedByForeignKey.as_str()]);
    let wrong = plan(json!([delete("codes", "codes"), delete("children", "children")]));
    let wrong = wrong.unwrap_err();
    assert_eq!(wrong[0].kind, SchemaProblemKind::OrderCannotWork);
    assert_eq!(wrong[0].rule, "codes");
    let mut childless = delete("codes", "codes");
    let absent = json!({"notExists": {
        "table": {"schema": "app", "name": "children"}, "join": [{"column": "id", "references": "id"}],
    }});
    childless["where"].as_array_mut().unwrap().push(absent);
    let careful = plan(json!([childless, delete("children", "children")])).unwrap();
    assert_eq!(warnings(&careful), [] as [&str; 0]);
}

#[test]
fn what_an_earlier_cascade_removes_is_counted_with_a_warning() {
    let keys =
        [("children", "codes", "Cascade", Some(1.0)), ("toys", "children", "Cascade", Some(1.0))];
    let catalog = catalog(&["codes", "toys"], &keys);
    let rules = policy(&json!([delete("codes", "codes"), delete("toys", "toys")]));
    let plan = Plan::new(&rules, &catalog).unwrap();
    assert!(plan.steps()[1].depends_on_earlier());
    assert!(!plan.steps()[0].depends_on_earlier());
    let offline = Plan::offline(&rules);
    assert!(!offline.steps()[1].depends_on_earlier(), "without a catalog no key is known");
}

#[test]
fn a_large_table_without_an_index_is_walked_and_a_small_one_is_not() {
    let policy = policy(&json!([delete("r", "codes")]));
    let reads = |reads_everything| Some(Access { indexes: Vec::new(), reads_everything });
    let index = json!({"name": "due", "method": "btree", "unique": false, "partial": false, "valid": true, "columns": ["at"]});
    for (rows, indexed, access, strategy, again) in [
        (Some(60_000), false, reads(true), Strategy::PrimaryKey, true),
        (Some(60_000), true, reads(true), Strategy::PrimaryKey, true),
        (Some(60_000), false, reads(false), Strategy::Keyset, false),
        (Some(40_000), false, reads(true), Strategy::Keyset, false),
        (None, false, reads(true), Strategy::PrimaryKey, true),
        // Where the database was not asked, the catalog decides.
        (Some(60_000), false, None, Strategy::PrimaryKey, false),
        (Some(60_000), true, None, Strategy::Keyset, false),
    ] {
        let indexes =
            if indexed { vec![serde_json::from_value(index.clone()).unwrap()] } else { vec![] };
        let mut catalog = Catalog::new(true);
        catalog.insert(table("codes"), TableFacts { rows, pages: 5000, indexes, ..facts() });
        let mut plan = Plan::new(&policy, &catalog).unwrap();
        assert_eq!(plan.decide(0, access.clone()), again, "{rows:?} {access:?}");
        assert_eq!(plan.steps()[0].strategy(), strategy, "{rows:?} {access:?}");
        let advice: Vec<_> = plan.advice().map(crate::Named::name).collect();
        let walked = strategy == Strategy::PrimaryKey;
        assert_eq!(advice.contains(&"MissingIndex"), walked, "{advice:?}");
        assert!(!walked || !plan.decide(0, reads(true)), "a walk stays one");
    }
}

#[test]
fn an_index_that_is_partial_broken_or_leads_elsewhere_does_not_count() {
    let at = Identifier::parse("at").unwrap();
    for (partial, valid, columns, counts) in [
        (false, true, json!(["at", "id"]), true),
        (true, true, json!(["at"]), false),
        (false, false, json!(["at"]), false),
        (false, true, json!(["id", "at"]), false),
        (false, true, json!([null, "at"]), false),
    ] {
        let index = json!({"name": "i", "method": "btree", "unique": false, "partial": partial, "valid": valid, "columns": columns});
        let facts =
            TableFacts { indexes: vec![serde_json::from_value(index.clone()).unwrap()], ..facts() };
        assert_eq!(facts.has_index_on(&[&at]), counts, "{index}");
    }
}

#[test]
fn the_least_that_a_role_needs() {
    let policy = policy(&json!([
        {
            "name": "archive", "table": {"schema": "app", "name": "Codes \"old\""},
            "where": [
                {"column": "at", "operator": "OlderThan", "age": "1h"},
                {"notExists": {"table": {"schema": "app", "name": "people"}, "join": [{"column": "code_id", "references": "id"}]}},
                {"exists": {"table": {"schema": "shop", "name": "kinds"}, "join": [{"column": "id", "references": "kind"}]}},
            ],
            "action": {"archive": {"into": {"schema": "kept", "name": "codes"}}},
            "emit": [{"into": {"schema": "app", "name": "events"}, "values": [{"column": "kind", "value": "gone"}]}],
        },
        {
            "name": "tidy", "table": {"schema": "app", "name": "people"},
            "where": [{"column": "seen_at", "operator": "OlderThan", "age": "1h"}],
            "action": {"update": {"set": [{"column": "seen_at", "setNull": true}]}},
        },
        {
            "name": "drop", "table": {"schema": "app", "name": "days"},
            "where": [{"column": "day", "operator": "OlderThan", "age": "30d"}],
            "action": {"dropPartitions": {}},
        },
    ]));
    insta::assert_snapshot!("grants", grants(&policy, "cleaner").join("\n"));
}

#[test]
fn each_name_of_preflight_has_its_line_in_the_docs() {
    let page = include_str!("../../../docs/preflight.md");
    let problems = SchemaProblemKind::ALL.iter().map(|kind| kind.as_str());
    let warnings = Warning::ALL.iter().map(|kind| kind.as_str());
    let advice = crate::Advice::ALL.iter().map(|kind| kind.as_str());
    for name in problems.chain(warnings).chain(advice) {
        assert_eq!(page.matches(&format!("\n| `{name}` |")).count(), 1, "{name}");
    }
}
