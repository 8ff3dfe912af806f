//! Each rule of the CRD on a real API server: an object that keeps it is taken, one that breaks it
//! is refused with the field and the reason; `policy::validate` refuses the same object at the
//! same field.

mod admit_policies {
    pub mod case;
    pub mod cases;
}

use std::collections::BTreeSet;

use admit_policies::case::{ABSENT, Case};
use admit_policies::cases;
use anyhow::{Result, bail};
use serde_json::Value;
use tests::cluster::Namespace;
use tests::{chart, checkout};

#[tokio::test]
async fn the_api_server_takes_what_keeps_a_rule_and_refuses_what_breaks_it() -> Result<()> {
    let Some(cluster) = tests::cluster().await? else { return Ok(()) };
    let crd = checkout::root().join("crds/cleanuppolicies.pgsweep.dev.yaml");
    let crd = crd.to_string_lossy();
    cluster.kubectl(["apply", "--server-side", "--force-conflicts", "--filename", &crd]).await?;
    let established = ["--for", "condition=Established", "crd/cleanuppolicies.pgsweep.dev"];
    cluster.kubectl(["wait"].iter().chain(&established)).await?;
    let wrong =
        cluster.with_namespace("admit", async |namespace| judge_all(namespace).await).await?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn judge_all(namespace: &Namespace<'_>) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for case in &cases::all() {
        for value in &case.accepted {
            if let Err(refusal) = chart::judge(namespace, &document(case, value)?).await? {
                wrong.push(format!("{case}: {value} was refused: {refusal}"));
            }
        }
        match chart::judge(namespace, &document(case, &case.refused)?).await? {
            Ok(_) => wrong.push(format!("{case}: {} was taken", case.refused)),
            Err(refusal) if !(refusal.contains(&case.says) && refusal.contains(case.field())) => {
                let field = case.field();
                wrong.push(format!("{case}: not \"{}\" of {field} but: {refusal}", case.says));
            }
            Err(_) => {}
        }
    }
    Ok(wrong)
}

#[test]
fn validation_without_an_api_server_agrees() -> Result<()> {
    let mut wrong = Vec::new();
    for case in cases::all() {
        for value in &case.accepted {
            if let Err(problems) = policy::validate(&document(&case, value)?) {
                wrong.push(format!("{case}: {value} was refused: {problems:?}"));
            }
        }
        match policy::validate(&document(&case, &case.refused)?) {
            Ok(_) => wrong.push(format!("{case}: {} was taken", case.refused)),
            Err(problems) if !problems.iter().any(|problem| problem.path == case.problem_at) => {
                wrong.push(format!("{case}: no problem at {}: {problems:?}", case.problem_at));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_rule_and_every_bound_of_the_crd_has_a_case() {
    let crd = serde_json::to_value(policy::custom_resource_definition()).unwrap();
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    let mut rules = Rules::default();
    rules.collect("", schema);
    let cases = cases::all();
    let mut missing: Vec<_> = rules
        .messages
        .iter()
        .filter(|(path, message)| {
            let covers = |case: &Case| {
                let places = [&case.at, &case.problem_at];
                case.says == *message
                    && places.iter().any(|place| generic(place).starts_with(path.as_str()))
            };
            !cases.iter().any(covers)
        })
        .map(|(path, message)| format!("{path}: {message}"))
        .collect();
    let covered: BTreeSet<_> =
        cases.iter().flat_map(|case| [generic(&case.at), generic(&case.problem_at)]).collect();
    missing.extend(rules.bounds.difference(&covered).cloned());
    assert!(missing.is_empty(), "no case for:\n{}", missing.join("\n"));
}

/// What the schema of the CRD demands of a spec.
#[derive(Default)]
struct Rules {
    /// CEL rules by the path of their object.
    messages: BTreeSet<(String, String)>,
    /// Paths of fields with a bound, a pattern or a closed set of words.
    bounds: BTreeSet<String>,
}

/// Kubernetes' own types inside `podTemplate`: their schema is not ours.
const FOREIGN: [&str; 6] = [
    "status",
    "affinity",
    "imagePullSecrets",
    "resources",
    "tolerations",
    "topologySpreadConstraints",
];
const BOUNDS: [&str; 10] = [
    "enum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
    "x-kubernetes-int-or-string",
];

impl Rules {
    fn collect(&mut self, path: &str, schema: &Value) {
        for rule in list(schema, "x-kubernetes-validations") {
            let message = rule.get("message").and_then(Value::as_str).unwrap_or_default();
            self.messages.insert((path.to_owned(), message.to_owned()));
        }
        if BOUNDS.iter().any(|bound| schema.get(bound).is_some()) {
            self.bounds.insert(path.to_owned());
        }
        for (name, field) in
            schema.get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            if !FOREIGN.contains(&name.as_str()) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                self.collect(&path, field);
            }
        }
        if let Some(item) = schema.get("items") {
            self.collect(&format!("{path}[]"), item);
        }
    }
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// `spec.rules[0].name` as `spec.rules[].name`.
fn generic(path: &str) -> String {
    path.chars().filter(|character| !character.is_ascii_digit()).collect()
}

/// The base policy with `value`, as YAML, in the place that the case speaks of.
fn document(case: &Case, value: &str) -> Result<Value> {
    let mut document: Value = serde_saphyr::from_str(cases::BASE)?;
    let mut place = &mut document;
    let mut steps = case.at.split(['.', '[']).map(|step| step.trim_end_matches(']')).peekable();
    while let Some(step) = steps.next() {
        let last = steps.peek().is_none();
        place = match (place, step.parse::<usize>()) {
            (Value::Array(items), Ok(index)) => {
                while items.len() <= index {
                    items.push(Value::Null);
                }
                &mut items[index]
            }
            (Value::Object(fields), _) if last && value == ABSENT => {
                fields.remove(step);
                return Ok(document);
            }
            (Value::Object(fields), _) => fields.entry(step).or_insert_with(|| new(steps.peek())),
            (other, _) => bail!("{step} of {} is in {other}", case.at),
        };
    }
    *place = serde_saphyr::from_str(value)?;
    Ok(document)
}

/// What is made where the next step leads on.
fn new(next: Option<&&str>) -> Value {
    let index = next.is_some_and(|step| step.parse::<usize>().is_ok());
    if index { Value::Array(Vec::new()) } else { Value::Object(serde_json::Map::new()) }
}
