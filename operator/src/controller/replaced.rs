//! Which stored versions of policies our own writes have replaced: until the watch brings the next
//! one, nothing new is known, and what was written would only be written again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use policy::PolicyName;

/// The version of each policy that the last status replaced.
#[derive(Debug, Default)]
pub struct Replaced(Mutex<HashMap<PolicyName, String>>);

impl Replaced {
    /// A write has replaced this version.
    pub fn note(&self, policy: &PolicyName, resource_version: &str) {
        let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        versions.insert(policy.clone(), resource_version.to_owned());
    }

    /// Whether this version is such a one. Any other is news, and the old one is forgotten.
    pub fn is(&self, policy: &PolicyName, resource_version: &str) -> bool {
        let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = versions.get(policy).is_some_and(|replaced| replaced == resource_version);
        if !is_old {
            versions.remove(policy);
        }
        is_old
    }

    /// The policy is gone.
    pub fn forget(&self, policy: &PolicyName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(policy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_old_until_another_one_comes() {
        let replaced = Replaced::default();
        let codes = PolicyName { namespace: "shop".into(), name: "codes".into() };
        assert!(!replaced.is(&codes, "7"));
        replaced.note(&codes, "7");
        assert!(replaced.is(&codes, "7") && replaced.is(&codes, "7"));
        assert!(!replaced.is(&codes, "8"));
        // Versions have no order: the same one again is what the API server has now.
        assert!(!replaced.is(&codes, "7"));
        replaced.note(&codes, "8");
        replaced.forget(&codes);
        assert!(!replaced.is(&codes, "8"));
    }
}
