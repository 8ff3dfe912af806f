//! Each requirement that the cleanup must hold is named by a test that proves it.
//!
//! A test names them in its doc comment, in a sentence of its own: `/// Proves: G12, G14.` What
//! stands above anything but a test that runs proves nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::Result;

use crate::workspace;

/// The ids that exist: of the requirements by letter of their document, then the targets.
const KNOWN: [(char, u32); 10] = [
    ('G', 35),
    ('L', 21),
    ('A', 12),
    ('M', 10),
    ('S', 11),
    ('X', 9),
    ('E', 13),
    ('O', 7),
    ('P', 14),
    ('R', 9),
];

/// Those that cleanup must hold, from the first to the last of each stretch.
const OF_CLEANUP: [(char, u32, u32); 7] = [
    ('G', 11, 19),
    ('L', 5, 9),
    ('A', 1, 11),
    ('M', 1, 4),
    ('M', 10, 10),
    ('S', 2, 2),
    ('S', 7, 7),
];

const MARK: &str = "Proves:";

/// Every id that no test names, and every comment that names none that exists.
pub fn findings() -> Result<Vec<String>> {
    let mut claims = Claims::default();
    for path in workspace::files("", |path| workspace::has_extension(path, "rs"))? {
        claims.read(&path, &workspace::read(&path)?);
    }
    Ok(claims.findings())
}

/// What is required or aimed at: a letter and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    letter: char,
    number: u32,
}

impl Id {
    fn parse(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let letter = chars.next()?;
        let digits = chars.as_str();
        let number = digits.parse().ok().filter(|number: &u32| number.to_string() == digits)?;
        let (_, last) = KNOWN.iter().find(|(known, _)| *known == letter)?;
        (1..=*last).contains(&number).then_some(Self { letter, number })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.letter, self.number)
    }
}

/// What the comments of all sources say.
#[derive(Default)]
struct Claims {
    /// How many tests name an id.
    proved: BTreeMap<Id, usize>,
    findings: Vec<String>,
}

impl Claims {
    fn read(&mut self, path: &Path, text: &str) {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(comment) = line.strip_prefix("///").map(str::trim) else { continue };
            if !comment.starts_with(MARK) {
                continue;
            }
            let place = format!("{}:{}", path.display(), index + 1);
            let stands_above_a_test = is_test(&lines[index..]);
            if !stands_above_a_test {
                let message = "this stands above no test that runs, so it proves nothing";
                self.findings.push(format!("{place}: {message}"));
            }
            for name in names(&lines[index..]) {
                match Id::parse(&name) {
                    None => self.findings.push(format!("{place}: there is no requirement {name}")),
                    Some(id) if stands_above_a_test => *self.proved.entry(id).or_default() += 1,
                    Some(_) => {}
                }
            }
        }
    }

    fn findings(self) -> Vec<String> {
        let Self { proved, mut findings } = self;
        let required = OF_CLEANUP
            .iter()
            .flat_map(|(letter, first, last)| (*first..=*last).map(|number| (*letter, number)));
        let missing = required
            .map(|(letter, number)| Id { letter, number })
            .filter(|id| !proved.contains_key(id));
        findings.extend(missing.map(|id| {
            format!("no test proves {id}; the one that does says so above it: /// {MARK} {id}.")
        }));
        findings
    }
}

/// The names from the mark to the end of its sentence, which may take several lines.
fn names(lines: &[&str]) -> Vec<String> {
    let comments = lines.iter().map_while(|line| line.strip_prefix("///"));
    let text = comments.collect::<Vec<_>>().join(" ");
    let sentence = text.split_once(MARK).map_or("", |(_, after)| after);
    let sentence = sentence.split_once('.').map_or(sentence, |(sentence, _)| sentence);
    sentence.split(',').map(|name| name.trim().to_owned()).collect()
}

/// Whether these lines, which begin with a doc comment, go on with attributes that make a test of
/// the function after them, and none that leaves it out.
fn is_test(lines: &[&str]) -> bool {
    let mut tested = false;
    for line in lines {
        if line.starts_with("//") || line.is_empty() {
            continue;
        }
        if line.starts_with("#[ignore") {
            return false;
        }
        let attribute = line.strip_prefix("#[");
        if attribute
            .is_some_and(|name| name.starts_with("test]") || name.starts_with("tokio::test"))
        {
            tested = true;
        }
        let is_function =
            ["fn ", "async fn ", "pub fn "].iter().any(|begin| line.starts_with(begin));
        if is_function {
            return tested;
        }
        // Else it is an attribute, or the rest of one that takes several lines.
        let ends_an_item = line.ends_with('{') || line.ends_with(';');
        if attribute.is_none() && ends_an_item {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Claims {
        let mut claims = Claims::default();
        claims.read(Path::new("a.rs"), text);
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
    fn an_id_that_does_not_exist_is_found() {
        for name in ["G36", "G0", "Q1", "G012", "g12", "G", "", "G12 G13", "M11"] {
            let claims = claims(&format!("/// Proves: {name}.\n#[test]\nfn t() {{}}\n"));
            assert_eq!(claims.findings, [format!("a.rs:1: there is no requirement {name}")]);
        }
        for (letter, last) in KNOWN {
            let text = format!("/// Proves: {letter}1, {letter}{last}.\n#[test]\nfn t() {{}}\n");
            assert!(claims(&text).findings.is_empty(), "{text}");
        }
    }

    #[test]
    fn each_requirement_of_cleanup_that_no_test_names_is_found() {
        let missing = Claims::default().findings();
        assert_eq!(missing.len(), 9 + 5 + 11 + 4 + 1 + 2);
        assert!(missing[0].starts_with("no test proves G11;"), "{}", missing[0]);
        let one_less = claims("/// Proves: M10, R1.\n#[test]\nfn t() {}\n").findings();
        assert_eq!(one_less.len(), missing.len() - 1);
        assert!(!one_less.iter().any(|finding| finding.contains("M10")));
    }
}
