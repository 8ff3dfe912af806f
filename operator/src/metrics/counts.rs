//! What has been counted of the policies since the operator began, since no status has it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::PolicyName;

use crate::controller::FinishedRun;

/// Counts of all policies.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<HashMap<PolicyName, PolicyCounts>>>);

/// Counts of one policy.
#[derive(Debug, Default)]
pub struct PolicyCounts {
    /// By trigger, mode and result.
    pub runs: BTreeMap<[&'static str; 3], u64>,
    /// By rule and action.
    pub rows: BTreeMap<(String, &'static str), u64>,
    /// By rule and the class of the SQLSTATE, its first two characters.
    pub errors: BTreeMap<(String, String), u64>,
    /// UIDs of the Jobs that are in there and may come again.
    counted: BTreeSet<String>,
}

impl Counts {
    /// Counts the runs that are not counted yet, and returns them; `remembered` are the UIDs of the
    /// Jobs that can come again.
    pub fn count<'a>(
        &self,
        policy: &PolicyName,
        runs: &'a [FinishedRun],
        remembered: &[String],
    ) -> Vec<&'a FinishedRun> {
        if runs.is_empty() {
            return Vec::new();
        }
        let mut all = self.lock();
        let counts = all.entry(policy.clone()).or_default();
        let new: Vec<_> =
            runs.iter().filter(|run| counts.counted.insert(run.status.uid.clone())).collect();
        for run in &new {
            counts.add(run);
        }
        counts.counted.retain(|uid| remembered.contains(uid));
        new
    }

    /// All of them; nobody counts while it is held.
    pub fn lock(&self) -> MutexGuard<'_, HashMap<PolicyName, PolicyCounts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PolicyCounts {
    fn add(&mut self, run: &FinishedRun) {
        let run = &run.status;
        let labels = [run.trigger.as_str(), run.mode.as_str(), run.result.as_str()];
        *self.runs.entry(labels).or_default() += 1;
        for rule in &run.rules {
            // A report that was shortened names no actions.
            let action = rule.action.map_or("Unknown", |action| action.as_str());
            if let Ok(rows) = u64::try_from(rule.affected) {
                *self.rows.entry((rule.name.clone(), action)).or_default() += rows;
            }
            if let Some(class) = rule.sql_state.get(..2) {
                *self.errors.entry((rule.name.clone(), class.to_owned())).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::examples;

    fn codes() -> PolicyName {
        PolicyName { namespace: "shop".into(), name: "codes".into() }
    }

    #[test]
    fn a_run_that_is_told_again_is_not_counted_again() {
        let counts = Counts::default();
        let runs = [examples::finished("j1"), examples::finished("j2")];
        let remembered = ["j1".to_owned(), "j2".to_owned()];
        assert_eq!(counts.count(&codes(), &runs, &remembered).len(), 2);
        assert_eq!(counts.count(&codes(), &runs, &remembered).len(), 0);
        // What cannot come again is not remembered.
        counts.count(&codes(), &[examples::finished("j3")], &["j3".to_owned()]);
        assert_eq!(counts.lock()[&codes()].counted.len(), 1);
    }

    #[test]
    fn errors_are_counted_by_rule_and_class() {
        let counts = Counts::default();
        let mut run = examples::finished("j1");
        run.status.rules[0].sql_state = "23503".into();
        counts.count(&codes(), &[run], &["j1".to_owned()]);
        let rule = ("delete-expired".to_owned(), "23".to_owned());
        assert_eq!(counts.lock()[&codes()].errors[&rule], 1);
    }
}
