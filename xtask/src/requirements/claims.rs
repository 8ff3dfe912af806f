//! What the doc comments of tests say that they prove, and those of benchmarks that they measure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Id, Promises};
use crate::workspace;

/// What a sentence begins with that names ids.
pub const MARK: &str = "Proves:";
/// The same above a function of a benchmark: a figure to reach is no test's to judge.
const MEASURED: &str = "Measures:";
/// Where benchmarks are.
const BENCHMARKS: &str = "xtask/src/bench";

/// A test or a benchmark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    /// Its file, from the root.
    pub path: PathBuf,
    /// Its function.
    pub name: String,
}

/// What the comments of all sources say.
#[derive(Default)]
pub struct Claims {
    /// The tests and benchmarks that name an id.
    pub proved: BTreeMap<Id, Vec<Test>>,
    /// What is wrong with comments.
    pub findings: Vec<String>,
}

impl Claims {
    /// Reads every source of the workspace.
    pub fn of_all_sources(promises: &Promises) -> Result<Self> {
        let mut claims = Self::default();
        for path in workspace::files("", |path| workspace::has_extension(path, "rs"))? {
            claims.read(promises, &path, &workspace::read(&path)?);
        }
        Ok(claims)
    }

    fn read(&mut self, promises: &Promises, path: &Path, text: &str) {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(comment) = line.strip_prefix("///").map(str::trim) else { continue };
            let marks = [(MARK, Kind::Test), (MEASURED, Kind::Benchmark)];
            let mark = marks.into_iter().find(|(mark, _)| comment.starts_with(mark));
            let Some((mark, kind)) = mark else { continue };
            let place = format!("{}:{}", path.display(), index + 1);
            let is_there = kind == Kind::Test || path.starts_with(BENCHMARKS);
            let function = function_below(&lines[index..], kind).filter(|_| is_there);
            if function.is_none() {
                let message = match kind {
                    Kind::Test => "this stands above no test that runs, so it proves nothing",
                    Kind::Benchmark => "this stands above no function of a benchmark",
                };
                self.findings.push(format!("{place}: {message}"));
            }
            for name in names(&lines[index..], mark) {
                match (promises.id(&name), function) {
                    (None, _) => {
                        self.findings.push(format!("{place}: there is no requirement {name}"));
                    }
                    (Some(id), Some(function)) => {
                        let proof = Test { path: path.to_owned(), name: function.to_owned() };
                        self.proved.entry(id).or_default().push(proof);
                    }
                    (Some(_), None) => {}
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Test,
    Benchmark,
}

/// The names from the mark to the end of its sentence, which may take several lines.
fn names(lines: &[&str], mark: &str) -> Vec<String> {
    let comments = lines.iter().map_while(|line| line.strip_prefix("///"));
    let text = comments.collect::<Vec<_>>().join(" ");
    let sentence = text.split_once(mark).map_or("", |(_, after)| after);
    let sentence = sentence.split_once('.').map_or(sentence, |(sentence, _)| sentence);
    sentence.split(',').map(|name| name.trim().to_owned()).collect()
}

/// The function after these lines, which begin with a doc comment, when it is of this kind: attributes
/// between make a test of it, and none leaves it out.
fn function_below<'a>(lines: &[&'a str], kind: Kind) -> Option<&'a str> {
    let mut fits = kind == Kind::Benchmark;
    for line in lines {
        if line.starts_with("//") || line.is_empty() {
            continue;
        }
        if line.starts_with("#[ignore") {
            return None;
        }
        let attribute = line.strip_prefix("#[");
        if attribute
            .is_some_and(|name| name.starts_with("test]") || name.starts_with("tokio::test"))
        {
            fits = true;
        }
        let begins = ["fn ", "async fn ", "pub fn ", "pub async fn "];
        let function = begins.iter().find_map(|begin| line.strip_prefix(begin));
        if let Some(function) = function {
            return fits.then(|| function.split(['(', '<']).next().unwrap_or(function));
        }
        // Else it is an attribute, or the rest of one that takes several lines.
        let ends_an_item = line.ends_with('{') || line.ends_with(';');
        if attribute.is_none() && ends_an_item {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Claims {
        let mut claims = Claims::default();
        let promises = Promises::read().expect("promises");
        claims.read(&promises, Path::new("a.rs"), text);
        claims
    }

    fn proved(text: &str) -> Vec<String> {
        claims(text).proved.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn a_test_proves_what_the_comment_above_it_names() {
        for attribute in [
            "#[test]",
            "#[tokio::test]",
            "#[tokio::test(flavor = \"multi_thread\")]",
            "#[expect(\n    clippy::too_many_lines,\n    reason = \"a table\"\n)]\n#[test]",
        ] {
            let text =
                format!("/// Proves: G12, A10.\n/// And more.\n{attribute}\nfn t() {{\n}}\n");
            assert_eq!(proved(&text), ["A10", "G12"], "{attribute}");
        }
        let wrapped =
            "/// What it is about.\n/// Proves: G12, G13,\n/// G14.\n#[test]\nfn t() {}\n";
        assert_eq!(proved(wrapped), ["G12", "G13", "G14"]);
    }

    #[test]
    fn a_test_is_known_by_its_file_and_its_name() {
        let text = "/// Proves: G12.\n#[tokio::test]\nasync fn a_row_goes() -> Result<()> {\n}\n";
        let tests: Vec<_> = claims(text).proved.into_values().flatten().collect();
        assert_eq!(tests, [Test { path: "a.rs".into(), name: "a_row_goes".to_owned() }]);
    }

    #[test]
    fn a_comment_above_anything_else_proves_nothing_and_is_found() {
        for text in [
            "/// Proves: G12.\nfn helper() {}\n\n#[test]\nfn t() {}\n",
            "/// Proves: G12.\nstruct S {\n    x: u32,\n}\n#[test]\nfn t() {}\n",
            "/// Proves: G12.\nconst C: u32 = 1;\n#[test]\nfn t() {}\n",
            "/// Proves: G12.\n#[ignore = \"slow\"]\n#[test]\nfn t() {}\n",
            "/// Proves: G12.\n#[test]\n#[ignore]\nfn t() {}\n",
            "/// Proves: G12.\n",
        ] {
            let claims = claims(text);
            assert!(claims.proved.is_empty(), "{text}");
            assert_eq!(claims.findings.len(), 1, "{text}");
        }
        let inside = "#[test]\nfn t() {\n    // Proves: G12.\n    /* /// Proves: G13. */\n}\n";
        assert!(claims(inside).proved.is_empty());
    }

    #[test]
    fn a_benchmark_measures_where_benchmarks_are() {
        let text = "/// Measures: G5.\npub async fn measure(\n    args: &Args,\n) {}\n";
        let promises = Promises::read().expect("promises");
        let read = |path: &str| {
            let mut claims = Claims::default();
            claims.read(&promises, Path::new(path), text);
            (claims.proved.len(), claims.findings.len())
        };
        assert_eq!(read("xtask/src/bench/api/mix.rs"), (1, 0));
        assert_eq!(read("tests/src/wait.rs"), (0, 1));
    }

    #[test]
    fn an_id_that_does_not_exist_is_found() {
        for name in ["G36", "G0", "Q1", "G012", "g12", "G", "", "G12 G13", "M11", "P15"] {
            let claims = claims(&format!("/// Proves: {name}.\n#[test]\nfn t() {{}}\n"));
            assert_eq!(claims.findings, [format!("a.rs:1: there is no requirement {name}")]);
        }
        let there = claims("/// Proves: G1, G35, X9, P14, R9.\n#[test]\nfn t() {}\n");
        assert!(there.findings.is_empty(), "{:?}", there.findings);
    }
}
