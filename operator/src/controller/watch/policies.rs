//! The store of the policies, as the controller wants it, filled by one watch
//! or by one a namespace.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use kube::api::DynamicObject;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;

use super::resource;

/// Takes in what the watches say of policies.
pub struct Policies(Mutex<Writer<DynamicObject>>);

impl Policies {
    /// Empty, and ready from the start: whether it is complete is known by the watches.
    pub fn new() -> Self {
        let mut writer = Writer::new(resource());
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        Self(Mutex::new(writer))
    }

    pub fn store(&self) -> Store<DynamicObject> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_reader()
    }

    /// One policy came, changed or went.
    pub fn follow(&self, event: &Event<DynamicObject>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).apply_watcher_event(event);
    }

    /// All policies of the namespace (`None`: of all) are these now; returns those that are gone.
    pub fn replace(
        &self,
        namespace: Option<&str>,
        listed: Vec<DynamicObject>,
    ) -> Vec<ObjectRef<DynamicObject>> {
        let key = |object: &DynamicObject| ObjectRef::from_obj_with(object, resource());
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stays: HashSet<_> = listed.iter().map(key).collect();
        let known = writer.as_reader().state_filter(|object| {
            namespace.is_none_or(|name| object.metadata.namespace.as_deref() == Some(name))
        });
        let gone = known.into_iter().filter(|object| !stays.contains(&key(object)));
        let gone: Vec<_> = gone
            .map(|object| {
                writer.apply_watcher_event(&Event::Delete(object.as_ref().clone()));
                key(&object)
            })
            .collect();
        for object in listed {
            writer.apply_watcher_event(&Event::Apply(object));
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(namespace: &str, name: &str) -> DynamicObject {
        DynamicObject::new(name, &resource()).within(namespace)
    }

    fn names(policies: &Policies) -> Vec<String> {
        let mut names: Vec<_> = policies
            .store()
            .state()
            .iter()
            .map(|object| ObjectRef::from_obj_with(object.as_ref(), resource()))
            .map(|policy| format!("{}/{}", policy.namespace.unwrap_or_default(), policy.name))
            .collect();
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
        assert_eq!(gone, [ObjectRef::from_obj_with(&policy("a", "1"), resource())]);
        assert_eq!(names(&policies), ["a/2", "a/3", "b/1", "b/2"]);
        policies.follow(&Event::Delete(policy("a", "2")));
        assert_eq!(policies.replace(None, vec![policy("b", "2")]).len(), 2);
        assert_eq!(names(&policies), ["b/2"]);
    }
}
