//! `cargo xtask check`: the rules of this repository that no compiler knows.
//!
//! Each check returns every finding, never only the first; a finding says what to do.

mod arrows;
mod chart;
mod documents;
mod requirements;
mod sources;
mod vocabulary;

use anyhow::{Result, bail};

use crate::generate;

type Check = fn() -> Result<Vec<String>>;

const CHECKS: [(&str, Check); 7] = [
    ("dependency arrows", arrows::findings),
    ("generated files", stale_files),
    ("sources", sources::findings),
    ("chart", chart::findings),
    ("documents", documents::findings),
    ("requirements", requirements::findings),
    ("vocabulary", vocabulary::findings),
];

/// Runs every check and prints what it found.
pub fn run() -> Result<()> {
    let mut count = 0;
    for (name, check) in CHECKS {
        let findings = check()?;
        println!("{} {name}", if findings.is_empty() { "ok     " } else { "failed " });
        for finding in &findings {
            println!("        {finding}");
        }
        count += findings.len();
    }
    if count > 0 {
        bail!("{count} finding(s) in `cargo xtask check`");
    }
    Ok(())
}

fn stale_files() -> Result<Vec<String>> {
    let stale = generate::all()?.into_iter().filter(|file| !file.is_fresh());
    Ok(stale
        .map(|file| format!("{} is not what the code makes; run `cargo xtask generate`", file.path))
        .collect())
}
