//! The store of the policies, as the controller wants it, filled by one watch
//! or by one a namespace.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;

use crate::controller::stored::StoredPolicy;

/// Takes in what the watches say of policies.
pub struct Policies(Mutex<Writer<StoredPolicy>>);

impl Policies {
    /// Empty, and ready from the start: whether it is complete is known by the watches.
    pub fn new() -> Self {
        let mut writer = Writer::new(());
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        Self(Mutex::new(writer))
    }

    pub fn store(&self) -> Store<StoredPolicy> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_reader()
    }

    /// One policy came, changed or went.
    pub fn follow(&self, event: &Event<StoredPolicy>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).apply_watcher_event(event);
    }

    /// All policies of the namespace (`None`: of all) are these now; returns those that are gone.
    pub fn replace(
        &self,
        namespace: Option<&str>,
        listed: Vec<StoredPolicy>,
    ) -> Vec<ObjectRef<StoredPolicy>> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stays: HashSet<_> = listed.iter().map(StoredPolicy::reference).collect();
        let known = writer
            .as_reader()
            .state_filter(|policy| namespace.is_none_or(|name| policy.name().namespace == name));
        let gone = known.into_iter().filter(|policy| !stays.contains(&policy.reference()));
        let gone: Vec<_> = gone
            .map(|policy| {
                writer.apply_watcher_event(&Event::Delete(policy.as_ref().clone()));
                policy.reference()
            })
            .collect();
        for policy in listed {
            writer.apply_watcher_event(&Event::Apply(policy));
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(namespace: &str, name: &str) -> StoredPolicy {
        serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}}))
            .expect("a policy")
    }

    fn names(policies: &Policies) -> Vec<String> {
        let mut names: Vec<_> =
            policies.store().state().iter().map(|policy| policy.name().to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_list_of_one_namespace_leaves_the_others_alone() {
        let policies = Policies::new();
        assert!(policies.replace(Some("a"), vec![policy("a", "1"), policy("a", "2")]).is_empty());
        assert!(policies.replace(Some("b"), vec![policy("b", "1")]).is_empty());
        policies.follow(&Event::Apply(policy("b", "2")));
        assert_eq!(names(&policies), ["a/1", "a/2", "b/1", "b/2"]);
        let gone = policies.replace(Some("a"), vec![policy("a", "2"), policy("a", "3")]);
        assert_eq!(gone, [policy("a", "1").reference()]);
        assert_eq!(names(&policies), ["a/2", "a/3", "b/1", "b/2"]);
        policies.follow(&Event::Delete(policy("a", "2")));
        assert_eq!(policies.replace(None, vec![policy("b", "2")]).len(), 2);
        assert_eq!(names(&policies), ["b/2"]);
    }
}
