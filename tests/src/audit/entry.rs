//! One request, as the audit log has it.

use serde_json::Value;

/// How operators sign their requests.
const OPERATOR: &str = "pgsweep-operator/";

/// A request that was answered, and was not only a question.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// `get`, `patch` and so on, as RBAC has them.
    pub verb: String,
    /// Who asked.
    pub user: String,
    /// Whether an operator did, under whatever name.
    pub by_operator: bool,
    /// Path and query.
    pub uri: String,
    /// API group; empty for the core.
    pub group: String,
    /// `cleanuppolicies`, or `cleanuppolicies/status`; empty where the path names no resource.
    pub resource: String,
    /// Empty for a request over all namespaces.
    pub namespace: String,
    /// Empty for a list.
    pub name: String,
    /// The answer's status code.
    pub code: u64,
    /// Whether RBAC allowed it: what admission refuses has this too.
    pub is_allowed: bool,
    /// What was sent, where the log's policy keeps that.
    pub request: Value,
    /// What was answered, likewise.
    pub response: Value,
}

impl Entry {
    /// Reads a line; nothing where it is none of ours, or tells only that an answer has begun. A
    /// watch is complete when it ends, which may be after the log does: its begin counts.
    pub(super) fn read(line: &str) -> Option<Self> {
        const MARKS: [&str; 3] = [
            "\"userAgent\":\"pgsweep-operator/",
            "\"resource\":\"cronjobs\"",
            "\"resource\":\"cleanuppolicies\"",
        ];
        if !MARKS.iter().any(|mark| line.contains(mark)) {
            return None;
        }
        let mut entry: Value = serde_json::from_str(line).ok()?;
        let text =
            |path: &str| entry.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (verb, uri, stage) = (text("/verb"), text("/requestURI"), text("/stage"));
        let is_over =
            stage == "ResponseComplete" || (verb == "watch" && stage == "ResponseStarted");
        if !is_over || uri.contains("dryRun=") {
            return None;
        }
        let subresource = text("/objectRef/subresource");
        let slash = if subresource.is_empty() { "" } else { "/" };
        Some(Self {
            user: text("/user/username"),
            by_operator: text("/userAgent").starts_with(OPERATOR),
            group: text("/objectRef/apiGroup"),
            resource: format!("{}{slash}{subresource}", text("/objectRef/resource")),
            namespace: text("/objectRef/namespace"),
            name: text("/objectRef/name"),
            code: entry.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or(0),
            is_allowed: text("/annotations/authorization.k8s.io~1decision") == "allow",
            verb,
            uri,
            request: entry["requestObject"].take(),
            response: entry["responseObject"].take(),
        })
    }

    /// Whether something was written by it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_read_for_what_it_says_and_a_question_is_none() {
        let line = |uri: &str, stage: &str| {
            json!({
                "stage": stage, "verb": "patch", "requestURI": uri,
                "user": {"username": "system:serviceaccount:pgsweep-system:pgsweep-operator"},
                "userAgent": "pgsweep-operator/0.1.0 (pod_1)",
                "objectRef": {"resource": "cleanuppolicies", "apiGroup": "pgsweep.dev",
                    "namespace": "shop", "name": "codes", "subresource": "status"},
                "responseStatus": {"code": 200},
                "annotations": {"authorization.k8s.io/decision": "allow"},
            })
            .to_string()
        };
        let read = Entry::read(&line("/apis", "ResponseComplete")).expect("an entry");
        assert!(read.by_operator && read.is_done() && read.is_allowed);
        assert_eq!(
            (read.resource.as_str(), read.namespace.as_str()),
            ("cleanuppolicies/status", "shop")
        );
        assert_eq!(Entry::read(&line("/apis?dryRun=All", "ResponseComplete")), None);
        assert_eq!(Entry::read(&line("/apis", "ResponseStarted")), None);
        assert_eq!(Entry::read("{\"resource\":\"cronjobs\""), None);
    }
}
