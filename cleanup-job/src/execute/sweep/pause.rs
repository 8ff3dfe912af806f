//! Waiting between two batches, outside any transaction, and being heard of meanwhile.

use std::time::{Duration, Instant};

use rand::Rng as _;

use super::Sweep;
use crate::failure::{Failure, FailureKind};

/// How long the run may be silent before it renews its lease.
const SILENCE: Duration = Duration::from_secs(10);

impl Sweep<'_, '_, '_> {
    /// So that a low rate is kept by small batches, and not by long pauses.
    pub(super) fn rows_a_second(&self) -> i64 {
        match self.context.execution.max_rows_per_second {
            0 => i64::MAX,
            rate => rate,
        }
    }

    pub(super) async fn keep_below_rate(&mut self) -> Result<(), Failure> {
        let rate = self.context.execution.max_rows_per_second;
        if rate == 0 {
            return Ok(());
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate, not a count")]
        let due = (self.done.affected - self.earlier) as f64 / rate as f64;
        let pause = Duration::from_secs_f64(due).saturating_sub(self.began.elapsed());
        self.pause(pause).await
    }

    pub(super) async fn back_off(&mut self, tries: u32) -> Result<(), Failure> {
        let base = self.context.execution.lock_timeout.duration() * (1 << (2 * tries.min(3)));
        let jitter = rand::rng().random_range(0.5..1.5);
        self.pause(base.min(Duration::from_secs(2)).mul_f64(jitter)).await
    }

    /// Waits outside any transaction; ends early when the run must end. A run that has been silent
    /// for long renews its lease, and ends when another took it over.
    pub(super) async fn pause(&mut self, pause: Duration) -> Result<(), Failure> {
        let end = self.context.deadline.min(Instant::now() + pause);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let silence = SILENCE.saturating_sub(self.heard.elapsed());
            tokio::select! {
                () = tokio::time::sleep(left.min(silence)) => {}
                () = self.context.cancelled.cancelled() => return Ok(()),
            }
            self.keep_lease().await?;
            if left <= silence {
                return Ok(());
            }
        }
    }

    pub(super) async fn keep_lease(&mut self) -> Result<(), Failure> {
        if self.heard.elapsed() < SILENCE {
            return Ok(());
        }
        self.heard = Instant::now();
        match self.context.session.renew().await {
            // The next batch meets the same, and recovers.
            Err(failure) if failure.kind == FailureKind::Unavailable => Ok(()),
            renewed => renewed,
        }
    }
}
