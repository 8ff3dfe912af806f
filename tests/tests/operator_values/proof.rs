//! Each bad value of each field of one right policy: refused at admission, or taken and told; never
//! passed over. Then the good one again.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::operator::{Bed, carried};
use tests::progress::say;

use super::api;
use super::bad::{Bad, Kind};
use super::fields::{self, Field};
use super::place::{self, Place};
use super::scene::{Outcome, Scene};

/// A bad value that the API server takes.
struct Taken {
    place: Place,
    bad: Bad,
    document: Value,
    /// Where `policy::validate` finds it wrong; nothing where the database has to say.
    problems: Vec<String>,
}

/// Proves it for the right policy of this name.
pub async fn prove(name: &str) -> Result<()> {
    let Some(bed) = Bed::get().await? else { return Ok(()) };
    let shapes = place::shapes()?;
    let shape = shapes.iter().position(|shape| shape["metadata"]["name"] == name);
    let shape = shape.with_context(|| format!("shapes.yaml has no {name}"))?;
    let good = &shapes[shape];
    let fields = fields::all().into_iter().filter_map(|field| {
        let place = Place::of(&field.path, &shapes)?;
        (place.shape == shape).then_some((field, place))
    });
    let fields: Vec<_> = fields.collect();
    let counts = Scene::with(bed, good, async |scene| prove_all(scene, &fields).await).await?;
    say(&format!("{name}: {} fields, {counts}", fields.len()));
    Ok(())
}

async fn prove_all(scene: &mut Scene<'_>, fields: &[(Field, Place)]) -> Result<String> {
    let mut findings = Vec::new();
    let (mut refused, mut taken) = (0, Vec::new());
    for (field, place) in fields {
        let good = place.get(&scene.good).context("the place of a field")?.clone();
        let mut own = Vec::new();
        for bad in Bad::values(field, &good) {
            let document = place.with(&scene.good, &bad.value)?;
            match api::judge(scene.namespace, &document).await? {
                Err(refusal) => {
                    refused += 1;
                    findings.extend(unnamed(place, &bad, &refusal));
                }
                Ok(stored) if is_left_out(field, place, &bad, &stored) => {}
                Ok(_) => own.push(Taken::new(place, bad, document)),
            }
        }
        taken.extend(chosen(own));
    }
    let (mut told, mut carried) = (0, 0);
    let good = scene.outcome(&scene.good).await?;
    for taken in &taken {
        let outcome = scene.outcome(&taken.document).await?;
        let judged = taken.judge(&outcome, &pods(&good.cron_job));
        *(if outcome.ready["status"] == "True" { &mut carried } else { &mut told }) += 1;
        if let Err(error) = judged {
            findings.push(format!("{taken}: {error:#}; Ready is {}", outcome.ready));
        }
        if let Err(error) = scene.take_back().await {
            findings.push(format!("{taken}, taken back: {error:#}"));
        }
    }
    ensure!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    Ok(format!("{refused} values refused, {told} told in Ready, {carried} carried literally"))
}

/// A refusal must name the field by its path. A rule of CEL that looks at several items of a list can
/// only name the list: it has the path of that and the field's name then.
fn unnamed(place: &Place, bad: &Bad, refusal: &str) -> Option<String> {
    let is_around = || place.around().any(|path| refusal.contains(&path));
    let named =
        refusal.contains(&place.to_string()) || (refusal.contains(&place.name()) && is_around());
    (!named).then(|| format!("{place} = {}: refused without its path: {refusal}", bad.shown()))
}

/// A null is a field that is left out: it is not there then, or has its default.
fn is_left_out(field: &Field, place: &Place, bad: &Bad, stored: &Value) -> bool {
    let stored = place.get(stored).unwrap_or(&Value::Null);
    bad.kind == Kind::Null && (stored.is_null() || *stored == field.schema["default"])
}

/// Everything that is wrong by itself, which is told at once. Of the rest, on which the database has
/// its say, the most hostile text and one of another kind.
fn chosen(taken: Vec<Taken>) -> Vec<Taken> {
    let (mut wrong, open): (Vec<_>, Vec<_>) =
        taken.into_iter().partition(|taken| !taken.problems.is_empty());
    let (mut hostile, mut others): (Vec<_>, Vec<_>) =
        open.into_iter().partition(|taken| taken.bad.kind == Kind::Hostile);
    wrong.extend(hostile.pop());
    wrong.extend(others.pop());
    wrong
}

impl Taken {
    fn new(place: &Place, bad: Bad, document: Value) -> Self {
        let problems = policy::validate(&document).err().unwrap_or_default();
        let problems = problems.into_iter().map(|problem| problem.path).collect();
        Self { place: place.clone(), bad, document, problems }
    }

    /// `before` is the pods' template with the good value.
    fn judge(&self, outcome: &Outcome, before: &Value) -> Result<()> {
        let reason = outcome.ready["reason"].as_str().unwrap_or_default();
        let message = outcome.ready["message"].as_str().unwrap_or_default();
        let suspended = outcome.cron_job["spec"]["suspend"] == true;
        if !self.problems.is_empty() {
            ensure!(["InvalidSpec", "InvalidSchedule"].contains(&reason), "not told");
            ensure!(suspended, "the old rules run on");
            let told = self.problems.iter().filter(|path| message.contains(path.as_str()));
            let place = self.place.to_string();
            // What is wrong beside another field is told there, and names both.
            let here = told.filter(|path| {
                path.starts_with(&place)
                    || place.starts_with(path.as_str())
                    || message.contains(&self.place.name())
            });
            ensure!(here.count() > 0, "told without its path");
            return Ok(());
        }
        if reason == "ApplyFailed" {
            // In Kubernetes' own words: of a map it names the map.
            let map = self.place.around().next().unwrap_or_default();
            let is_named = message.contains(&self.place.to_string()) || message.contains(&map);
            ensure!(is_named, "told without its path");
            return Ok(());
        }
        let document = carried(&outcome.cron_job);
        ensure!(document["spec"] == outcome.stored, "the Jobs get {}", document["spec"]);
        if self.place.to_string().starts_with("spec.podTemplate.") {
            let template = pods(&outcome.cron_job);
            let there = match self.bad.kind {
                // What is empty is not there.
                Kind::Empty => template != *before,
                _ => holds(&template, &self.bad.value),
            };
            ensure!(there, "the pods have it not: {template}");
        }
        if self.place.to_string() == "spec.runNow" {
            ensure!(outcome.run_now == self.bad.value, "the run is {}", outcome.run_now);
        }
        if outcome.ready["status"] != "True" {
            ensure!(suspended, "it would run");
            ensure!(self.is_named_in(message), "told without its place");
        }
        Ok(())
    }

    /// What the database, or the cluster, has against it names the value, the field or its rule.
    fn is_named_in(&self, message: &str) -> bool {
        let rule = self.document["spec"]["rules"][0]["name"].as_str().unwrap_or_default();
        let mut names = vec![self.place.to_string(), self.place.name(), rule.to_owned()];
        names.extend(self.bad.value.as_str().map(ToOwned::to_owned));
        names.iter().any(|name| !name.is_empty() && message.contains(name.as_str()))
    }
}

impl std::fmt::Display for Taken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} = {}", self.place, self.bad.shown())
    }
}

impl Bad {
    fn shown(&self) -> String {
        let text = self.value.to_string();
        let short: String = text.chars().take(60).collect();
        format!("{short} ({:?})", self.kind)
    }
}

/// The template of the pods, without what is another one for each generation.
fn pods(cron_job: &Value) -> Value {
    let mut template = cron_job["spec"]["jobTemplate"]["spec"]["template"].clone();
    template["metadata"]["annotations"]["pgsweep.dev/policy-generation"].take();
    template["spec"]["containers"][0]["env"].take();
    template
}

/// Whether the value stands anywhere in an object.
fn holds(object: &Value, value: &Value) -> bool {
    object == value
        || match object {
            Value::Object(fields) => fields.values().any(|inside| holds(inside, value)),
            Value::Array(items) => items.iter().any(|inside| holds(inside, value)),
            _ => false,
        }
}
