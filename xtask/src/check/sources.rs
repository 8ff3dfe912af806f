//! Rules of the Rust sources: one home for what is dangerous, no way round the lints, no shelves.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::workspace;

const MOST_LINES: usize = 400;
/// What a longer file says within its first lines.
const LONGER_BECAUSE: &str = "// Longer than 400 lines:";
const BANNED_MODULES: [&str; 7] = ["utils", "util", "common", "helpers", "misc", "manager", "v2"];

/// Every breach.
pub fn findings() -> Result<Vec<String>> {
    let sources = sources()?;
    let mut findings = Vec::new();
    for source in &sources {
        findings.extend(source.name_findings());
        findings.extend(source.text_findings());
    }
    findings.extend(only_home(&sources, "AssertSqlSafe(", Homes::OneLine));
    // The statement of the first batch is also shown to people; who asks for the next one loops.
    findings.extend(only_home(&sources, ".change_batch(", Homes::OneFile));
    Ok(findings)
}

struct Source {
    path: PathBuf,
    text: String,
}

fn sources() -> Result<Vec<Source>> {
    let paths = workspace::files("", |path| workspace::has_extension(path, "rs"))?;
    let read = |path: PathBuf| Ok(Source { text: workspace::read(&path)?, path });
    paths.into_iter().map(read).collect()
}

impl Source {
    /// Lines that are code, with their numbers. This file and its siblings name what they look for.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let checks = self.path.starts_with("xtask/src/check");
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(move |(_, line)| !checks && !line.trim_start().starts_with("//"))
    }

    fn name_findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let shown = self.path.display();
        for part in &self.path {
            let name = Path::new(part).file_stem().unwrap_or_default().to_string_lossy();
            if BANNED_MODULES.contains(&name.as_ref()) || name.starts_with("new_") {
                findings.push(format!("{shown}: \"{name}\" says nothing; name what it is about"));
            }
        }
        if self.path.ends_with("mod.rs") {
            findings.push(format!("{shown}: write foo.rs beside foo/, not foo/mod.rs"));
        }
        findings
    }

    fn text_findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let shown = self.path.display();
        for (number, line) in self.code() {
            if line.contains("#[allow(") || line.contains("#![allow(") {
                findings.push(format!("{shown}:{number}: write #[expect(…, reason = \"…\")]"));
            }
            for unfinished in ["todo!(", "unimplemented!("] {
                if line.contains(unfinished) {
                    findings.push(format!("{shown}:{number}: {unfinished}…) is not finished"));
                }
            }
        }
        let lines = self.text.lines().count();
        let reason = self.text.lines().take(20).any(|line| line.starts_with(LONGER_BECAUSE));
        if lines > MOST_LINES && !reason {
            findings.push(format!(
                "{shown}: {lines} lines; split it, or say why in a line \"{LONGER_BECAUSE} …\""
            ));
        }
        findings
    }
}

#[derive(Clone, Copy)]
enum Homes {
    OneLine,
    OneFile,
}

/// Where `call` is written outside the tests: exactly one line, or lines of exactly one file.
fn only_home(sources: &[Source], call: &str, homes: Homes) -> Option<String> {
    let places = sources.iter().filter(|source| !is_test(&source.path)).flat_map(|source| {
        let lines =
            source.code().filter(|(_, line)| line.contains(call) && !line.contains("(false)"));
        lines.map(|(number, _)| match homes {
            Homes::OneLine => format!("{}:{number}", source.path.display()),
            Homes::OneFile => source.path.display().to_string(),
        })
    });
    let mut places: Vec<_> = places.collect();
    places.dedup();
    (places.len() != 1).then(|| {
        format!(
            "{call}…) must have exactly one home, and has {}: {}",
            places.len(),
            places.join(", ")
        )
    })
}

/// `policy` makes the statements and shows them in its own tests; it runs none.
fn is_test(path: &Path) -> bool {
    path.starts_with("tests") || path.starts_with("policy")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn names_and_texts_that_break_a_rule_are_found() {
        let shelf = source("operator/src/utils/mod.rs", "");
        assert_eq!(shelf.name_findings().len(), 2);
        let lines = "#[allow(dead_code)]\nfn later() { todo!() }\n// todo!() in a comment\n";
        assert_eq!(source("operator/src/a.rs", lines).text_findings().len(), 2);
        let long = "\n".repeat(401);
        assert_eq!(source("operator/src/a.rs", &long).text_findings().len(), 1);
        let reason = format!("// Longer than 400 lines: one table.{long}");
        assert!(source("operator/src/a.rs", &reason).text_findings().is_empty());
    }

    #[test]
    fn a_second_home_is_found_and_so_is_a_missing_one() {
        let home = source("cleanup-job/src/a.rs", "sqlx::query(AssertSqlSafe(text))");
        let test = source("tests/src/a.rs", "AssertSqlSafe(text)");
        let second = source("xtask/src/a.rs", "AssertSqlSafe(text)");
        let judge = |sources: &[Source]| only_home(sources, "AssertSqlSafe(", Homes::OneLine);
        assert!(judge(&[home, test]).is_none());
        assert!(judge(&[]).is_some());
        let home = source("cleanup-job/src/a.rs", "AssertSqlSafe(text)");
        assert!(judge(&[home, second]).is_some());
    }
}
