//! Sessions, participants, invites, codes and groups.

use super::super::Bearer::{Nobody, Participant};
use super::super::Null::{LeftOut, Never, Perhaps};
use super::super::Shape::{Id, ListOf, Of, Text, Time, Truth, Whole};
use super::super::{Field, Kind, Member, Operation, may, need, operation};
use super::{APPS, CURSOR, DISPLAY_NAME, LIMIT, USER_ID};

const SNAPSHOT: &[Member] = &[
    ("session", Of("Session"), Never),
    ("participants", ListOf("Participant"), Never),
    ("group", Of("GroupOfSession"), Never),
    ("head", Text, Never),
];
const SESSION: &[Member] = &[("session", Of("Session"), Never)];
const WELCOME: &[Member] = &[
    ("participant", Of("Participant"), Never),
    ("token", Text, Never),
    ("head", Text, Never),
    ("snapshot", Of("Snapshot"), Never),
];
const PAIRED: &[Member] = &[
    ("session", Of("Session"), Never),
    ("participant", Of("Participant"), Never),
    ("token", Text, Never),
];
const CODE: &[Field] =
    &[need("code", Kind::Code), may("table_token", Kind::Name(64)), DISPLAY_NAME, USER_ID];

pub const ALL: &[Operation] = &[
    operation("post", "/api/v1/sessions", "Begins a session and is its host.", Nobody)
        .headers(&[may("Idempotency-Key", Kind::Key)])
        .body(&[
            need("app", APPS),
            need("mode", Kind::OneOf(&["single", "dual"])),
            may("table_token", Kind::Name(64)),
            may("context", Kind::Line(64)),
            may("title", Kind::Line(120)),
            DISPLAY_NAME,
            USER_ID,
            may("ttl_s", Kind::Whole(1, 86_400)),
        ])
        .answers(
            201,
            &[
                ("session", Of("Session"), Never),
                ("participant", Of("Participant"), Never),
                ("group", Of("GroupOfSession"), Never),
                ("pairing", Of("Pairing"), LeftOut),
                ("replayed", Truth, LeftOut),
            ],
        )
        .tells(&["Location"])
        .fails(&[409, 429]),
    operation(
        "get",
        "/api/v1/sessions/{id}",
        "What a participant sees of their session.",
        Participant,
    )
    .answers(200, SNAPSHOT)
    .tells(&["ETag"])
    .fails(&[404, 410]),
    operation(
        "patch",
        "/api/v1/sessions/{id}",
        "The host gives it another title or more time.",
        Participant,
    )
    .headers(&[may("If-Match", Kind::Key)])
    .body(&[may("title", Kind::Line(120)), may("extend_s", Kind::Whole(1, i32::MAX))])
    .answers(200, SNAPSHOT)
    .tells(&["ETag"])
    .fails(&[403, 404, 409, 410, 412, 428]),
    operation(
        "delete",
        "/api/v1/sessions/{id}",
        "The host ends it and lets nobody see it any more.",
        Participant,
    )
    .answers(204, &[])
    .fails(&[403, 404]),
    operation("post", "/api/v1/sessions/{id}/end", "Ends the session for all.", Participant)
        .answers(200, SESSION)
        .fails(&[403, 404, 410]),
    operation(
        "post",
        "/api/v1/sessions/{id}/recover",
        "Brings back what has just expired.",
        Participant,
    )
    .answers(200, SNAPSHOT)
    .tells(&["ETag"])
    .fails(&[403, 404, 409, 410]),
    operation("post", "/api/v1/sessions/{id}/invites", "Makes a link for others.", Participant)
        .answers(201, &[("invite", Of("Invite"), Never)])
        .fails(&[403, 404, 409, 410, 429]),
    operation("post", "/api/v1/sessions/{id}/participants", "Comes in.", Nobody)
        .body(&[
            need("access_method", Kind::OneOf(&["direct", "invite"])),
            may("invite_token", Kind::InviteToken),
            DISPLAY_NAME,
            USER_ID,
        ])
        .demands("access_method", "invite", need("invite_token", Kind::InviteToken))
        .answers(201, WELCOME)
        .fails(&[403, 404, 409, 410]),
    operation("delete", "/api/v1/sessions/{id}/participants/me", "Leaves.", Participant)
        .answers(204, &[])
        .fails(&[404]),
    operation(
        "put",
        "/api/v1/sessions/{id}/participants/me/heartbeat",
        "Is still there.",
        Participant,
    )
    .answers(204, &[])
    .tells(&["Heartbeat-Interval"])
    .fails(&[404, 410]),
    operation(
        "put",
        "/api/v1/sessions/{id}/participants/me/ready",
        "Is ready, or not any more.",
        Participant,
    )
    .body(&[need("ready", Kind::Truth)])
    .answers(
        200,
        &[
            ("participant_id", Id, Never),
            ("ready", Truth, Never),
            ("ready_count", Whole, Never),
            ("total", Whole, Never),
        ],
    )
    .fails(&[404, 409, 410]),
    operation(
        "post",
        "/api/v1/sessions/{id}/join-code",
        "Gets a new code; the old one is void.",
        Participant,
    )
    .answers(201, &[("pairing", Of("Pairing"), Never)])
    .fails(&[403, 404, 409, 410, 429]),
    operation("delete", "/api/v1/sessions/{id}/join-code", "Makes the code void.", Participant)
        .answers(204, &[])
        .fails(&[403, 404, 409, 410]),
    operation("get", "/api/v1/invites/{token}", "What somebody is invited to.", Nobody)
        .answers(200, &[("session", Of("InvitedTo"), Never), ("expires_at", Time, Never)])
        .fails(&[404, 410]),
    operation("post", "/api/v1/invites/{token}/accept", "Comes in by a link.", Nobody)
        .body(&[DISPLAY_NAME, USER_ID])
        .answers(201, WELCOME)
        .fails(&[403, 404, 409, 410]),
    operation("get", "/api/v1/groups/{id}", "A participant sees their group.", Participant)
        .answers(200, &[("group", Of("Group"), Never), ("head", Text, Never)])
        .fails(&[404, 409, 410]),
    operation(
        "get",
        "/api/v1/tables/{table_token}/groups",
        "Who else sits at the table.",
        Participant,
    )
    .query(&[LIMIT, CURSOR])
    .answers(200, &[("groups", ListOf("Group"), Never), ("next", Text, Perhaps)])
    .fails(&[403, 404, 409, 410]),
    operation("post", "/api/v1/join-codes/redeem", "Types a code, and is in.", Nobody)
        .body(CODE)
        .answers(200, PAIRED)
        .fails(&[403, 404, 409, 429]),
    operation("post", "/api/sessions/join-dual", "The same, as requirement 000 has it.", Nobody)
        .body(CODE)
        .answers(200, PAIRED)
        .fails(&[403, 404, 409, 429]),
];
