//! cargo-deny: licences, banned crates and sources. `advisories` needs a download from outside the package
//! registries, so it is left to those who want it.

use std::path::Path;

use anyhow::Result;

use crate::process;
use crate::tool::Tool;

/// What runs the checks.
pub const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", takes: "about 3 minutes" };

/// Runs the checks that need no network.
pub fn run(cache: &Path) -> Result<()> {
    let mut check = process::program(DENY.program(cache)?);
    // Duplicates are warnings, and nobody reads fifteen of them in every run.
    check.args(["--log-level", "error", "check", "bans", "licenses", "sources"]);
    process::run(&mut check)
}
