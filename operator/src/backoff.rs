//! How long a policy, or a watch, that failed waits for its next try: longer
//! each time, with jitter, up to a cap. Nothing is ever given up.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use policy::PolicyName;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(2);
/// Nothing is known while a watch is down, and there are only four of them to bear.
const LONGEST_OF_WATCH: Duration = Duration::from_secs(8);

/// A failure among those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// 1 for the first since a success.
    pub in_a_row: u32,
    /// How long the next try waits.
    pub delay: Duration,
}

/// Failures in a row, for each policy that has any.
#[derive(Debug, Default)]
pub struct Backoff(Mutex<HashMap<PolicyName, u32>>);

impl Backoff {
    /// Counts one more failure and says how long to wait.
    pub fn failed(&self, policy: &PolicyName) -> Failure {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(policy.clone()).or_default();
        *count = count.saturating_add(1);
        Failure { in_a_row: *count, delay: delay(*count, LONGEST, rand::random()) }
    }

    /// Whether the policy waits for its next try.
    pub fn is_waiting(&self, policy: &PolicyName) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(policy)
    }

    /// Forgets the failures of a policy: it succeeded, or is gone.
    pub fn forget(&self, policy: &PolicyName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(policy);
    }
}

/// For a watch; kube's own waits up to 30 s, twice after a restart of the API server.
#[derive(Debug, Default)]
pub struct WatchBackoff {
    failures: u32,
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        Some(delay(self.failures, LONGEST_OF_WATCH, rand::random()))
    }
}

impl kube::runtime::utils::Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.failures = 0;
    }
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
    fn a_watch_is_never_given_up() {
        let mut waits = WatchBackoff::default().skip(1000);
        assert!(waits.next().is_some_and(|wait| wait <= LONGEST_OF_WATCH));
    }

    #[test]
    fn a_success_begins_anew() {
        let backoff = Backoff::default();
        let name = PolicyName { namespace: "shop".into(), name: "codes".into() };
        for _ in 0..5 {
            backoff.failed(&name);
        }
        assert!(backoff.is_waiting(&name));
        backoff.forget(&name);
        assert!(!backoff.is_waiting(&name));
        let failure = backoff.failed(&name);
        assert_eq!(failure.in_a_row, 1);
        assert!(failure.delay <= FIRST);
    }
}
