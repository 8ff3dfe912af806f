//! Figures, bills, the audit log, and what admins do.

use super::super::Bearer::Admin;
use super::super::Null::{Never, Perhaps};
use super::super::Shape::{ListOf, Number, Object, Of, Text, Texts, Time, Whole, Wholes};
use super::super::{Field, Kind, Operation, may, need, operation};
use super::{APPS, LIMIT, USER_ID};

const APP: Field = may("app", APPS);

pub const ALL: &[Operation] = &[
    operation(
        "get",
        "/api/v1/analytics/join-codes",
        "How many codes of the last 24 hours were right.",
        Admin,
    )
    .query(&[APP])
    .answers(
        200,
        &[
            ("successful", Whole, Never),
            ("failed", Whole, Never),
            ("success_rate_pct", Number, Perhaps),
        ],
    ),
    operation("get", "/api/v1/analytics/tables", "The busiest tables of today (UTC).", Admin)
        .query(&[APP, LIMIT, may("cursor", Kind::TableCursor)])
        .answers(200, &[("tables", ListOf("Table"), Never), ("next", Text, Perhaps)]),
    operation("get", "/api/v1/analytics/cleanup-runs", "The newest runs of cleanup.", Admin)
        .query(&[APP, LIMIT, may("cursor", Kind::NumberedCursor)])
        .answers(200, &[("runs", ListOf("Any"), Never), ("next", Text, Perhaps)]),
    operation("get", "/api/v1/analytics/active-sessions", "Who plays now.", Admin)
        .query(&[APP, LIMIT, may("cursor", Kind::Cursor)])
        .answers(200, &[("groups", ListOf("ActiveGroup"), Never), ("next", Text, Perhaps)]),
    operation("get", "/api/v1/analytics/pairing", "Pairings of the last 24 hours.", Admin)
        .query(&[APP])
        .answers(200, &[("hours", ListOf("PairingHour"), Never)]),
    operation("get", "/api/v1/analytics/sessions", "Sessions that ended in a period.", Admin)
        .query(&[APP, may("from", Kind::Time), may("to", Kind::Time)])
        .answers(
            200,
            &[
                ("sessions", Whole, Never),
                ("completed", Whole, Never),
                ("completion_rate_pct", Number, Perhaps),
                ("average_session_minutes", Number, Perhaps),
                ("median_session_minutes", Number, Perhaps),
                ("average_participants", Number, Perhaps),
                ("peak_usage_hours", Wholes, Perhaps),
                ("user_retention_rate_pct", Number, Perhaps),
            ],
        ),
    operation(
        "get",
        "/api/v1/analytics/forecast",
        "Sessions that the next 24 hours will bring.",
        Admin,
    )
    .query(&[APP])
    .answers(200, &[("hours", ListOf("ForecastHour"), Never)]),
    operation(
        "get",
        "/api/v1/billing/usage",
        "What was used, by sessions that ended in a period.",
        Admin,
    )
    .query(&[
        need("from", Kind::Time),
        need("to", Kind::Time),
        APP,
        USER_ID,
        may("group_by", Kind::OneOf(&["user_id", "app", "day"])),
        LIMIT,
        may("cursor", Kind::AnyCursor),
    ])
    .answers(200, &[("usage", ListOf("Any"), Never), ("next", Text, Perhaps)]),
    operation("get", "/api/v1/audit", "Who did what, the newest first.", Admin)
        .query(&[
            may("session_id", Kind::Id),
            may("type", Kind::Name(64)),
            APP,
            LIMIT,
            may("cursor", Kind::Number),
        ])
        .answers(200, &[("lines", ListOf("AuditLine"), Never), ("next", Text, Perhaps)]),
    operation("get", "/api/v1/admin/health", "The service as a whole.", Admin).answers(
        200,
        &[
            ("replicas", ListOf("Replica"), Never),
            ("last_cleanup_at", Time, Perhaps),
            ("overdue_sessions", Whole, Never),
            ("schema_version", Whole, Never),
            ("replica", Object, Never),
        ],
    ),
    operation("post", "/api/v1/admin/sessions/{id}/end", "Ends a session.", Admin)
        .answers(200, &[("session", Of("Session"), Never)])
        .fails(&[403, 404, 410]),
    operation(
        "post",
        "/api/v1/admin/sessions/{id}/disconnect",
        "Marks participants as gone.",
        Admin,
    )
    .body(&[may("participant_id", Kind::Id)])
    .answers(202, &[("disconnected", Texts, Never)])
    .fails(&[403, 404, 409, 410]),
    operation("post", "/api/v1/admin/sessions/{id}/broadcast", "Says something to all.", Admin)
        .body(&[need("message", Kind::Line(500))])
        .answers(202, &[("id", Text, Never)])
        .fails(&[403, 404, 409, 410]),
];
