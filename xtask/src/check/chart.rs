//! Rules of the charts: no value that no template reads, no template that reads no value, no variable
//! that the program does not know, no schema that names other policies than there are, and no alert
//! without its runbook and its test.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::workspace;

/// A chart, and the sources of the program that it runs.
struct Chart {
    folder: &'static str,
    sources: &'static str,
}

const CHARTS: [Chart; 2] = [
    Chart { folder: "charts/pgsweep", sources: "operator/src" },
    Chart { folder: "charts/session-api", sources: "api/src" },
];
const MOST_LINES: usize = 150;
const POLICIES: &str = "charts/session-api/files/policies";
const POLICIES_SCHEMA: &str = "charts/session-api/values.schema.json";
const RUNBOOKS: &str = "docs/runbooks";
const ALERT_TESTS: &str = "tests/tests/admit_alerts";

/// Every breach.
pub fn findings() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for chart in &CHARTS {
        let found = chart.findings().with_context(|| format!("in {}", chart.folder))?;
        findings.extend(found.iter().map(|finding| format!("{}: {finding}", chart.folder)));
    }
    findings.extend(policy_findings()?);
    findings.extend(alert_findings()?);
    Ok(findings)
}

impl Chart {
    fn findings(&self) -> Result<Vec<String>> {
        let values_text = workspace::read(format!("{}/values.yaml", self.folder))?;
        let values: Value =
            serde_saphyr::from_str(&values_text).context("cannot read values.yaml")?;
        let templates = joined(&format!("{}/templates", self.folder), &["yaml", "tpl", "txt"])?;
        let mut findings = value_findings(&values, &values_path_set(&templates));
        let known = joined(self.sources, &["rs"])? + &joined("runtime/src", &["rs"])?;
        findings.extend(environment_findings(&templates, &known));
        let chart = workspace::read(format!("{}/Chart.yaml", self.folder))?;
        findings.extend(version_findings(&chart)?);
        let lines = values_text.lines().count();
        if lines > MOST_LINES {
            findings.push(format!("values.yaml has {lines} lines; {MOST_LINES} is the most"));
        }
        Ok(findings)
    }
}

fn joined(folder: &str, extensions: &[&str]) -> Result<String> {
    let wanted = |path: &std::path::Path| {
        extensions.iter().any(|extension| workspace::has_extension(path, extension))
    };
    let paths = workspace::files(folder, wanted)?;
    let texts: Result<Vec<_>> = paths.iter().map(workspace::read).collect();
    Ok(texts?.join("\n"))
}

/// Every `.Values.a.b` that a template reads, as `a.b`.
fn values_path_set(templates: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (_, tail) in
        templates.match_indices(".Values.").map(|(at, found)| templates.split_at(at + found.len()))
    {
        let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(tail.len());
        paths.insert(tail[..end].trim_end_matches('.').to_owned());
    }
    paths
}

fn value_findings(values: &Value, read: &BTreeSet<String>) -> Vec<String> {
    let mut leaves = Vec::new();
    collect_leaves("", values, &mut leaves);
    let is_read = |leaf: &str| read.iter().any(|path| leaf == path || is_inside(leaf, path));
    let dead = leaves.iter().filter(|leaf| !is_read(leaf));
    let dead = dead.map(|leaf| format!("no template reads the value {leaf}"));
    let is_there = |path: &str| leaves.iter().any(|leaf| leaf == path || is_inside(leaf, path));
    let unknown = read.iter().filter(|path| !is_there(path));
    let unknown = unknown.map(|path| format!("a template reads {path}, which values.yaml lacks"));
    dead.chain(unknown).collect()
}

fn is_inside(leaf: &str, path: &str) -> bool {
    leaf.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
}

fn collect_leaves(path: &str, value: &Value, leaves: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect_leaves(&path, value, leaves);
            }
        }
        _ => leaves.push(path.to_owned()),
    }
}

/// Flags have variables named `PGSWEEP_<FLAG>`: a chart sets no other.
fn environment_findings(templates: &str, known: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, _) in templates.match_indices("PGSWEEP_") {
        let tail = &templates[at..];
        let end = tail.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(tail.len());
        let name = &tail[..end];
        if !known.contains(&format!("\"{name}\"")) {
            findings.push(format!("it sets {name}, which the program does not read"));
        }
    }
    findings
}

/// One version for crates, charts and images.
fn version_findings(chart: &str) -> Result<Vec<String>> {
    let version = env!("CARGO_PKG_VERSION");
    let chart: Value = serde_saphyr::from_str(chart).context("cannot read Chart.yaml")?;
    let wrong = ["version", "appVersion"]
        .into_iter()
        .filter(|field| chart.get(field).and_then(Value::as_str) != Some(version));
    Ok(wrong
        .map(|field| format!("{field} in Chart.yaml is not {version}, as the crates have it"))
        .collect())
}

/// What may be left out of the session API's policies is what there is of them.
fn policy_findings() -> Result<Vec<String>> {
    let files = workspace::files(POLICIES, |path| workspace::has_extension(path, "yaml"))?;
    let names = files.iter().filter_map(|path| path.file_stem()?.to_str().map(str::to_owned));
    let names: BTreeSet<_> = names.collect();
    let schema: Value = serde_json::from_str(&workspace::read(POLICIES_SCHEMA)?)
        .with_context(|| format!("cannot read {POLICIES_SCHEMA}"))?;
    let known = schema.pointer("/properties/cleanupPolicies/properties/leaveOut/items/enum");
    let known = known.and_then(Value::as_array).into_iter().flatten();
    let known: BTreeSet<_> = known.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let differs = names.symmetric_difference(&known);
    Ok(differs
        .map(|name| {
            format!("{name} is not both in {POLICIES} and in leaveOut of {POLICIES_SCHEMA}")
        })
        .collect())
}

/// An alert that wakes somebody up says what to do, and has been seen to fire.
fn alert_findings() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut expected = BTreeSet::new();
    for chart in &CHARTS {
        let path = format!("{}/files/alerts.yaml", chart.folder);
        let rules: Value = serde_saphyr::from_str(&workspace::read(&path)?)
            .with_context(|| format!("cannot read {path}"))?;
        findings.extend(unknown_metrics(&rules, &joined(chart.sources, &["rs"])?));
        for rule in alerts(&rules) {
            findings.extend(breaches(rule, &mut expected));
        }
    }
    for (folder, extension) in [(RUNBOOKS, "md"), (ALERT_TESTS, "yaml")] {
        let files = workspace::files(folder, |path| workspace::has_extension(path, extension))?;
        let files = files.iter().map(|path| path.display().to_string());
        findings.extend(
            files
                .filter(|path| !expected.contains(path))
                .map(|path| format!("{path} belongs to no alert of a chart")),
        );
    }
    Ok(findings)
}

/// What is wrong with one; the files that it has to have are `expected` then.
fn breaches(rule: &Value, expected: &mut BTreeSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    let (alert, slug) = (text(rule, "/alert"), slug(text(rule, "/alert")));
    if text(rule, "/annotations/runbook_url") != format!("RUNBOOKS/{slug}.md") {
        findings.push(format!("{alert}: its runbook_url is not RUNBOOKS/{slug}.md"));
    }
    for annotation in ["summary", "description"] {
        if text(rule, &format!("/annotations/{annotation}")).is_empty() {
            findings.push(format!("{alert} has no {annotation}"));
        }
    }
    if text(rule, "/labels/severity").is_empty() {
        findings.push(format!("{alert} has no severity"));
    }
    for (path, needle) in [
        (format!("{RUNBOOKS}/{slug}.md"), format!("# {alert}\n")),
        (format!("{ALERT_TESTS}/{slug}.yaml"), format!("alertname: {alert}\n")),
    ] {
        if !workspace::read(&path).is_ok_and(|text| text.contains(&needle)) {
            findings.push(format!("{alert}: no {path} that says `{}`", needle.trim_end()));
        }
        expected.insert(path);
    }
    findings
}

/// An alert on a series that nobody shows would never fire.
fn unknown_metrics(rules: &Value, sources: &str) -> BTreeSet<String> {
    let all = every_rule(rules).flat_map(|rule| metrics(text(rule, "/expr")));
    let unknown = all.filter(|metric| {
        // A histogram is shown as three series.
        let histogram = metric.strip_suffix("_count").unwrap_or(metric);
        [metric, histogram].iter().all(|name| !sources.contains(&format!("\"{name}\"")))
    });
    unknown
        .map(|metric| format!("an alert looks at {metric}, which its program does not show"))
        .collect()
}

/// Every `pgsweep_…` of an expression that is no recording rule, whose name has a colon.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = expression.split(move |c| !is_part(c));
    words.filter(|word| word.starts_with("pgsweep_") && !word.contains(':'))
}

fn every_rule(rules: &Value) -> impl Iterator<Item = &Value> {
    let groups = rules.get("groups").and_then(Value::as_array).into_iter().flatten();
    groups.filter_map(|group| group.get("rules")?.as_array()).flatten()
}

fn alerts(rules: &Value) -> impl Iterator<Item = &Value> {
    every_rule(rules).filter(|rule| rule.get("alert").is_some())
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// `PgsweepDryRunForgotten` is `dry-run-forgotten` among files.
fn slug(alert: &str) -> String {
    let mut slug = String::new();
    for letter in alert.trim_start_matches("Pgsweep").chars() {
        if letter.is_ascii_uppercase() && !slug.is_empty() {
            slug.push('-');
        }
        slug.push(letter.to_ascii_lowercase());
    }
    slug
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_that_no_template_reads_is_found_and_so_is_one_that_is_not_there() {
        let values =
            json!({"image": {"tag": "", "digest": ""}, "resources": {"limits": {"cpu": 1}}});
        let read = values_path_set(
            "{{ .Values.image.tag | quote }} {{- with .Values.resources }} {{ .Values.image.name }}",
        );
        assert_eq!(
            value_findings(&values, &read),
            [
                "no template reads the value image.digest",
                "a template reads image.name, which values.yaml lacks",
            ]
        );
    }

    #[test]
    fn a_variable_that_no_flag_has_is_found() {
        let templates = "name: PGSWEEP_LISTEN\nname: PGSWEEP_LISTENS\n";
        assert_eq!(
            environment_findings(templates, "env = \"PGSWEEP_LISTEN\""),
            ["it sets PGSWEEP_LISTENS, which the program does not read"]
        );
    }

    #[test]
    fn an_alert_looks_at_metrics_and_at_what_other_rules_recorded() {
        let expression = "max(pgsweep_policy_info{mode=\"DryRun\"}) > pgsweep_policy:since:seconds";
        assert_eq!(metrics(expression).collect::<Vec<_>>(), ["pgsweep_policy_info"]);
    }

    #[test]
    fn an_alert_has_the_files_of_its_name() {
        assert_eq!(slug("PgsweepDryRunForgotten"), "dry-run-forgotten");
    }
}
