//! The series of the policies. Gauges are read from the stored status when
//! somebody scrapes, so that they always agree with it, also right after a
//! restart, and go with the policy. Only what a status does not have is
//! counted here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kube::api::DynamicObject;
use kube::runtime::reflector::Store;
use policy::{CleanupPolicyStatus, PolicyName, RunResult, Trigger};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, Opts};
use serde_json::Value;

use crate::controller::FinishedRun;

/// What has been counted since the operator began.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<HashMap<PolicyName, PolicyCounts>>>);

#[derive(Debug, Default)]
struct PolicyCounts {
    runs: BTreeMap<[&'static str; 3], u64>,
    rows: BTreeMap<(String, &'static str), u64>,
    /// UIDs of the Jobs that are in there and may come again.
    counted: BTreeSet<String>,
}

impl Counts {
    /// Counts the runs that are not counted yet, and returns them.
    pub fn count<'a>(
        &self,
        policy: &PolicyName,
        runs: &'a [FinishedRun],
        remembered: &[String],
    ) -> Vec<&'a FinishedRun> {
        if runs.is_empty() {
            return Vec::new();
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = all.entry(policy.clone()).or_default();
        let new: Vec<_> =
            runs.iter().filter(|run| counts.counted.insert(run.status.uid.clone())).collect();
        for run in &new {
            counts.add(run);
        }
        counts.counted.retain(|uid| remembered.contains(uid));
        new
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
        }
    }
}

/// One scrape's worth of the policies' series.
struct Families {
    runs: IntCounterVec,
    rows: IntCounterVec,
    rows_remaining: GaugeVec,
    last_run: GaugeVec,
    last_success: GaugeVec,
    next_run: GaugeVec,
    last_run_duration: GaugeVec,
    suspended: GaugeVec,
    condition: GaugeVec,
}

impl Families {
    fn new() -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let labels = [&["namespace", "policy"], labels].concat();
            GaugeVec::new(Opts::new(format!("pgsweep_policy_{name}"), help), &labels)
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let labels = [&["namespace", "policy"], labels].concat();
            IntCounterVec::new(Opts::new(format!("pgsweep_policy_{name}"), help), &labels)
        };
        Ok(Self {
            runs: counter(
                "runs_total",
                "Runs that ended, since the operator began.",
                &["trigger", "mode", "result"],
            )?,
            rows: counter(
                "rows_total",
                "Rows that were changed, since the operator began.",
                &["rule", "action"],
            )?,
            rows_remaining: gauge(
                "rows_remaining",
                "Rows that the rule still held when the last run ended.",
                &["rule"],
            )?,
            last_run: gauge("last_run_timestamp_seconds", "When the last run began.", &[])?,
            last_success: gauge(
                "last_success_timestamp_seconds",
                "When a run last succeeded.",
                &[],
            )?,
            next_run: gauge("next_run_timestamp_seconds", "When the next run is due.", &[])?,
            last_run_duration: gauge(
                "last_run_duration_seconds",
                "How long the last run took.",
                &[],
            )?,
            suspended: gauge("suspended", "1 while spec.suspend is true.", &[])?,
            condition: gauge(
                "condition",
                "The conditions of the policy as they are now; always 1.",
                &["type", "status", "reason"],
            )?,
        })
    }

    fn all(&self) -> [&dyn Collector; 9] {
        [
            &self.runs,
            &self.rows,
            &self.rows_remaining,
            &self.last_run,
            &self.last_success,
            &self.next_run,
            &self.last_run_duration,
            &self.suspended,
            &self.condition,
        ]
    }

    fn add(&self, name: &PolicyName, object: &DynamicObject, counts: Option<&PolicyCounts>) {
        let own = [name.namespace.as_str(), name.name.as_str()];
        let spec = object.data.get("spec").unwrap_or(&Value::Null);
        let mode = spec.get("mode").and_then(Value::as_str).filter(|mode| *mode == "DryRun");
        let mode = mode.unwrap_or("Enforce");
        for result in [RunResult::Succeeded, RunResult::Failed] {
            let labels = [own[0], own[1], Trigger::Schedule.as_str(), mode, result.as_str()];
            self.runs.with_label_values(&labels).inc_by(0);
        }
        if let Some(counts) = counts {
            for ([trigger, mode, result], runs) in &counts.runs {
                let labels = [own[0], own[1], trigger, mode, result];
                self.runs.with_label_values(&labels).inc_by(*runs);
            }
            for ((rule, action), rows) in &counts.rows {
                self.rows.with_label_values(&[own[0], own[1], rule, action]).inc_by(*rows);
            }
        }
        let suspended = spec.get("suspend").and_then(Value::as_bool).unwrap_or(false);
        self.suspended.with_label_values(&own).set(if suspended { 1.0 } else { 0.0 });
        let status = object.data.get("status").cloned().unwrap_or_default();
        if let Ok(status) = serde_json::from_value::<CleanupPolicyStatus>(status) {
            self.add_status(&own, &status);
        }
    }

    fn add_status(&self, own: &[&str; 2], status: &CleanupPolicyStatus) {
        let last_run = status.last_run.as_ref();
        let times = [
            (&self.last_run, last_run.and_then(|run| run.start_time.as_deref())),
            (&self.last_success, status.last_success_time.as_deref()),
            (&self.next_run, status.next_schedule_time.as_deref()),
        ];
        for (gauge, time) in times {
            if let Some(time) = time.and_then(|time| time.parse::<Timestamp>().ok()) {
                gauge.with_label_values(own).set(time.as_duration().as_secs_f64());
            }
        }
        if let Some(run) = last_run {
            self.last_run_duration.with_label_values(own).set(run.duration_seconds);
            for rule in &run.rules {
                #[expect(clippy::cast_precision_loss, reason = "a bounded count of rows")]
                let remaining = rule.remaining as f64;
                self.rows_remaining.with_label_values(&[own[0], own[1], &rule.name]).set(remaining);
            }
        }
        for condition in &status.conditions {
            let (kind, status, reason) = (&condition.type_, &condition.status, &condition.reason);
            self.condition.with_label_values(&[own[0], own[1], kind, status, reason]).set(1.0);
        }
    }
}

/// Collects the series of all policies that exist when somebody scrapes.
pub struct Policies {
    store: Store<DynamicObject>,
    counts: Counts,
    descriptions: Vec<Desc>,
}

impl Policies {
    pub fn new(store: Store<DynamicObject>, counts: Counts) -> prometheus::Result<Self> {
        let families = Families::new()?;
        let descriptions = families.all().into_iter().flat_map(Collector::desc).cloned().collect();
        Ok(Self { store, counts, descriptions })
    }
}

impl Collector for Policies {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Ok(families) = Families::new() else { return Vec::new() };
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut existing = BTreeSet::new();
        for object in self.store.state() {
            let (Some(namespace), Some(name)) =
                (object.metadata.namespace.clone(), object.metadata.name.clone())
            else {
                continue;
            };
            let name = PolicyName { namespace, name };
            families.add(&name, &object, counts.get(&name));
            existing.insert(name);
        }
        counts.retain(|name, _| existing.contains(name));
        families.all().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests;
