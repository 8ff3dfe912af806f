//! What the conditions say of the schedule: whether runs come, begin and succeed. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use policy::{CleanupPolicyStatus, condition, reason};

use super::{Saying, stamped};
use crate::controller::observe::Observed;
use crate::controller::publish::schedule::missed_slot;
use crate::controller::publish::words::{ALSO, MOST_STUCK, cut, stuck, when};
use crate::controller::validate::{InvalidPolicy, ValidPolicy};

/// So many failures in a row are no accident.
const TOO_MANY: i32 = 3;
/// Of what the scheduler, kubelet or an admission plugin says.
const LONGEST_CAUSE: usize = 1024;

/// What is wrong, the worst first.
pub(super) fn schedule_healthy(
    observed: &Observed,
    validated: &Result<ValidPolicy, InvalidPolicy>,
    status: &CleanupPolicyStatus,
) -> Condition {
    let mut wrong: Vec<(&str, String)> = Vec::new();
    for job in observed.stuck.jobs.iter().take(MOST_STUCK) {
        wrong.push((reason::JOB_STUCK_PENDING, cut(&stuck(job), LONGEST_CAUSE)));
    }
    let missed = validated.as_ref().ok().and_then(|valid| missed_slot(status, valid));
    if let Some(slot) = missed {
        let all = match status.missed_runs {
            1 => "the first that was missed".to_owned(),
            several => format!("{several} were missed in all"),
        };
        let sentence = format!(
            "the run of {} never came ({all}): Kubernetes made no Job for it within \
             startingDeadlineSeconds; does kube-controller-manager work?",
            when(slot)
        );
        wrong.push((reason::MISSED_RUNS, sentence));
    }
    if status.consecutive_failures >= TOO_MANY {
        let sentence = format!(
            "{} runs in a row have failed; LastRunSucceeded says why the last one did",
            status.consecutive_failures
        );
        wrong.push((reason::TOO_MANY_FAILURES, sentence));
    }
    let saying = match wrong.first() {
        Some((reason, _)) => {
            let all: Vec<_> = wrong.iter().map(|(_, sentence)| sentence.as_str()).collect();
            Saying::new("False", reason, all.join(ALSO))
        }
        None if status.slots_expected_after.is_some() => {
            Saying::new("True", reason::ON_TIME, "runs come when they are due")
        }
        None => Saying::new(
            "True",
            reason::ON_TIME,
            "no run is expected: there is no CronJob that makes Jobs now",
        ),
    };
    stamped(observed, condition::SCHEDULE_HEALTHY, saying)
}
