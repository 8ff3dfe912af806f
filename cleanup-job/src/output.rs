//! What people and programs read: tables and sentences for the one, exactly one
//! object for each policy for the other. Objects go to standard output, all else
//! to standard error.

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{Cell, CellAlignment, Table, presets};
use policy::{Mode, Problem, RunReport, RunResult, StopReason};
use serde::Serialize;

use crate::args::{JobArgs, Output, RunArgs};
use crate::exit::Exit;
use crate::run::outcome;

/// Publishes the report of a run: termination message, standard output, log.
pub fn report(args: &RunArgs, report: &RunReport, exit: Exit) {
    // One line, louder when someone must act.
    macro_rules! log_end {
        ($level:ident) => {
            tracing::$level!(
                policy = report.policy,
                run_id = report.run_id,
                result = report.result.as_str(),
                stop_reason = report.stop_reason.as_str(),
                rows.matched = report.rows_matched(),
                rows.affected = report.rows_affected(),
                rows.remaining = report.rows_remaining(),
                duration_seconds = report.duration_seconds,
                exit_code = exit.code(),
                "run ended: {}",
                if report.message.is_empty() { "nothing is left" } else { &report.message }
            )
        };
    }
    match exit {
        Exit::Done | Exit::Terminated => log_end!(info),
        Exit::Wrong | Exit::Guarded | Exit::Unavailable | Exit::Incomplete => log_end!(error),
    }
    // Of several policies, the one that is wrong is what ended the run.
    let another_is_wrong =
        report.result == RunResult::Skipped && report.stop_reason == StopReason::Blocked;
    if !another_is_wrong {
        terminate_with(&args.job, &report.termination_message());
    }
    match args.output {
        Output::Table => print(&run_table(report)),
        Output::Json | Output::Yaml => object(args.output, report),
    }
}

/// Says that there is no policy to run at all.
pub fn nothing_to_run(args: &RunArgs, message: &str) {
    tracing::error!("{message}");
    let report =
        outcome::not_run(String::new(), Mode::Enforce, RunResult::Failed, message.to_owned());
    terminate_with(&args.job, &report.termination_message());
    if args.output != Output::Table {
        object(args.output, &report);
    }
}

/// Writes the short report where kubelet reads it, if there is such a file.
pub fn terminate_with(job: &JobArgs, message: &str) {
    let Some(path) = job.termination_log() else { return };
    if let Err(error) = std::fs::write(path, message) {
        let path = path.display();
        tracing::error!(%path, %error, "the termination message could not be written");
    }
}

/// Shows SQL that somebody with more rights must run: as it is to a person, in one event to a log.
pub fn lines_for_owner(lines: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _ = writeln!(stderr, "{lines}");
    } else {
        tracing::error!(sql = lines, "a run needs this in the database first");
    }
}

/// Problems in one line.
pub fn joined(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Prints one object.
pub fn object(output: Output, value: &impl Serialize) {
    let text = match output {
        Output::Yaml => serde_saphyr::to_string(value).map(|text| format!("---\n{text}")).ok(),
        Output::Json | Output::Table => serde_json::to_string(value).ok(),
    };
    print(&text.unwrap_or_default());
}

/// Prints a line to standard output. A reader that went away is no failure of ours.
pub fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A table in the one style of the project.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().map(Cell::new));
    table
}

/// A right-aligned number, in groups of three digits.
pub fn number(value: i64) -> Cell {
    Cell::new(grouped(value)).set_alignment(CellAlignment::Right)
}

/// `1204` as `1,204`.
pub fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

fn run_table(report: &RunReport) -> String {
    let mut table =
        table(&["RULE", "ACTION", "MATCHED", "AFFECTED", "REMAINING", "BATCHES", "STOP REASON"]);
    for rule in &report.rules {
        table.add_row([
            Cell::new(&rule.name),
            Cell::new(rule.action.map_or("", policy::ActionKind::as_str)),
            number(rule.matched),
            number(rule.affected),
            number(rule.remaining),
            number(rule.batches),
            Cell::new(rule.stop_reason.map_or("", policy::StopReason::as_str)),
        ]);
    }
    let mut summary = format!(
        "{}: {} ({}, {}) in {:.1} s",
        report.policy,
        report.result.as_str(),
        report.mode.as_str(),
        report.stop_reason.as_str(),
        report.duration_seconds
    );
    if !report.message.is_empty() {
        summary = format!("{summary}: {}", report.message);
    }
    format!("{table}\n{summary}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(grouped(value), text);
        }
    }
}
