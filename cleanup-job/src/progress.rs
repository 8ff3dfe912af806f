//! A progress bar on a terminal; nothing elsewhere.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// How far a run is, for people.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// For a run over `rows` rows.
    pub fn new(rows: i64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::new(u64::try_from(rows).unwrap_or(0));
        let template = "{msg:30} {wide_bar} {human_pos}/{human_len} rows, {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// A rule begins.
    pub fn begin(&self, rule: &str) {
        self.bar.set_message(rule.to_owned());
    }

    /// Rows were changed.
    pub fn add(&self, rows: i64) {
        self.bar.inc(u64::try_from(rows).unwrap_or(0));
    }

    /// The run has ended.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
