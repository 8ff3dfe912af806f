//! What the tests of the steps begin with.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use policy::{
    ActionKind, CleanupPolicyStatus, CronJobRef, Mode, PolicyName, RuleOutcome, RunReport,
    RunResult, StopReason, Trigger,
};
use serde_json::json;

use super::apply::AppliedCronJob;
use super::build::{Applied, DesiredCronJob, JobSettings, Resources, WantedCronJob, build};
use super::observe::{
    Container, Ending, Observed, ObservedJob, ObservedPod, ObservedPolicy, Role, Termination,
    Verdict,
};
use super::publish::run::{FinishedRun, Judged, judge};
use super::validate::{ValidPolicy, validate};
use crate::args::PullPolicy;

pub fn now() -> Timestamp {
    "2026-11-21T03:02:00Z".parse().expect("a time")
}

/// `shop/codes`, of generation 3: right, and never looked at before.
pub fn policy() -> ObservedPolicy {
    ObservedPolicy {
        name: PolicyName { namespace: "shop".into(), name: "codes".into() },
        uid: "policy-uid".into(),
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
    }
}

/// That policy, with nothing else in the cluster.
pub fn observed() -> Observed {
    Observed {
        policy: policy(),
        cron_job: None,
        jobs: vec![],
        preflights: vec![],
        pods: vec![],
        has_gone: false,
        now: now(),
    }
}

pub fn valid() -> ValidPolicy {
    validate(&policy()).expect("a right policy")
}

pub fn settings() -> JobSettings {
    JobSettings {
        image: "registry.example/pgsweep:0.1.0".into(),
        image_pull_policy: Some(PullPolicy::IfNotPresent),
    }
}

pub fn desired() -> DesiredCronJob {
    let Resources { cron_job: WantedCronJob::Exactly(desired), .. } =
        build(&observed(), &Ok(valid()), &settings())
    else {
        panic!("a right policy has a CronJob");
    };
    *desired
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

/// The CronJob matches, as it did before.
pub fn applied() -> Resources<Applied> {
    let reference = CronJobRef {
        name: "codes".into(),
        uid: "cron-uid".into(),
        generation: 4,
        hash: String::new(),
    };
    Resources { cron_job: AppliedCronJob::Current { reference, change: None }, run: None }
}

/// A Job that runs since a minute.
pub fn job(uid: &str) -> ObservedJob {
    ObservedJob {
        name: format!("codes-{uid}"),
        uid: uid.into(),
        owner_uid: "cron-uid".into(),
        role: Role::Run(Trigger::Schedule),
        mode: Mode::Enforce,
        created: Some(now() - SignedDuration::from_mins(1)),
        start_time: Some(now() - SignedDuration::from_mins(1)),
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
        container,
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

/// A report of a run that deleted 1,204 rows.
pub fn report() -> RunReport {
    RunReport {
        policy: "shop/codes".into(),
        generation: 3,
        rules_hash: "hash".into(),
        run_id: "run".into(),
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
    let report = serde_json::to_string(&report()).expect("JSON");
    match judge(&ended(job_uid, 60, ""), &[ended_pod(job_uid, 0, &report)], now()) {
        Some(Judged::Finished(run)) => *run,
        other => panic!("not finished: {other:?}"),
    }
}
