//! How far the preflight of the present rules is, and what is next. Pure: told
//! by the status and by the Jobs that exist, whichever knows more, so that a
//! status that was never written is made up for.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use policy::{PlanStatus, PreflightState, PreflightStatus};

use super::attempt::Attempt;
use super::verdict::{Verdict, verdict};
use crate::controller::observe::{Observed, ObservedJob, Role, in_seconds};
use crate::controller::validate::ValidPolicy;

/// A Job that we asked for and do not see: it is about to be, or somebody deleted it.
const UNSEEN: Duration = Duration::from_secs(5);

/// What is known, and what is next.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Step {
    /// Of the present rules and mode alone.
    pub preflight: Option<PreflightStatus>,
    /// Of any rules: those that passed last.
    pub plan: Option<PlanStatus>,
    pub begin: Option<Attempt>,
    pub look_again: Option<Duration>,
}

pub(super) fn step(observed: &Observed, valid: &ValidPolicy, retry: Duration) -> Step {
    let status = &observed.policy.status;
    let (rules_hash, mode) = (valid.policy.rules_hash(), valid.policy.mode());
    let stored = status.preflight.clone();
    let stored = stored.filter(|last| last.rules_hash == rules_hash && last.mode == mode);
    let mut step = Step { preflight: stored, plan: status.plan.clone(), ..Step::default() };
    if let Some((job, attempt)) = newest(observed, valid, step.preflight.as_ref()) {
        read(&mut step, &job, &attempt, observed, valid, retry);
    } else if let Some(last) = &step.preflight
        && last.state == PreflightState::Running
    {
        // The same try: made again if its Job is gone, and else it is there already.
        step.begin = Some(Attempt::new(observed, valid, last.generation, last.attempts));
        step.look_again = Some(UNSEEN);
        return step;
    }
    next(&mut step, observed, valid);
    step
}

/// The newest Job that the status does not know the end of.
fn newest(
    observed: &Observed,
    valid: &ValidPolicy,
    stored: Option<&PreflightStatus>,
) -> Option<(Arc<ObservedJob>, Attempt)> {
    let known = stored.map(|last| (last.generation, last.attempts));
    let is_news = |attempt: &Attempt| {
        let tried = Some((attempt.generation, attempt.number));
        match stored.map(|last| last.state) {
            None => true,
            Some(PreflightState::Running) => tried >= known,
            Some(PreflightState::Retrying | PreflightState::Failed) => tried > known,
            Some(PreflightState::Passed) => false,
        }
    };
    let tries = observed.preflights.iter().filter_map(|job| match &job.role {
        Role::Preflight { rules_hash, generation, attempt }
            if rules_hash == valid.policy.rules_hash() && job.mode == valid.policy.mode() =>
        {
            let attempt = Attempt::new(observed, valid, *generation, *attempt);
            (job.name == attempt.job_name).then(|| (Arc::clone(job), attempt))
        }
        Role::Preflight { .. } | Role::Run(_) => None,
    });
    tries
        .filter(|(_, attempt)| is_news(attempt))
        // Of two of the same name the one that was made after the other was deleted.
        .max_by_key(|(job, attempt)| (attempt.generation, attempt.number, job.created))
}

fn read(
    step: &mut Step,
    job: &ObservedJob,
    attempt: &Attempt,
    observed: &Observed,
    valid: &ValidPolicy,
    retry: Duration,
) {
    let begun = attempt.begun(step.preflight.as_ref(), &job.uid);
    let ended = |state, time: Timestamp, message: String| PreflightStatus {
        state,
        time: Some(time.to_string()),
        message,
        ..begun.clone()
    };
    step.preflight = Some(match verdict(job, &observed.pods, valid, observed.now) {
        Verdict::UnderWay => begun,
        Verdict::AwaitReport(wait) => {
            step.look_again = Some(wait);
            begun
        }
        Verdict::Passed { time, plan } => {
            step.plan = plan.map(|plan| *plan).or(step.plan.take());
            ended(PreflightState::Passed, time, String::new())
        }
        Verdict::Failed { time, message, may_pass: false } => {
            ended(PreflightState::Failed, time, message)
        }
        Verdict::Failed { time, message, may_pass: true } => {
            let wait = attempt.wait(&observed.policy.uid, retry);
            let next = SignedDuration::try_from(wait).ok();
            let next = next.and_then(|wait| time.checked_add(wait).ok()).unwrap_or(time);
            PreflightStatus {
                next_time: Some(in_seconds(next).to_string()),
                ..ended(PreflightState::Retrying, time, message)
            }
        }
    });
}

fn next(step: &mut Step, observed: &Observed, valid: &ValidPolicy) {
    let generation = observed.policy.generation;
    let begin = |generation, number| Some(Attempt::new(observed, valid, generation, number));
    let Some(last) = &step.preflight else {
        step.begin = begin(generation, 1);
        return;
    };
    match last.state {
        PreflightState::Retrying | PreflightState::Failed if last.generation != generation => {
            step.begin = begin(generation, 1);
        }
        PreflightState::Passed | PreflightState::Running | PreflightState::Failed => {}
        PreflightState::Retrying => {
            let due = last.next_time.as_ref().and_then(|time| time.parse().ok());
            let left = due.map(|due: Timestamp| due.duration_since(observed.now));
            match left.and_then(|left| Duration::try_from(left).ok()).filter(|left| !left.is_zero())
            {
                Some(left) => step.look_again = Some(left),
                None => step.begin = begin(generation, last.attempts.saturating_add(1)),
            }
        }
    }
}
