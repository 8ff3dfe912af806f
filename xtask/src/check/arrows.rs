//! Who may depend on whom: the tree is the architecture.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::workspace;

/// Each crate of ours with the crates of ours that it may use.
const ARROWS: [(&str, &[&str]); 8] = [
    ("policy", &[]),
    ("runtime", &[]),
    ("operator", &["policy", "runtime"]),
    ("cleanup-job", &["policy", "runtime"]),
    ("api", &["policy", "runtime"]),
    ("local-postgres", &[]),
    ("tests", &["local-postgres", "policy"]),
    ("xtask", &["local-postgres", "policy", "tests"]),
];

/// `policy` is pure: types and text. A client, a pool or a runtime in this list would end that.
const PURE: [&str; 11] = [
    "insta",
    "jiff",
    "k8s-openapi",
    "kube",
    "proptest",
    "schemars",
    "serde",
    "serde-saphyr",
    "serde_json",
    "sha2",
    "thiserror",
];

/// Crates that a binary must not carry.
const FORBIDDEN: [(&str, &[&str]); 3] = [
    ("api", &["kube", "k8s-openapi"]),
    ("cleanup-job", &["kube", "k8s-openapi", "axum"]),
    ("operator", &["sqlx"]),
];

/// Every arrow that is not drawn in `ARCHITECTURE.md`.
pub fn findings() -> Result<Vec<String>> {
    let metadata = workspace::metadata()?;
    let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
    let mut findings = Vec::new();
    for package in packages {
        let name = text(package, "name");
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            findings.push(format!("crate {name} has no arrows yet; add it to check/arrows.rs"));
            continue;
        };
        let dependencies = package.get("dependencies").and_then(Value::as_array);
        for dependency in dependencies.into_iter().flatten() {
            let used = text(dependency, "name");
            let ours = dependency.get("path").is_some_and(Value::is_string);
            if ours && !allowed.contains(&used) {
                findings.push(format!("{name} must not depend on {used}"));
            }
            findings.extend(foreign(name, used, dependency));
        }
        findings.extend(lints(name, text(package, "manifest_path"))?);
    }
    Ok(findings)
}

fn foreign(name: &str, used: &str, dependency: &Value) -> Option<String> {
    if name == "policy" {
        if !PURE.contains(&used) {
            return Some(format!("policy is pure and must not depend on {used}"));
        }
        let features = dependency.get("features").and_then(Value::as_array);
        let mut features = features.into_iter().flatten().filter_map(Value::as_str);
        let beyond = features.find(|feature| used == "kube" && *feature != "derive");
        return beyond.map(|feature| format!("policy uses kube's feature {feature}, which is IO"));
    }
    let (_, forbidden) = FORBIDDEN.iter().find(|(known, _)| *known == name)?;
    forbidden.contains(&used).then(|| format!("{name} must not depend on {used}"))
}

fn lints(name: &str, manifest: &str) -> Result<Option<String>> {
    let text = std::fs::read_to_string(manifest)?;
    let inherited = text.contains("[lints]\nworkspace = true");
    Ok((!inherited).then(|| format!("{name} does not inherit the lints of the workspace")))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
