//! Documents say what is there: commands that exist, links that lead somewhere, every folder on
//! the map, and CI that runs what the README tells people to run.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::CommandFactory as _;

use crate::workspace;

const ALIAS: &str = "cargo xtask ";
const CI: &str = ".ci/run";

/// Every breach.
pub fn findings() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut documents = workspace::files("", |path| workspace::has_extension(path, "md"))?;
    documents.push(PathBuf::from(CI));
    for document in documents {
        let text = workspace::read(&document)?;
        findings.extend(unknown_commands(&document, &text));
        findings.extend(dead_links(&document, &text));
    }
    findings.extend(readme_findings(&workspace::read("README.md")?)?);
    if !workspace::read(CI)?.contains("cargo xtask ci") {
        findings.push(format!("{CI} does not call `cargo xtask ci`"));
    }
    Ok(findings)
}

fn unknown_commands(document: &Path, text: &str) -> Vec<String> {
    let command = crate::Command::command();
    let mut findings = Vec::new();
    for (at, _) in text.match_indices(ALIAS) {
        let tail = &text[at + ALIAS.len()..];
        let end = tail.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(tail.len());
        let name = &tail[..end];
        let known = command.get_subcommands().any(|known| known.get_name() == name);
        if !known && !name.is_empty() && !name.starts_with('-') {
            findings.push(format!("{}: there is no `{ALIAS}{name}`", document.display()));
        }
    }
    findings
}

/// Relative links of Markdown, `](target)`.
fn dead_links(document: &Path, text: &str) -> Vec<String> {
    let folder = workspace::root().join(document.parent().unwrap_or(Path::new("")));
    // Every other piece is code.
    let prose: String = text.split('`').step_by(2).collect();
    let mut findings = Vec::new();
    for (at, found) in prose.match_indices("](") {
        let tail = &prose[at + found.len()..];
        let target = tail.split([')', '#', ' ']).next().unwrap_or_default();
        if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
            findings.push(format!("{}: the link to {target} is dead", document.display()));
        }
    }
    findings
}

fn readme_findings(readme: &str) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for command in ["cargo xtask demo", "cargo xtask test"] {
        if !readme.contains(command) {
            findings.push(format!("README.md does not name `{command}`"));
        }
    }
    for folder in top_folders()? {
        if !readme.contains(&format!("{folder}/")) {
            findings.push(format!("README.md: {folder}/ is not on the map of the tree"));
        }
    }
    Ok(findings)
}

fn top_folders() -> Result<Vec<String>> {
    let mut folders = Vec::new();
    for entry in workspace::root().read_dir()? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !workspace::is_foreign(&entry.path()) {
            folders.push(name);
        }
    }
    folders.sort();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_exist_is_found() {
        let text = "run `cargo xtask check`, `cargo xtask --help`, `cargo xtask deploy`";
        let found = unknown_commands(Path::new("README.md"), text);
        assert_eq!(found, ["README.md: there is no `cargo xtask deploy`"]);
    }

    /// The first four are for architects, testers, developers and operators.
    ///
    /// Proves: A12, S10.
    #[test]
    fn the_readme_leads_to_the_page_of_everybody_who_works_with_it() {
        let readme = workspace::read("README.md").expect("a README");
        for page in [
            "ARCHITECTURE.md",
            "CONTRIBUTING.md",
            "docs/session-api.md",
            "docs/session-api-operations.md",
            "docs/requirements.md",
        ] {
            assert!(readme.contains(&format!("]({page})")), "{page}");
        }
        let data = workspace::read("docs/session-api.md").expect("a page");
        assert!(data.contains("](session-api-verify.sql)"));
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found_but_not_in_code() {
        let text = "[here](Cargo.toml#lints) [web](https://example.com) `[a](b)` [gone](gone.md)";
        let found = dead_links(Path::new("README.md"), text);
        assert_eq!(found, ["README.md: the link to gone.md is dead"]);
    }
}
