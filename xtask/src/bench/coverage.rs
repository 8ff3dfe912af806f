//! G1: how many lines of the programs the tests run through, those lines included that a program runs in a
//! process of its own: the session API, the operator and `pgsweep` are built with counters too.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use ::tests::command;
use ::tests::settings::Settings;
use anyhow::{Context as _, Result};
use serde_json::Value;

use super::figures::Figures;
use crate::process;
use crate::tool::Tool;
use crate::workspace;

/// What is measured with.
const LLVM_COV: Tool = Tool { name: "cargo-llvm-cov", version: "0.9.1", takes: "about 2 minutes" };

/// Counters are kept in a file that is mapped into memory (`%c`), because many a test ends its program with
/// SIGKILL, and of few files that all processes share (`%4m`): there are thousands of processes.
const PROFILES: &str = "pgsweep-%4m%c.profraw";
/// Without it LLVM keeps no counters in a mapped file, except on macOS.
const RELOCATED: &str = "-Cllvm-args=-runtime-counter-relocation";

/// Runs the command that its arguments name, in the environment that cargo-llvm-cov builds in. What is built
/// for a target that is named, as the images of a release are, has no counters.
const WITHIN: &str = r#"environment=$("$0" llvm-cov show-env --sh --coverage-host-only --no-cfg-coverage) && eval "$environment" && exec "$@""#;

/// The crates that make the programs; the others are for making and testing them.
const CRATES: [&str; 5] = ["api", "cleanup-job", "operator", "policy", "runtime"];

/// What the tests are told.
#[derive(clap::Args)]
pub struct Args {
    /// Handed to `cargo xtask test`: `--no-cluster`, names of tests
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    tests: Vec<String>,
}

/// Runs the tests, and prints the share of lines of each crate. A test that fails has run its lines too: it is
/// an error after the figures.
///
/// Measures: G1.
pub fn run(args: &Args) -> Result<()> {
    let cache = &Settings::get()?.cache;
    let tool = LLVM_COV.program(cache)?;
    let within = |words: &[&OsStr]| {
        let mut command = process::program("sh");
        command.args(["-c", WITHIN]).arg(&tool).args(words);
        command.env("CARGO_TARGET_DIR", cache.join("coverage"));
        command.env("LLVM_PROFILE_FILE_NAME", PROFILES);
        // The component `llvm-tools` is installed without a question.
        command.env("CARGO_LLVM_COV_SETUP", "yes");
        command
    };
    let llvm_cov = |words: &[&str]| {
        let mut command = within(&[tool.as_os_str(), OsStr::new("llvm-cov")]);
        command.args(words);
        command
    };
    // What an older source was built to would count too.
    process::run(&mut llvm_cov(&["clean", "--workspace"]))?;
    let mut tests = within(&["cargo", "xtask", "test"].map(OsStr::new));
    let tested = process::run(tests.args(&args.tests).env("RUSTFLAGS", RELOCATED));
    let report = command::run(&mut llvm_cov(&["report", "--json", "--summary-only"]))?;
    println!("\n{}", figures(&serde_json::from_str(&report)?)?);
    tested
}

/// The share of lines of each crate and of all of them.
fn figures(report: &Value) -> Result<Figures> {
    let mut of_crates = BTreeMap::from(CRATES.map(|name| (name, Lines::default())));
    let files = report["data"][0]["files"].as_array().context("a report without files")?;
    for file in files {
        let path = Path::new(file["filename"].as_str().context("a file without a name")?);
        let Ok(path) = path.strip_prefix(workspace::root()) else { continue };
        let folder = path.iter().next().and_then(OsStr::to_str).unwrap_or_default();
        if let Some(lines) = of_crates.get_mut(folder) {
            lines.add(&file["summary"]["lines"]).with_context(|| path.display().to_string())?;
        }
    }
    let mut figures = Figures::default();
    let mut all = Lines::default();
    for (name, lines) in of_crates {
        figures.add(&format!("lines of {name}"), "", lines.share());
        all.count += lines.count;
        all.covered += lines.covered;
    }
    figures.add("G1 lines of all programs", "70 %; R9 85 %", all.share());
    Ok(figures)
}

#[derive(Clone, Copy, Default)]
struct Lines {
    count: u64,
    covered: u64,
}

impl Lines {
    fn add(&mut self, summary: &Value) -> Result<()> {
        self.count += summary["count"].as_u64().context("a file without lines")?;
        self.covered += summary["covered"].as_u64().context("a file without covered lines")?;
        Ok(())
    }

    fn share(self) -> String {
        let Self { count, covered } = self;
        let tenths = (covered * 1_000).checked_div(count).unwrap_or_default();
        format!("{}.{} % ({covered} of {count})", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_counted_by_crate_and_those_of_tests_are_not() {
        let file = |path: &str, count: u32, covered: u32| {
            let lines = json!({"count": count, "covered": covered});
            json!({"filename": workspace::root().join(path), "summary": {"lines": lines}})
        };
        let files = [
            file("api/src/a.rs", 10, 9),
            file("api/src/b.rs", 5, 3),
            file("tests/src/c.rs", 90, 0),
        ];
        let figures = figures(&json!({"data": [{"files": files}]})).expect("figures").to_string();
        assert!(figures.contains("| lines of api |  | 80.0 % (12 of 15) |"), "{figures}");
        assert!(figures.contains("| 70 %; R9 85 % | 80.0 % (12 of 15) |"), "{figures}");
        assert!(figures.contains("| lines of operator |  | 0.0 % (0 of 0) |"), "{figures}");
    }
}
