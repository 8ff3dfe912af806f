//! What an operator leaves behind in a namespace, without what differs from one time to the next:
//! two states are equal when the same was done, however it came to that.
//!
//! ```no_run
//! # async fn wherever_it_was_killed(namespace: &tests::cluster::Namespace<'_>, undisturbed: tests::operator::EndState) -> anyhow::Result<()> {
//! use std::time::Duration;
//! // …kill the operator, start it again…
//! undisturbed.reached(namespace, Duration::from_secs(60)).await
//! # }
//! ```
//!
//! Names of namespaces and Jobs, UIDs, times and durations are replaced by words like `<uid>`.
//! What counts is kept: the whole spec and status of each policy, each CronJob, how many Jobs and
//! events there are of each kind, and what they say. See [`super::Tally`] for how many objects were
//! made and deleted on the way.

pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::Namespace;
use crate::wait;
use words::Words;

const BUILD_HASH: &str = "pgsweep.dev/build-hash";
const RUN_NOW: &str = "pgsweep.dev/run-now";
const POLICY: &str = "pgsweep.dev/policy";

/// The state of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndState {
    /// Of each policy, by name: generation, spec and status.
    pub policies: BTreeMap<String, Value>,
    /// Of each CronJob, by name: labels, annotations, owners and spec.
    pub cron_jobs: BTreeMap<String, Value>,
    /// How many Jobs there are of each kind: how it is named, owned, and how it ended.
    pub jobs: BTreeMap<String, u64>,
    /// How many events of policies there are of each kind: type, reason, note.
    pub events: BTreeMap<String, u64>,
}

impl EndState {
    /// The state of now.
    pub async fn of(namespace: &Namespace<'_>) -> Result<Self> {
        // In one request each, events last: what a status tells has its event already.
        let list = namespace.get("cleanuppolicies,cronjobs,jobs").await?;
        let events = namespace.get("events.events.k8s.io").await?;
        let all = items(&list);
        let words = Words::of(namespace.name(), policies(all, items(&events)));
        let mut state = Self {
            policies: BTreeMap::new(),
            cron_jobs: BTreeMap::new(),
            jobs: BTreeMap::new(),
            events: BTreeMap::new(),
        };
        for item in all {
            match item["kind"].as_str() {
                Some("CleanupPolicy") => {
                    state.policies.insert(name(item), policy(item, all, &words));
                }
                Some("CronJob") => {
                    state.cron_jobs.insert(name(item), cron_job(item, &words));
                }
                _ => *state.jobs.entry(job(item, &words)).or_default() += 1,
            }
        }
        for item in items(&events).iter().filter(|item| is_ours(item)) {
            let repeats = item.pointer("/series/count").and_then(Value::as_u64).unwrap_or(1);
            *state.events.entry(event(item, &words)).or_default() += repeats;
        }
        Ok(state)
    }

    /// Waits until the namespace is in this state; the error says in what it is another one.
    pub async fn reached(&self, namespace: &Namespace<'_>, timeout: Duration) -> Result<()> {
        let mut last = None;
        let what = format!("the expected state of {}", namespace.name());
        let reached = wait::until(&what, timeout, async || {
            let state = Self::of(namespace).await?;
            let same = state == *self;
            last = Some(state);
            Ok(same.then_some(()))
        })
        .await;
        let difference = || match &last {
            Some(state) => format!("it differs (- expected, + found):\n{}", self.difference(state)),
            None => "it could not be read".to_owned(),
        };
        reached.with_context(difference)
    }

    /// The lines that only one of both has: `-` of this one, `+` of the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> String {
        let (ours, theirs) = (self.lines(), other.lines());
        let only = |sign: &'static str, of: &[String], not_of: &[String]| -> Vec<String> {
            let missing = of.iter().filter(|line| !not_of.contains(line));
            missing.map(|line| format!("{sign} {line}")).collect()
        };
        let mut lines = only("-", &ours, &theirs);
        lines.extend(only("+", &theirs, &ours));
        lines.join("\n")
    }

    /// A line for each value, by its path.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (kind, objects) in [("policy", &self.policies), ("cronjob", &self.cron_jobs)] {
            for (name, object) in objects {
                flatten(&format!("{kind}/{name}"), object, &mut lines);
            }
        }
        for (kind, counts) in [("job", &self.jobs), ("event", &self.events)] {
            lines.extend(counts.iter().map(|(what, count)| format!("{kind} {count} × {what}")));
        }
        lines
    }
}

impl Display for EndState {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.lines().join("\n"))
    }
}

fn flatten(path: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(key, value)| flatten(&format!("{path}.{key}"), value, lines));
        }
        Value::Array(values) if !values.is_empty() => {
            let each = values.iter().enumerate();
            each.for_each(|(index, value)| flatten(&format!("{path}[{index}]"), value, lines));
        }
        value => lines.push(format!("{path} = {value}")),
    }
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// The names of all policies that there are and were, as far as anything tells of them.
fn policies(objects: &[Value], events: &[Value]) -> BTreeSet<String> {
    let own = objects.iter().filter(|object| object["kind"] == "CleanupPolicy").map(name);
    let labels =
        objects.iter().map(|object| text(&object["metadata"]["labels"][POLICY]).to_owned());
    let ours = events.iter().filter(|event| is_ours(event));
    let told = ours.map(|event| text(&event["regarding"]["name"]).to_owned());
    own.chain(labels).chain(told).filter(|name| !name.is_empty()).collect()
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn policy(policy: &Value, all: &[Value], words: &Words) -> Value {
    let mut status = words.of_status(&policy["status"]);
    if let Some(conditions) = status["conditions"].as_array_mut() {
        conditions.sort_by_key(|condition| condition["type"].to_string());
    }
    // How often a CronJob was written is no part of it; that the status knows it as it is now, is.
    let reference = &policy["status"]["cronJobRef"];
    let named = |item: &&Value| item["kind"] == "CronJob" && name(item) == reference["name"];
    if let Some(cron_job) = all.iter().find(named) {
        let metadata = &cron_job["metadata"];
        let now = [
            ("generation", &metadata["generation"]),
            ("uid", &metadata["uid"]),
            ("hash", &metadata["annotations"][BUILD_HASH]),
        ];
        for (field, now) in now.into_iter().filter(|(field, _)| !reference[*field].is_null()) {
            status["cronJobRef"][field] = json!(reference[field] == *now);
        }
    }
    let mut metadata = policy["metadata"].clone();
    json!({
        "generation": metadata["generation"],
        "annotations": words.of_object(&own_annotations(&mut metadata)),
        "finalizers": metadata["finalizers"],
        "spec": words.of_object(&policy["spec"]),
        "status": status,
    })
}

/// Without what `kubectl apply` leaves there, which is the whole object once more.
fn own_annotations(metadata: &mut Value) -> Value {
    let mut annotations = metadata["annotations"].take();
    if let Some(all) = annotations.as_object_mut() {
        all.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    annotations
}

fn cron_job(cron_job: &Value, words: &Words) -> Value {
    let mut metadata = cron_job["metadata"].clone();
    let mut annotations = own_annotations(&mut metadata);
    // It is of all that is compared here, and of the policy's UID.
    let hash = annotations.get_mut(BUILD_HASH).filter(|hash| *hash != "suspended");
    if let Some(hash) = hash {
        *hash = json!("<hash>");
    }
    words.of_object(&json!({
        "labels": metadata["labels"],
        "annotations": annotations,
        "ownerReferences": metadata["ownerReferences"],
        "spec": cron_job["spec"],
    }))
}

fn job(job: &Value, words: &Words) -> String {
    let metadata = &job["metadata"];
    let owner = &metadata["ownerReferences"][0];
    let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    let ends = conditions.filter(|condition| {
        condition["status"] == "True"
            && ["Complete", "Failed"].iter().any(|end| condition["type"] == *end)
    });
    let end: Vec<_> = ends
        .map(|condition| format!("{} {}", text(&condition["type"]), text(&condition["reason"])))
        .collect();
    let token = text(&metadata["annotations"][RUN_NOW]);
    format!(
        "{} of {} {}{} ({})",
        words.of_text(text(&metadata["name"])),
        text(&owner["kind"]),
        text(&owner["name"]),
        if token.is_empty() { String::new() } else { format!(" for {token:?}") },
        if end.is_empty() { "not ended".to_owned() } else { end.join(", ") }
    )
}

/// Kubelet's and the controllers' events are about pods, Jobs and CronJobs.
fn is_ours(event: &Value) -> bool {
    event["regarding"]["kind"] == "CleanupPolicy"
}

fn event(event: &Value, words: &Words) -> String {
    format!(
        "{} {} {}: {}",
        text(&event["type"]),
        text(&event["reason"]),
        text(&event["regarding"]["name"]),
        words.of_text(text(&event["note"]))
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(rows: u64) -> EndState {
        let words = Words::of("shop", ["codes".to_owned()].into());
        let object = json!({
            "metadata": {"name": "codes", "generation": 2},
            "spec": {"schedule": "@hourly"},
            "status": {"lastRun": {"rowsAffected": rows, "jobName": "codes-r0123abcd"}},
        });
        EndState {
            policies: [("codes".to_owned(), policy(&object, &[], &words))].into(),
            cron_jobs: BTreeMap::new(),
            jobs: BTreeMap::new(),
            events: [("Normal RunSucceeded codes: done".to_owned(), 1)].into(),
        }
    }

    #[test]
    fn two_states_differ_in_the_lines_that_say_so() {
        assert_eq!(state(3).difference(&state(3)), "");
        assert_eq!(
            state(3).difference(&state(4)),
            "- policy/codes.status.lastRun.rowsAffected = 3\n\
             + policy/codes.status.lastRun.rowsAffected = 4"
        );
        let mut twice = state(3);
        twice.events.values_mut().for_each(|count| *count = 2);
        assert_eq!(
            state(3).difference(&twice),
            "- event 1 × Normal RunSucceeded codes: done\n\
             + event 2 × Normal RunSucceeded codes: done"
        );
    }

    #[test]
    fn a_status_names_the_cron_job_as_it_is_now_or_not() {
        let words = Words::of("shop", BTreeSet::new());
        let object = |generation: u64| {
            json!({
                "metadata": {"name": "codes"},
                "status": {"cronJobRef": {
                    "name": "codes", "generation": generation, "uid": "u", "hash": "h",
                }},
            })
        };
        let cron_job = [json!({"kind": "CronJob", "metadata": {
            "name": "codes", "generation": 4, "uid": "u",
            "annotations": {"pgsweep.dev/build-hash": "h"},
        }})];
        let seen = |generation| policy(&object(generation), &cron_job, &words);
        assert_eq!(seen(4)["status"]["cronJobRef"]["generation"], true);
        assert_eq!(seen(3)["status"]["cronJobRef"]["generation"], false);
        assert_eq!(seen(3)["status"]["cronJobRef"]["uid"], true);
        assert_eq!(seen(3)["status"]["cronJobRef"]["hash"], true);
    }
}
