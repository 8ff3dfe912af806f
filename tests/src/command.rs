//! Runs programs so that a failure says which, and what it said.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::progress::Step;

/// How much of a failed program's output an error repeats.
const TAIL: usize = 30;
/// How often a watched program's time is shown anew.
const TICK: Duration = Duration::from_millis(500);

/// What `cargo run` tells a program of its package. Build scripts of `ring` and others look at the
/// same names, and would run again, with all that is built on them, whenever a cargo that was
/// started by such a program follows one from a shell.
const OF_THIS_PACKAGE: [&str; 9] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

/// `cargo`, with the environment that it has in a shell.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new("cargo");
    for name in OF_THIS_PACKAGE {
        command.env_remove(name);
    }
    command
}

/// Runs to the end and returns what was written to standard output.
pub fn run(command: &mut Command) -> Result<String> {
    let name = name(command);
    finish(&name, command.stdin(Stdio::null()))
}

/// Runs to the end with a file as standard input.
pub fn run_reading(mut command: Command, input: File) -> Result<String> {
    let name = name(&command);
    finish(&name, command.stdin(input))
}

fn finish(name: &str, command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("failed to start {name}"))?;
    judge(name, &output)
}

/// Runs to the end without blocking other tasks; `input` is what the program reads.
pub async fn run_async(
    mut command: tokio::process::Command,
    input: Option<&str>,
) -> Result<String> {
    let name = name(command.as_std());
    command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("failed to start {name}"))?;
    let pipe = child.stdin.take();
    let write = async {
        if let (Some(mut pipe), Some(text)) = (pipe, input) {
            // A program may end without reading all; then its own words say why.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut pipe, text.as_bytes()).await;
        }
    };
    // Both at once: a program that writes before it has read all would block otherwise.
    let (output, ()) = tokio::join!(child.wait_with_output(), write);
    judge(&name, &output.with_context(|| format!("failed to wait for {name}"))?)
}

/// Runs a long build and shows its progress: `note` makes the words from the number of lines that
/// the program has written to standard error and that `counts`.
pub fn run_watched(
    command: &mut Command,
    step: &mut Step,
    counts: impl Fn(&str) -> bool,
    note: impl Fn(usize) -> String,
) -> Result<()> {
    let name = name(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {name}"))?;
    let pipe = child.stderr.take().context("a piped program has standard error")?;
    let (sender, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut tail = Vec::new();
    let mut counted = 0;
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => {
                counted += usize::from(counts(&line));
                tail.push(line);
                if tail.len() > TAIL {
                    tail.remove(0);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        step.tick(&note(counted));
    }
    let status = child.wait().with_context(|| format!("failed to wait for {name}"))?;
    // It has nothing left to read.
    let _ = reader.join();
    if !status.success() {
        bail!("{name} failed ({status}); it ended with:\n{}", tail.join("\n"));
    }
    Ok(())
}

fn judge(name: &str, output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    bail!("{name} failed ({}): {}", output.status, tail(&String::from_utf8_lossy(said)))
}

/// The last lines of a text.
#[must_use]
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

/// The command line as one would type it, without the folder of the program.
fn name(command: &Command) -> String {
    let program = command.get_program();
    let program = std::path::Path::new(program).file_name().unwrap_or(program);
    let words: Vec<_> =
        std::iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    format!("`{}`", words.join(" "))
}
