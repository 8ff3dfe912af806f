//! How many rows a batch takes: steered towards a duration (`docs/adr/0006`).

use std::time::Duration;

use policy::Execution;

/// Bounds of a batch, in rows.
const MIN_BATCH: i64 = 50;
const MAX_BATCH: i64 = 50_000;

/// The size of the next batch.
#[derive(Debug)]
pub struct BatchSize {
    rows: i64,
    least: i64,
    most: i64,
    /// How long a batch should take, in seconds.
    target: f64,
    /// Smoothed time of a batch, in seconds.
    pace: f64,
}

impl BatchSize {
    /// The size of a first batch.
    pub fn new(execution: &Execution) -> Self {
        let target = execution.target_batch_duration.duration().as_secs_f64();
        Self {
            rows: execution.batch_size,
            least: MIN_BATCH.min(execution.batch_size),
            most: MAX_BATCH.max(execution.batch_size),
            target,
            pace: target,
        }
    }

    /// In rows.
    pub fn rows(&self) -> i64 {
        self.rows
    }

    /// After a batch that took so long: at most 1.3 times larger, at least half as large, by the
    /// smoothed time of the last ones.
    pub fn adapt(&mut self, took: Duration) {
        self.pace = 0.6 * self.pace + 0.4 * took.as_secs_f64();
        let factor = (self.target / self.pace.max(0.000_1)).clamp(0.5, 1.3);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "at most 50,000 rows"
        )]
        let rows = (self.rows as f64 * factor).ceil() as i64;
        self.rows = rows.clamp(self.least, self.most);
    }

    /// After a batch that found others in its way.
    pub fn halve(&mut self) {
        self.rows = (self.rows / 2).max(1);
    }
}
