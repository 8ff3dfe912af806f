//! Where in a right policy a field stands.

use std::fmt::{self, Display, Formatter};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Of the node: the tests make them.
pub const PRIORITY: &str = "operator-values";
pub const RUNTIME: &str = "operator-values";

/// One step from an object or list into it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A field in one right policy.
#[derive(Debug, Clone)]
pub struct Place {
    /// Which of the right policies.
    pub shape: usize,
    steps: Vec<Step>,
}

/// As messages name it: `spec.rules[0].name`.
impl Display for Place {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            match step {
                Step::Key(key) if number == 0 => write!(formatter, "{key}")?,
                Step::Key(key) => write!(formatter, ".{key}")?,
                Step::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// The right policies.
pub fn shapes() -> Result<Vec<Value>> {
    let text = include_str!("shapes.yaml");
    let text = text.replace("PRIORITY", PRIORITY).replace("RUNTIME", RUNTIME);
    let mut shapes: Vec<Value> =
        serde_saphyr::from_multiple(&text).context("shapes.yaml is no YAML")?;
    for shape in &mut shapes {
        shape["apiVersion"] = json!("pgsweep.dev/v1alpha1");
        shape["kind"] = json!("CleanupPolicy");
    }
    Ok(shapes)
}

impl Place {
    /// The first place where a field stands.
    pub fn of(path: &str, shapes: &[Value]) -> Option<Self> {
        let words = path.replace("[]", ".[]").replace("{}", ".{}");
        let words: Vec<&str> = words.split('.').collect();
        shapes
            .iter()
            .enumerate()
            .find_map(|(shape, document)| Some(Self { shape, steps: find(&words, document)? }))
    }

    /// What stands there.
    pub fn get<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.steps.iter().try_fold(document, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }

    /// The document with another value there.
    pub fn with(&self, document: &Value, new: &Value) -> Result<Value> {
        let mut changed = document.clone();
        let mut place = &mut changed;
        for step in &self.steps {
            let next = match step {
                Step::Key(key) => place.get_mut(key),
                Step::Index(index) => place.get_mut(index),
            };
            place = next.with_context(|| format!("{self} is in no document"))?;
        }
        *place = new.clone();
        Ok(changed)
    }

    /// The objects and lists that it is in, as messages name them, but for the spec as a whole.
    pub fn around(&self) -> impl Iterator<Item = String> {
        (2..self.steps.len()).rev().map(|depth| {
            let steps = self.steps.iter().take(depth).cloned().collect();
            Self { shape: self.shape, steps }.to_string()
        })
    }

    /// Its own name, or that of the list which it is in.
    pub fn name(&self) -> String {
        let keys = self.steps.iter().rev().filter_map(|step| match step {
            Step::Key(key) => Some(key.clone()),
            Step::Index(_) => None,
        });
        keys.take(1).collect()
    }
}

fn find(words: &[&str], value: &Value) -> Option<Vec<Step>> {
    let Some((word, rest)) = words.split_first() else { return Some(Vec::new()) };
    let into = |step: Step, inside: &Value| {
        let mut steps = find(rest, inside)?;
        steps.insert(0, step);
        Some(steps)
    };
    match *word {
        "[]" => {
            let mut items = value.as_array()?.iter().enumerate();
            items.find_map(|(index, item)| into(Step::Index(index), item))
        }
        "{}" => {
            let mut items = value.as_object()?.iter();
            items.find_map(|(key, item)| into(Step::Key(key.clone()), item))
        }
        key => into(Step::Key(key.to_owned()), value.get(key)?),
    }
}
