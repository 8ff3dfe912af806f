//! Which requests, or which news of a watch, a fault is for.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use super::request::{Request, Verb};
use super::watch::News;

type Test<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;

/// A choice: each word narrows it.
pub struct Pick<T> {
    words: Vec<String>,
    tests: Vec<Test<T>>,
}

impl<T> Clone for Pick<T> {
    fn clone(&self) -> Self {
        Self { words: self.words.clone(), tests: self.tests.clone() }
    }
}

impl<T> Debug for Pick<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.words.join(", "))
    }
}

impl<T> Pick<T> {
    fn begin(what: &str) -> Self {
        Self { words: vec![what.to_owned()], tests: Vec::new() }
    }

    /// Narrows it by whatever there is to say; `word` is for the text of errors.
    #[must_use]
    pub fn and(mut self, word: &str, test: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        self.words.push(word.to_owned());
        self.tests.push(Arc::new(test));
        self
    }

    pub(super) fn takes(&self, item: &T) -> bool {
        self.tests.iter().all(|test| test(item))
    }
}

impl Pick<Request> {
    /// Every request.
    #[must_use]
    pub fn requests() -> Self {
        Self::begin("any request")
    }

    /// Every write but those to Leases, which come by the clock.
    #[must_use]
    pub fn writes() -> Self {
        let writes = |request: &Request| request.verb.is_write() && request.resource != "leases";
        Self::begin("a request").and("a write", writes)
    }

    /// Requests of this verb to this resource, named as permissions do: `cleanuppolicies/status`.
    #[must_use]
    pub fn of(verb: Verb, resource: &str) -> Self {
        let wanted = resource.to_owned();
        let word = format!("{} {resource}", verb.as_str());
        Self::begin("a request").and(&word, move |request: &Request| {
            request.verb == verb && request.whole_resource() == wanted
        })
    }

    /// Only in this namespace.
    #[must_use]
    pub fn namespace(self, namespace: &str) -> Self {
        let wanted = namespace.to_owned();
        self.and(&format!("in {namespace}"), move |request| request.namespace == wanted)
    }

    /// Only of this name.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        let wanted = name.to_owned();
        self.and(&format!("of {name}"), move |request| request.name == wanted)
    }
}

impl Pick<News> {
    /// All news of a resource, like `jobs`.
    #[must_use]
    pub fn news_of(resource: &str) -> Self {
        let wanted = resource.to_owned();
        Self::begin("news")
            .and(&format!("of {resource}"), move |news: &News| news.resource == wanted)
    }

    /// Only of objects in this namespace.
    #[must_use]
    pub fn namespace(self, namespace: &str) -> Self {
        let wanted = namespace.to_owned();
        self.and(&format!("in {namespace}"), move |news| news.namespace() == wanted)
    }

    /// Only of this type: `ADDED`, `MODIFIED`, `DELETED`.
    #[must_use]
    pub fn kind(self, kind: &str) -> Self {
        let wanted = kind.to_owned();
        self.and(kind, move |news| news.kind == wanted)
    }
}
