//! The series of the policies. All but what a status does not have are read
//! from the stored status when somebody scrapes, so that they always agree with
//! it, also right after a restart, and go with the policy.

mod families;

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use kube::Resource as _;
use kube::runtime::reflector::Store;
use policy::{CleanupPolicyStatus, Schedule};
use serde_json::Value;

use super::counts::Counts;
use crate::controller::StoredPolicy;
use families::Families;

/// The interval of a schedule is looked at anew after this: clocks change.
const INTERVAL_HOLDS: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// All policies that exist when somebody scrapes.
pub struct Policies {
    store: Store<StoredPolicy>,
    counts: Counts,
    intervals: std::sync::Mutex<Intervals>,
}

/// What a policy shows beside its counts.
struct Shown<'a> {
    namespace: &'a str,
    name: &'a str,
    mode: &'a str,
    schedule: &'a str,
    time_zone: &'a str,
    is_suspended: bool,
    created: Option<Timestamp>,
    /// Seconds.
    interval: Option<u64>,
    status: CleanupPolicyStatus,
}

impl Policies {
    pub fn new(store: Store<StoredPolicy>, counts: Counts) -> Self {
        Self { store, counts, intervals: std::sync::Mutex::default() }
    }

    /// Appends all series to a page.
    pub fn write(&self, page: &mut String, now: Timestamp) {
        let mut families = Families::default();
        let mut intervals =
            self.intervals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut counts = self.counts.lock();
        let mut existing = BTreeSet::new();
        for stored in self.store.state() {
            let policy = stored.name();
            let spec = stored.spec().unwrap_or_default();
            let text = |field: &str| spec.get(field).and_then(Value::as_str).unwrap_or_default();
            let (schedule, time_zone) = (text("schedule"), text("timeZone"));
            let shown = Shown {
                namespace: &policy.namespace,
                name: &policy.name,
                mode: if text("mode") == "DryRun" { "DryRun" } else { "Enforce" },
                schedule,
                time_zone,
                is_suspended: spec.get("suspend").and_then(Value::as_bool).unwrap_or(false),
                created: stored.meta().creation_timestamp.as_ref().map(|time| time.0),
                interval: intervals.of(schedule, time_zone, now),
                status: status(&stored),
            };
            families.add(&shown);
            families.add_counts(&shown, counts.get(&policy));
            existing.insert(policy);
        }
        counts.retain(|name, _| existing.contains(name));
        intervals.forget_unused();
        families.write(page);
    }
}

/// One that cannot be read is written anew by the next reconcile.
fn status(stored: &StoredPolicy) -> CleanupPolicyStatus {
    serde_json::from_value(stored.status().unwrap_or_default()).unwrap_or_default()
}

/// How far the runs of each schedule are apart: few schedules for many policies, and dear to find.
#[derive(Default)]
struct Intervals(HashMap<(String, String), Interval>);

struct Interval {
    seconds: Option<u64>,
    found: Timestamp,
    used: bool,
}

impl Intervals {
    fn of(&mut self, expression: &str, time_zone: &str, now: Timestamp) -> Option<u64> {
        let key = (expression.to_owned(), time_zone.to_owned());
        let known = self.0.get_mut(&key);
        if let Some(known) = known.filter(|known| now.duration_since(known.found) < INTERVAL_HOLDS)
        {
            known.used = true;
            return known.seconds;
        }
        let schedule = Schedule::parse(expression, time_zone).ok();
        let seconds = schedule.and_then(|schedule| schedule.interval(now));
        let seconds = seconds.map(|interval| interval.as_secs());
        self.0.insert(key, Interval { seconds, found: now, used: true });
        seconds
    }

    fn forget_unused(&mut self) {
        self.0.retain(|_, interval| std::mem::take(&mut interval.used));
    }
}

#[cfg(test)]
mod tests;
