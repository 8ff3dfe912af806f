//! The objects of answers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Null::{LeftOut, Never, Perhaps};
use super::Shape::{Id, ListOf, Number, Object, Of, Text, Texts, Time, Truth, Whole, Wholes};
use super::{Member, Null, Shape};
use crate::problem::{Code, MEDIA_TYPE};

const ALL: &[(&str, &[Member])] = &[
    (
        "Session",
        &[
            ("id", Id, Never),
            ("app", Text, Never),
            ("mode", Text, Never),
            ("state", Text, Never),
            ("dual_status", Text, Perhaps),
            ("session_group_id", Id, Never),
            ("table_token", Text, Perhaps),
            ("context", Text, Perhaps),
            ("title", Text, Perhaps),
            ("participant_count", Whole, Never),
            ("created_at", Time, Never),
            ("last_activity_at", Time, Never),
            ("expires_at", Time, Never),
            ("ended_at", Time, Perhaps),
            ("end_reason", Text, Perhaps),
        ],
    ),
    (
        "Participant",
        &[
            ("id", Id, Never),
            ("display_name", Text, Perhaps),
            ("user_id", Text, Perhaps),
            ("role", Text, Never),
            ("ready", Truth, Never),
            ("presence", Text, Never),
            ("joined_at", Time, Never),
            ("token", Text, LeftOut),
        ],
    ),
    (
        "GroupOfSession",
        &[("id", Id, Never), ("deck_context_id", Id, Perhaps), ("is_new", Truth, LeftOut)],
    ),
    ("Pairing", &[("code", Text, Perhaps), ("expires_at", Time, Perhaps)]),
    (
        "Snapshot",
        &[
            ("session", Of("Session"), Never),
            ("participants", ListOf("Participant"), Never),
            ("group", Of("GroupOfSession"), Never),
            ("head", Text, Never),
        ],
    ),
    ("Invite", &[("id", Id, Never), ("token", Text, Never), ("expires_at", Time, Never)]),
    (
        "InvitedTo",
        &[
            ("id", Id, Never),
            ("app", Text, Never),
            ("title", Text, Perhaps),
            ("participant_count", Whole, Never),
        ],
    ),
    (
        "Group",
        &[
            ("id", Id, Never),
            ("app", Text, Never),
            ("table_token", Text, Perhaps),
            ("context", Text, Perhaps),
            ("created_at", Time, Never),
            ("session_count", Whole, Never),
            ("participant_count", Whole, Never),
            ("last_activity_at", Time, Perhaps),
            ("deck_context_id", Id, LeftOut),
        ],
    ),
    (
        "Decline",
        &[
            ("id", Id, Never),
            ("session_id", Id, Never),
            ("user_id", Text, Never),
            ("declined_user_id", Text, Never),
        ],
    ),
    ("Fingerprint", &[("id", Id, Never), ("session_id", Id, Never)]),
    (
        "Match",
        &[
            ("id", Id, Never),
            ("session_id", Id, Never),
            ("user_ids", Texts, Never),
            ("created_at", Time, Never),
            ("expires_at", Time, Never),
            ("converted_to_match_id", Id, Perhaps),
        ],
    ),
    (
        "Message",
        &[
            ("id", Id, Never),
            ("sender_id", Text, Never),
            ("body", Text, Never),
            ("sent_at", Time, Never),
        ],
    ),
    (
        "Table",
        &[
            ("table_token", Text, Perhaps),
            ("concurrent_groups", Whole, Never),
            ("total_sessions", Whole, Never),
        ],
    ),
    (
        "ActiveGroup",
        &[
            ("app", Text, Never),
            ("table_token", Text, Perhaps),
            ("session_group_id", Id, Never),
            ("context", Text, Perhaps),
            ("mode", Text, Never),
            ("dual_status", Text, Perhaps),
            ("sessions", Whole, Never),
            ("participants", Whole, Never),
            ("last_active", Time, Never),
            ("minutes_inactive", Number, Never),
        ],
    ),
    (
        "PairingHour",
        &[
            ("hour", Time, Never),
            ("pairings", Whole, Never),
            ("avg_pairing_time_seconds", Number, Perhaps),
            ("expired_codes", Whole, Never),
        ],
    ),
    (
        "ForecastHour",
        &[("hour", Time, Never), ("weeks", Whole, Never), ("expected_sessions", Number, Perhaps)],
    ),
    (
        "AuditLine",
        &[
            ("id", Whole, Never),
            ("created_at", Time, Never),
            ("type", Text, Never),
            ("session_id", Id, Perhaps),
            ("app", Text, Perhaps),
            ("actor_kind", Text, Never),
            ("actor_id", Text, Perhaps),
            ("network", Text, Perhaps),
            ("data", Object, Never),
        ],
    ),
    (
        "Replica",
        &[
            ("id", Id, Never),
            ("started_at", Time, Never),
            ("seen_at", Time, Never),
            ("sockets", Whole, Never),
        ],
    ),
    // What its members are depends on the policy, and on what the bill is grouped by.
    ("Any", &[]),
];

/// All of them, and the problem.
pub fn schemas(codes: &[&str]) -> Value {
    let mut schemas: Map<String, Value> =
        ALL.iter().map(|(name, members)| ((*name).to_owned(), object(members))).collect();
    let text = json!({"type": "string"});
    let errors = json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"field": text, "message": text},
            "required": ["field", "message"],
        },
    });
    let problem = json!({
        "type": "object",
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "instance": text,
            "code": {"type": "string", "enum": codes},
            "request_id": text,
            "server_time": Time.schema(),
            "retry_after_s": {"type": "integer"},
            "errors": errors,
            "violated-policies": {"type": "array", "items": text},
        },
        "required": ["type", "title", "status", "detail", "instance", "code", "request_id", "server_time"],
    });
    schemas.insert("Problem".to_owned(), problem);
    Value::Object(schemas)
}

/// What is said of a limit that was used.
pub const LIMIT: &[&str] = &["RateLimit-Policy", "RateLimit"];
const RETRY_AFTER: &str = "Retry-After";

const HEADERS: &[(&str, Shape, &str)] = &[
    ("ETag", Text, "The version of the session, for `If-Match`."),
    ("Location", Text, "The path of what was made."),
    ("Heartbeat-Interval", Whole, "In so many seconds the next one is waited for."),
    ("RateLimit-Policy", Text, "The name of the limit, its tries (`q`) and its seconds (`w`)."),
    (
        "RateLimit",
        Text,
        "The tries that are left (`r`), and in how many seconds there are more (`t`).",
    ),
    (RETRY_AFTER, Whole, "In so many seconds it may be tried again."),
];

/// All headers that say something to a client.
pub fn headers() -> Value {
    let header = |(name, shape, description): &(&str, Shape, &str)| {
        let header = json!({"description": description, "schema": shape.schema()});
        ((*name).to_owned(), header)
    };
    HEADERS.iter().map(header).collect::<Map<_, _>>().into()
}

/// Those of an answer.
pub fn named(names: &[&str]) -> Value {
    let header =
        |name: &&str| ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    names.iter().map(header).collect::<Map<_, _>>().into()
}

/// By status, with the codes that go with it: a client decides by the code.
pub fn problems() -> Value {
    let mut codes = BTreeMap::new();
    for code in Code::ALL {
        for status in code.statuses() {
            codes.entry(status.as_u16()).or_insert_with(Vec::new).push(code.as_str());
        }
    }
    let problem = |(status, codes): (u16, Vec<&str>)| {
        let problem = json!({"$ref": "#/components/schemas/Problem"});
        let these = json!({"properties": {"status": {"const": status}, "code": {"enum": codes}}});
        let mut shown = json!({
            "description": format!("A problem (RFC 9457): {}.", codes.join(", ")),
            "content": {MEDIA_TYPE: {"schema": {"allOf": [problem, these]}}},
        });
        match status {
            429 => shown["headers"] = named(&[LIMIT, &[RETRY_AFTER]].concat()),
            503 => shown["headers"] = named(&[RETRY_AFTER]),
            _ => {}
        }
        (format!("Problem{status}"), shown)
    };
    codes.into_iter().map(problem).collect::<Map<_, _>>().into()
}

/// A whole answer, which always says what time it is.
pub fn answer(members: &[Member]) -> Value {
    let mut schema = object(members);
    schema["properties"]["server_time"] = Time.schema();
    if let Some(required) = schema["required"].as_array_mut() {
        required.push(json!("server_time"));
    }
    schema
}

fn object(members: &[Member]) -> Value {
    let property = |(name, shape, null): &Member| {
        let schema = shape.schema();
        let schema = if *null == Null::Never {
            schema
        } else {
            json!({"anyOf": [schema, {"type": "null"}]})
        };
        ((*name).to_owned(), schema)
    };
    let required = members.iter().filter(|(_, _, null)| *null != LeftOut);
    json!({
        "type": "object",
        "properties": members.iter().map(property).collect::<Map<_, _>>(),
        "required": required.map(|(name, ..)| *name).collect::<Vec<_>>(),
    })
}

impl Shape {
    fn schema(self) -> Value {
        match self {
            Text => json!({"type": "string"}),
            Id => json!({"type": "string", "format": "uuid"}),
            Time => json!({"type": "string", "format": "date-time"}),
            Whole => json!({"type": "integer"}),
            Number => json!({"type": "number"}),
            Truth => json!({"type": "boolean"}),
            Object => json!({"type": "object"}),
            Texts => json!({"type": "array", "items": {"type": "string"}}),
            Wholes => json!({"type": "array", "items": {"type": "integer"}}),
            Of(name) => json!({"$ref": format!("#/components/schemas/{name}")}),
            ListOf(name) => json!({"type": "array", "items": Of(name).schema()}),
        }
    }
}
