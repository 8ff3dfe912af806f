use jiff::SignedDuration;
use policy::{CronJobRef, Trigger};

use super::*;
use crate::controller::examples::{self, ended, job, now};

/// A CronJob of this UID, of the policy or of somebody else.
fn cron_job(uid: &str, policy_uid: &str) -> Arc<ObservedCronJob> {
    let mut cron_job = ObservedCronJob::default();
    cron_job.metadata.uid = Some(uid.into());
    let owner = json!([{
        "apiVersion": "pgsweep.dev/v1alpha1", "kind": "CleanupPolicy", "name": "codes",
        "uid": policy_uid, "controller": true,
    }]);
    cron_job.metadata.owner_references = serde_json::from_value(owner).expect("owners");
    Arc::new(cron_job)
}

/// A Job of the CronJob of this UID, made so many minutes before now.
fn of(owner_uid: &str, owner_name: &str, minutes: i64) -> ObservedJob {
    ObservedJob {
        owner_uid: owner_uid.into(),
        owner_name: owner_name.into(),
        created: Some(now() - SignedDuration::from_mins(minutes)),
        ..job("j1")
    }
}

fn active(uid: &str) -> ActiveRun {
    ActiveRun {
        job_name: format!("codes-{uid}"),
        uid: uid.into(),
        trigger: Trigger::Schedule,
        start_time: Some((now() - SignedDuration::from_mins(3)).to_string()),
    }
}

#[test]
fn runs_are_those_of_the_cron_job_and_of_those_before_it() {
    let policy = |change: fn(&mut ObservedPolicy)| {
        let mut policy = examples::policy();
        change(&mut policy);
        policy
    };
    let fresh = policy(|_| {});
    let told = policy(|policy| {
        let (name, uid) = ("codes".to_owned(), "old".to_owned());
        let reference = CronJobRef { name, uid, generation: 1, hash: String::new() };
        policy.status.cron_job_ref = Some(reference);
    });
    let was_active = policy(|policy| policy.status.active = vec![active("j1")]);
    let ours = cron_job("new", "policy-uid");
    let foreign = cron_job("new", "another");
    let day = 24 * 60;
    let cases = [
        ("its own", &fresh, Some(&ours), of("new", "codes", 1), true),
        ("somebody else's of its name", &fresh, Some(&foreign), of("new", "codes", 1), false),
        ("of the one before", &told, Some(&ours), of("old", "codes", 2 * day), true),
        ("of one that nobody told of", &fresh, Some(&ours), of("older", "codes", 1), true),
        ("the same while there is none", &fresh, None, of("older", "codes", 1), true),
        ("of a policy before this one", &fresh, Some(&ours), of("older", "codes", 2 * day), false),
        ("of another name", &fresh, Some(&ours), of("older", "other", 1), false),
        ("an orphan", &fresh, Some(&ours), of("", "", 1), false),
        ("an orphan that was ours", &was_active, Some(&ours), of("", "", 1), true),
    ];
    for (what, policy, cron_job, job, expected) in cases {
        assert_eq!(is_run_of(policy, cron_job.map(Arc::as_ref), &job), expected, "{what}");
    }
}

fn gathered(policy: ObservedPolicy, jobs: Vec<ObservedJob>, gone: &[&str]) -> Observed {
    let known = Known {
        jobs: jobs.into_iter().map(Arc::new).collect(),
        gone: gone.iter().map(|uid| (*uid).to_owned()).collect(),
        pods: vec![],
    };
    gather(policy, Some(cron_job("cron-uid", "policy-uid")), &known, now())
}

#[test]
fn a_job_that_went_before_its_end_was_deleted() {
    let jobs = vec![job("j1"), job("j2"), ended("j3", 60, "")];
    let seen = gathered(examples::policy(), jobs, &["j2", "j3"]);
    let verdicts: Vec<_> = seen
        .jobs
        .iter()
        .map(|job| job.ending.as_ref().map(|ending| ending.verdict.clone()))
        .collect();
    assert_eq!(verdicts, [None, Some(Verdict::Deleted), Some(Verdict::Complete)]);
    let role = Role::Preflight { rules_hash: "hash".into(), generation: 3, attempt: 1 };
    let owner_uid = "policy-uid".to_owned();
    let preflight = ObservedJob { owner_uid, role, ..job("p1") };
    let there = gathered(examples::policy(), vec![preflight.clone()], &[]);
    let gone = gathered(examples::policy(), vec![preflight], &["p1"]);
    assert_eq!((there.preflights.len(), gone.preflights.len()), (1, 0));
}

#[test]
fn a_run_that_was_under_way_and_is_nowhere_is_lost() {
    let mut policy = examples::policy();
    policy.status.active = vec![active("j1"), active("j2"), active("j3")];
    policy.status.counted_jobs = vec!["j3".into()];
    let mut seen = gathered(policy, vec![job("j2")], &[]);
    assert!(misses_something(&seen));
    let likely = |seen: &Observed| -> Vec<_> {
        lost(seen)
            .map(|job| (job.uid.clone(), job.ending.clone().expect("an end").verdict))
            .collect()
    };
    let verdict = |likely_succeeded| vec![("j1".to_owned(), Verdict::Lost { likely_succeeded })];
    assert_eq!(likely(&seen), verdict(false));
    let mut cron_job = seen.cron_job.as_deref().cloned().expect("a CronJob");
    cron_job.last_successful_time = Some(now());
    seen.cron_job = Some(Arc::new(cron_job));
    assert_eq!(likely(&seen), verdict(true));
    let nothing = gathered(examples::policy(), vec![job("j2")], &[]);
    assert!(!misses_something(&nothing));
}

#[test]
fn a_counted_job_is_not_forgotten_on_the_word_of_a_watch() {
    let is_asked = |missing: usize, gone: &[&str]| {
        let mut policy = examples::policy();
        policy.status.counted_jobs = (0..missing).map(|index| format!("m{index}")).collect();
        policy.status.counted_jobs.push("j3".into());
        misses_something(&gathered(policy, vec![ended("j3", 4, "")], gone))
    };
    assert!(!is_asked(MOST_MISSING, &[]) && !is_asked(MOST_MISSING, &["j3"]));
    assert!(is_asked(MOST_MISSING + 1, &[]));
}

#[test]
fn a_policy_that_is_older_than_its_cron_job_is_not_believed() {
    let of_generation = |generation: &str, policy_uid| {
        let mut cron_job = cron_job("cron-uid", policy_uid).as_ref().clone();
        let annotations = [(ANNOTATION_GENERATION.to_owned(), generation.to_owned())];
        cron_job.metadata.annotations = Some(annotations.into());
        let mut observed = gathered(examples::policy(), vec![], &[]);
        observed.cron_job = Some(Arc::new(cron_job));
        is_behind(&observed)
    };
    assert_eq!(examples::policy().generation, 3);
    assert!(of_generation("4", "policy-uid"));
    for same_or_unknown in ["2", "3", "", "four"] {
        assert!(!of_generation(same_or_unknown, "policy-uid"), "{same_or_unknown}");
    }
    assert!(!of_generation("4", "another"));
}
