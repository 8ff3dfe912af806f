//! How many rows the next batch takes. Pure.

use std::time::Duration;

use policy::Execution;

/// Bounds of a batch, in rows.
const MIN_BATCH: i64 = 50;
const MAX_BATCH: i64 = 50_000;
/// Longer than the target by this is late, for a batch as small as they get.
const LATE: f64 = 4.0;
/// So many late ones after another are no chance.
const MANY: u32 = 8;
/// A server has much to do while a begin takes so many times as long as the quickest of the run, and longer than that.
const BUSY: f64 = 4.0;
const NOTICED: f64 = 0.005;
/// Late by its rows is a batch whose rows take about as long as ever: not so many times as long.
const AS_EVER: f64 = 2.0;

/// The size of a batch, steered by how long the last ones took (`docs/adr/0006`).
#[derive(Clone, Debug)]
pub struct Pace {
    size: i64,
    least: i64,
    most: i64,
    /// In seconds, as the two below.
    target: f64,
    smoothed: f64,
    /// The most rows a second of any batch.
    best: f64,
    /// The quickest begin of any batch: how quick the server is when it has nothing else to do.
    quickest: f64,
    /// How many of the last batches were as small as they get, and late all the same.
    late: u32,
}

impl Pace {
    /// The pace of a rule each of whose rows takes `weight` rows with it, itself included.
    pub fn new(execution: &Execution, weight: f64) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "an estimate; `as` saturates"
        )]
        let most = (MAX_BATCH.max(execution.batch_size) as f64 / weight.max(1.0)).max(1.0) as i64;
        let target = execution.target_batch_duration.duration().as_secs_f64();
        let size = execution.batch_size.min(most);
        Self {
            size,
            least: MIN_BATCH.min(size),
            most,
            target,
            smoothed: target,
            best: 0.0,
            quickest: f64::INFINITY,
            late: 0,
        }
    }

    /// Rows of the next batch.
    pub fn size(&self) -> i64 {
        self.size
    }

    /// After a batch of so many rows, which took so long, its begin included: at most 1.3 times larger, at least half as
    /// large, by the smoothed time of the last ones.
    pub fn took(&mut self, rows: i64, took: Duration, begun: Duration) {
        self.judge(rows, took, begun);
        self.smoothed = 0.6 * self.smoothed + 0.4 * took.as_secs_f64();
        let factor = (self.target / self.smoothed.max(0.000_1)).clamp(0.5, 1.3);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "at most 50,000 rows"
        )]
        let size = (self.size as f64 * factor).ceil() as i64;
        self.size = size.clamp(self.least, self.most);
    }

    /// Nothing is learned of a batch while the server has much to do: it is slow at a begin then, too, for which no row
    /// is looked for.
    fn judge(&mut self, rows: i64, took: Duration, begun: Duration) {
        let begun = begun.as_secs_f64();
        self.quickest = self.quickest.min(begun);
        if begun > NOTICED.max(BUSY * self.quickest) {
            return;
        }
        let seconds = took.as_secs_f64().max(0.000_1);
        #[expect(clippy::cast_precision_loss, reason = "at most 50,000 rows")]
        let rate = rows as f64 / seconds;
        self.best = self.best.max(rate);
        let is_late = self.size == self.least && seconds > LATE * self.target;
        let is_late = is_late && rate * AS_EVER < self.best;
        self.late = if is_late { self.late + 1 } else { 0 };
    }

    /// Whether batches are slow by how their rows are found: fewer rows do not make them quicker. So it is where
    /// very many rows have one and the same age, all of which are sorted for each batch.
    pub fn finds_slowly(&self) -> bool {
        self.late >= MANY
    }

    /// After a batch of `rows` that could not be done: half as large, and from now on as small as
    /// it takes, since one row may be what is in the way.
    pub fn halve(&mut self, rows: i64) {
        self.size = (rows.min(self.size) / 2).max(1);
        self.least = 1;
    }

    /// Back to the start, for another way through the table.
    pub fn restart(&mut self, execution: &Execution) {
        self.size = execution.batch_size.min(self.most);
        self.late = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution() -> Execution {
        let document = serde_json::json!({
            "apiVersion": "pgsweep.dev/v1alpha1",
            "kind": "CleanupPolicy",
            "metadata": {"name": "p"},
            "spec": {
                "schedule": "@hourly",
                "mode": "Enforce",
                "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "uri"}}},
                "rules": [{
                    "name": "r",
                    "table": {"schema": "s", "name": "t"},
                    "where": [{"column": "c", "operator": "IsNull"}],
                    "action": {"delete": {}},
                }],
            },
        });
        policy::validate(&document).unwrap().execution().clone()
    }

    /// On a server that has nothing else to do.
    const BEGIN: Duration = Duration::from_millis(1);

    #[test]
    fn fast_batches_grow_to_the_most_and_slow_ones_shrink_to_the_least() {
        let mut pace = Pace::new(&execution(), 1.0);
        assert_eq!(pace.size(), 200);
        pace.took(pace.size(), Duration::from_millis(5), BEGIN);
        assert_eq!(pace.size(), 260, "at most 1.3 times larger");
        for _ in 0..40 {
            pace.took(pace.size(), Duration::from_millis(1), BEGIN);
        }
        assert_eq!(pace.size(), MAX_BATCH);
        for _ in 0..40 {
            pace.took(pace.size(), Duration::from_secs(1), BEGIN);
        }
        assert_eq!(pace.size(), MIN_BATCH);
    }

    #[test]
    fn a_batch_that_cannot_be_done_shrinks_to_one_row_and_grows_again() {
        let mut pace = Pace::new(&execution(), 1.0);
        for expected in [100, 50, 25, 12, 6, 3, 1, 1] {
            pace.halve(pace.size());
            assert_eq!(pace.size(), expected);
        }
        pace.took(pace.size(), Duration::from_millis(25), BEGIN);
        assert_eq!(pace.size(), 1, "on target it stays, and is not forced up");
        pace.took(pace.size(), Duration::from_millis(1), BEGIN);
        assert_eq!(pace.size(), 2);
    }

    #[test]
    fn batches_that_fewer_rows_make_no_quicker_are_slow_by_how_their_rows_are_found() {
        let slow = |millis: fn(i64) -> i64| {
            let mut pace = Pace::new(&execution(), 1.0);
            let batches = (0..40).take_while(|_| {
                let took = millis(pace.size()).unsigned_abs();
                pace.took(pace.size(), Duration::from_millis(took), BEGIN);
                !pace.finds_slowly()
            });
            batches.count()
        };
        assert!(slow(|_| 180) < 15);
        assert_eq!(slow(|rows| 4 * rows), 40, "each row takes its time");
        assert_eq!(slow(|_| 90), 40, "that is not much more than was asked for");
    }

    #[test]
    fn that_the_server_has_much_to_do_is_no_reason_to_find_rows_in_another_way() {
        let mut pace = Pace::new(&execution(), 1.0);
        pace.took(pace.size(), Duration::from_millis(20), BEGIN);
        for _ in 0..40 {
            pace.took(pace.size(), Duration::from_millis(180), 10 * BEGIN);
            assert!(!pace.finds_slowly());
        }
        assert_eq!(pace.size(), MIN_BATCH, "and yet batches are short");
    }

    #[test]
    fn one_begin_that_is_slow_or_quick_changes_nothing() {
        let batches = |odd: Duration, took: fn(i64) -> i64| {
            let mut pace = Pace::new(&execution(), 1.0);
            let until = (0..40).take_while(|number| {
                let begun = if *number == 3 { odd } else { BEGIN };
                let took = Duration::from_millis(took(pace.size()).unsigned_abs());
                pace.took(pace.size(), took + begun, begun);
                !pace.finds_slowly()
            });
            until.count()
        };
        for odd in [Duration::from_micros(100), Duration::from_millis(30)] {
            assert!(batches(odd, |_| 180) < 15, "{odd:?}");
            assert_eq!(batches(odd, |rows| 4 * rows), 40, "each row takes its time, {odd:?}");
        }
    }

    #[test]
    fn a_last_batch_that_was_cut_by_a_cap_is_halved_by_what_it_had() {
        let mut pace = Pace::new(&execution(), 1.0);
        pace.halve(10);
        assert_eq!(pace.size(), 5);
    }

    #[test]
    fn children_count() {
        let mut pace = Pace::new(&execution(), 1000.0);
        assert_eq!(pace.size(), 50);
        for _ in 0..40 {
            pace.took(pace.size(), Duration::from_millis(1), BEGIN);
        }
        assert_eq!(pace.size(), 50, "50 rows with 1,000 each are 50,000");
    }
}
