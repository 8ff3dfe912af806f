//! Runs programs in the checkout, so that a failure says which one and what it ended with.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// A program that runs at the root of the checkout.
pub fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(workspace::root());
    command
}

/// `cargo` with these arguments. It inherits `CARGO_TARGET_DIR`.
pub fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = tests::command::cargo();
    command.current_dir(workspace::root()).args(arguments);
    command
}

/// Runs to the end; its output goes where ours goes.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs to the end and returns what it printed; `None` when it is not there or fails.
pub fn ask(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command as one would type it.
pub fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
