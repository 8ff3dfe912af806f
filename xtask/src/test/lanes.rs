//! The whole suite in two lanes, side by side: tests on Kubernetes mostly wait for it, and others have
//! the processors meanwhile. What shares a cluster is in one lane, where one binary runs at a time.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::workspace;

/// How the names of tests begin that have clusters of their own: about half of all, by their time.
const ON_THEIR_OWN: [&str; 7] = [
    "bed_cluster",
    "bed_operator",
    "e2e_approval",
    "e2e_chart",
    "e2e_preflight",
    "e2e_tour",
    "operator_",
];

/// One after the other; of a lane at most so many tests at a time, most of whose time is waiting.
pub struct Lane {
    pub name: &'static str,
    /// What `cargo test` is told each time.
    pub arguments: Vec<Vec<String>>,
    pub threads: &'static str,
}

/// Every test there is: what is not in the one lane is in the other.
pub fn all() -> Result<[Lane; 2]> {
    let (on_their_own, others): (Vec<_>, Vec<_>) = targets()?
        .into_iter()
        .partition(|name| ON_THEIR_OWN.iter().any(|begin| name.starts_with(begin)));
    let chosen =
        |names: Vec<String>| names.into_iter().flat_map(|name| ["--test".to_owned(), name]);
    let units = ["--lib", "--bins"].map(str::to_owned);
    Ok([
        Lane {
            name: "tests on clusters of their own",
            arguments: vec![chosen(on_their_own).collect()],
            threads: "6",
        },
        Lane {
            name: "all other tests",
            arguments: vec![
                units.into_iter().chain(chosen(others)).collect(),
                vec!["--doc".to_owned()],
            ],
            threads: "4",
        },
    ])
}

/// The names of all test binaries beside those of libraries and programs.
fn targets() -> Result<Vec<String>> {
    let metadata = workspace::metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let targets = packages.iter().filter_map(|package| package["targets"].as_array()).flatten();
    let tests = targets.filter(|target| {
        target["kind"].as_array().is_some_and(|kinds| kinds.contains(&Value::from("test")))
    });
    Ok(tests.filter_map(|target| target["name"].as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_test_is_in_one_lane() {
        let lanes = all().expect("the metadata of this workspace");
        let words = lanes.iter().flat_map(|lane| lane.arguments.iter().flatten());
        let mut chosen: Vec<_> = words.filter(|word| !word.starts_with("--")).cloned().collect();
        chosen.sort();
        let is_test = |path: &Path| {
            workspace::has_extension(path, "rs")
                && path.parent().is_some_and(|it| it.ends_with("tests/tests"))
        };
        let files = workspace::files("tests/tests", is_test).expect("the tests");
        let stems =
            files.iter().filter_map(|path| path.file_stem()).map(|stem| stem.to_string_lossy());
        assert_eq!(chosen, stems.collect::<Vec<_>>());
    }
}
