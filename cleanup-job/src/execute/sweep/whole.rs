//! What the loop does when a rule's batches are whole partitions.

use policy::StopReason;

use super::trouble::Trouble;
use super::{Next, Sweep, given_up, out_of_grace};
use crate::execute::batch::Batch;
use crate::execute::partitions::{self, Hindrance, Scope, Turn};
use crate::failure::{Failure, FailureKind};
use crate::measure::partitions::Rows;

/// What a rule leaves alone among its partitions.
#[derive(Default)]
pub(super) struct Whole {
    /// By their OID: those that stay for this pass.
    passed: Vec<i64>,
    /// What was counted last.
    counted: Option<(i64, Rows)>,
    /// Those among them that others held: the second pass tries them again.
    blocked: Vec<i64>,
    /// Why the first of them could not go, where that ends the rule: told when the others are gone.
    unfinished: Option<Failure>,
}

impl Sweep<'_, '_, '_> {
    /// One more step with a partition, or what is to be done about the one that could not be taken.
    pub(super) async fn next_partition(&mut self) -> Result<Next, Failure> {
        self.keep_lease().await?;
        match self.turn_or_grace().await {
            Ok(Turn::Nothing) => self.end_of_partitions(),
            Ok(Turn::TooLarge(partition)) => {
                self.done.stop = StopReason::RowLimit;
                if self.done.affected == 0 {
                    self.done.note = too_large(&partition, self.cap);
                }
                Ok(Next::End)
            }
            Ok(Turn::Committed(rows)) => {
                self.committed(rows);
                Ok(Next::Batch)
            }
            Ok(Turn::GivenBack { oid, taken_back, survivors, fault }) => {
                self.committed(-taken_back);
                self.whole.passed.push(oid);
                self.done.failed += survivors;
                self.done.fault.get_or_insert(fault);
                Ok(Next::Batch)
            }
            Err(hindrance) => {
                self.hindered(hindrance).await?;
                Ok(Next::Batch)
            }
        }
    }

    fn committed(&mut self, rows: i64) {
        self.trouble = Trouble::default();
        self.whole.counted = None;
        self.heard = std::time::Instant::now();
        self.count(&Batch { seen: 1, changed: rows, ..Batch::default() });
    }

    async fn turn_or_grace(&mut self) -> Result<Turn, Hindrance> {
        let cancelled = self.context.cancelled.clone();
        let (left, failed) = (self.left(), self.done.failed);
        let whole = &mut self.whole;
        let (passed, counted) = (&mut whole.passed, &mut whole.counted);
        let scope = Scope { passed, counted, left, failed };
        tokio::select! {
            turn = partitions::turn(self.context.session, &self.task, scope) => return turn,
            () = out_of_grace(cancelled) => {}
        }
        self.context.session.abandon();
        Err(given_up().into())
    }

    async fn hindered(&mut self, hindrance: Hindrance) -> Result<(), Failure> {
        let Hindrance { oid, rows, failure } = hindrance;
        if self.context.cancelled.is_cancelled() {
            return Err(failure);
        }
        match (failure.kind, oid) {
            (FailureKind::Unavailable, _) => self.recover(failure).await,
            (FailureKind::Contention, oid) => {
                if let Some(tries) = self.trouble.try_again() {
                    return self.back_off(tries).await;
                }
                let Some(oid) = oid else { return Err(failure) };
                self.whole.passed.push(oid);
                self.whole.blocked.push(oid);
                if self.second_pass {
                    self.whole.unfinished.get_or_insert(failure);
                }
                Ok(())
            }
            (FailureKind::Row, Some(oid)) if rows > 0 => {
                self.whole.passed.push(oid);
                self.done.failed += rows;
                self.done.fault.get_or_insert(failure);
                Ok(())
            }
            (FailureKind::Row | FailureKind::Slow | FailureKind::Wrong, Some(oid)) => {
                self.whole.passed.push(oid);
                self.whole.unfinished.get_or_insert(failure);
                Ok(())
            }
            _ => Err(failure),
        }
    }

    /// Two passes at the most: the second for partitions that others held during the first.
    fn end_of_partitions(&mut self) -> Result<Next, Failure> {
        if !self.second_pass && !self.whole.blocked.is_empty() {
            self.second_pass = true;
            let blocked = std::mem::take(&mut self.whole.blocked);
            self.whole.passed.retain(|oid| !blocked.contains(oid));
            return Ok(Next::Batch);
        }
        self.whole.unfinished.take().map_or(Ok(Next::End), Err)
    }
}

fn too_large(partition: &str, cap: i64) -> String {
    format!(
        "partition {partition} has more rows than the {cap} that the rule may remove in a run, and a partition goes whole or not at all; \
         raise limits.maxRows of the rule and limits.maxRowsPerRun"
    )
}
