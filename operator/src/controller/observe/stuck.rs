//! Jobs whose pod does not begin, and what keeps it. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Container, ObservedJob, ObservedPod};

/// The Job controller waits up to so long before it tries again after a pod that failed.
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_mins(6);

/// A Job whose pod has not begun for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckJob {
    pub name: String,
    pub uid: String,
    /// Since when it waits.
    pub since: Timestamp,
    pub cause: Cause,
}

/// What keeps a pod from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is none: the API server refused it, and the Job controller told why in an event.
    NoPod {
        /// Empty while nobody has told.
        refusal: String,
    },
    /// There is one, and this is said of it.
    Waiting(String),
    /// Somebody holds the Job back.
    Suspended,
}

/// Jobs that are stuck, and when the next one may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stuck {
    pub jobs: Vec<StuckJob>,
    pub next: Option<Timestamp>,
}

/// Looks at every Job that has not ended.
pub fn stuck<'a>(
    jobs: impl Iterator<Item = &'a Arc<ObservedJob>>,
    pods: &[Arc<ObservedPod>],
    now: Timestamp,
    after: Duration,
) -> Stuck {
    let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
    let mut stuck = Stuck::default();
    for job in jobs.filter(|job| job.ending.is_none()) {
        let Some(Wait { since, patience, cause }) = wait(job, pods) else { continue };
        let due = since.saturating_add(after.saturating_add(patience)).unwrap_or(Timestamp::MAX);
        if due <= now {
            let (name, uid) = (job.name.clone(), job.uid.clone());
            stuck.jobs.push(StuckJob { name, uid, since, cause });
        } else {
            stuck.next = Some(stuck.next.map_or(due, |next| next.min(due)));
        }
    }
    stuck.jobs.sort_by(|one, other| (one.since, &one.name).cmp(&(other.since, &other.name)));
    stuck
}

struct Wait {
    since: Timestamp,
    /// What it may take beside.
    patience: SignedDuration,
    cause: Cause,
}

/// What a Job waits for; `None` while its pod runs.
fn wait(job: &ObservedJob, pods: &[Arc<ObservedPod>]) -> Option<Wait> {
    let at_once = |since, cause| Some(Wait { since, patience: SignedDuration::ZERO, cause });
    if job.suspended {
        return at_once(job.created?, Cause::Suspended);
    }
    // One that is being deleted has had its time; another comes in its place.
    let own = pods.iter().filter(|pod| pod.job_uid == job.uid && pod.deletion.is_none());
    let Some(newest) = own.max_by_key(|pod| pod.created) else {
        let cause = Cause::NoPod { refusal: String::new() };
        // Of one that had pods before nobody knows since when it has none.
        return at_once(job.created.filter(|_| job.attempts == 0)?, cause);
    };
    match &newest.container {
        Container::Running => None,
        Container::Waiting { reason, message } => {
            let cause = Cause::Waiting(said(newest, reason, message));
            at_once(newest.created.or(job.created)?, cause)
        }
        Container::Terminated(last) => {
            let cause = Cause::NoPod { refusal: String::new() };
            Some(Wait { since: last.finished_at?, patience: LONGEST_BACKOFF, cause })
        }
    }
}

fn said(pod: &ObservedPod, reason: &str, message: &str) -> String {
    if !pod.unschedulable.is_empty() {
        return format!("no node takes its pod: {}", pod.unschedulable);
    }
    match reason {
        "" if !pod.is_scheduled => {
            "its pod has no node, and the scheduler has not said why".to_owned()
        }
        "" => "its node has not said a word of the pod: it may be away".to_owned(),
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => {
            format!("its image cannot be had: {}", with(reason, message))
        }
        "CreateContainerConfigError" => {
            format!("its container cannot be set up: {}", with(reason, message))
        }
        _ => format!("its container does not begin: {}", with(reason, message)),
    }
}

fn with(reason: &str, message: &str) -> String {
    if message.is_empty() { reason.to_owned() } else { format!("{message} ({reason})") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::examples::{self, ended, ended_pod, now, pod};

    const AFTER: Duration = Duration::from_mins(5);

    /// A Job that was made so many seconds ago, with these pods.
    fn check(seconds: i64, pods: &[Arc<ObservedPod>]) -> Stuck {
        let created = now() - SignedDuration::from_secs(seconds);
        let job = ObservedJob { created: Some(created), attempts: 0, ..examples::job("j1") };
        let pods: Vec<_> = pods
            .iter()
            .map(|pod| Arc::new(ObservedPod { created: Some(created), ..(**pod).clone() }))
            .collect();
        stuck([Arc::new(job)].iter(), &pods, now(), AFTER)
    }

    fn waiting(reason: &str, message: &str) -> Arc<ObservedPod> {
        pod("j1", Container::Waiting { reason: reason.into(), message: message.into() })
    }

    #[test]
    fn a_job_is_stuck_after_its_time_and_not_before() {
        let early = check(299, &[]);
        assert!(early.jobs.is_empty());
        assert_eq!(early.next, Some(now() + SignedDuration::from_secs(1)));
        let late = check(300, &[]);
        assert_eq!((late.jobs.len(), late.next), (1, None));
        assert_eq!(check(9000, &[pod("j1", Container::Running)]), Stuck::default());
    }

    #[test]
    fn each_cause_is_told_in_the_words_of_who_knows_it() {
        let unscheduled = |message: &str| {
            let pod = waiting("", "");
            Arc::new(ObservedPod {
                unschedulable: message.into(),
                is_scheduled: false,
                ..(*pod).clone()
            })
        };
        let cases = [
            unscheduled(
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
            ),
            unscheduled(""),
            waiting("", ""),
            waiting("ImagePullBackOff", "Back-off pulling image \"registry.example/none:1\""),
            waiting(
                "ErrImageNeverPull",
                "Container image \"none:1\" is not present with pull policy of Never",
            ),
            waiting("CreateContainerConfigError", "secret \"db\" not found"),
            waiting("ContainerCreating", ""),
        ];
        let told: Vec<_> = cases
            .map(|pod| match &check(400, &[pod]).jobs[0].cause {
                Cause::Waiting(said) => said.clone(),
                other => panic!("there is a pod: {other:?}"),
            })
            .into();
        insta::assert_yaml_snapshot!(told);
        assert_eq!(check(400, &[]).jobs[0].cause, Cause::NoPod { refusal: String::new() });
    }

    #[test]
    fn a_pod_that_comes_again_has_a_time_of_its_own() {
        let old = waiting("ErrImagePull", "");
        let old = Arc::new(ObservedPod { deletion: Some(now()), ..(*old).clone() });
        // Deleted by a person: what counts is the one that comes in its place.
        assert_eq!(check(100, std::slice::from_ref(&old)).jobs, []);
        let job = Arc::new(ObservedJob { attempts: 1, ..examples::job("j1") });
        let since = now() - SignedDuration::from_mins(20);
        let job = Arc::new(ObservedJob { created: Some(since), ..(*job).clone() });
        assert_eq!(stuck([job.clone()].iter(), &[old], now(), AFTER), Stuck::default());

        // The Job controller waits before the next attempt.
        let waits = stuck([job].iter(), &[ended_pod("j1", 10, "")], now(), AFTER);
        assert!(waits.jobs.is_empty());
        assert_eq!(waits.next, Some(now() + SignedDuration::from_mins(11)));
    }

    #[test]
    fn a_job_that_somebody_holds_back_says_so_and_one_that_ended_says_nothing() {
        let created = Some(now() - SignedDuration::from_mins(20));
        let held = ObservedJob { suspended: true, created, ..examples::job("j1") };
        assert_eq!(
            stuck([Arc::new(held)].iter(), &[], now(), AFTER).jobs[0].cause,
            Cause::Suspended
        );
        let over = ObservedJob { created, ..ended("j1", 60, "") };
        assert_eq!(stuck([Arc::new(over)].iter(), &[], now(), AFTER), Stuck::default());
    }
}
