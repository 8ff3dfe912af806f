//! The session API over HTTP: the real binary, on a real Postgres, asked as phones ask it.

mod api_http {
    pub mod admin;
    pub mod after_hours;
    pub mod codes;
    pub mod crowds;
    pub mod edges;
    pub mod endpoints;
    pub mod events;
    pub mod faults;
    pub mod fields;
    pub mod figures;
    pub mod groups;
    pub mod invites;
    pub mod limits;
    pub mod openapi;
    pub mod poolers;
    pub mod presence;
    pub mod problems;
    pub mod readings;
    pub mod replicas;
    pub mod scene;
    pub mod schemathesis;
    pub mod serving;
    pub mod sessions;
    pub mod statements;
}
