//! Whether the CronJob of a policy may run: a preflight of these very rules has
//! passed on its database, and who has to approve them did. Pure.
//!
//! A gate that was passed stays open, over restarts and upgrades: only other
//! rules, or another mode, shut it.

mod attempt;
mod preflight;
mod verdict;

use std::time::Duration;

use policy::{Approval, PlanStatus, PreflightState, PreflightStatus};

use super::observe::Observed;
use super::validate::ValidPolicy;

pub use attempt::Attempt;

/// How far a policy is on its way to its first run.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// What is known of the preflight, before [`Gate::begin`] is done.
    preflight: Option<PreflightStatus>,
    /// What the last preflight that passed found.
    pub plan: Option<PlanStatus>,
    /// A Preflight Job that should exist now and is not known to.
    pub begin: Option<Attempt>,
    /// Why the CronJob must not run; none while the gate is open.
    pub hold: Option<Hold>,
    /// When to look again, if nothing happens before.
    pub look_again: Option<Duration>,
}

/// Why a policy is held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing is known of these rules since the last edit.
    Preflighting,
    /// They cannot run on the database as it was.
    PreflightFailed {
        message: String,
        /// When the next look is due; nothing while it is under way.
        next_time: Option<String>,
        /// No look would find anything else before the policy is edited.
        waits_for_edit: bool,
    },
    /// They can, and somebody has to say that they may.
    ApprovalPending,
}

/// Judges how far a policy is. `retry` is the first wait after a preflight that failed.
pub fn judge(observed: &Observed, valid: &ValidPolicy, retry: Duration) -> Gate {
    let step = preflight::step(observed, valid, retry);
    let hold = hold(observed, valid, step.preflight.as_ref(), step.begin.as_ref());
    Gate {
        preflight: step.preflight,
        plan: step.plan,
        begin: step.begin,
        hold,
        look_again: step.look_again,
    }
}

impl Gate {
    /// The preflight as the status should have it: with the Job of [`Gate::begin`], if that exists
    /// now. An empty UID is not known yet.
    pub fn preflight(&self, begun_uid: Option<&str>) -> Option<PreflightStatus> {
        match (&self.begin, begun_uid) {
            (Some(attempt), Some(uid)) => Some(attempt.begun(self.preflight.as_ref(), uid)),
            _ => self.preflight.clone(),
        }
    }

    /// What a run of these very rules would do, if that is known.
    pub fn plan_of(&self, valid: &ValidPolicy) -> Option<&PlanStatus> {
        let plan = self.plan.as_ref().filter(|_| self.has_passed())?;
        let (rules_hash, mode) = (valid.policy.rules_hash(), valid.policy.mode());
        (plan.rules_hash == rules_hash && plan.mode == mode).then_some(plan)
    }

    /// The newest Job of the preflight.
    pub fn job_name(&self) -> Option<&str> {
        let last = self.preflight.as_ref().map(|last| last.job_name.as_str());
        self.begin.as_ref().map(|next| next.job_name.as_str()).or(last)
    }

    /// Whether these rules have passed their preflight.
    pub fn has_passed(&self) -> bool {
        self.preflight.as_ref().is_some_and(|last| last.state == PreflightState::Passed)
    }
}

/// Whether the rules wait for somebody's word.
pub fn awaits_approval(observed: &Observed, valid: &ValidPolicy) -> bool {
    let approved = observed.policy.approved_rules_hash.as_deref();
    valid.spec.approval == Approval::OnRulesChange && approved != Some(valid.policy.rules_hash())
}

fn hold(
    observed: &Observed,
    valid: &ValidPolicy,
    last: Option<&PreflightStatus>,
    begin: Option<&Attempt>,
) -> Option<Hold> {
    let failed = |last: &PreflightStatus, waits_for_edit| Hold::PreflightFailed {
        message: last.message.clone(),
        next_time: last.next_time.clone().filter(|_| begin.is_none()),
        waits_for_edit,
    };
    match last {
        None => Some(Hold::Preflighting),
        // An edit may have mended what the last look found.
        Some(last) if begin.is_some_and(|next| next.generation != last.generation) => {
            Some(Hold::Preflighting)
        }
        Some(last) => match last.state {
            PreflightState::Passed => {
                awaits_approval(observed, valid).then_some(Hold::ApprovalPending)
            }
            PreflightState::Running if last.message.is_empty() => Some(Hold::Preflighting),
            PreflightState::Running | PreflightState::Retrying => Some(failed(last, false)),
            PreflightState::Failed => Some(failed(last, true)),
        },
    }
}

#[cfg(test)]
mod tests;
