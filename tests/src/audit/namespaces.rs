//! No request about a policy of one namespace names another one, in its path or in what it sends.
//! Pure.
//!
//! The names of the tests' namespaces end in random letters, so that a word which is one of them
//! means it. What is sent is known for CronJobs, Jobs, events and the status: all that an operator
//! writes about a policy.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Entry;

/// How many letters at the end of a name are random.
const RANDOM: usize = 8;

/// Requests in one namespace, by the words in them that may be names of namespaces.
#[derive(Debug, Default)]
pub struct Namespaces {
    known: BTreeSet<String>,
    /// Where, which other word, and the request.
    words: BTreeSet<(String, String, String)>,
    requests: usize,
}

impl Namespaces {
    /// Takes a request into account.
    pub fn add(&mut self, entry: &Entry) {
        if !entry.by_operator || entry.namespace.is_empty() {
            return;
        }
        self.requests += 1;
        self.known.insert(entry.namespace.clone());
        let mut others = BTreeSet::new();
        collect(&entry.uri, &mut others);
        walk(&entry.request, &mut others);
        others.remove(&entry.namespace);
        for word in others {
            let request = format!("{} {}", entry.verb, entry.resource);
            self.words.insert((entry.namespace.clone(), word, request));
        }
    }

    /// The requests that name another namespace of which there is one.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let named = self.words.iter().filter(|(_, word, _)| self.known.contains(word));
        named.map(|(own, other, request)| format!("{request} in {own} names {other}")).collect()
    }

    /// How many requests there were about one namespace.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests
    }
}

fn walk(value: &Value, words: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => collect(text, words),
        Value::Array(items) => items.iter().for_each(|item| walk(item, words)),
        Value::Object(fields) => {
            // An operator that a test names after a namespace may say who it is in another one.
            for (key, value) in fields.iter().filter(|(key, _)| *key != "reportingInstance") {
                collect(key, words);
                walk(value, words);
            }
        }
        _ => {}
    }
}

/// The words of a text that could be the name of a test's namespace.
fn collect(text: &str, words: &mut BTreeSet<String>) {
    let is_inside = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    for word in text.split(|letter| !is_inside(letter)) {
        let random = word.rsplit('-').find(|part| part.len() == RANDOM);
        let is_random = |part: &str| part.chars().all(|letter| letter.is_ascii_hexdigit());
        if word.contains('-') && random.is_some_and(is_random) {
            words.insert(word.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(namespace: &str, request: Value) -> Entry {
        Entry {
            verb: "create".to_owned(),
            by_operator: true,
            resource: "events".to_owned(),
            uri: format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"),
            namespace: namespace.to_owned(),
            request,
            ..Entry::default()
        }
    }

    #[test]
    fn a_request_that_names_another_namespace_is_found_and_a_uid_is_none() {
        let mut namespaces = Namespaces::default();
        let uid = "6ff9b2c4-41c1-4f3a-9a2b-0123456789ab";
        let own = json!({"metadata": {"namespace": "one-01234567"}, "regarding": {"uid": uid}});
        namespaces.add(&write("one-01234567", own));
        namespaces.add(&write("two-89abcdef", json!({})));
        assert_eq!((namespaces.findings(), namespaces.requests()), (Vec::new(), 2));
        namespaces.add(&write("one-01234567", json!({"note": "as in two-89abcdef: 3 rows"})));
        assert_eq!(namespaces.findings(), ["create events in one-01234567 names two-89abcdef"]);
    }
}
