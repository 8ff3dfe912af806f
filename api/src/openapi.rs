//! What the server answers, for machines: the tables of `operations` in the words of `OpenAPI` 3.1, served at `/openapi.json`, as
//! a page at `/docs`, and kept as `docs/openapi.json`. Tests hold it against a server that runs.

mod components;
mod kind;
mod operations;
mod page;

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use self::kind::Kind;
use crate::problem::Code;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bearer {
    Nobody,
    Participant,
    Admin,
}

/// A field of a request.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: &'static str,
    kind: Kind,
    is_required: bool,
}

const fn need(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_required: true }
}

const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_required: false }
}

/// What a member of an answer is.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Text,
    Id,
    Time,
    Whole,
    Number,
    Truth,
    /// An object of any members.
    Object,
    Texts,
    Wholes,
    Of(&'static str),
    ListOf(&'static str),
}

/// A member of an answer: its name, what it is, and whether it may be null.
type Member = (&'static str, Shape, Null);

/// Whether a member may be null, or is left out where there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Null {
    Never,
    Perhaps,
    LeftOut,
}

/// A method of a path.
struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    bearer: Bearer,
    headers: &'static [Field],
    query: &'static [Field],
    body: Option<&'static [Field]>,
    demand: Option<Demand>,
    status: u16,
    answer: &'static [Member],
    tells: &'static [&'static str],
    fails: &'static [u16],
}

/// What a word in one field of a body makes of another one that may be missing otherwise.
#[derive(Clone, Copy, Debug)]
struct Demand {
    field: &'static str,
    word: &'static str,
    needs: Field,
}

const fn operation(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    bearer: Bearer,
) -> Operation {
    let (headers, query, answer, fails): (&[Field], &[Field], &[Member], &[u16]) =
        (&[], &[], &[], &[]);
    Operation {
        method,
        path,
        summary,
        bearer,
        headers,
        query,
        body: None,
        demand: None,
        status: 200,
        answer,
        tells: &[],
        fails,
    }
}

impl Operation {
    const fn headers(self, headers: &'static [Field]) -> Self {
        Self { headers, ..self }
    }

    const fn query(self, query: &'static [Field]) -> Self {
        Self { query, ..self }
    }

    const fn body(self, body: &'static [Field]) -> Self {
        Self { body: Some(body), ..self }
    }

    const fn demands(self, field: &'static str, word: &'static str, needs: Field) -> Self {
        Self { demand: Some(Demand { field, word, needs }), ..self }
    }

    const fn answers(self, status: u16, answer: &'static [Member]) -> Self {
        Self { status, answer, ..self }
    }

    /// Headers of its answer, beside those of a limit.
    const fn tells(self, tells: &'static [&'static str]) -> Self {
        Self { tells, ..self }
    }

    const fn fails(self, fails: &'static [u16]) -> Self {
        Self { fails, ..self }
    }

    /// Those that every operation of its kind can answer with, too.
    fn failures(&self) -> Vec<u16> {
        let mut all = self.fails.to_vec();
        all.extend([500, 503]);
        if self.bearer != Bearer::Nobody {
            all.push(401);
        }
        if self.body.is_some() {
            all.extend([400, 408, 413, 415, 422]);
        }
        if !self.query.is_empty() {
            all.push(422);
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    fn shown(&self) -> Value {
        let mut parameters: Vec<Value> = self.path.split('/').filter_map(in_path).collect();
        let given = |place: &str, field: &Field| {
            json!({
                "name": field.name,
                "in": place,
                "required": field.is_required,
                "schema": field.kind.schema(),
            })
        };
        parameters.extend(self.query.iter().map(|field| given("query", field)));
        parameters.extend(self.headers.iter().map(|field| given("header", field)));
        let mut responses = Map::new();
        let mut answer = json!({"description": "It was done."});
        if self.status != 204 {
            let schema = components::answer(self.answer);
            answer["content"] = json!({"application/json": {"schema": schema}});
        }
        let limit = if self.fails.contains(&429) { components::LIMIT } else { &[] };
        let tells: Vec<_> = self.tells.iter().chain(limit).copied().collect();
        if !tells.is_empty() {
            answer["headers"] = components::named(&tells);
        }
        responses.insert(self.status.to_string(), answer);
        for status in self.failures() {
            let problem = json!({"$ref": format!("#/components/responses/Problem{status}")});
            responses.insert(status.to_string(), problem);
        }
        let mut shown = json!({
            "operationId": self.id(),
            "summary": self.summary,
            "parameters": parameters,
            "responses": responses,
            "security": match self.bearer {
                Bearer::Nobody => json!([]),
                Bearer::Participant => json!([{"participant": []}]),
                Bearer::Admin => json!([{"admin": []}]),
            },
        });
        if let Some(fields) = self.body {
            let mut schema = object(fields);
            if let Some(Demand { field, word, needs }) = self.demand {
                schema["if"] = json!({"properties": {field: {"const": word}}, "required": [field]});
                schema["then"] =
                    json!({"properties": {needs.name: needs.schema()}, "required": [needs.name]});
            }
            let is_required = fields.iter().any(|field| field.is_required);
            let content = json!({"application/json": {"schema": schema}});
            shown["requestBody"] = json!({"required": is_required, "content": content});
        }
        shown
    }

    /// `post_sessions_id_end`
    fn id(&self) -> String {
        let path = self.path.trim_start_matches("/api/").trim_start_matches("v1/");
        let words =
            path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        [self.method].into_iter().chain(words).collect::<Vec<_>>().join("_")
    }
}

fn in_path(segment: &str) -> Option<Value> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let schema = match name {
        "id" => Kind::Id.schema(),
        "token" => Kind::InviteToken.schema(),
        _ => Kind::Name(64).schema(),
    };
    Some(json!({"name": name, "in": "path", "required": true, "schema": schema}))
}

fn object(fields: &[Field]) -> Value {
    let properties: Map<_, _> =
        fields.iter().map(|field| (field.name.to_owned(), field.schema())).collect();
    let required = fields.iter().filter(|field| field.is_required);
    json!({
        "type": "object",
        "properties": properties,
        "required": required.map(|field| field.name).collect::<Vec<_>>(),
        "additionalProperties": false,
    })
}

impl Field {
    /// A field that may be missing may also be null.
    fn schema(&self) -> Value {
        let schema = self.kind.schema();
        if self.is_required { schema } else { json!({"anyOf": [schema, {"type": "null"}]}) }
    }
}

/// The whole description.
pub fn document() -> Value {
    let mut paths = Map::new();
    for operation in operations::all() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = operation.shown();
    }
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let bearer =
        |description: &str| json!({"type": "http", "scheme": "bearer", "description": description});
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "The session API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components::schemas(&codes),
            "responses": components::problems(),
            "headers": components::headers(),
            "securitySchemes": {
                "participant": bearer("The token of a participant: st_…"),
                "admin": bearer("The key of somebody who runs the service: ad_…"),
            },
        },
    })
}

/// `GET /openapi.json`
pub async fn openapi() -> Response {
    static PAGE: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());
    ([(header::CONTENT_TYPE, "application/json")], PAGE.clone()).into_response()
}

/// `GET /docs`
pub async fn docs() -> Response {
    static PAGE: LazyLock<Bytes> = LazyLock::new(|| page::page().into());
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE.clone()).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_operation_has_an_id_of_its_own_and_each_reference_leads_somewhere() {
        let document = document();
        let all = operations::all();
        let ids: BTreeSet<_> = all.iter().map(|operation| operation.id()).collect();
        assert_eq!(ids.len(), all.len());
        let text = document.to_string();
        for reference in text.split("\"#/").skip(1) {
            let pointer = format!("/{}", reference.split('"').next().unwrap_or_default());
            assert!(document.pointer(&pointer).is_some(), "{pointer}");
        }
    }

    #[test]
    fn every_path_of_the_router_is_described() {
        let router = include_str!("router.rs");
        let calls = router.split(".route(").skip(1);
        let mut count = 0;
        for call in calls {
            let path = call.split('"').nth(1).expect("a path");
            let is_probe =
                ["/healthz", "/readyz", "/metrics", "/problems/{code}", "/openapi.json", "/docs"];
            if is_probe.contains(&path) {
                continue;
            }
            let all = operations::all();
            let tail = if path == "/" { "/sessions" } else { path };
            assert!(all.iter().any(|operation| operation.path.ends_with(tail)), "{path}");
            count += 1;
        }
        let paths: BTreeSet<_> = operations::all().iter().map(|operation| operation.path).collect();
        assert_eq!(paths.len(), count, "and no path that is not there");
    }
}
