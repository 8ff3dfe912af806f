//! The guard of a rule that an earlier one has fed speaks once more when its turn comes.

use std::time::Instant;

use jiff::Timestamp;
use policy::{Execution, Step, StopReason};

use super::{Context, Done};
use crate::database::Purpose;
use crate::failure::{Failure, FailureKind};
use crate::ledger::RuleProgress;
use crate::measure;
use crate::run::session::Session;

/// How many statements of a guard may each take `statementTimeout`.
const LONG_STATEMENTS: u32 = 3;

/// The step's end, if its guard says no or cannot speak.
pub async fn again(
    context: &mut Context<'_, '_>,
    step: &Step,
    before: &RuleProgress,
) -> Option<Done> {
    if !step.depends_on_earlier() {
        return None;
    }
    let Context { session, execution, now, deadline, cancelled, .. } = context;
    let verdict = tokio::select! {
        verdict = verdict(session, execution, step, *now, *deadline) => Some(verdict),
        () = cancelled.cancelled() => None,
    };
    let (reason, failure) = match verdict {
        Some(Ok(None)) => return None,
        Some(Ok(Some(message))) => {
            let kind = FailureKind::Rule;
            (StopReason::BlastRadius, Failure { kind, sql_state: String::new(), message })
        }
        Some(Err(failure)) if failure.kind == FailureKind::Superseded => {
            return Some(Done::nothing(StopReason::LockHeld, before));
        }
        Some(Err(failure)) => (StopReason::Error, failure),
        // Nothing of this step has changed.
        None => {
            context.session.abandon();
            return Some(Done::nothing(StopReason::Cancelled, before));
        }
    };
    Some(Done { failure: Some(failure), ..Done::nothing(reason, before) })
}

/// Over another connection, where this one was lost.
async fn verdict(
    session: &mut Session<'_>,
    execution: &Execution,
    step: &Step,
    now: Timestamp,
    deadline: Instant,
) -> Result<Option<String>, Failure> {
    match attempt(session, execution, step, now).await {
        Err(failure) if failure.kind == FailureKind::Unavailable => {
            session.recover(deadline).await?;
            attempt(session, execution, step, now).await
        }
        verdict => verdict,
    }
}

async fn attempt(
    session: &mut Session<'_>,
    execution: &Execution,
    step: &Step,
    now: Timestamp,
) -> Result<Option<String>, Failure> {
    // It may take longer than the lease: nobody can renew it meanwhile.
    session.renew_for(execution.statement_timeout.duration() * LONG_STATEMENTS).await?;
    let mut snapshot = session.database.begin(Purpose::Measure, execution).await?;
    let verdict = measure::guard_again(&mut snapshot, step, now).await?;
    snapshot.commit().await?;
    Ok(verdict)
}
