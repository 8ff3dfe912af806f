//! Events of preflights: one for each that passed, one for each different thing
//! that was wrong, however often it is tried. Pure.

use policy::{CleanupPolicyStatus, PlanStatus, PreflightState, PreflightStatus, event};

use super::EventDraft;
use crate::controller::observe::Observed;
use crate::controller::publish::preview::{MISSING_INDEX, preview};

pub(super) fn preflight_drafts(
    observed: &Observed,
    status: &CleanupPolicyStatus,
) -> Vec<EventDraft> {
    let Some(now) = &status.preflight else { return Vec::new() };
    let before = observed.policy.status.preflight.as_ref();
    let before = before.filter(|last| last.rules_hash == now.rules_hash && last.mode == now.mode);
    match now.state {
        PreflightState::Passed if before.is_none_or(|last| last.state != now.state) => {
            let plan = status.plan.as_ref();
            let plan = plan.filter(|it| it.rules_hash == now.rules_hash && it.mode == now.mode);
            let missing_index = plan.and_then(missing_index_draft);
            [succeeded_draft(now, plan)].into_iter().chain(missing_index).collect()
        }
        PreflightState::Retrying | PreflightState::Failed
            if before.is_none_or(|last| last.message != now.message) =>
        {
            vec![failed_draft(now)]
        }
        _ => Vec::new(),
    }
}

fn succeeded_draft(now: &PreflightStatus, plan: Option<&PlanStatus>) -> EventDraft {
    let what = plan.map_or("its plan could not be read".into(), preview);
    EventDraft {
        reason: event::PREFLIGHT_SUCCEEDED,
        is_warning: false,
        action: "Preflight",
        note: format!("Job {}: {what}", now.job_name),
        key: now.job_uid.clone(),
    }
}

fn failed_draft(now: &PreflightStatus) -> EventDraft {
    EventDraft {
        reason: event::PREFLIGHT_FAILED,
        is_warning: true,
        action: "Preflight",
        note: now.message.clone(),
        key: format!("{}/{}/{}", now.rules_hash, now.mode.as_str(), now.message),
    }
}

/// Once for these rules: an index is worth the same in a dry run.
fn missing_index_draft(plan: &PlanStatus) -> Option<EventDraft> {
    let without = plan.rules.iter().filter(|rule| rule.advice.iter().any(|it| it == MISSING_INDEX));
    let rules: Vec<_> = without.map(|rule| format!("{} ({})", rule.name, rule.table)).collect();
    (!rules.is_empty()).then(|| EventDraft {
        reason: event::MISSING_INDEX,
        is_warning: true,
        action: "Preflight",
        note: format!(
            "no index leads to the rows of {}: each run reads the whole table; pgsweep plan \
             prints the CREATE INDEX",
            rules.join(", ")
        ),
        key: plan.rules_hash.clone(),
    })
}

#[cfg(test)]
mod tests;
