//! Whether a status ever says more than is true. Pure: a history in, findings out.
//!
//! The history is every write of policies and CronJobs that an API server answered, with what it
//! stored then, in the order of the resource versions: they are revisions of one etcd, which both
//! kinds share. After each of them, of each policy with `Ready=True`:
//!
//! - `observedGeneration` of the status and of the condition are the same `g`, and no later than the
//!   policy's own generation;
//! - where `g` is the policy's generation, there is a CronJob of its name that **matches** it: the
//!   policy's UID is its controller's, its annotation says `g`, its schedule, time zone, deadlines,
//!   limits and `suspend` are those of the spec, and the policy that it carries for its Jobs has that
//!   very spec;
//! - where `g` is older, since the spec was edited just now, it was so while `g` was the newest.
//!
//! What somebody else did to the CronJob last is not the operator's word: an edit of it, or its
//! deletion, is excused until the operator has written the status once more, which may have crossed
//! it. A status that somebody else wrote is nobody's word either, until the operator writes it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Entry;
use crate::operator::carried;

/// Namespace and name, which policy and CronJob share.
type Key = (String, String);

/// What was done.
#[derive(Debug, Clone)]
enum Deed {
    Policy {
        object: Value,
        is_status: bool,
    },
    CronJob(Value),
    /// Of that one, or of all in the namespace.
    Gone {
        is_policy: bool,
        name: String,
    },
}

#[derive(Debug, Clone)]
struct Event {
    revision: u64,
    by_operator: bool,
    namespace: String,
    name: String,
    deed: Deed,
}

/// What was done in one cluster.
#[derive(Debug, Default)]
pub struct History {
    events: Vec<Event>,
    newest: u64,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Each with the revision and what differs.
    pub lies: Vec<String>,
    /// States in which a status claimed something that was judged.
    pub judged: usize,
    /// Claims that were excused: somebody else had changed the CronJob.
    pub excused: usize,
}

impl History {
    /// Takes a request into account.
    pub fn add(&mut self, entry: &Entry) {
        let is_policy = match entry.resource.as_str() {
            "cleanuppolicies" | "cleanuppolicies/status" => true,
            "cronjobs" | "cronjobs/status" => false,
            _ => return,
        };
        if !entry.is_done() {
            return;
        }
        let (revision, name, deed) = match entry.verb.as_str() {
            // It has no revision that is told: after all that was answered before it.
            "delete" | "deletecollection" => {
                let name = entry.name.clone();
                (self.newest, name.clone(), Deed::Gone { is_policy, name })
            }
            "create" | "update" | "patch" => {
                let object = entry.response.clone();
                let metadata = &object["metadata"];
                let Some(revision) =
                    metadata["resourceVersion"].as_str().and_then(|text| text.parse().ok())
                else {
                    return;
                };
                let name = metadata["name"].as_str().unwrap_or_default().to_owned();
                let is_status = entry.resource.ends_with("/status");
                let deed = if is_policy {
                    Deed::Policy { object, is_status }
                } else {
                    Deed::CronJob(object)
                };
                (revision, name, deed)
            }
            _ => return,
        };
        self.newest = self.newest.max(revision);
        let (by_operator, namespace) = (entry.by_operator, entry.namespace.clone());
        self.events.push(Event { revision, by_operator, namespace, name, deed });
    }

    /// Judges all of it.
    #[must_use]
    pub fn judge(mut self) -> Verdict {
        self.events.sort_by_key(|event| event.revision);
        let mut policies: BTreeMap<Key, Pair> = BTreeMap::new();
        let mut verdict = Verdict::default();
        let mut seen = BTreeSet::new();
        for event in self.events {
            let is_gone = matches!(event.deed, Deed::Gone { .. });
            let key = (event.namespace.clone(), event.name.clone());
            // A write that changes nothing answers with the revision that was there.
            if !is_gone && !seen.insert((key.clone(), event.revision)) {
                continue;
            }
            match &event.deed {
                Deed::Gone { is_policy, name } => {
                    for (_, pair) in policies.iter_mut().filter(|(key, _)| {
                        key.0 == event.namespace && (name.is_empty() || key.1 == *name)
                    }) {
                        pair.lose(*is_policy, event.by_operator);
                    }
                }
                Deed::Policy { .. } | Deed::CronJob(_) => {
                    let pair = policies.entry(key.clone()).or_default();
                    pair.take(&event);
                    pair.judge(&key, &event, &mut verdict);
                }
            }
        }
        verdict
    }
}

/// A policy and the CronJob of its name.
#[derive(Debug, Default)]
struct Pair {
    policy: Value,
    cron_job: Value,
    /// Whether the operator wrote the status last.
    is_own_word: bool,
    /// Whether somebody else changed the CronJob last, and how often the operator has written the
    /// status since.
    foreign: Option<usize>,
    /// UIDs and generations that the CronJob has matched.
    proved: BTreeSet<(String, i64)>,
}

impl Pair {
    fn lose(&mut self, is_policy: bool, by_operator: bool) {
        if is_policy {
            self.policy = Value::Null;
        } else {
            self.cron_job = Value::Null;
            self.foreign = (!by_operator).then_some(0);
        }
    }

    fn take(&mut self, event: &Event) {
        match &event.deed {
            Deed::Policy { object, is_status } => {
                if *is_status {
                    self.is_own_word = event.by_operator;
                    self.foreign = self.foreign.map(|times| times + 1);
                }
                self.policy = object.clone();
            }
            Deed::CronJob(object) => {
                // Its own status is the CronJob controller's, and no part of it here.
                let is_same = ["spec", "metadata/annotations", "metadata/ownerReferences"]
                    .iter()
                    .all(|path| {
                        let path = format!("/{path}");
                        self.cron_job.pointer(&path) == object.pointer(&path)
                    });
                if !is_same {
                    self.foreign = (!event.by_operator).then_some(0);
                }
                self.cron_job = object.clone();
            }
            Deed::Gone { .. } => {}
        }
    }

    fn judge(&mut self, key: &Key, event: &Event, verdict: &mut Verdict) {
        let conditions = self.policy.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
        let Some(ready) = ready.filter(|ready| ready["status"] == "True" && self.is_own_word)
        else {
            return;
        };
        verdict.judged += 1;
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        let (claimed, told) = (
            number(&ready["observedGeneration"]),
            number(&self.policy["status"]["observedGeneration"]),
        );
        let generation = number(&self.policy["metadata"]["generation"]);
        let uid = self.policy["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let lie = if claimed != told {
            Some(format!("the condition is of generation {claimed}, the status of {told}"))
        } else if claimed > generation {
            Some("it is of a generation that is to come".to_owned())
        } else if claimed < generation {
            let was_so = self.proved.contains(&(uid, claimed));
            (!was_so).then(|| "the CronJob never matched it".to_owned())
        } else {
            match difference(&self.policy, &self.cron_job) {
                None => {
                    self.proved.insert((uid, claimed));
                    None
                }
                Some(_) if self.foreign.is_some_and(|times| times <= 1) => {
                    verdict.excused += 1;
                    None
                }
                Some(difference) => Some(difference),
            }
        };
        if let Some(lie) = lie {
            let ((namespace, name), revision) = (key, event.revision);
            verdict.lies.push(format!(
                "{namespace}/{name} at revision {revision}: Ready=True of generation {claimed} \
                 (newest {generation}), but {lie}; last write: {}",
                event.shown()
            ));
        }
    }
}

impl Event {
    fn shown(&self) -> String {
        let whose = if self.by_operator { "the operator's" } else { "somebody else's" };
        let what = match &self.deed {
            Deed::Policy { is_status: true, .. } => "status",
            Deed::Policy { .. } => "policy",
            Deed::CronJob(_) => "CronJob",
            Deed::Gone { .. } => "deletion",
        };
        format!("{whose} {what}")
    }
}

/// In what a CronJob does not match a policy's newest generation, if in anything.
fn difference(policy: &Value, cron_job: &Value) -> Option<String> {
    if cron_job.is_null() {
        return Some("there is no CronJob".to_owned());
    }
    let (metadata, spec) = (&cron_job["metadata"], &cron_job["spec"]);
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    let mut owners = owners.filter(|owner| owner["controller"] == true);
    if !owners.any(|owner| owner["uid"] == policy["metadata"]["uid"]) {
        return Some("the CronJob is not its own".to_owned());
    }
    let generation = policy["metadata"]["generation"].to_string();
    let annotation = &metadata["annotations"]["pgsweep.dev/policy-generation"];
    if *annotation != generation {
        return Some(format!("the CronJob is of generation {annotation}"));
    }
    let job = &spec["jobTemplate"]["spec"];
    let wanted = &policy["spec"];
    for (field, found) in [
        ("schedule", &spec["schedule"]),
        ("timeZone", &spec["timeZone"]),
        ("suspend", &spec["suspend"]),
        ("startingDeadlineSeconds", &spec["startingDeadlineSeconds"]),
        ("concurrencyPolicy", &spec["concurrencyPolicy"]),
        ("successfulJobsHistoryLimit", &spec["successfulJobsHistoryLimit"]),
        ("failedJobsHistoryLimit", &spec["failedJobsHistoryLimit"]),
        ("activeDeadlineSeconds", &job["activeDeadlineSeconds"]),
        ("backoffLimit", &job["backoffLimit"]),
    ] {
        if wanted[field] != *found {
            return Some(format!("{field} of the CronJob is {found}, not {}", wanted[field]));
        }
    }
    let carried = carried(cron_job);
    (carried["spec"] != *wanted)
        .then(|| format!("its Jobs get another policy: {}", carried["spec"]))
}

#[cfg(test)]
mod tests;
