//! How long a policy, or a watch, that failed waits for its next try: longer
//! each time, with jitter, up to a cap. Nothing is ever given up.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use policy::PolicyName;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(2);
/// Nothing is known while a watch is down, and there are only four of them to bear.
const LONGEST_OF_WATCH: Duration = Duration::from_secs(8);
/// For a namespace that does not exist yet, or whose Role is missing: there may be many of those.
const LONGEST_OF_REFUSED_WATCH: Duration = Duration::from_secs(30);
/// So many failures in a row are no passing matter: that is after some ten seconds.
const LASTING: u32 = 5;

/// A failure among those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// 1 for the first since a success.
    pub in_a_row: u32,
    /// 1 for the first of its kind: one that comes after another kind shows that we got further.
    alike: u32,
    /// How long the next try waits.
    pub delay: Duration,
}

impl Failure {
    /// Whether it is one of many that are alike.
    pub fn is_lasting(&self) -> bool {
        self.alike >= LASTING
    }
}

/// What has gone wrong with each policy since its last success.
#[derive(Debug, Default)]
pub struct Backoff(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Failures in a row, for each policy that has any.
    failures: HashMap<PolicyName, Failures>,
    /// Policies that failed since what was known of them was old.
    doubted: HashSet<PolicyName>,
    /// The UID of each policy that goes with its namespace, and when that was last heard.
    ending: HashMap<PolicyName, (String, Instant)>,
}

#[derive(Debug, Default)]
struct Failures {
    in_a_row: u32,
    kind: &'static str,
    alike: u32,
}

impl Backoff {
    /// Counts one more failure and says how long to wait: not less than the API server asked for.
    /// Without a `kind` it is of the kind of the one before.
    pub fn failed(
        &self,
        policy: &PolicyName,
        kind: Option<&'static str>,
        asked: Option<Duration>,
    ) -> Failure {
        let mut state = self.state();
        let failures = state.failures.entry(policy.clone()).or_default();
        if let Some(kind) = kind.filter(|kind| *kind != failures.kind) {
            failures.kind = kind;
            failures.alike = 0;
        }
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        failures.alike = failures.alike.saturating_add(1);
        let delay = at_least(delay(failures.in_a_row, LONGEST, rand::random()), asked);
        Failure { in_a_row: failures.in_a_row, alike: failures.alike, delay }
    }

    /// What the watches know of the policy was old: until a reconcile succeeds the API server is
    /// asked, since a watch may never say more.
    pub fn doubt(&self, policy: &PolicyName) {
        self.state().doubted.insert(policy.clone());
    }

    /// Whether what the watches know of the policy was old when it was last used.
    pub fn is_doubted(&self, policy: &PolicyName) -> bool {
        self.state().doubted.contains(policy)
    }

    /// Whether the policy waits for its next try.
    pub fn is_waiting(&self, policy: &PolicyName) -> bool {
        self.state().failures.contains_key(policy)
    }

    /// The kind of failure of which one more would be one of many.
    pub fn lasting(&self, policy: &PolicyName) -> Option<&'static str> {
        let state = self.state();
        let lasting = state.failures.get(policy).filter(|known| known.alike >= LASTING - 1);
        lasting.map(|known| known.kind)
    }

    /// The API server says that the policy's namespace is being deleted. Says how long nothing
    /// needs to be written for it: nobody can take that deletion back.
    pub fn ends(&self, policy: &PolicyName, uid: &str) -> Duration {
        self.state().ending.insert(policy.clone(), (uid.to_owned(), Instant::now()));
        LONGEST
    }

    /// For how long nothing needs to be written for this policy, since its namespace goes.
    pub fn rest_of_end(&self, policy: &PolicyName, uid: &str) -> Option<Duration> {
        let state = self.state();
        let (_, since) = state.ending.get(policy).filter(|(ending, _)| ending == uid)?;
        LONGEST.checked_sub(since.elapsed())
    }

    /// Forgets the failures of a policy: it succeeded, or is gone.
    pub fn forget(&self, policy: &PolicyName) {
        let mut state = self.state();
        state.failures.remove(policy);
        state.doubted.remove(policy);
        state.ending.remove(policy);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For a watch, after so many failures since it last had news. `is_refused` is for one that the
/// operator may not have.
pub fn of_watch(failures: u32, is_refused: bool, asked: Option<Duration>) -> Duration {
    let longest = if is_refused { LONGEST_OF_REFUSED_WATCH } else { LONGEST_OF_WATCH };
    at_least(delay(failures, longest, rand::random()), asked)
}

/// `asked` is what the API server asked for; nobody can make us wait for longer than we ever do.
fn at_least(delay: Duration, asked: Option<Duration>) -> Duration {
    delay.max(asked.unwrap_or_default().min(LONGEST))
}

/// `jitter` is from 0 to 1 and takes up to half of the delay away, so that policies that failed
/// together do not come back together.
fn delay(failures: u32, longest: Duration, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = FIRST.saturating_mul(1 << doublings).min(longest);
    full.mul_f64(1.0 - jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> PolicyName {
        PolicyName { namespace: "shop".into(), name: "codes".into() }
    }

    #[test]
    fn the_delay_doubles_up_to_a_cap() {
        let seconds: Vec<_> = [1, 2, 3, 7, 8, 1000, u32::MAX]
            .map(|failures| delay(failures, LONGEST, 0.0).as_secs())
            .into();
        assert_eq!(seconds, [1, 2, 4, 64, 120, 120, 120]);
    }

    #[test]
    fn jitter_takes_at_most_half_away() {
        assert_eq!(delay(3, LONGEST, 1.0), Duration::from_secs(2));
        assert_eq!(delay(3, LONGEST, 0.5), Duration::from_secs(3));
    }

    #[test]
    fn what_the_api_server_asks_for_is_waited_for_within_reason() {
        let seconds = |asked| at_least(Duration::from_secs(3), asked).as_secs();
        assert_eq!(seconds(None), 3);
        assert_eq!(seconds(Some(Duration::from_secs(1))), 3);
        assert_eq!(seconds(Some(Duration::from_secs(30))), 30);
        assert_eq!(seconds(Some(Duration::from_hours(9))), 120);
    }

    #[test]
    fn a_watch_is_tried_again_soon_and_one_that_is_refused_a_little_later() {
        for failures in [1, 2, 1000, u32::MAX] {
            assert!(of_watch(failures, false, None) <= LONGEST_OF_WATCH);
            assert!(of_watch(failures, true, None) <= LONGEST_OF_REFUSED_WATCH);
        }
        assert!(of_watch(1000, true, None) >= LONGEST_OF_REFUSED_WATCH / 2);
    }

    #[test]
    fn a_success_begins_anew() {
        let backoff = Backoff::default();
        for failures in 1..LASTING {
            assert_eq!(backoff.lasting(&name()), None, "{failures}");
            backoff.failed(&name(), Some("WriteCronJob"), None);
        }
        backoff.doubt(&name());
        assert!(backoff.is_waiting(&name()) && backoff.lasting(&name()) == Some("WriteCronJob"));
        backoff.failed(&name(), Some("WriteCronJob"), None);
        assert!(backoff.is_doubted(&name()));
        backoff.forget(&name());
        assert!(!backoff.is_waiting(&name()) && backoff.lasting(&name()).is_none());
        assert!(!backoff.is_doubted(&name()));
        let failure = backoff.failed(&name(), Some("WriteCronJob"), None);
        assert_eq!(failure.in_a_row, 1);
        assert!(failure.delay <= FIRST);
    }

    #[test]
    fn failures_at_one_step_after_another_last_only_for_the_wait() {
        let backoff = Backoff::default();
        let fail = |kind| backoff.failed(&name(), kind, None);
        for _ in 1..LASTING {
            fail(Some("WriteCronJob"));
        }
        let failure = fail(Some("CreateEvent"));
        assert!(failure.in_a_row == LASTING && !failure.is_lasting());
        assert_eq!(backoff.lasting(&name()), None);
        // What is told of a failure that lasts is one more of it.
        for _ in 1..LASTING {
            fail(Some("CreateEvent"));
        }
        assert!(fail(None).is_lasting());
        assert_eq!(backoff.lasting(&name()), Some("CreateEvent"));
    }

    #[test]
    fn a_policy_that_goes_with_its_namespace_is_left_alone_but_not_one_that_comes_after_it() {
        let backoff = Backoff::default();
        assert_eq!(backoff.rest_of_end(&name(), "old"), None);
        backoff.ends(&name(), "old");
        assert!(backoff.rest_of_end(&name(), "old").is_some());
        assert_eq!(backoff.rest_of_end(&name(), "new"), None);
        backoff.forget(&name());
        assert_eq!(backoff.rest_of_end(&name(), "old"), None);
    }
}
