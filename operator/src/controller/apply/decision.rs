//! What to do with the CronJob: a table over what should be and what is. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use policy::{ANNOTATION_BUILD_HASH, CronJobRef, condition};

use crate::controller::build::DesiredCronJob;
use crate::controller::observe::{ObservedCronJob, ObservedPolicy, Ownership};

/// What to do with the CronJob of a policy that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There is none.
    Create,
    /// It is as it should be.
    Keep,
    /// The policy has changed: server-side apply.
    Apply,
    /// The policy has changed, and a part of the CronJob is of another manager's or of a PUT of
    /// ours, which server-side apply would leave: PUT.
    Replace,
    /// Somebody else has edited it: PUT.
    Correct,
    /// What we know of it is old, or it is going: look again later.
    Wait,
    /// It belongs to somebody else.
    Refuse,
}

/// Decides for a policy that is right.
pub fn decide(
    policy: &ObservedPolicy,
    desired: &DesiredCronJob,
    observed: Option<&ObservedCronJob>,
) -> Decision {
    let Some(observed) = observed else { return Decision::Create };
    match observed.ownership(&policy.name, &policy.uid) {
        Ownership::Foreign => return Decision::Refuse,
        Ownership::Predecessors => return Decision::Wait,
        Ownership::Ours if observed.metadata.deletion_timestamp.is_some() => return Decision::Wait,
        Ownership::Ours => {}
    }
    let last = policy.status.cron_job_ref.as_ref().filter(|last| last.uid == observed.uid());
    let edited = last.map_or(0, |last| observed.generation() - last.generation);
    if edited < 0 {
        return Decision::Wait;
    }
    let same_hash = observed.annotation(ANNOTATION_BUILD_HASH) == Some(desired.hash.as_str());
    if last.is_some()
        && edited == 0
        && same_hash
        && has_metadata(&observed.metadata, &desired.object.metadata)
    {
        Decision::Keep
    } else if edited > 0 && last.is_some_and(|last| !is_unreported(last, observed)) {
        Decision::Correct
    } else if observed.has_foreign_fields {
        Decision::Replace
    } else {
        Decision::Apply
    }
}

/// Whether the newest build of the CronJob is one that we wrote and could not tell of: nobody else
/// has a reason to write that annotation.
fn is_unreported(last: &CronJobRef, observed: &ObservedCronJob) -> bool {
    let hash = observed.annotation(ANNOTATION_BUILD_HASH);
    !last.hash.is_empty() && hash.is_some_and(|hash| hash != last.hash)
}

/// Edits of labels and annotations move no generation.
fn has_metadata(observed: &ObjectMeta, desired: &ObjectMeta) -> bool {
    let label = |name| observed.labels.as_ref().and_then(|labels| labels.get(name));
    let annotation = |name| observed.annotations.as_ref().and_then(|all| all.get(name));
    desired.labels.iter().flatten().all(|(name, value)| label(name) == Some(value))
        && desired.annotations.iter().flatten().all(|(name, value)| annotation(name) == Some(value))
}

/// Whether the CronJob is about to be held back although the policy was not edited, and the status
/// says that it runs: that is to be taken back first.
pub fn is_told_first(
    policy: &ObservedPolicy,
    desired: &DesiredCronJob,
    observed: &ObservedCronJob,
) -> bool {
    let is_as_told =
        policy.status.cron_job_ref.as_ref().is_some_and(|last| {
            last.uid == observed.uid() && last.generation == observed.generation()
        });
    let suspend = desired.object.spec.as_ref().and_then(|spec| spec.suspend);
    let is_promised = policy.status.conditions.iter().any(|it| {
        it.type_ == condition::READY
            && it.status == "True"
            && it.observed_generation == Some(policy.generation)
    });
    is_as_told && is_promised && suspend == Some(true) && !observed.suspended
}

/// What to do with the CronJob of a policy that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspension {
    /// There is none of ours that would run.
    Keep,
    /// We have suspended it, and could not tell of that.
    Tell,
    /// It would run its old rules.
    Suspend,
    /// What we know of it is old.
    Wait,
}

/// Decides for a policy that is wrong.
pub fn decide_suspension(
    policy: &ObservedPolicy,
    observed: Option<&ObservedCronJob>,
) -> Suspension {
    let Some(observed) = observed else { return Suspension::Keep };
    let ours = observed.ownership(&policy.name, &policy.uid) == Ownership::Ours;
    if !ours || observed.metadata.deletion_timestamp.is_some() {
        return Suspension::Keep;
    }
    let last = policy.status.cron_job_ref.as_ref().filter(|last| last.uid == observed.uid());
    let newer = last.map_or(0, |last| observed.generation() - last.generation);
    if observed.suspended {
        let is_untold = newer > 0 && last.is_some_and(|last| is_unreported(last, observed));
        return if is_untold { Suspension::Tell } else { Suspension::Keep };
    }
    if newer < 0 { Suspension::Wait } else { Suspension::Suspend }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controller::examples;

    /// A CronJob just as it was written, and a policy whose status says so.
    fn steady() -> (ObservedPolicy, DesiredCronJob, ObservedCronJob) {
        let desired = examples::desired();
        let mut policy = examples::policy();
        let mut observed = ObservedCronJob::from(&desired.object);
        observed.metadata.uid = Some("cron-uid".into());
        observed.metadata.generation = Some(4);
        let reference = CronJobRef {
            name: "codes".into(),
            uid: "cron-uid".into(),
            generation: 4,
            hash: desired.hash.clone(),
        };
        policy.status.cron_job_ref = Some(reference);
        (policy, desired, observed)
    }

    fn check(
        change: impl Fn(&mut ObservedPolicy, &mut DesiredCronJob, &mut ObservedCronJob),
    ) -> Decision {
        let (mut policy, mut desired, mut observed) = steady();
        change(&mut policy, &mut desired, &mut observed);
        decide(&policy, &desired, Some(&observed))
    }

    #[test]
    fn nothing_is_written_when_nothing_changed() {
        assert_eq!(check(|_, _, _| {}), Decision::Keep);
    }

    #[test]
    fn a_missing_cron_job_is_created() {
        let (policy, desired, _) = steady();
        assert_eq!(decide(&policy, &desired, None), Decision::Create);
    }

    #[test]
    fn our_own_change_is_applied() {
        assert_eq!(check(|_, desired, _| desired.hash = "new".into()), Decision::Apply);
        // The status that should have named it was never written.
        assert_eq!(check(|policy, _, _| policy.status.cron_job_ref = None), Decision::Apply);
        let unlabelled = check(|_, _, observed| observed.metadata.labels = None);
        assert_eq!(unlabelled, Decision::Apply);
    }

    #[test]
    fn an_edit_by_somebody_else_is_corrected_whatever_the_hash_says() {
        let edit = |observed: &mut ObservedCronJob| observed.metadata.generation = Some(5);
        assert_eq!(check(|_, _, observed| edit(observed)), Decision::Correct);
        let both = check(|_, desired, observed| {
            edit(observed);
            desired.hash = "new".into();
        });
        assert_eq!(both, Decision::Correct);
        // Long ago replaced by PUT: server-side apply would not remove what that wrote.
        let owned = check(|_, desired, observed| {
            observed.has_foreign_fields = true;
            desired.hash = "new".into();
        });
        assert_eq!(owned, Decision::Replace);
        assert_eq!(check(|_, _, observed| observed.has_foreign_fields = true), Decision::Keep);
    }

    #[test]
    fn our_own_write_that_was_never_told_is_no_edit_of_somebody_else() {
        let unreported = |policy: &mut ObservedPolicy, observed: &mut ObservedCronJob| {
            observed.metadata.generation = Some(5);
            policy.status.cron_job_ref.as_mut().expect("a CronJob").hash = "of before".into();
        };
        let told = |change: fn(&mut ObservedPolicy, &mut DesiredCronJob, &mut ObservedCronJob)| {
            check(|policy, desired, observed| {
                unreported(policy, observed);
                change(policy, desired, observed);
            })
        };
        assert_eq!(told(|_, _, _| {}), Decision::Apply);
        assert_eq!(told(|_, desired, _| desired.hash = "new".into()), Decision::Apply);
        assert_eq!(told(|_, _, observed| observed.has_foreign_fields = true), Decision::Replace);
        // A status of before there were hashes cannot tell.
        let old = told(|policy, _, _| {
            policy.status.cron_job_ref.as_mut().expect("a CronJob").hash.clear();
        });
        assert_eq!(old, Decision::Correct);
    }

    #[test]
    fn a_promise_is_taken_back_before_the_cron_job_is_held_back() {
        let told_first = |generation, status: &str| {
            let (mut policy, mut desired, observed) = steady();
            desired.object.spec.as_mut().expect("a spec").suspend = Some(true);
            policy.status.conditions = serde_json::from_value(json!([{
                "type": condition::READY, "status": status, "reason": "Any", "message": "",
                "observedGeneration": generation, "lastTransitionTime": "2026-11-21T03:00:00Z"
            }]))
            .expect("conditions");
            let mut edited = observed.clone();
            edited.metadata.generation = Some(5);
            assert!(!is_told_first(&policy, &desired, &edited));
            is_told_first(&policy, &desired, &observed)
        };
        assert!(told_first(3, "True"));
        assert!(!told_first(3, "False"));
        // It was said of the policy of before an edit, and is no word about this one.
        assert!(!told_first(2, "True"));
    }

    #[test]
    fn what_is_old_or_going_is_waited_for() {
        assert_eq!(check(|_, _, observed| observed.metadata.generation = Some(3)), Decision::Wait);
        let going = check(|_, _, observed| {
            observed.metadata.deletion_timestamp =
                serde_json::from_value("2026-11-21T03:00:00Z".into()).ok();
        });
        assert_eq!(going, Decision::Wait);
        assert_eq!(check(|policy, _, _| policy.uid = "a later policy".into()), Decision::Wait);
    }

    #[test]
    fn an_object_of_somebody_else_is_left_alone() {
        let foreign = check(|_, _, observed| observed.metadata.owner_references = None);
        assert_eq!(foreign, Decision::Refuse);
    }

    #[test]
    fn a_wrong_policy_suspends_its_own_cron_job_once() {
        let (policy, _, observed) = steady();
        assert_eq!(decide_suspension(&policy, None), Suspension::Keep);
        assert_eq!(decide_suspension(&policy, Some(&observed)), Suspension::Suspend);
        let mut suspended = ObservedCronJob { suspended: true, ..observed.clone() };
        assert_eq!(decide_suspension(&policy, Some(&suspended)), Suspension::Keep);
        suspended.metadata.generation = Some(5);
        let annotations = suspended.metadata.annotations.get_or_insert_default();
        annotations.insert(ANNOTATION_BUILD_HASH.into(), "suspended".into());
        assert_eq!(decide_suspension(&policy, Some(&suspended)), Suspension::Tell);
        let mut foreign = observed.clone();
        foreign.metadata.owner_references = None;
        assert_eq!(decide_suspension(&policy, Some(&foreign)), Suspension::Keep);
        let mut old = observed;
        old.metadata.generation = Some(3);
        assert_eq!(decide_suspension(&policy, Some(&old)), Suspension::Wait);
    }
}
