//! One try of a preflight: what it is called, and when the next one is due. Pure.

use std::time::Duration;

use policy::{PolicyName, PreflightState, PreflightStatus};
use sha2::{Digest as _, Sha256};

use crate::controller::observe::Observed;
use crate::controller::validate::ValidPolicy;

/// The longest wait for the next try.
const LONGEST: Duration = Duration::from_hours(1);

/// A try of the preflight of the present rules and mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Of the policy, when it began: an edit begins to count anew.
    pub generation: i64,
    /// 1 for the first of its generation.
    pub number: i32,
    /// Of its Job: each try has one of its own, and the same one each time it is asked for.
    pub job_name: String,
    rules_hash: String,
    mode: policy::Mode,
}

impl Attempt {
    pub(super) fn new(
        observed: &Observed,
        valid: &ValidPolicy,
        generation: i64,
        number: i32,
    ) -> Self {
        let (rules_hash, mode) = (valid.policy.rules_hash().to_owned(), valid.policy.mode());
        let uid = &observed.policy.uid;
        let key = format!("{uid}/{rules_hash}/{}/{generation}/{number}", mode.as_str());
        let job_name = job_name(&observed.policy.name, &key);
        Self { generation, number, job_name, rules_hash, mode }
    }

    /// What the status says once its Job exists. What the try before it found stays told, if that
    /// was of the same generation: it is the best that is known.
    pub(super) fn begun(&self, last: Option<&PreflightStatus>, job_uid: &str) -> PreflightStatus {
        let last = last.filter(|last| last.generation == self.generation);
        // The Job was there already, and the watch has not brought it yet.
        let known = last.filter(|last| job_uid.is_empty() && last.job_name == self.job_name);
        let job_uid = known.map_or(job_uid, |last| &last.job_uid);
        PreflightStatus {
            rules_hash: self.rules_hash.clone(),
            mode: self.mode,
            generation: self.generation,
            state: PreflightState::Running,
            job_name: self.job_name.clone(),
            job_uid: job_uid.to_owned(),
            attempts: self.number,
            time: last.and_then(|last| last.time.clone()),
            next_time: None,
            message: last.map(|last| last.message.clone()).unwrap_or_default(),
        }
    }

    /// How long the try after this one waits: twice as long as this one did, up to an hour. Up to a
    /// quarter is taken away, always the same for the same try, so that policies that failed
    /// together do not come back together.
    pub(super) fn wait(&self, policy_uid: &str, first: Duration) -> Duration {
        let doublings = u32::try_from(self.number.saturating_sub(1)).unwrap_or(0).min(16);
        let full = first.saturating_mul(1 << doublings).min(LONGEST);
        let digest =
            Sha256::digest(format!("{policy_uid}/{}/{}/wait", self.generation, self.number));
        let jitter = f64::from(digest.first().copied().unwrap_or(0)) / 255.0;
        full.mul_f64(1.0 - jitter / 4.0)
    }
}

fn job_name(policy: &PolicyName, key: &str) -> String {
    let digest = Sha256::digest(key);
    let digits: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-p{digits}", policy.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::examples;

    fn attempt(generation: i64, number: i32) -> Attempt {
        Attempt::new(&examples::observed(), &examples::valid(), generation, number)
    }

    #[test]
    fn the_same_try_has_the_same_name_and_another_try_another() {
        let name = attempt(3, 1).job_name;
        assert!(name.starts_with("codes-p") && name.len() == "codes-p".len() + 8, "{name}");
        assert_eq!(attempt(3, 1).job_name, name);
        assert_ne!(attempt(3, 2).job_name, name);
        assert_ne!(attempt(4, 1).job_name, name);
        let mut later = examples::observed();
        later.policy.uid = "a later policy".into();
        assert_ne!(Attempt::new(&later, &examples::valid(), 3, 1).job_name, name);
        let mut dry = examples::policy();
        dry.document["spec"]["mode"] = "DryRun".into();
        let dry = crate::controller::validate::validate(&dry).expect("a right policy");
        assert_ne!(Attempt::new(&examples::observed(), &dry, 3, 1).job_name, name);
    }

    #[test]
    fn the_longest_name_fits_a_label() {
        let mut observed = examples::observed();
        observed.policy.name.name = "x".repeat(policy::MAX_POLICY_NAME);
        let name = Attempt::new(&observed, &examples::valid(), 3, 1).job_name;
        assert!(name.len() <= 63, "{}", name.len());
    }

    #[test]
    fn waits_double_up_to_an_hour_less_at_most_a_quarter() {
        let minute = Duration::from_mins(1);
        for (number, full) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1000, 60), (i32::MAX, 60)]
        {
            let wait = attempt(3, number).wait("uid", minute);
            let full = Duration::from_mins(full);
            assert!(wait <= full && wait >= full.mul_f64(0.74), "{number}: {wait:?}");
            assert_eq!(wait, attempt(3, number).wait("uid", minute));
        }
        let waits: std::collections::BTreeSet<_> =
            (0..20).map(|uid| attempt(3, 1).wait(&uid.to_string(), minute)).collect();
        assert!(waits.len() > 10, "{waits:?}");
    }
}
