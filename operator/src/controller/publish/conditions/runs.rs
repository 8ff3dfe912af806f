//! What the conditions say of the runs. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use policy::{condition, reason};

use super::{Saying, find, stamped};
use crate::controller::observe::Observed;
use crate::controller::publish::run::FinishedRun;

/// Unchanged while a run is active, and by a run that was skipped.
pub(super) fn last_run_succeeded(observed: &Observed, runs: &[FinishedRun]) -> Condition {
    let kind = condition::LAST_RUN_SUCCEEDED;
    let newest = runs.iter().rev().find_map(|run| Some((run, run.succeeded()?)));
    let saying = match (newest, find(&observed.policy.status.conditions, kind)) {
        (Some((run, true)), _) => Saying::new("True", run.reason, run.status.message.clone()),
        (Some((run, false)), _) => Saying::new("False", run.reason, run.status.message.clone()),
        (None, Some(last)) => return last.clone(),
        (None, None) => Saying::new("Unknown", reason::NEVER_RUN, "no run has finished yet"),
    };
    stamped(observed, kind, saying)
}
