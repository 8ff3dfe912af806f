use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use policy::{CleanupPolicy, Mode};
use prometheus::{Encoder as _, Registry, TextEncoder};
use serde_json::json;

use super::*;
use crate::controller::examples;

type Policy = DynamicObject;

fn resource() -> kube::core::ApiResource {
    kube::core::ApiResource::erase::<CleanupPolicy>(&())
}

fn policy(name: &str, status: &Value) -> Policy {
    serde_json::from_value(json!({
        "apiVersion": "pgsweep.dev/v1alpha1",
        "kind": "CleanupPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"mode": "DryRun", "suspend": true},
        "status": status,
    }))
    .expect("an object")
}

struct Scene {
    registry: Registry,
    counts: Counts,
    writer: Writer<Policy>,
}

impl Scene {
    fn new() -> Self {
        let writer = Writer::new(resource());
        let counts = Counts::default();
        let registry = Registry::new();
        let policies = Policies::new(writer.as_reader(), counts.clone()).expect("series");
        registry.register(Box::new(policies)).expect("a first registration");
        Self { registry, counts, writer }
    }

    /// The lines of a scrape that carry a figure.
    fn scrape(&self) -> Vec<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("text");
        let text = String::from_utf8(text).expect("UTF-8");
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }
}

fn codes() -> PolicyName {
    PolicyName { namespace: "shop".into(), name: "codes".into() }
}

#[test]
fn a_policy_shows_its_series_from_its_status() {
    let mut scene = Scene::new();
    let status = json!({
        "consecutiveFailures": 0,
        "lastSuccessTime": "2026-11-21T03:01:04Z",
        "nextScheduleTime": "2026-11-21T03:05:00Z",
        "lastRun": examples::finished("j1").status,
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Scheduled", "message": "",
            "lastTransitionTime": "2026-11-21T03:00:00Z",
        }],
    });
    scene.writer.apply_watcher_event(&Event::Apply(policy("codes", &status)));
    let mut scheduled = examples::finished("j1");
    scheduled.status.mode = Mode::Enforce;
    scene.counts.count(&codes(), &[scheduled], &["j1".into()]);
    insta::assert_yaml_snapshot!(scene.scrape());
}

#[test]
fn a_new_policy_begins_with_its_mode_and_two_results() {
    let mut scene = Scene::new();
    scene.writer.apply_watcher_event(&Event::Apply(policy("codes", &Value::Null)));
    let runs: Vec<_> =
        scene.scrape().into_iter().filter(|line| line.contains("runs_total")).collect();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(runs.iter().all(|line| line.contains(r#"mode="DryRun""#) && line.ends_with(" 0")));
}

#[test]
fn the_series_go_with_the_policy() {
    let mut scene = Scene::new();
    let object = policy("codes", &Value::Null);
    scene.writer.apply_watcher_event(&Event::Apply(object.clone()));
    scene.counts.count(&codes(), &[examples::finished("j1")], &["j1".into()]);
    assert!(!scene.scrape().is_empty());
    scene.writer.apply_watcher_event(&Event::Delete(object.clone()));
    assert_eq!(scene.scrape(), [""; 0]);
    // One of the same name, made later, begins at zero.
    scene.writer.apply_watcher_event(&Event::Apply(object));
    assert!(scene.scrape().iter().all(|line| line.ends_with(" 0") || line.ends_with(" 1")));
}

#[test]
fn a_run_that_is_told_again_is_not_counted_again() {
    let counts = Counts::default();
    let runs = [examples::finished("j1"), examples::finished("j2")];
    let remembered = ["j1".to_owned(), "j2".to_owned()];
    assert_eq!(counts.count(&codes(), &runs, &remembered).len(), 2);
    assert_eq!(counts.count(&codes(), &runs, &remembered).len(), 0);
    // What cannot come again is not remembered.
    counts.count(&codes(), &[examples::finished("j3")], &["j3".to_owned()]);
    let all = counts.0.lock().expect("lock");
    assert_eq!(all[&codes()].counted.len(), 1);
}
