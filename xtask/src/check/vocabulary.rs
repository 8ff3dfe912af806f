//! What the operator says has been heard: each condition, reason, event and metric is produced by a
//! test on a real cluster, and told in `docs/operations.md`.
//!
//! A test proves a word by naming it in quotes; that it would fail without it is for its reviewer.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

const WORDS: &str = "policy/src/crd/words.rs";
const METRICS: [&str; 2] =
    ["operator/src/metrics.rs", "operator/src/metrics/policies/families.rs"];
const DOCUMENT: &str = "docs/operations.md";
/// Tests that run the operator, or the chart, on a real cluster.
const TESTS: [&str; 3] = ["e2e_", "operator_", "reconcile_"];

/// Every breach.
pub fn findings() -> Result<Vec<String>> {
    let mut words = constants(&workspace::read(WORDS)?);
    for path in METRICS {
        words.extend(metrics(&workspace::read(path)?));
    }
    ensure!(words.len() > 60, "the words of {WORDS} and the metrics are not found any more");
    let document = workspace::read(DOCUMENT)?;
    let tests = sources_of_tests()?;
    let mut findings = Vec::new();
    for word in words {
        if !tests.iter().any(|text| text.contains(&format!("\"{word}\""))) {
            findings.push(format!("no test on a real cluster produces {word}: name it in one"));
        }
        if !document.contains(&format!("`{word}`")) {
            findings.push(format!("{DOCUMENT} does not tell what {word} means"));
        }
    }
    Ok(findings)
}

/// The values of `pub const NAME: &str = "Value";`.
fn constants(source: &str) -> BTreeSet<String> {
    let lines = source.lines().filter(|line| line.trim_start().starts_with("pub const "));
    lines.filter_map(|line| Some(line.split('"').nth(1)?.to_owned())).collect()
}

/// Quoted names of metrics.
fn metrics(source: &str) -> BTreeSet<String> {
    let quoted = source.split('"').skip(1).step_by(2);
    let is_metric = |text: &&str| {
        text.starts_with("pgsweep_") && text.chars().all(|c| c == '_' || c.is_ascii_lowercase())
    };
    quoted.filter(is_metric).map(str::to_owned).collect()
}

fn sources_of_tests() -> Result<Vec<String>> {
    let files = workspace::files("tests/tests", |path| workspace::has_extension(path, "rs"))?;
    let is_on_cluster = |path: &Path| {
        let mut parts = path.components().filter_map(|part| part.as_os_str().to_str());
        parts.any(|part| TESTS.iter().any(|prefix| part.starts_with(prefix)))
    };
    let files = files.into_iter().filter(|path| is_on_cluster(path));
    files.map(|path| workspace::read(&path).context("a test cannot be read")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_metrics_are_found_in_their_sources() {
        let words = constants("/// A.\n    pub const READY: &str = \"Ready\";\nconst X: u8 = 1;");
        assert_eq!(words, ["Ready".to_owned()].into());
        let metrics = metrics("x: Gauge \"pgsweep_policy_info\" \"What pgsweep_x is.\"");
        assert_eq!(metrics, ["pgsweep_policy_info".to_owned()].into());
    }
}
