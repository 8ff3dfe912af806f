//! The operator's own figures, and those of the policies: a Job ends too soon
//! to be scraped, so the operator speaks for it.

mod counts;
mod exposition;
mod policies;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::reflector::Store;
use policy::PolicyName;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::controller::{FinishedRun, StoredPolicy};
use counts::Counts;
use policies::Policies;

/// Every metric of the operator.
#[derive(Clone)]
pub struct Metrics {
    reconciles: IntCounterVec,
    reconcile_duration: Histogram,
    applies: IntCounterVec,
    run_duration: HistogramVec,
    leader: IntGauge,
    counts: Counts,
    policies: Arc<OnceLock<Policies>>,
}

impl Metrics {
    /// Registers everything but the policies' own series.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let reconciles = IntCounterVec::new(
            Opts::new(
                "pgsweep_operator_reconcile_total",
                "Reconciles, by how they ended: ok, or what failed.",
            ),
            &["result"],
        )?;
        let reconcile_duration = Histogram::with_opts(
            HistogramOpts::new(
                "pgsweep_operator_reconcile_duration_seconds",
                "How long a reconcile took.",
            )
            .buckets(vec![0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0]),
        )?;
        let applies = IntCounterVec::new(
            Opts::new(
                "pgsweep_operator_apply_total",
                "CronJobs that were written: created, updated, or corrected after an edit by others.",
            ),
            &["change"],
        )?;
        let run_duration = HistogramVec::new(
            HistogramOpts::new(
                "pgsweep_run_duration_seconds",
                "How long a run took, by its result.",
            )
            .buckets(vec![0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0]),
            &["result"],
        )?;
        let build = IntGaugeVec::new(
            Opts::new("pgsweep_operator_build_info", "The version of the operator; always 1."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let leader = IntGauge::new(
            "pgsweep_operator_leader",
            "1 for the operator that works and shows the policies' series; 0 for one that stands by.",
        )?;
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(reconcile_duration.clone()))?;
        registry.register(Box::new(applies.clone()))?;
        registry.register(Box::new(run_duration.clone()))?;
        registry.register(Box::new(build))?;
        registry.register(Box::new(leader.clone()))?;
        let (counts, policies) = (Counts::default(), Arc::default());
        Ok(Self { reconciles, reconcile_duration, applies, run_duration, leader, counts, policies })
    }

    /// This operator works from now on: shows the policies of this store, for as long as each is
    /// in it. Two that show the same policy would have it counted twice.
    pub fn lead(&self, policies: Store<StoredPolicy>) {
        self.leader.set(1);
        // They are shown once: who has lost the lease does not come back in this process.
        let _ = self.policies.set(Policies::new(policies, self.counts.clone()));
    }

    /// Appends the series of the policies to a page.
    pub fn write_policies(&self, page: &mut String, now: Timestamp) {
        if let Some(policies) = self.policies.get() {
            policies.write(page, now);
        }
    }

    /// A reconcile ended; `result` is `ok` or the kind of its error.
    pub fn count_reconcile(&self, result: &str, took: Duration) {
        self.reconciles.with_label_values(&[result]).inc();
        self.reconcile_duration.observe(took.as_secs_f64());
    }

    /// A CronJob was written.
    pub fn count_apply(&self, change: &str) {
        self.applies.with_label_values(&[change]).inc();
    }

    /// Runs were counted by a status. One that is told again, since that status could not be
    /// written, is not counted again; `remembered` are the UIDs of the Jobs that can come again.
    pub fn count_runs(&self, policy: &PolicyName, runs: &[FinishedRun], remembered: &[String]) {
        for run in self.counts.count(policy, runs, remembered) {
            let result = run.status.result.as_str();
            self.run_duration.with_label_values(&[result]).observe(run.status.duration_seconds);
        }
    }
}
