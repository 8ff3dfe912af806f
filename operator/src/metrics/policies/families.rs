//! Names, labels and help of the policies' series; their contract is `docs/operations.md`.

use jiff::Timestamp;
use policy::{CleanupPolicyStatus, RunResult, Trigger};

use super::Shown;
use crate::metrics::counts::PolicyCounts;
use crate::metrics::exposition::{Family, Kind};

macro_rules! families {
    ($($field:ident: $kind:ident $name:literal $help:literal,)*) => {
        /// One scrape's worth of the policies' series.
        pub struct Families {
            $($field: Family,)*
        }

        impl Default for Families {
            fn default() -> Self {
                Self { $($field: Family::new(Kind::$kind, $name, $help),)* }
            }
        }

        impl Families {
            /// Appends all series to a page.
            pub fn write(&self, page: &mut String) {
                $(self.$field.write(page);)*
            }
        }
    };
}

families! {
    info: Gauge "pgsweep_policy_info" "What the policy is; always 1.",
    created: Gauge "pgsweep_policy_created_timestamp_seconds" "When the policy was made.",
    runs: Counter "pgsweep_policy_runs_total" "Runs that ended, since the operator began.",
    rows: Counter "pgsweep_policy_rows_total" "Rows that were changed, since the operator began.",
    rule_errors: Counter "pgsweep_policy_rule_errors_total"
        "Runs in which the rule met an error, by the class of its SQLSTATE, since the operator began.",
    missed_runs: Counter "pgsweep_policy_missed_runs_total" "Slots whose run never came.",
    last_run: Gauge "pgsweep_policy_last_run_timestamp_seconds" "When the last run began.",
    last_run_duration: Gauge "pgsweep_policy_last_run_duration_seconds" "How long the last run took.",
    last_success: Gauge "pgsweep_policy_last_success_timestamp_seconds" "When a run last succeeded.",
    next_run: Gauge "pgsweep_policy_next_run_timestamp_seconds" "When the next run is due.",
    expected_interval: Gauge "pgsweep_policy_expected_interval_seconds"
        "The longest time between two slots of the schedule.",
    rows_remaining: Gauge "pgsweep_policy_rows_remaining"
        "Rows that the rule still held when the last run ended.",
    oldest_overdue: Gauge "pgsweep_policy_oldest_overdue_seconds"
        "How long the oldest of these rows had been due.",
    suspended: Gauge "pgsweep_policy_suspended" "1 while spec.suspend is true.",
    active_runs: Gauge "pgsweep_policy_active_runs" "Runs that are under way.",
    consecutive_failures: Gauge "pgsweep_policy_consecutive_failures"
        "Runs that failed since the last one that succeeded.",
    condition: Gauge "pgsweep_policy_condition"
        "The conditions of the policy as they are now; always 1.",
}

impl Families {
    /// Adds everything but the counts of this operator. Of those only the current mode's begin at
    /// zero: a series for each that could be would be thirty for each policy.
    pub fn add(&mut self, shown: &Shown<'_>) {
        let own = [("namespace", shown.namespace), ("policy", shown.name)];
        let with = |label: &'static str, value| [own[0], own[1], (label, value)];
        let mode = ("mode", shown.mode);
        let (schedule, zone) = (("schedule", shown.schedule), ("time_zone", shown.time_zone));
        self.info.add(&[own[0], own[1], mode, schedule, zone], 1);
        if let Some(created) = shown.created {
            self.created.add(&own, created.as_second());
        }
        if let Some(interval) = shown.interval {
            self.expected_interval.add(&own, interval);
        }
        self.suspended.add(&own, u8::from(shown.is_suspended));
        let status = &shown.status;
        self.active_runs.add(&own, status.active.len());
        self.consecutive_failures.add(&own, status.consecutive_failures);
        self.missed_runs.add(&own, status.missed_runs);
        // Where nothing was counted, zero would be a word too many.
        let counted = status.last_run.iter().filter(|run| run.rows_remaining.is_some());
        for rule in counted.flat_map(|run| &run.rules) {
            self.rows_remaining.add(&with("rule", &rule.name), rule.remaining);
            self.oldest_overdue.add(&with("rule", &rule.name), rule.oldest_overdue_seconds);
        }
        if let Some(run) = &status.last_run {
            self.last_run_duration.add(&own, run.duration_seconds);
        }
        self.add_times(&own, status);
        for condition in &status.conditions {
            let labels = [
                own[0],
                own[1],
                ("reason", condition.reason.as_str()),
                ("status", condition.status.as_str()),
                ("type", condition.type_.as_str()),
            ];
            self.condition.add(&labels, 1);
        }
    }

    fn add_times(&mut self, own: &[(&str, &str); 2], status: &CleanupPolicyStatus) {
        let last_run = status.last_run.as_ref();
        let times = [
            (&mut self.last_run, last_run.and_then(|run| run.start_time.as_deref())),
            (&mut self.last_success, status.last_success_time.as_deref()),
            (&mut self.next_run, status.next_schedule_time.as_deref()),
        ];
        for (family, time) in times {
            if let Some(time) = time.and_then(|time| time.parse::<Timestamp>().ok()) {
                family.add(own, time.as_duration().as_secs_f64());
            }
        }
    }

    /// Adds the counts of this operator.
    pub fn add_counts(&mut self, shown: &Shown<'_>, counts: Option<&PolicyCounts>) {
        let own = [("namespace", shown.namespace), ("policy", shown.name)];
        let zeroes = [RunResult::Succeeded, RunResult::Failed]
            .map(|result| [Trigger::Schedule.as_str(), shown.mode, result.as_str()]);
        let is_zero =
            |labels: &[&str; 3]| counts.is_none_or(|counts| !counts.runs.contains_key(labels));
        let zeroes = zeroes.iter().filter(|labels| is_zero(labels)).map(|labels| (labels, &0));
        let runs = counts.into_iter().flat_map(|counts| &counts.runs);
        for ([trigger, mode, result], count) in zeroes.chain(runs) {
            let labels = [("mode", *mode), ("result", *result), ("trigger", *trigger)];
            self.runs.add(&[own[0], own[1], labels[0], labels[1], labels[2]], count);
        }
        let Some(counts) = counts else { return };
        for ((rule, action), rows) in &counts.rows {
            self.rows.add(&[own[0], own[1], ("action", action), ("rule", rule)], rows);
        }
        for ((rule, class), errors) in &counts.errors {
            let labels = [own[0], own[1], ("rule", rule), ("sqlstate_class", class)];
            self.rule_errors.add(&labels, errors);
        }
    }
}
