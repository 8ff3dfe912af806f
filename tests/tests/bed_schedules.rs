//! The table of `policy/src/schedule` is what the controller's code says, and not what we wish.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use tests::checkout;
use tests::command::run;

#[test]
#[ignore = "needs Go and builds a part of Kubernetes; after a change to its version or to the questions"]
fn the_table_of_schedules_is_what_the_controller_answers() -> Result<()> {
    let root = checkout::root();
    let mut ask = Command::new("go");
    // As the test bed builds Kubernetes: what it has compiled is not compiled again.
    ask.current_dir(root.join("tests/kubernetes/1.36")).env("CGO_ENABLED", "0");
    let answers = run(ask.args(["run", "-trimpath", "./schedules"]))?;
    let path = root.join("policy/src/schedule/kubernetes.jsonl");
    let table =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    for (answer, line) in answers.lines().zip(table.lines()) {
        assert_eq!(answer, line, "make the table again: tests/kubernetes/1.36/schedules says how");
    }
    assert_eq!(answers.lines().count(), table.lines().count());
    Ok(())
}
