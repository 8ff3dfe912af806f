//! What the apps ask for, and the tests that say which of it they prove.
//!
//! A test names ids in its doc comment, in a sentence of its own: `/// Proves: G12, G14.` What stands
//! above anything but a test that runs proves nothing. A figure is measured: `/// Measures: G5.` above a
//! function of a benchmark.

mod claims;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context as _, Result};
use serde_json::Value;

pub use claims::{Claims, MARK};

const PROMISES: &str = include_str!("requirements/promises.yaml");

/// The ids of targets, by letter, up to the last: they are measured, and some are tested too.
const TARGETS: [(char, u32); 4] = [('E', 13), ('O', 7), ('P', 14), ('R', 9)];

/// What is built and has no test yet that says so, with what is lacking. It must become empty.
pub const OWED: [(&str, &str); 0] = [];

/// What is required or aimed at: a letter and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    letter: char,
    number: u32,
}

impl Id {
    /// `G12`, and nothing that is only like it.
    fn read(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let letter = chars.next().filter(char::is_ascii_uppercase)?;
        let digits = chars.as_str();
        let number = digits.parse().ok().filter(|number: &u32| number.to_string() == digits)?;
        Some(Self { letter, number })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.letter, self.number)
    }
}

/// One of the apps' documents.
pub struct Document {
    /// The app.
    pub title: String,
    /// What must hold, in the order of its ids.
    pub promises: BTreeMap<Id, String>,
}

/// All that is asked for.
pub struct Promises {
    /// By document.
    pub documents: Vec<Document>,
    /// What comes with sockets and pages.
    pub realtime: BTreeSet<Id>,
}

impl Promises {
    /// Reads them.
    pub fn read() -> Result<Self> {
        let promises: Value =
            serde_saphyr::from_str(PROMISES).context("cannot read promises.yaml")?;
        let documents = promises["documents"].as_array().context("no documents")?;
        let documents: Result<Vec<_>> = documents.iter().map(document).collect();
        let realtime = promises["realtime"]["ids"].as_array().context("no ids of realtime")?;
        let realtime: Result<_> = realtime
            .iter()
            .map(|id| id.as_str().and_then(Id::read).with_context(|| format!("{id} is no id")))
            .collect();
        Ok(Self { documents: documents?, realtime: realtime? })
    }

    /// Every id that is asked for.
    pub fn ids(&self) -> impl Iterator<Item = Id> {
        self.documents.iter().flat_map(|document| document.promises.keys().copied())
    }

    /// The id of a requirement or of a target.
    pub fn id(&self, text: &str) -> Option<Id> {
        let id = Id::read(text)?;
        let is_target = TARGETS
            .iter()
            .any(|(letter, last)| *letter == id.letter && (1..=*last).contains(&id.number));
        (is_target || self.ids().any(|known| known == id)).then_some(id)
    }

    /// What a test has to prove now: all of it, but for what comes with the realtime side.
    pub fn required(&self) -> impl Iterator<Item = Id> {
        self.ids().filter(|id| !self.realtime.contains(id))
    }
}

fn document(document: &Value) -> Result<Document> {
    let title = document["title"].as_str().context("a document has a title")?.to_owned();
    let promises = document["promises"].as_object().context("a document has promises")?;
    let promises: Result<_> = promises
        .iter()
        .map(|(id, promise)| {
            let read = Id::read(id).with_context(|| format!("{id} is no id"))?;
            let promise = promise.as_str().with_context(|| format!("{id} promises nothing"))?;
            Ok((read, promise.to_owned()))
        })
        .collect();
    Ok(Document { title, promises: promises? })
}

/// What is lacking of an id that is owed.
pub fn owed(id: Id) -> Option<&'static str> {
    let id = id.to_string();
    OWED.iter().find(|(owed, _)| *owed == id).map(|(_, lacking)| *lacking)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_checklist_has_its_promise() {
        let promises = Promises::read().expect("promises");
        let asked: BTreeSet<_> = promises.ids().map(|id| id.to_string()).collect();
        let checklist = [('G', 35), ('L', 21), ('A', 12), ('M', 10), ('S', 11), ('X', 9)];
        let expected = checklist
            .iter()
            .flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number}")));
        assert_eq!(asked, expected.collect());
        assert!(promises.realtime.iter().all(|id| asked.contains(&id.to_string())));
        assert!(OWED.iter().all(|(id, _)| asked.contains(*id)));
    }
}
