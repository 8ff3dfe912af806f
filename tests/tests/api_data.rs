//! The data of the session API, on each version of Postgres: what `session-api migrate` makes, and what
//! then holds whoever writes to it, in whatever SQL.

mod api_data {
    pub mod archive;
    pub mod ends;
    pub mod events;
    pub mod figures;
    pub mod functions;
    pub mod migrate;
    pub mod names;
    pub mod partitions;
    pub mod policies;
    pub mod requirements;
    pub mod roles;
    pub mod scene;
    pub mod traffic;
    pub mod traps;
    pub mod verify;
}
