//! The second step: from what is stored to a policy that is known to be right,
//! or everything that is wrong with it. Pure.

use policy::{CleanupPolicySpec, Policy, Problem, reason};
use serde_json::Value;

use super::observe::ObservedPolicy;

/// A policy that is right, with the parts of its spec that Kubernetes objects are built from.
#[derive(Clone, Debug)]
pub struct ValidPolicy {
    pub policy: Policy,
    pub spec: CleanupPolicySpec,
    /// Exactly what is stored, for the Jobs.
    pub document: Value,
}

/// A policy that must not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPolicy {
    /// At least one, in the order of the document.
    pub problems: Vec<Problem>,
}

impl InvalidPolicy {
    /// The reason of `Ready`: a wrong schedule alone has its own.
    pub fn reason(&self) -> &'static str {
        let of_schedule =
            |problem: &Problem| problem.path == "spec.schedule" || problem.path == "spec.timeZone";
        if self.problems.iter().all(of_schedule) {
            reason::INVALID_SCHEDULE
        } else {
            reason::INVALID_SPEC
        }
    }

    /// Every problem with its field path, in the words of `pgsweep validate`.
    pub fn sentence(&self) -> String {
        let problems: Vec<_> = self.problems.iter().map(Problem::to_string).collect();
        problems.join("; ")
    }
}

/// Judges a stored policy.
pub fn validate(observed: &ObservedPolicy) -> Result<ValidPolicy, InvalidPolicy> {
    let policy =
        policy::validate(&observed.document).map_err(|problems| InvalidPolicy { problems })?;
    let spec = observed.document.get("spec").cloned().unwrap_or_default();
    let spec = serde_json::from_value(spec).map_err(|error| InvalidPolicy {
        problems: vec![Problem { path: "spec".into(), message: error.to_string() }],
    })?;
    Ok(ValidPolicy { policy, spec, document: observed.document.clone() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controller::examples;

    fn check(pointer: &str, value: Value) -> Result<ValidPolicy, InvalidPolicy> {
        let mut observed = examples::policy();
        *observed.document.pointer_mut(pointer).expect("a field") = value;
        validate(&observed)
    }

    #[test]
    fn a_right_policy_passes_with_its_document_unchanged() {
        let observed = examples::policy();
        let valid = validate(&observed).expect("a right policy");
        assert_eq!(valid.document, observed.document);
        assert_eq!(valid.policy.generation(), 3);
    }

    #[test]
    fn a_wrong_schedule_alone_has_its_own_reason() {
        let reason =
            |result: Result<ValidPolicy, InvalidPolicy>| result.expect_err("wrong").reason();
        assert_eq!(reason(check("/spec/schedule", json!("0 0 31 2 *x"))), "InvalidSchedule");
        assert_eq!(reason(check("/spec/timeZone", json!("Mars/Olympus"))), "InvalidSchedule");
        assert_eq!(reason(check("/spec/rules/0/where", json!([]))), "InvalidSpec");
    }

    #[test]
    fn the_sentence_has_every_problem_with_its_path() {
        let invalid = check("/spec/rules/0", json!({"name": "a"})).expect_err("wrong");
        let sentence = invalid.sentence();
        for field in ["table", "where", "action"] {
            let path = format!("spec.rules[0].{field}: ");
            assert!(sentence.contains(&path), "{path} in {sentence}");
        }
    }
}
