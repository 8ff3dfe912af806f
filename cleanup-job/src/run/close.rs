//! The end of a run in the ledger.

use std::time::Duration;

use jiff::Timestamp;
use policy::{RunReport, Statement, StopReason};
use tokio_util::sync::CancellationToken;

use super::Executed;
use super::outcome::{Ending, Outcome};
use super::session::Session;
use crate::exit::Exit;
use crate::failure::{Failure, FailureKind};
use crate::ledger::close::RuleEnd;

/// How long closing may take once the process was asked to end, and freeing the lease after that.
const CANCELLED_PATIENCE: Duration = Duration::from_millis(1500);
const FREE_PATIENCE: Duration = Duration::from_millis(500);

/// Closes the run: its counts are final only now, and what it says follows from them.
pub async fn close(
    session: &mut Session<'_>,
    steps: Result<Executed, Ending>,
    outcome: &mut Outcome,
    cancelled: &CancellationToken,
) -> Exit {
    let mut end =
        End { steps: Some(steps), ends: Vec::new(), row: None, exit: Exit::Done, concluded: None };
    let out_of_patience = async {
        cancelled.cancelled().await;
        tokio::time::sleep(CANCELLED_PATIENCE).await;
    };
    let closed = tokio::select! {
        closed = end.close(session, outcome, cancelled) => closed,
        () = out_of_patience => Err(Failure::unavailable("the ledger did not answer in time")),
    };
    let Err(failure) = closed else { return end.exit };
    end.conclude(outcome, cancelled);
    if failure.kind == FailureKind::Superseded {
        return outcome.superseded(&failure);
    }
    session.abandon();
    if !matches!(tokio::time::timeout(FREE_PATIENCE, session.free()).await, Ok(Ok(()))) {
        tracing::warn!("the lease could not be freed; it ends by itself");
    }
    outcome.not_closed(&failure, end.exit)
}

/// How the run ended, as it becomes known.
struct End {
    steps: Option<Result<Executed, Ending>>,
    ends: Vec<RuleEnd>,
    /// The policy's own row about the run, and the start of the run that it speaks of.
    row: Option<(Statement, Timestamp)>,
    exit: Exit,
    /// What was to be said before the database refused that row: another try may meet it again.
    concluded: Option<(RunReport, Exit)>,
}

impl End {
    async fn close(
        &mut self,
        session: &mut Session<'_>,
        outcome: &mut Outcome,
        cancelled: &CancellationToken,
    ) -> Result<(), Failure> {
        let failure = match self.try_close(session, outcome, cancelled).await {
            Err(failure) if failure.kind == FailureKind::Unavailable => failure,
            closed => return closed,
        };
        if cancelled.is_cancelled() {
            return Err(failure);
        }
        // Whether it was closed, nobody may have heard; closing twice is closing once.
        tracing::warn!(error = %failure, "the connection was lost at the end, connecting again");
        session.reconnect().await?;
        match self.try_close(session, outcome, cancelled).await {
            Err(failure) if failure.kind == FailureKind::Superseded => {
                if session.is_closed().await? { Ok(()) } else { Err(failure) }
            }
            closed => closed,
        }
    }

    async fn try_close(
        &mut self,
        session: &mut Session<'_>,
        outcome: &mut Outcome,
        cancelled: &CancellationToken,
    ) -> Result<(), Failure> {
        let mut closing = session.closing().await?;
        if let Some(Ok(executed)) = &mut self.steps {
            executed.recount(closing.progress());
        }
        outcome.recorded(closing.progress());
        self.conclude(outcome, cancelled);
        if let Some((report, exit)) = self.concluded.take() {
            *outcome.report_mut() = report;
            self.exit = exit;
        }
        // Exit codes 10 and 143 are tried again by the same Job, and the run goes on.
        if let Some((row, now)) = &self.row
            && matches!(self.exit, Exit::Done | Exit::Incomplete)
        {
            let values = outcome.row_values(row, *now);
            if let Some(failure) = closing.write_row(&row.text, values).await? {
                self.concluded = Some((outcome.report_mut().clone(), self.exit));
                self.exit = self.exit.worst(outcome.row_refused(&failure));
            }
        }
        closing.commit(outcome.report_mut(), &self.ends).await
    }

    /// Once: what the run says.
    fn conclude(&mut self, outcome: &mut Outcome, cancelled: &CancellationToken) {
        let Some(steps) = self.steps.take() else { return };
        self.exit = match steps {
            Ok(Executed { done, left, report_row, now }) => {
                self.row = report_row.map(|row| (row, now));
                outcome.executed(&done, &left);
                let exit = outcome.conclude();
                let drained = done.iter().map(|done| done.stop == StopReason::Drained);
                self.ends = outcome.rule_ends(drained);
                exit
            }
            Err(ending) => outcome.end(ending, cancelled.is_cancelled()),
        };
    }
}
