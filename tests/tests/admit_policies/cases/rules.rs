//! A rule around its conditions and its action, and every name of something in a database.

use super::super::case::{ABSENT, Case, EMPTY, MATCH, case, entries, longest, required};

pub fn all() -> Vec<Case> {
    let mut cases = rules();
    for field in [
        "spec.rules[0].table",
        "spec.rules[0].table.schema",
        "spec.rules[0].table.name",
        "spec.rules[0].where",
        "spec.rules[0].action",
    ] {
        cases.push(required(field));
    }
    // The key of a list map: the server asks for it before it looks at the schema.
    cases.push(case("spec.rules[0].name", &[], ABSENT, "name"));
    cases.push(case(
        "spec.rules[0].where[0].colum",
        &[],
        "x",
        "unknown field \"spec.rules[0].where[0].colum\"",
    ));
    for at in [
        "spec.rules[0].table.schema",
        "spec.rules[0].table.name",
        "spec.rules[0].where[0].column",
        "spec.rules[0].emit[0].into.schema",
        "spec.rules[0].emit[0].into.name",
        "spec.rules[0].emit[0].values[0].column",
        "spec.rules[0].emit[0].values[1].object[0].fromColumn",
        "spec.rules[1].where[0].anyOf[0].column",
        "spec.rules[1].action.update.set[0].column",
        "spec.rules[2].where[1].exists.table.schema",
        "spec.rules[2].where[1].exists.table.name",
        "spec.rules[2].where[1].exists.join[0].column",
        "spec.rules[2].where[1].exists.join[0].references",
        "spec.rules[2].where[1].exists.where[0].column",
        "spec.rules[2].where[2].notExists.table.schema",
        "spec.rules[2].where[2].notExists.table.name",
        "spec.rules[2].where[2].notExists.join[0].column",
        "spec.rules[2].where[2].notExists.join[0].references",
        "spec.rules[2].where[2].notExists.where[0].column",
        "spec.rules[2].action.archive.into.schema",
        "spec.rules[2].action.archive.into.name",
        "spec.report.into.schema",
        "spec.report.into.name",
        "spec.report.values[0].column",
    ] {
        cases.extend(names_of_postgres(at));
    }
    cases
}

/// Up to 63 bytes of anything but NUL.
fn names_of_postgres(at: &str) -> [Case; 4] {
    let bytes = "must have at most 63 bytes: Postgres would cut it off and mean another name";
    [
        longest(at, 63),
        case(at, &["'say \"hi\"'", "SELECT", "$(DATABASE_URL)"], "''", EMPTY),
        case(at, &[&"é".repeat(31)], &"é".repeat(32), bytes),
        case(at, &["\"a\\nb\""], "\"a\\0b\"", MATCH),
    ]
}

fn rules() -> Vec<Case> {
    let rule = |n: usize| {
        format!(
            "{{name: r{n}, table: {{schema: a, name: b}}, where: [{{column: c, operator: IsNull}}], action: {{delete: {{}}}}}}"
        )
    };
    let condition = |n: usize| format!("{{column: c{n}, operator: IsNull}}");
    let twice = format!("[{}, {}]", rule(0), rule(0));
    let mut cases = vec![
        case("spec.rules", &[], &twice, "Duplicate value").problem("spec.rules[1].name"),
        longest("spec.rules[1].name", 40),
        case("spec.rules[1].name", &["a-1"], "A", MATCH),
        case("spec.rules[1].name", &[], "'-a'", MATCH),
        case("spec.rules[1].name", &[], "''", EMPTY),
        minimum_age(),
    ];
    cases.extend(entries("spec.rules", 32, rule));
    cases.extend(entries("spec.rules[0].where", 16, condition));
    cases.extend(entries("spec.rules[1].where[0].anyOf", 16, condition));
    cases
}

fn minimum_age() -> Case {
    let spec = |condition: &str, action: &str| {
        format!(
            "{{schedule: '@daily', mode: DryRun, database: {{urlFrom: {{secretKeyRef: {{name: a, key: b}}}}}}, \
             limits: {{minimumAge: 1h}}, rules: [{{name: r, table: {{schema: a, name: b}}, where: [{condition}], action: {action}}}]}}"
        )
    };
    let (aged, ageless) =
        ("{column: c, operator: OlderThan, age: 1h}", "{column: c, operator: IsNull}");
    let update = "{update: {set: [{column: d, now: true}]}}";
    case(
        "spec",
        &[&spec(aged, "{delete: {}}"), &spec(ageless, update)],
        &spec(ageless, "{archive: {into: {schema: c, name: d}}}"),
        "a rule that deletes needs an OlderThan of at least limits.minimumAge",
    )
    .said_of("spec.rules")
    .problem("spec.rules[0].where")
}
