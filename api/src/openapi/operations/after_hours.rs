//! After Hours.

use super::super::Bearer::Participant;
use super::super::Null::{Never, Perhaps};
use super::super::Shape::{ListOf, Of, Text};
use super::super::{Field, Kind, Member, Operation, need, operation};
use super::{CURSOR, LIMIT};

const SESSION_ID: Field = need("session_id", Kind::Id);
const MATCH: &[Member] = &[("match", Of("Match"), Never)];

pub const ALL: &[Operation] = &[
    operation(
        "post",
        "/api/v1/after-hours/declines",
        "Does not want to meet somebody again.",
        Participant,
    )
    .body(&[SESSION_ID, need("declined_user_id", Kind::User)])
    .answers(201, &[("decline", Of("Decline"), Never)])
    .fails(&[403, 404, 409, 410, 429]),
    operation("post", "/api/v1/after-hours/fingerprints", "A device is seen.", Participant)
        .body(&[SESSION_ID, need("fingerprint", Kind::Line(512))])
        .answers(201, &[("fingerprint", Of("Fingerprint"), Never)])
        .fails(&[403, 404, 409, 410, 429]),
    operation("post", "/api/v1/after-hours/matches", "Two like each other.", Participant)
        .body(&[SESSION_ID, need("user_ids", Kind::Users)])
        .answers(201, MATCH)
        .fails(&[403, 404, 409, 410]),
    operation(
        "get",
        "/api/v1/after-hours/matches/{id}/messages",
        "What the two wrote.",
        Participant,
    )
    .query(&[LIMIT, CURSOR])
    .answers(200, &[("messages", ListOf("Message"), Never), ("next", Text, Perhaps)])
    .fails(&[403, 404, 409, 410]),
    operation(
        "post",
        "/api/v1/after-hours/matches/{id}/messages",
        "Writes to the other.",
        Participant,
    )
    .body(&[need("body", Kind::Lines(2000))])
    .answers(201, &[("message", Of("Message"), Never)])
    .fails(&[403, 404, 409, 410, 429]),
    operation("post", "/api/v1/after-hours/matches/{id}/save", "Keeps the match.", Participant)
        .answers(200, MATCH)
        .fails(&[403, 404, 409, 410]),
];
