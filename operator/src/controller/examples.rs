//! What the tests of the steps begin with.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use policy::{
    ActionKind, CleanupPolicyStatus, CronJobRef, Mode, PlanStatus, PolicyName, PreflightProblem,
    PreflightReport, PreflightState, PreflightStatus, RuleOutcome, RulePlan, RunReport, RunResult,
    StopReason, Strategy, Trigger,
};
use serde_json::json;

use super::apply::{AppliedCronJob, AppliedPreflight};
use super::build::{Applied, Built, DesiredCronJob, JobSettings, Resources, WantedCronJob, build};
use super::observe::{
    Container, Ending, Observed, ObservedJob, ObservedPod, ObservedPolicy, Role, Stuck,
    Termination, Verdict,
};
use super::publish::run::{Court, FinishedRun, Judged};
use super::publish::{Publication, publication};
use super::validate::{ValidPolicy, validate};
use crate::args::PullPolicy;

pub fn now() -> Timestamp {
    "2026-11-21T03:02:00Z".parse().expect("a time")
}

/// `shop/codes`, of generation 3: right, after its preflight and never looked at otherwise.
pub fn policy() -> ObservedPolicy {
    let mut policy = new_policy();
    policy.status.preflight = Some(preflight());
    policy.status.plan = Some(plan());
    policy
}

/// The same, never looked at at all.
pub fn new_policy() -> ObservedPolicy {
    ObservedPolicy {
        name: PolicyName { namespace: "shop".into(), name: "codes".into() },
        uid: "policy-uid".into(),
        created: Some(now() - SignedDuration::from_hours(24)),
        generation: 3,
        resource_version: "77".into(),
        approved_rules_hash: None,
        document: json!({
            "apiVersion": "pgsweep.dev/v1alpha1",
            "kind": "CleanupPolicy",
            "metadata": {"name": "codes", "namespace": "shop", "generation": 3},
            "spec": {
                "schedule": "*/5 * * * *",
                "timeZone": "Etc/UTC",
                "mode": "Enforce",
                "suspend": false,
                "historyLimit": 3,
                "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "uri"}}},
                "rules": [{
                    "name": "delete-expired",
                    "table": {"schema": "app", "name": "codes"},
                    "where": [{"column": "expires_at", "operator": "OlderThan", "age": "1h"}],
                    "action": {"delete": {}},
                }],
            },
        }),
        status: CleanupPolicyStatus::default(),
        unreadable_status: None,
    }
}

/// That policy, with nothing else in the cluster.
pub fn observed() -> Observed {
    observing(policy())
}

/// The same, never looked at at all.
pub fn new() -> Observed {
    observing(new_policy())
}

fn observing(policy: ObservedPolicy) -> Observed {
    Observed {
        policy,
        cron_job: None,
        jobs: vec![],
        preflights: vec![],
        pods: vec![],
        has_gone: false,
        is_fresh: false,
        stuck: Stuck::default(),
        now: now(),
    }
}

pub fn valid() -> ValidPolicy {
    validate(&new_policy()).expect("a right policy")
}

pub fn settings() -> JobSettings {
    JobSettings {
        image: "registry.example/pgsweep:0.1.0".into(),
        image_pull_policy: Some(PullPolicy::IfNotPresent),
    }
}

/// The first Preflight Job of the policy, as it begins.
pub fn preflight_job() -> ObservedJob {
    let name = built(&new()).preflight.and_then(|job| job.metadata.name);
    ObservedJob {
        name: name.expect("a name"),
        owner_uid: "policy-uid".into(),
        role: Role::Preflight {
            rules_hash: valid().policy.rules_hash().to_owned(),
            generation: 3,
            attempt: 1,
        },
        ..job("p1")
    }
}

/// What it says, if all is well.
pub fn preflight_report() -> PreflightReport {
    PreflightReport {
        policy: "shop/codes".into(),
        generation: 3,
        rules_hash: valid().policy.rules_hash().to_owned(),
        run_id: "p1".into(),
        mode: Mode::Enforce,
        time: plan().time,
        problems: vec![],
        verdict: String::new(),
        warnings: vec![],
        rules: plan().rules,
        truncated: false,
    }
}

/// A problem of its rule.
pub fn problem(name: &str, message: &str, may_pass: bool) -> PreflightProblem {
    PreflightProblem {
        name: name.into(),
        rule: "delete-expired".into(),
        message: message.into(),
        may_pass,
    }
}

/// The policy whose first Preflight Job ended ten minutes ago, with this exit code and report; of a
/// report that is none it left nothing.
pub fn preflighted(exit_code: i32, report: Option<&PreflightReport>) -> Observed {
    let mut observed = new();
    let failed = if exit_code == 0 { "" } else { "BackoffLimitExceeded" };
    let ending = ended("p1", 600, failed).ending;
    observed.preflights = vec![Arc::new(ObservedJob { ending, ..preflight_job() })];
    let message = report.map(|report| serde_json::to_string(report).expect("JSON"));
    observed.pods = vec![ended_pod("p1", exit_code, &message.unwrap_or_default())];
    observed
}

/// The objects of a policy as observed.
pub fn built(observed: &Observed) -> Resources<Built> {
    build(observed, &validate(&observed.policy), RETRY, &settings())
}

/// Of a policy whose gate is open.
pub fn desired() -> DesiredCronJob {
    let Resources { cron_job: WantedCronJob::Exactly(desired), .. } = built(&observed()) else {
        panic!("a right policy has a CronJob");
    };
    *desired
}

/// The first wait after a preflight that failed.
pub const RETRY: Duration = Duration::from_mins(1);

/// What a preflight of the policy found.
pub fn plan() -> PlanStatus {
    PlanStatus {
        rules_hash: valid().policy.rules_hash().to_owned(),
        mode: Mode::Enforce,
        time: "2026-11-21T03:00:02Z".into(),
        verdict: String::new(),
        rules: vec![RulePlan {
            name: "delete-expired".into(),
            table: "app.codes".into(),
            action: Some(ActionKind::Delete),
            matched: 1204,
            matched_is_estimate: false,
            table_rows: Some(9800),
            oldest_overdue_seconds: 259_300,
            strategy: Some(Strategy::Keyset),
            indexes: vec!["codes_expires_at".into()],
            warnings: vec![],
            advice: vec![],
        }],
        warnings: vec![],
    }
}

/// The preflight that found it.
pub fn preflight() -> PreflightStatus {
    PreflightStatus {
        rules_hash: valid().policy.rules_hash().to_owned(),
        mode: Mode::Enforce,
        generation: 3,
        state: PreflightState::Passed,
        job_name: "codes-p00000000".into(),
        job_uid: "p1".into(),
        attempts: 1,
        time: Some("2026-11-21T03:00:03Z".into()),
        next_time: None,
        message: String::new(),
    }
}

pub fn rule(name: &str, action: Option<ActionKind>, matched: i64, affected: i64) -> RuleOutcome {
    RuleOutcome {
        name: name.into(),
        action,
        matched,
        matched_is_estimate: false,
        affected,
        remaining: matched - affected,
        oldest_overdue_seconds: 0,
        failed: 0,
        batches: 1,
        skipped_locked: 0,
        strategy: None,
        stop_reason: None,
        sql_state: String::new(),
        message: String::new(),
        warnings: vec![],
    }
}

/// The gate is open, and the CronJob matches, as it did before.
pub fn applied() -> Resources<Applied> {
    let reference = CronJobRef {
        name: "codes".into(),
        uid: "cron-uid".into(),
        generation: 4,
        hash: String::new(),
    };
    Resources {
        cron_job: AppliedCronJob::Current { reference, change: None },
        preflight: AppliedPreflight::NotAsked,
        run: Ok(None),
        gate: built(&observed()).gate,
    }
}

/// The same for what is observed: its CronJob matches, its Preflight Job exists.
pub fn applied_to(observed: &Observed) -> Resources<Applied> {
    let Resources { gate, preflight, .. } = built(observed);
    let preflight = match preflight {
        Some(_) => AppliedPreflight::Begun { uid: "p1".into() },
        None => AppliedPreflight::NotAsked,
    };
    Resources { preflight, gate, ..applied() }
}

/// What is told of what is observed, once everything is applied, and stored.
pub fn told(observed: &mut Observed) -> Publication {
    let applied = applied_to(observed);
    let publication = publication(observed, &validate(&observed.policy), &applied);
    observed.policy.status = publication.status.clone();
    publication
}

/// A Job that runs since a minute.
pub fn job(uid: &str) -> ObservedJob {
    ObservedJob {
        name: format!("codes-{uid}"),
        uid: uid.into(),
        owner_uid: "cron-uid".into(),
        owner_name: "codes".into(),
        role: Role::Run(Trigger::Schedule),
        mode: Mode::Enforce,
        created: Some(now() - SignedDuration::from_mins(1)),
        slot: None,
        start_time: Some(now() - SignedDuration::from_mins(1)),
        suspended: false,
        attempts: 1,
        ending: None,
    }
}

/// A Job that ended so many seconds ago: with `""` it is complete, else that is why it failed.
pub fn ended(uid: &str, seconds_ago: i64, failed: &str) -> ObservedJob {
    let verdict = match failed {
        "" => Verdict::Complete,
        reason => Verdict::Failed { reason: reason.into() },
    };
    let time = now() - SignedDuration::from_secs(seconds_ago);
    ObservedJob { ending: Some(Ending { time, verdict }), ..job(uid) }
}

pub fn pod(job_uid: &str, container: Container) -> Arc<ObservedPod> {
    Arc::new(ObservedPod {
        name: format!("codes-{job_uid}-x"),
        job_uid: job_uid.into(),
        created: Some(now() - SignedDuration::from_mins(1)),
        deletion: None,
        container,
        is_scheduled: true,
        unschedulable: String::new(),
    })
}

/// A pod that has ended with this exit code and this last word.
pub fn ended_pod(job_uid: &str, exit_code: i32, message: &str) -> Arc<ObservedPod> {
    let termination = Termination {
        exit_code,
        reason: String::new(),
        message: message.into(),
        finished_at: Some(now()),
    };
    pod(job_uid, Container::Terminated(termination))
}

/// A report of the run of this Job, which deleted 1,204 rows.
pub fn report(job_uid: &str) -> RunReport {
    RunReport {
        policy: "shop/codes".into(),
        generation: 3,
        rules_hash: "hash".into(),
        run_id: job_uid.into(),
        epoch: 0,
        mode: Mode::Enforce,
        result: RunResult::Succeeded,
        stop_reason: StopReason::Drained,
        message: String::new(),
        start_time: "2026-11-21T03:01:00Z".into(),
        duration_seconds: 1.84,
        attempts: 1,
        warnings: vec![],
        rules: vec![rule("delete-expired", Some(ActionKind::Delete), 1204, 1204)],
        totals: None,
        earlier: vec![],
        truncated: false,
    }
}

/// The finished run of that report.
pub fn finished(job_uid: &str) -> FinishedRun {
    let report = serde_json::to_string(&report(job_uid)).expect("JSON");
    let pods = [ended_pod(job_uid, 0, &report)];
    let court = Court { policy: &policy().name, pods: &pods, stuck: None, now: now() };
    match court.judge(&ended(job_uid, 60, "")) {
        Some(Judged::Finished(run)) => *run,
        other => panic!("not finished: {other:?}"),
    }
}
