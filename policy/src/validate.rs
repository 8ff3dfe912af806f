//! From what a team wrote to a [`Policy`], or every problem with its field path.
//!
//! Piece by piece, so that one wrong field hides no other: first the schema of
//! the CRD, then its CEL rules and what CEL cannot say. Operator, job and
//! command line all call this, and so all say the same words.

mod row;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::age::Age;
use crate::crd::{
    CleanupPolicySpec, ConcurrencyPolicy, DurationText, GROUP, MAX_POLICY_BYTES, MAX_POLICY_NAME,
    Mode, SecretSource,
};
use crate::policy::{Execution, Limits, NewRow, Policy, PolicyName};
use crate::problem::Problem;
use crate::schedule::Schedule;
use crate::schema;

/// Reads one `CleanupPolicy` document: a file as JSON, or an object of the API
/// server. `metadata.namespace` may be missing and is then `default`.
///
/// # Errors
/// Every problem, in the order of the document; never only the first.
pub fn validate(document: &Value) -> Result<Policy, Vec<Problem>> {
    let document = &without_nulls(document);
    let mut problems = Vec::new();
    check_kind(document, &mut problems);
    let name = policy_name(document, &mut problems);
    let generation = document.pointer("/metadata/generation").and_then(Value::as_i64);
    let empty = Value::Object(Map::new());
    let spec = document.get("spec").unwrap_or(&empty);
    schema::check_spec(spec, &mut problems);
    let shell = spec_without_rules(spec, &problems);
    let rules = rule::rules(spec, shell.as_ref(), &mut problems);
    let report = report(spec, &mut problems);
    let settings = shell.and_then(|shell| settings(&shell, &mut problems));
    check_size(document, &mut problems);

    let database = spec.get("database").and_then(piece);
    if let (
        Some(name),
        Some((schedule, limits, execution, mode, concurrency)),
        Some(database),
        true,
    ) = (name, settings, database, problems.is_empty())
    {
        let generation = generation.unwrap_or(0);
        let rules_hash = rules_hash(spec);
        return Ok(Policy {
            name,
            generation,
            rules_hash,
            mode,
            concurrency,
            schedule,
            limits,
            execution,
            rules,
            report,
            database,
        });
    }
    problems.sort_by_cached_key(|problem| (natural(&problem.path), problem.message.clone()));
    problems.dedup();
    Err(problems)
}

/// An explicit null is a field that is left out, as the API server reads it.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        _ => value.clone(),
    }
}

/// A path as it is sorted by people: `rules[2]` before `rules[10]`.
fn natural(path: &str) -> Vec<(u64, String)> {
    let parts = path.split(['.', '[', ']']).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            part.parse().map_or((u64::MAX, part.to_owned()), |index| (index, String::new()))
        })
        .collect()
}

fn report(spec: &Value, problems: &mut Vec<Problem>) -> Option<NewRow> {
    let value = spec.get("report")?;
    // By every place of the list: a rule that is wrong in itself still has its name.
    let rules = spec.get("rules").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<_> =
        rules.map(|rule| rule.get("name").and_then(Value::as_str).unwrap_or_default()).collect();
    row::new_row(value, "spec.report", row::Place::Report(&names), problems)
}

type Settings = (Schedule, Limits, Execution, Mode, ConcurrencyPolicy);

fn check_kind(document: &Value, problems: &mut Vec<Problem>) {
    let version = format!("{GROUP}/v1alpha1");
    for (field, wanted) in [("apiVersion", version.as_str()), ("kind", "CleanupPolicy")] {
        if document.get(field).and_then(Value::as_str) != Some(wanted) {
            problems.push(Problem::new(field, format!("must be {wanted}")));
        }
    }
    if document.get("spec").is_none() {
        problems.push(Problem::new("spec", "is required"));
    }
}

fn policy_name(document: &Value, problems: &mut Vec<Problem>) -> Option<PolicyName> {
    let metadata = |field: &str| document.pointer(&format!("/metadata/{field}"));
    let Some(name) = metadata("name").and_then(Value::as_str) else {
        problems.push(Problem::new("metadata.name", "is required"));
        return None;
    };
    if name.len() > MAX_POLICY_NAME {
        let message = "must have at most 49 characters, so that the names of its Jobs fit";
        problems.push(Problem::new("metadata.name", message));
    } else if !is_dns_label(name) {
        let message = "must be a DNS label: lower-case letters, digits and '-', without dots";
        problems.push(Problem::new("metadata.name", message));
    }
    let namespace = metadata("namespace").and_then(Value::as_str).unwrap_or("default");
    if namespace.len() > 63 || !is_dns_label(namespace) {
        let message = "must be a DNS label: lower-case letters, digits and '-'";
        problems.push(Problem::new("metadata.namespace", message));
    }
    Some(PolicyName { namespace: namespace.to_owned(), name: name.to_owned() })
}

fn is_dns_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// The spec with what is already known to be wrong put right, so that the rest of it can be read.
fn spec_without_rules(spec: &Value, problems: &[Problem]) -> Option<CleanupPolicySpec> {
    let mut shell = spec.as_object()?.clone();
    let stand_ins = json!({
        "schedule": "@hourly",
        "mode": "DryRun",
        "database": {"urlFrom": {"secretKeyRef": {"name": "n", "key": "k"}}},
    });
    shell.insert("rules".into(), json!([]));
    for problem in problems {
        remove_path(&mut shell, &problem.path);
    }
    for (name, value) in stand_ins.as_object()? {
        shell.entry(name.clone()).or_insert_with(|| value.clone());
    }
    piece(&Value::Object(shell))
}

/// Removes the field `spec.a`, or `spec.a.b` of `limits` and `execution`, whose other fields have defaults.
fn remove_path(spec: &mut Map<String, Value>, path: &str) {
    let mut segments = path.split(['.', '[']).skip(1);
    let Some(field) = segments.next().filter(|field| *field != "rules") else { return };
    match (field, segments.next(), spec.get_mut(field)) {
        ("limits" | "execution", Some(inner), Some(Value::Object(fields))) => {
            fields.remove(inner);
        }
        _ => {
            spec.remove(field);
        }
    }
}

/// A part of the document as its type; `None` where the schema has already refused it.
fn piece<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

fn settings(spec: &CleanupPolicySpec, problems: &mut Vec<Problem>) -> Option<Settings> {
    check_secret("spec.database.urlFrom", &spec.database.url_from, problems);
    if let Some(ca) = &spec.database.ca_from {
        check_secret("spec.database.caFrom", ca, problems);
    }
    check_labels(spec, problems);
    let schedule = schedule(&spec.schedule, &spec.time_zone, problems);
    let execution = execution(spec, problems)?;
    let limits = Limits { max_rows_per_run: spec.limits.max_rows_per_run };
    Some((schedule?, limits, execution, spec.mode, spec.concurrency_policy))
}

fn schedule(expression: &str, zone: &str, problems: &mut Vec<Problem>) -> Option<Schedule> {
    let parsed = Schedule::parse(expression, zone);
    // The parser stops at the expression; the zone is looked at all the same.
    for attempt in [&parsed, &Schedule::parse("@daily", zone)] {
        if let Err(problem) = attempt {
            let field = if problem.is_time_zone() { "spec.timeZone" } else { "spec.schedule" };
            problems.push(Problem::new(field, problem.to_string()));
        }
    }
    if let Ok(schedule) = &parsed
        && schedule.after(Timestamp::UNIX_EPOCH).is_none()
    {
        problems.push(Problem::new("spec.schedule", "names a day that never comes"));
    }
    parsed.ok()
}

fn check_secret(field: &str, source: &SecretSource, problems: &mut Vec<Problem>) {
    let reference = &source.secret_key_ref;
    let path = format!("{field}.secretKeyRef");
    if !reference.name.is_empty() && !reference.name.split('.').all(is_dns_label) {
        let message = "must be the name of a Secret: lower-case letters, digits, '-' and '.'";
        problems.push(Problem::new(format!("{path}.name"), message));
    }
    if !reference.key.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
        let message = "must be a key of a Secret: letters, digits, '-', '_' and '.'";
        problems.push(Problem::new(format!("{path}.key"), message));
    }
}

fn check_labels(spec: &CleanupPolicySpec, problems: &mut Vec<Problem>) {
    for label in spec.pod_template.labels.keys() {
        if label.starts_with("pgsweep.dev/") || label.starts_with("app.kubernetes.io/") {
            let message =
                "must not use pgsweep.dev/ or app.kubernetes.io/: those are the operator's";
            problems.push(Problem::new(format!("spec.podTemplate.labels.{label}"), message));
        }
        let of_jobs = ["job-name", "controller-uid"].contains(&label.as_str());
        if of_jobs || label.starts_with("batch.kubernetes.io/") {
            let message = "must not use batch.kubernetes.io/, job-name or controller-uid: those are the Job's";
            problems.push(Problem::new(format!("spec.podTemplate.labels.{label}"), message));
        }
    }
}

fn execution(spec: &CleanupPolicySpec, problems: &mut Vec<Problem>) -> Option<Execution> {
    let written = &spec.execution;
    let path = |field: &str| format!("spec.execution.{field}");
    let mut positive = |field: &str, text: &DurationText| {
        let age = age(&path(field), text, problems)?;
        // Postgres reads a timeout of 0 as "none": the opposite of what was meant.
        if age.as_millis() == 0 {
            problems.push(Problem::new(path(field), "must be more than 0"));
        } else if age.as_millis() > i64::from(i32::MAX) {
            problems.push(Problem::new(path(field), "must be at most 24d"));
        }
        Some(age)
    };
    let target_batch_duration = positive("targetBatchDuration", &written.target_batch_duration);
    let batch_timeout = positive("batchTimeout", &written.batch_timeout);
    let lock_timeout = positive("lockTimeout", &written.lock_timeout);
    let statement_timeout = positive("statementTimeout", &written.statement_timeout);
    let max_duration = positive("maxDuration", &written.max_duration);
    let max_replica_lag = positive("maxReplicaLag", &written.max_replica_lag);
    let batch_timeout = batch_timeout?;
    let execution = Execution {
        batch_size: i64::from(written.batch_size),
        // A batch that took as long as it may would often be cancelled: half of it is the aim then.
        target_batch_duration: target_batch_duration?.min(batch_timeout.share(2)),
        batch_timeout,
        lock_timeout: lock_timeout?,
        statement_timeout: statement_timeout?,
        max_rows_per_second: written.max_rows_per_second,
        max_replica_lag: max_replica_lag?,
        max_duration: max_duration?,
        on_rule_error: written.on_rule_error,
    };
    let least = execution.max_duration.as_millis() + 60_000;
    if spec.active_deadline_seconds.saturating_mul(1000) <= least {
        let message =
            "must be more than execution.maxDuration + 60 s, so that a run can end by itself";
        problems.push(Problem::new("spec.activeDeadlineSeconds", message));
    }
    Some(execution)
}

fn age(path: &str, text: &DurationText, problems: &mut Vec<Problem>) -> Option<Age> {
    Age::parse(&text.0)
        .map_err(|problem| problems.push(Problem::new(path, problem.to_string())))
        .ok()
}

fn check_size(document: &Value, problems: &mut Vec<Problem>) {
    // As the job gets it, with every `$` doubled.
    let text = document.get("spec").map(Value::to_string).unwrap_or_default();
    let bytes = text.len() + text.matches('$').count() + 1024;
    if bytes > MAX_POLICY_BYTES {
        let message = format!("must have at most {MAX_POLICY_BYTES} bytes as JSON; it has {bytes}");
        problems.push(Problem::new("spec", message));
    }
}

/// JSON with sorted fields, whatever order the map at hand keeps.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            let fields: Vec<_> = sorted
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        _ => value.to_string(),
    }
}

fn rules_hash(spec: &Value) -> String {
    let spec = schema::without_defaults(spec);
    let hashed: Map<String, Value> = ["rules", "report", "limits", "database"]
        .into_iter()
        .filter_map(|field| Some((field.to_owned(), spec.get(field)?.clone())))
        .collect();
    let digest = Sha256::digest(canonical(&Value::Object(hashed)));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
