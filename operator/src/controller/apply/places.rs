//! How many Preflight Jobs are under way: thousands of policies may be new at
//! once, and their databases are the same few servers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use policy::PolicyName;

/// A Job that takes longer waits for something, a Secret for one: its place is free again.
const STUCK: Duration = Duration::from_mins(1);

/// The policies whose preflight is under way, each since when.
#[derive(Debug)]
pub struct Places {
    most: usize,
    taken: Mutex<HashMap<PolicyName, Instant>>,
}

impl Places {
    /// So many at a time.
    pub fn new(most: u16) -> Self {
        Self { most: most.into(), taken: Mutex::default() }
    }

    /// Takes a place for the policy; the one that it has already, if it has one.
    pub(super) fn take(&self, policy: &PolicyName) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.contains_key(policy) {
            return true;
        }
        if taken.len() >= self.most {
            taken.retain(|_, since| since.elapsed() < STUCK);
        }
        let is_free = taken.len() < self.most;
        if is_free {
            taken.insert(policy.clone(), Instant::now());
        }
        is_free
    }

    /// The policy has a Job under way, of this age: before a restart it took a place.
    pub(super) fn note(&self, policy: &PolicyName, age: Duration) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = Instant::now().checked_sub(age)
            && age < STUCK
        {
            taken.entry(policy.clone()).or_insert(since);
        }
    }

    /// The policy has none.
    pub(super) fn leave(&self, policy: &PolicyName) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(policy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str) -> PolicyName {
        PolicyName { namespace: "shop".into(), name: name.into() }
    }

    #[test]
    fn a_place_is_taken_once_and_free_again_when_it_is_left() {
        let places = Places::new(2);
        let take = |name| places.take(&policy(name));
        assert!(take("a") && take("b") && take("a"));
        assert!(!take("c"));
        places.leave(&policy("a"));
        assert!(take("c") && !take("a"));
    }

    #[test]
    fn a_job_that_takes_too_long_holds_no_place() {
        let places = Places::new(1);
        places.note(&policy("before the restart"), Duration::from_secs(5));
        assert!(!places.take(&policy("a")));
        places.leave(&policy("before the restart"));
        places.note(&policy("waits for its Secret"), STUCK);
        assert!(places.take(&policy("a")));
        let long_ago = Instant::now().checked_sub(STUCK).expect("a machine that is up for longer");
        places.taken.lock().expect("lock").insert(policy("a"), long_ago);
        assert!(places.take(&policy("b")));
    }
}
