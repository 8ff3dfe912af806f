//! The first command that the README tells people to type.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tests::checkout;
use tests::command::cargo;

/// Act one: the examples on a real Postgres, and sessions that are made over HTTP. Act two is in the
/// tests of the charts.
///
/// Proves: G10.
#[test]
fn the_demo_shows_rows_that_go_and_sessions_that_are_made() -> Result<()> {
    let mut demo = cargo();
    demo.args(["run", "--quiet", "--locked", "--package", "xtask", "--", "demo", "--no-cluster"]);
    let demo = demo.current_dir(checkout::root()).stdin(Stdio::null()).output();
    let demo = demo.context("failed to start the demo")?;
    let said = String::from_utf8_lossy(&demo.stdout);
    ensure!(demo.status.success(), "{said}\n{}", String::from_utf8_lossy(&demo.stderr));
    for shown in [
        "Table-Talk has 20000 sessions with 40000 participants",
        "Table-Talk has 18000 sessions with 36000 participants; 0 wait in vain",
        "the phone at table_001 asks for its session, and is told 410",
        "the phone at table_003 asks for its session, and is told 200",
    ] {
        ensure!(said.contains(shown), "no word of {shown} in:\n{said}");
    }
    Ok(())
}
