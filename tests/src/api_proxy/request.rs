//! What a client asks of the API server, in Kubernetes' words.

use std::fmt::{self, Display, Formatter};

use hyper::Method;
use hyper::http::request::Parts;
use serde_json::Value;

/// What is to be done with an object, or with several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Reads one.
    Get,
    /// Reads all, or a page of them.
    List,
    /// Follows what becomes of them.
    Watch,
    /// Makes one, by POST.
    Create,
    /// Replaces one, by PUT.
    Update,
    /// Changes one, or makes it by a server-side apply.
    Patch,
    /// Deletes one.
    Delete,
    /// Deletes all.
    DeleteCollection,
}

impl Verb {
    /// As Kubernetes' permissions spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

/// A request that has come to the proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Its number among all of this proxy, counted from 1.
    pub number: usize,
    /// What is asked.
    pub verb: Verb,
    /// Path and query.
    pub uri: String,
    /// The API group; empty for the core and for what is no resource.
    pub group: String,
    /// The plural of its kind, like `cronjobs`; empty for what is no resource, like `/version`.
    pub resource: String,
    /// Like `status`; empty for the object itself.
    pub subresource: String,
    /// Its namespace; empty where it has none, and for a list over all of them.
    pub namespace: String,
    /// Its name; of an object that is to be made, as its body has it.
    pub name: String,
    /// The media type of a patch, like `application/apply-patch+yaml`; empty for other verbs.
    pub patch: String,
    /// What was sent; null where it was nothing, or no JSON.
    pub body: Value,
    /// What the API server answered; nothing when it was not asked, or has not answered.
    pub served: Option<u16>,
    /// What the client was told; nothing when it was told nothing.
    pub answered: Option<u16>,
}

impl Request {
    /// Reads one; its number comes later.
    pub(super) fn read(head: &Parts, body: &[u8]) -> Self {
        let mut request = Self::parse(&head.method, &head.uri.to_string());
        request.body = serde_json::from_slice(body).unwrap_or_default();
        if request.name.is_empty() {
            let name = request.body.pointer("/metadata/name").and_then(Value::as_str);
            request.name = name.unwrap_or_default().to_owned();
        }
        if request.verb == Verb::Patch {
            let kind = head.headers.get(hyper::header::CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok());
            kind.unwrap_or_default().clone_into(&mut request.patch);
        }
        request
    }

    fn parse(method: &Method, uri: &str) -> Self {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
        let (group, rest) = match words.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => ("", &[][..]),
        };
        let (namespace, rest) = match rest {
            // A namespace itself is an object, too.
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let word = |index: usize| rest.get(index).copied().unwrap_or_default().to_owned();
        let (resource, name, subresource) = (word(0), word(1), word(2));
        let follows = query.split('&').any(|part| part == "watch=true" || part == "watch=1");
        let verb = match (method, name.is_empty()) {
            (&Method::POST, _) => Verb::Create,
            (&Method::PUT, _) => Verb::Update,
            (&Method::PATCH, _) => Verb::Patch,
            (&Method::DELETE, true) => Verb::DeleteCollection,
            (&Method::DELETE, false) => Verb::Delete,
            _ if follows => Verb::Watch,
            (_, true) if !resource.is_empty() => Verb::List,
            _ => Verb::Get,
        };
        Self {
            number: 0,
            verb,
            uri: uri.to_owned(),
            group: group.to_owned(),
            resource,
            subresource,
            namespace: namespace.to_owned(),
            name,
            patch: String::new(),
            body: Value::Null,
            served: None,
            answered: None,
        }
    }

    /// The resource as permissions spell it, like `cleanuppolicies/status`.
    #[must_use]
    pub fn whole_resource(&self) -> String {
        if self.subresource.is_empty() {
            return self.resource.clone();
        }
        format!("{}/{}", self.resource, self.subresource)
    }
}

impl Display for Request {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.number, self.verb.as_str(), self.whole_resource())?;
        if self.resource.is_empty() {
            write!(formatter, "{}", self.uri)?;
        }
        if !self.name.is_empty() {
            write!(formatter, " {}", self.name)?;
        }
        let code = |code: Option<u16>| code.map_or_else(|| "-".to_owned(), |code| code.to_string());
        write!(formatter, " → {}, told {}", code(self.served), code(self.answered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_is_asked_of_what() {
        let cases = [
            ("GET", "/apis/batch/v1/cronjobs?limit=50", "list batch cronjobs -  -"),
            (
                "GET",
                "/apis/batch/v1/namespaces/shop/jobs?watch=true&x=1",
                "watch batch jobs - shop -",
            ),
            (
                "GET",
                "/apis/batch/v1/namespaces/shop/cronjobs/codes",
                "get batch cronjobs - shop codes",
            ),
            (
                "POST",
                "/apis/events.k8s.io/v1/namespaces/shop/events",
                "create events.k8s.io events - shop -",
            ),
            (
                "PATCH",
                "/apis/pgsweep.dev/v1alpha1/namespaces/shop/cleanuppolicies/codes/status?force=true",
                "patch pgsweep.dev cleanuppolicies status shop codes",
            ),
            (
                "PUT",
                "/apis/batch/v1/namespaces/shop/cronjobs/codes",
                "update batch cronjobs - shop codes",
            ),
            ("DELETE", "/api/v1/namespaces/shop/pods/one", "delete  pods - shop one"),
            ("DELETE", "/api/v1/namespaces/shop/pods", "deletecollection  pods - shop -"),
            ("GET", "/api/v1/namespaces/shop", "get  namespaces -  shop"),
            ("GET", "/api/v1/namespaces", "list  namespaces -  -"),
            ("GET", "/version", "get  - -  -"),
        ];
        for (method, uri, expected) in cases {
            let request = Request::parse(&method.parse().unwrap(), uri);
            let shown = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
            let read = format!(
                "{} {} {} {} {} {}",
                request.verb.as_str(),
                request.group,
                shown(&request.resource),
                shown(&request.subresource),
                request.namespace,
                shown(&request.name)
            );
            assert_eq!(read, expected, "{method} {uri}");
        }
    }
}
