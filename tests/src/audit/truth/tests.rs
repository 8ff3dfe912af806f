//! Made-up histories: true ones, and one for each way to lie.

use serde_json::{Value, json};

use super::*;

const NEVER: &str = "0 0 29 2 *";

/// Writes a history, a revision at a time.
#[derive(Default)]
struct Story {
    history: History,
    revision: u64,
}

impl Story {
    fn tell(mut self, by_operator: bool, resource: &str, verb: &str, mut object: Value) -> Self {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.history.add(&Entry {
            verb: verb.to_owned(),
            by_operator,
            resource: resource.to_owned(),
            namespace: "shop".to_owned(),
            name: "codes".to_owned(),
            code: 200,
            response: object,
            ..Entry::default()
        });
        self
    }

    /// A user stores the spec of a generation, with the status that is there.
    fn edits(self, generation: i64, schedule: &str, status: &Value) -> Self {
        let object = policy(generation, schedule, status);
        self.tell(false, "cleanuppolicies", "patch", object)
    }

    fn says(self, generation: i64, schedule: &str, status: &Value) -> Self {
        let object = policy(generation, schedule, status);
        self.tell(true, "cleanuppolicies/status", "patch", object)
    }

    fn applies(self, cron_job: Value) -> Self {
        self.tell(true, "cronjobs", "patch", cron_job)
    }

    fn verdict(self) -> Verdict {
        self.history.judge()
    }
}

fn spec(schedule: &str) -> Value {
    json!({
        "schedule": schedule, "timeZone": "Etc/UTC", "suspend": false,
        "startingDeadlineSeconds": 300, "concurrencyPolicy": "Forbid",
        "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
        "activeDeadlineSeconds": 1800, "backoffLimit": 3,
    })
}

fn policy(generation: i64, schedule: &str, status: &Value) -> Value {
    json!({
        "metadata": {"name": "codes", "uid": "u", "generation": generation},
        "spec": spec(schedule),
        "status": status,
    })
}

fn ready(generation: i64) -> Value {
    ready_of(generation, generation)
}

fn ready_of(status: i64, condition: i64) -> Value {
    json!({
        "observedGeneration": status,
        "conditions": [{"type": "Ready", "status": "True", "observedGeneration": condition}],
    })
}

fn cron_job(generation: i64, schedule: &str) -> Value {
    let wanted = spec(schedule);
    let carried = json!({"spec": wanted}).to_string();
    let environment = json!([{"name": "PGSWEEP_POLICY", "value": carried}]);
    let mut spec = wanted.clone();
    let mut job = json!({"template": {"spec": {"containers": [{"env": environment}]}}});
    for field in ["activeDeadlineSeconds", "backoffLimit"] {
        job[field] = wanted[field].clone();
    }
    spec["jobTemplate"] = json!({"spec": job});
    json!({
        "metadata": {
            "name": "codes",
            "annotations": {"pgsweep.dev/policy-generation": generation.to_string()},
            "ownerReferences": [{"uid": "u", "controller": true}],
        },
        "spec": spec,
    })
}

/// A policy that was made, and edited, by the book.
fn edited() -> Story {
    Story::default()
        .edits(1, NEVER, &Value::Null)
        .applies(cron_job(1, NEVER))
        .says(1, NEVER, &ready(1))
        .edits(2, "@daily", &ready(1))
        .applies(cron_job(2, "@daily"))
        .says(2, "@daily", &ready(2))
}

fn lie(verdict: &Verdict) -> &str {
    assert_eq!(verdict.lies.len(), 1, "{verdict:?}");
    verdict.lies.first().map_or("", String::as_str)
}

#[test]
fn a_history_by_the_book_has_no_lie() {
    let verdict = edited().verdict();
    assert_eq!(verdict, Verdict { lies: Vec::new(), judged: 4, excused: 0 });
}

#[test]
fn a_status_that_comes_before_its_cron_job_is_a_lie() {
    let story = Story::default()
        .edits(1, NEVER, &Value::Null)
        .says(1, NEVER, &ready(1))
        .applies(cron_job(1, NEVER));
    let verdict = story.verdict();
    assert!(lie(&verdict).contains("at revision 2"), "{verdict:?}");
    assert!(lie(&verdict).contains("there is no CronJob"), "{verdict:?}");

    let story = Story::default()
        .edits(1, NEVER, &Value::Null)
        .applies(cron_job(1, NEVER))
        .says(1, NEVER, &ready(1))
        .edits(2, "@daily", &ready(1))
        .says(2, "@daily", &ready(2))
        .applies(cron_job(2, "@daily"));
    let verdict = story.verdict();
    assert!(lie(&verdict).contains("is of generation \"1\""), "{verdict:?}");
}

#[test]
fn answers_that_overtake_each_other_in_the_log_are_put_in_order() {
    let mut story = edited();
    story.history.events.reverse();
    assert_eq!(story.verdict().lies, Vec::<String>::new());
}

#[test]
fn a_cron_job_that_does_not_match_its_annotation_is_a_lie() {
    let judge = |change: &dyn Fn(&mut Value)| {
        let mut made = cron_job(1, NEVER);
        change(&mut made);
        let story = Story::default().edits(1, NEVER, &Value::Null).applies(made);
        let verdict = story.says(1, NEVER, &ready(1)).verdict();
        lie(&verdict).to_owned()
    };
    let suspended = judge(&|made| made["spec"]["suspend"] = json!(true));
    assert!(suspended.contains("suspend of the CronJob is true, not false"), "{suspended}");
    let limit = judge(&|made| made["spec"]["jobTemplate"]["spec"]["backoffLimit"] = json!(9));
    assert!(limit.contains("backoffLimit of the CronJob is 9, not 3"), "{limit}");
    let foreign = judge(&|made| made["metadata"]["ownerReferences"][0]["uid"] = json!("v"));
    assert!(foreign.contains("the CronJob is not its own"), "{foreign}");
    let jobs = judge(&|made| {
        let environment = "/spec/jobTemplate/spec/template/spec/containers/0/env/0/value";
        *made.pointer_mut(environment).unwrap() =
            json!(json!({"spec": spec("@hourly")}).to_string());
    });
    assert!(jobs.contains("its Jobs get another policy"), "{jobs}");
}

#[test]
fn two_generations_in_one_status_are_a_lie_and_so_is_one_that_never_was() {
    let story = |status: Value| {
        let story = Story::default().edits(1, NEVER, &Value::Null).applies(cron_job(1, NEVER));
        story.says(1, NEVER, &status).verdict()
    };
    assert!(lie(&story(ready_of(1, 0))).contains("the condition is of generation 0"));
    assert!(lie(&story(ready(2))).contains("a generation that is to come"));
    let story = Story::default().edits(2, NEVER, &Value::Null).applies(cron_job(2, NEVER));
    let verdict = story.says(2, NEVER, &ready(1)).verdict();
    assert!(lie(&verdict).contains("never matched it"), "{verdict:?}");
}

#[test]
fn what_somebody_else_did_is_excused_until_the_operator_has_had_its_say() {
    let story = edited().tell(false, "cronjobs", "patch", cron_job(2, "@hourly"));
    let story = story.says(2, "@daily", &ready(2));
    let verdict = story.verdict();
    assert_eq!((verdict.lies.len(), verdict.excused), (0, 2));

    let story = edited().tell(false, "cronjobs", "patch", cron_job(2, "@hourly"));
    let story = story.says(2, "@daily", &ready(2)).says(2, "@daily", &ready(2));
    let verdict = story.verdict();
    assert!(lie(&verdict).contains("schedule of the CronJob is \"@hourly\""), "{verdict:?}");

    let story = edited().tell(false, "cronjobs", "delete", json!({}));
    let story = story.says(2, "@daily", &ready(2));
    assert_eq!(story.verdict().lies, Vec::<String>::new());
    let story = edited().tell(true, "cronjobs", "delete", json!({}));
    assert!(lie(&story.says(2, "@daily", &ready(2)).verdict()).contains("there is no CronJob"));
}

#[test]
fn a_policy_that_is_gone_claims_nothing() {
    let story = edited().tell(false, "cleanuppolicies", "delete", json!({}));
    let verdict = story.tell(false, "cronjobs", "patch", cron_job(9, "@hourly")).verdict();
    assert_eq!(verdict.lies, Vec::<String>::new());
}
