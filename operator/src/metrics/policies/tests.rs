use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use policy::{Mode, PolicyName};
use serde_json::json;

use super::*;
use crate::controller::examples;

fn policy(name: &str, status: &Value) -> StoredPolicy {
    serde_json::from_value(json!({
        "apiVersion": "pgsweep.dev/v1alpha1",
        "kind": "CleanupPolicy",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-11-20T00:00:00Z"},
        "spec": {"mode": "DryRun", "suspend": true, "schedule": "*/5 * * * *", "timeZone": "Etc/UTC"},
        "status": status,
    }))
    .expect("an object")
}

struct Scene {
    policies: Policies,
    counts: Counts,
    writer: Writer<StoredPolicy>,
}

impl Scene {
    fn new() -> Self {
        let writer = Writer::new(());
        let counts = Counts::default();
        let policies = Policies::new(writer.as_reader(), counts.clone());
        Self { policies, counts, writer }
    }

    /// The lines of a scrape that carry a figure.
    fn scrape(&self) -> Vec<String> {
        let mut text = String::new();
        self.policies.write(&mut text, examples::now());
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
        scene.scrape().into_iter().filter(|line| line.contains("policy_runs_total")).collect();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(runs.iter().all(|line| line.contains(r#"mode="DryRun""#) && line.ends_with(" 0")));
}

#[test]
fn rows_that_were_not_counted_have_no_series() {
    let mut scene = Scene::new();
    let mut run = examples::finished("j1").status;
    let mut remaining = |run: &policy::RunStatus| {
        let policy = policy("codes", &json!({"lastRun": run}));
        scene.writer.apply_watcher_event(&Event::Apply(policy));
        let mut lines = scene.scrape();
        lines.retain(|line| line.starts_with("pgsweep_policy_rows_remaining"));
        lines.len()
    };
    assert_eq!(remaining(&run), run.rules.len());
    run.rows_remaining = None;
    assert_eq!(remaining(&run), 0);
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
    let mut counted = scene.scrape();
    counted.retain(|line| line.contains("_total"));
    assert!(!counted.is_empty() && counted.iter().all(|line| line.ends_with(" 0")), "{counted:?}");
}
