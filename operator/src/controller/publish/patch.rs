//! What a write of the status has to say: the difference, and nothing else. Pure.

use policy::CleanupPolicyStatus;
use serde_json::{Map, Value};

use crate::controller::observe::ObservedPolicy;

/// The JSON merge patch (RFC 7386) from what is stored to `status`; none when they are the same.
/// What is no longer said is taken away by name, whoever wrote it.
pub(super) fn changes(policy: &ObservedPolicy, status: &CleanupPolicyStatus) -> Option<Value> {
    if policy.unreadable_status.is_none() && policy.status == *status {
        return None;
    }
    let next = serde_json::to_value(status).unwrap_or_default();
    let stored = match &policy.unreadable_status {
        Some(stored) => stored.clone(),
        None => serde_json::to_value(&policy.status).unwrap_or_default(),
    };
    Some(difference(&stored, &next))
}

fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let mut patch = Map::new();
    for name in from.keys().filter(|name| !to.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in to {
        match from.get(name) {
            Some(same) if same == value => {}
            Some(before) => {
                patch.insert(name.clone(), difference(before, value));
            }
            None => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use policy::CronJobRef;
    use serde_json::json;

    use super::*;
    use crate::controller::examples;

    #[test]
    fn only_what_changes_is_said_and_what_is_gone_goes_by_name() {
        let from = json!({"a": 1, "b": {"x": 1, "y": [1, 2]}, "c": "left by somebody", "d": [1]});
        let to = json!({"a": 1, "b": {"x": 2, "z": 3}, "d": [], "e": {"f": 1}});
        let expected = json!({"b": {"x": 2, "y": null, "z": 3}, "c": null, "d": [], "e": {"f": 1}});
        assert_eq!(difference(&from, &to), expected);
        assert_eq!(difference(&json!({"a": 1}), &json!({"a": 1})), json!({}));
        assert_eq!(difference(&json!("wrong"), &to), to);
    }

    #[test]
    fn a_status_that_is_the_same_is_not_written_and_an_unreadable_one_is() {
        let mut policy = examples::new_policy();
        let mut status = policy.status.clone();
        assert_eq!(changes(&policy, &status), None);
        status.cron_job_ref = Some(CronJobRef { name: "codes".into(), ..CronJobRef::default() });
        assert!(changes(&policy, &status).is_some());
        policy.status = status;
        let status = CleanupPolicyStatus::default();
        assert_eq!(changes(&policy, &status), Some(json!({"cronJobRef": null})));
        policy.unreadable_status = Some(json!({"history": "none"}));
        let patch = changes(&policy, &status).expect("a write");
        assert_eq!(patch["history"], Value::Null);
        assert!(patch.as_object().is_some_and(|patch| patch.contains_key("history")));
    }
}
